"""Holds a worker's results against the JSON Schema (2020-12) of its type.

Nothing outside the schema itself is read: a `$ref` to an address is an error, not a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["check_schema", "schema_problems"]

_PROBLEMS_AT_MOST = 5
_TEXT_AT_MOST = 200


def check_schema(schema: dict[str, Any]) -> None:
    """ValueError with a sentence where this is no JSON Schema."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.path)) or "the schema"
        raise ValueError(f"{place}: {_short(error.message)}") from None


def schema_problems(results: dict[str, Any], schema: dict[str, Any]) -> tuple[str, ...]:
    """What is wrong with results.json, in sentences that name the field; empty if nothing is."""
    from jsonschema.exceptions import relevance
    from referencing.exceptions import Unresolvable

    try:
        errors = sorted(_validator(schema).iter_errors(results), key=relevance, reverse=True)
    except Unresolvable as error:
        return (f"results_schema of the worker type cannot be used: {_short(str(error))}",)
    return tuple(
        f"results.json: {'.'.join(map(str, error.absolute_path)) or 'the object'}: "
        f"{_short(error.message)}"
        for error in errors[:_PROBLEMS_AT_MOST]
    )


def _validator(schema: dict[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_AT_MOST else f"{line[: _TEXT_AT_MOST - 1]}…"
