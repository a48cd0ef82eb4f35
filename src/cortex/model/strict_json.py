"""Reads JSON that strangers wrote: all that Python's parser lets pass or cannot place is refused
with a sentence, a line and a field.

The quick path is Python's own parser with small hooks. Only when something is wrong does a slow
second pass look for the place. What the fields mean is for the models to judge.
"""

import json
import math
import re
from typing import Any, NoReturn

from cortex.model.json_place import JsonProblem, Rules, find_problem

__all__ = ["MAX_BYTES", "JsonProblem", "parse", "parse_file", "parse_many", "parse_yaml"]

MAX_BYTES = 4 * 1024 * 1024
_JSON_LINES = (".jsonl", ".ndjson")
_YAML = (".yaml", ".yml")
MAX_DEPTH = 64
MAX_DIGITS = 400
MAX_LINES = 10_000

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class _NotStrictError(Exception):
    """A hook saw something that JSON proper does not have; the slow pass will say where."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _NotStrictError
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _NotStrictError
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value) or len(text) > MAX_DIGITS:
        raise _NotStrictError
    return value


def _constant(_name: str) -> NoReturn:
    raise _NotStrictError


_decode = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
).decode


def parse(data: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES) -> object:
    """The one JSON value (RFC 8259) that the bytes hold, in UTF-8 with or without a mark.

    Raises JsonProblem for anything else, and for what no field of ours can hold: NaN and
    infinities, numbers of over 400 digits, duplicate keys, lone surrogates, NUL, more than
    `max_depth` levels, more than `max_bytes`.
    """
    return _parse_text(decode_text(data, max_bytes=max_bytes), max_depth)


def parse_many(
    data: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES
) -> list[tuple[int, object]]:
    """The values of JSON Lines, each with the line (from 1) that it stands on.

    Blank lines are skipped. One bad line makes the whole file a JsonProblem that names it.
    """
    values: list[tuple[int, object]] = []
    for number, text in enumerate(decode_text(data, max_bytes=max_bytes).split("\n"), 1):
        if not text.strip(" \t\r"):
            continue
        if len(values) == MAX_LINES:
            raise JsonProblem(f"more than {MAX_LINES} lines in one file; split it", number)
        try:
            values.append((number, _parse_text(text, max_depth)))
        except JsonProblem as problem:
            raise JsonProblem(problem.message, number, problem.column, problem.field) from None
    if not values:
        raise JsonProblem("the file is empty; write one JSON object a line", 1, 1)
    return values


def parse_yaml(data: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = 1024 * 1024) -> object:
    """The one YAML document that the bytes hold, as JSON values: see `model.strict_yaml`."""
    from cortex.model import strict_yaml

    return strict_yaml.parse_text(decode_text(data, max_bytes=max_bytes), max_depth=max_depth)


def parse_file(
    name: str, data: bytes, *, max_bytes: int = MAX_BYTES
) -> list[tuple[int | None, object]]:
    """The values in a file of that name: of YAML, JSON Lines (each with its line) or JSON.

    The line is None where the file is one value. Raises JsonProblem.
    """
    lowered = name.lower()
    if lowered.endswith(_JSON_LINES):
        return list(parse_many(data, max_bytes=max_bytes))
    if lowered.endswith(_YAML):
        return [(None, parse_yaml(data))]
    return [(None, parse(data, max_bytes=max_bytes))]


def decode_text(data: bytes, *, max_bytes: int) -> str:
    """The text of a file that must be UTF-8; JsonProblem says which other encoding it seems."""
    if len(data) > max_bytes:
        raise JsonProblem(f"the file has {len(data)} bytes; at most {max_bytes} are read")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            raise JsonProblem(f"the file is {name}; save it as UTF-8", 1, 1)
    if b"\0" in data:
        raise _nul(data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise JsonProblem(
            f"the byte 0x{data[error.start]:02x} is not UTF-8 (Latin-1, perhaps); "
            "save the file as UTF-8",
            line,
            column,
        ) from None


def _nul(data: bytes) -> JsonProblem:
    place = data.index(b"\0")
    if place < 4 and len(data) % 2 == 0:
        return JsonProblem("the file is UTF-16 or UTF-32; save it as UTF-8", 1, 1)
    line = data.count(b"\n", 0, place) + 1
    return JsonProblem("the file holds a NUL byte", line, place - data.rfind(b"\n", 0, place))


def _parse_text(text: str, max_depth: int) -> object:
    rules = Rules(max_depth=max_depth, max_digits=MAX_DIGITS)
    try:
        value: object = _decode(text)
    except (_NotStrictError, RecursionError, ValueError) as error:
        raise find_problem(text, rules, error) from None
    opened = text.count("[") + text.count("{")
    if opened > max_depth and _deeper_than(value, max_depth):
        raise find_problem(text, rules)
    if "\\u" in text and ("\\u0000" in text or _SURROGATE_ESCAPE.search(text)):
        _refuse_unprintable(value, text, rules)
    return value


def _deeper_than(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)  # type: ignore[attr-defined]
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _refuse_unprintable(value: object, text: str, rules: Rules) -> None:
    """Escapes can smuggle in what UTF-8 (surrogates) or the system's calls (NUL) can't carry."""
    try:
        encoded = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise find_problem(text, rules) from None
    if b"\\u0000" in encoded.replace(b"\\\\", b""):
        raise find_problem(text, rules)
