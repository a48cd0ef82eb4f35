"""Strict reading of JSON and YAML: one meaning for each text, or a refusal with its place."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.model.strict_json import JsonProblem, parse, parse_many, parse_yaml

_REFUSED = [
    (b"", "empty", 1, None),
    (b" \n ", "empty", None, None),
    (b'{"a": 1,}', "a comma before }", 1, None),
    (b'{"a": [1,\n]}', "a comma before ]", 2, None),
    (b'{"a": {"b": 1', "cut off", 1, "a.b"),
    (b'{"a": "text', "cut off", 1, "a"),
    (b'{"a": [{"b": NaN}]}', "NaN is not", 1, "a[0].b"),
    (b'{"a":\n-Infinity}', "-Infinity is not", 2, "a"),
    (b'{"a": 1e999}', "too large", 1, "a"),
    (b'{"a": -1e999}', "too large", 1, "a"),
    (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits", 1, "a"),
    (b'{"a": ' + b"9" * 500 + b"}", "500 digits", 1, "a"),
    (b'{"a": {"b": 1,\n"b": 2}}', 'the key "b" appears twice', 2, "a.b"),
    (b'{"a": 1, "\\u0061": 2}', 'the key "a" appears twice', 1, "a"),
    (b"[" * 100_000, "nested deeper than 64", 1, None),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64", 1, None),
    (b'{"a": 1}\n{"a": 2}', "a second value", 2, None),
    (b'{"a": 1} x', "a second value", 1, None),
    ('{"a": 1}'.encode("utf-16"), "UTF-16", 1, None),
    ('{"a": 1}'.encode("utf-16-le"), "UTF-16", 1, None),
    ('{"a": 1}'.encode("utf-32"), "UTF-32", 1, None),
    ('{\n"a": "é"}'.encode("latin-1"), "0xe9 is not UTF-8", 2, None),
    (b'{"a": "\xff"}', "not UTF-8", 1, None),
    (b'{"a": 1}\n\0', "NUL", 2, None),
    (b'{"a": "x\ny"}', "control character", 1, "a"),
    (b'{"a": "\x1b"}', "U+001B", 1, "a"),
    (b'{"a": "\\ud800"}', "surrogate", 1, "a"),
    (b'{"a": "\\udc00\\ud800"}', "surrogate", 1, "a"),
    (b'{"\\ud800": 1}', "surrogate", 1, None),
    (b'{"a": ["\\u0000"]}', "NUL", 1, "a[0]"),
    (b"{'a': 1}", "double quotes", 1, None),
    (b'{"a": 1 // why\n}', "comments", 1, None),
    (b'{"a": "\\x41"}', "not an escape", 1, "a"),
    (b'{"a" 1}', "not JSON from here", 1, "a"),
    (b"title: x", "not JSON from here", 1, None),
]


@pytest.mark.parametrize(("data", "words", "line", "field"), _REFUSED)
def test_bad_json_is_refused_with_reason_line_and_field(
    data: bytes, words: str, line: int | None, field: str | None
) -> None:
    started = time.process_time()
    with pytest.raises(JsonProblem) as refused:
        parse(data)
    assert words in refused.value.message
    if line is not None:
        assert refused.value.line == line
    if field is not None:
        assert refused.value.field == field
    assert time.process_time() - started < 3


@pytest.mark.parametrize("text", ['{"a": "\\ud83d\\ude00"}', '{"a": "\\\\u0000 \\\\ud800"}'])
def test_whole_pairs_and_escaped_backslashes_are_fine(text: str) -> None:
    assert parse(text.encode()) == json.loads(text)


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_too_many_bytes_are_refused_unparsed() -> None:
    with pytest.raises(JsonProblem, match="at most 10"):
        parse(b'{"a": 12345}', max_bytes=10)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(value=_JSON, ascii_only=st.booleans(), indent=st.none() | st.just(2))
def test_what_is_proper_json_reads_as_pythons_parser_reads_it(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    if "\\u0000" in text:  # a NUL in a key
        return
    assert parse(text.encode()) == json.loads(text)


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_give_a_value_or_a_problem(data: bytes) -> None:
    for read in (parse, parse_many, parse_yaml):
        try:
            read(data)
        except JsonProblem as problem:
            assert problem.message
            assert problem.line is None or problem.line >= 1


def test_json_lines_name_the_bad_line() -> None:
    assert parse_many(b'{"a": 1}\n\n{"b": 2}') == [(1, {"a": 1}), (3, {"b": 2})]
    with pytest.raises(JsonProblem) as refused:
        parse_many(b'{"a": 1}\n{"a": }\n')
    assert refused.value.line == 2
    with pytest.raises(JsonProblem, match="empty"):
        parse_many(b"\n\n")


def test_yaml_reads_like_json_with_fewer_quotes() -> None:
    text = b"title: Scan\ndeadline: 2025-11-01T10:00:00Z\nflag: no\nn: 012\nx: [1, 2.5, null, ~]\n"
    assert parse_yaml(text) == {
        "title": "Scan",
        "deadline": "2025-11-01T10:00:00Z",
        "flag": "no",
        "n": 12,
        "x": [1, 2.5, None, None],
    }
    assert parse_yaml(b"a: &s [1]\nb: *s\n") == {"a": [1], "b": [1]}


_BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 107)
)


@pytest.mark.parametrize(
    ("data", "words", "line"),
    [
        (b"a: 1\na: 2", "appears twice", 2),
        (b"- " * 100_000, "nested deeper", 1),
        (b"[" * 100_000, "nested deeper", 1),
        (_BOMB, "aliases expanded", None),
        (b"a: &a [*a]", "names nothing before it", 1),
        (b"<<: {a: 1}", "merge keys", 1),
        (b"a: !!python/object/apply:os.system [ls]", "tag", 1),
        (b"a: .nan", "not a number", 1),
        (b"a: 1e999", "too large", 1),
        (b"1: x", "not text", 1),
        (b"a: 1\n---\nb: 2", "second document", 2),
        (b"a: [1", "not YAML", None),
        (b"a: \x01", "not YAML", 1),
        (b"", "empty", 1),
    ],
)
def test_bad_yaml_is_refused_with_reason_and_line(
    data: bytes, words: str, line: int | None
) -> None:
    started = time.process_time()
    with pytest.raises(JsonProblem) as refused:
        parse_yaml(data)
    assert words in refused.value.message
    if line is not None:
        assert refused.value.line == line
    assert time.process_time() - started < 3
