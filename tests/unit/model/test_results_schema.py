"""Results held against the schema of their worker type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.model.definitions import read_worker_type
from cortex.model.errors import DefinitionError
from cortex.model.results_schema import schema_problems

SCHEMA = {
    "type": "object",
    "required": ["summary", "tests"],
    "properties": {"tests": {"type": "object", "properties": {"passed": {"type": "integer"}}}},
}


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"summary": "s", "tests": {"passed": 3}}, []),
        ({"tests": {}}, ["results.json: the object: 'summary' is a required property"]),
        (
            {"summary": "s", "tests": {"passed": "many"}},
            ["results.json: tests.passed: 'many' is not of type 'integer'"],
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    results: dict[str, Any], words: list[str]
) -> None:
    assert list(schema_problems(results, SCHEMA)) == words


def test_a_reference_to_an_address_is_never_followed() -> None:
    (problem,) = schema_problems({}, {"$ref": "http://127.0.0.1:9/schema.json"})
    assert "cannot be used" in problem


def test_a_wrong_schema_is_refused_where_the_type_is_defined() -> None:
    text = "---\nname: mine\nresults_schema: {type: objekt}\n---\nWork.\n"
    with pytest.raises(DefinitionError, match=r"mine\.md:3: results_schema: type: 'objekt' is not"):
        read_worker_type(text, Path("mine.md"))
