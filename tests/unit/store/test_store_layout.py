"""The layout of documents: one row a line, joined from rows that were encoded once."""

import difflib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cortex.model.layout import encode_row, join

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(st.text(max_size=8), _VALUES, max_size=5)

TASK = {
    "id": "task-001",
    "title": "Scan",
    "deadline": None,
    "partial": False,
    "retries": 2,
    "scope": {"paths": ["a", "b"]},
    "steps": [{"name": "one", "status": "done"}, {"name": "two", "status": "ready"}],
}


def document(*tasks: dict[str, Any]) -> str:
    rows = [encode_row(task) for task in tasks]
    return b"".join(join({"version": "1.0", "journal_seq": 7}, {"tasks": rows})).decode()


def test_a_document_reads_well() -> None:
    assert document(TASK) == (
        "{\n"
        '  "version": "1.0",\n'
        '  "journal_seq": 7,\n'
        '  "tasks": [\n'
        "    {\n"
        '      "id": "task-001",\n'
        '      "title": "Scan",\n'
        '      "deadline": null,\n'
        '      "partial": false,\n'
        '      "retries": 2,\n'
        '      "scope": {"paths": ["a", "b"]},\n'
        '      "steps": [\n'
        '        {"name": "one", "status": "done"},\n'
        '        {"name": "two", "status": "ready"}\n'
        "      ]\n"
        "    }\n"
        "  ]\n"
        "}\n"
    )


def test_an_empty_list_stays_on_its_line() -> None:
    assert b"".join(join({"version": "1.0"}, {"tasks": [], "more": []})) == (
        b'{\n  "version": "1.0",\n  "tasks": [],\n  "more": []\n}\n'
    )


def test_a_ledger_has_one_line_for_each_master() -> None:
    ledger = {"masters": {"security": {"used": 1}, "development": {"used": 2}}, "alerts": []}
    assert b"".join(join(ledger, {})).decode().splitlines() == [
        "{",
        '  "masters": {',
        '    "security": {"used": 1},',
        '    "development": {"used": 2}',
        "  },",
        '  "alerts": []',
        "}",
    ]


def test_one_changed_field_is_one_changed_line() -> None:
    before = document(TASK, {**TASK, "id": "task-002"})
    after = document(TASK, {**TASK, "id": "task-002", "retries": 3})
    changed = [
        line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:1] in "+-"
    ]
    assert changed == ['-       "retries": 2,', '+       "retries": 3,']


@given(header=_OBJECTS, lists=st.dictionaries(st.text(max_size=5), st.lists(_OBJECTS, max_size=3)))
def test_a_document_parses_to_what_went_in(
    header: dict[str, Any], lists: dict[str, list[dict[str, Any]]]
) -> None:
    header = {name: value for name, value in header.items() if name not in lists}
    rows = {name: [encode_row(row) for row in items] for name, items in lists.items()}
    data = b"".join(join(header, rows))
    assert data.endswith(b"}\n")
    assert json.loads(data) == {**header, **lists}


def test_the_order_of_lists_can_be_given() -> None:
    text = b"".join(join({}, {"a": [], "b": []}, ["b", "a"]))
    assert text == b'{\n  "b": [],\n  "a": []\n}\n'


def test_a_lone_surrogate_is_escaped() -> None:
    assert json.loads(encode_row({"name": "caf\udce9"})) == {"name": "caf\udce9"}
