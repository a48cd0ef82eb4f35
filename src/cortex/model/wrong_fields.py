"""What is wrong with the fields of somebody's file, in plain words: one wording for definitions,
cortex.toml, requests, a model's plan and published documents.

pydantic says which value does not fit where; the sentences are made here. On which line a field
stands is for whoever has the text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, get_args

from cortex.model.errors import Place, WrongField

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["Misplaced", "wrong_fields"]

#: So many of one file are told, and characters of a value.
FIELDS_AT_MOST = 20
_VALUE_AT_MOST = 60
#: Fields of models that stand in no file: the prompt is the text below the front matter.
_OF_NO_FILE = ("prompt", "path", "called")
#: How pydantic calls one of several forms that a value may have; no part of a place.
_FORM = re.compile(r"str|int|float|bool|list|dict|.*\[.*\]")
_UNKNOWN = "no such key"
_MISSING = "is missing"
_TEXT = "a text"
_LIST = "a list"
_OBJECT = "an object with keys"
_WHOLE = "a whole number"
_NUMBER = "a number"
_SWITCH = "true or false"
_WANTED = {
    "string_type": _TEXT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": f"{_WHOLE} that is shorter",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": f"{_NUMBER} that is finite",
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


class Misplaced(ValueError):  # noqa: N818 - the word that a reader of the code needs is where
    """Values that do not fit to each other: of each a sentence, and its place from here on."""

    def __init__(self, *found: tuple[str, Place]) -> None:
        super().__init__("; ".join(text for text, _ in found))
        self.found = found


def wrong_fields(error: ValidationError, model: type[BaseModel], data: object) -> list[WrongField]:
    """Each wrong field of `data` once; of very many the first, and then how many more there are.

    What is misspelt stands before what is missing, because the one may be the other.
    """
    found = [one for raw in error.errors(include_url=False) for one in _each(raw, model, data)]
    told = [one.problem for one in _one_of_each_form(found)]
    told = list(_without_twins(told))
    if len(told) <= FIELDS_AT_MOST:
        return told
    rest = len(told) - FIELDS_AT_MOST
    return [*told[:FIELDS_AT_MOST], WrongField(f"{rest} more fields are wrong")]


@dataclass(frozen=True, slots=True)
class _Found:
    """`form_of` is the place of a value that may have several forms, if this is of one of them;
    `wanted` is what should be there, if it is only the kind of value that is wrong."""

    problem: WrongField
    form_of: Place | None
    wanted: str | None


def _each(raw: Any, model: type[BaseModel], data: object) -> Iterator[_Found]:
    place, form_of = _place(data, raw["loc"], raw["type"])
    cause = raw.get("ctx", {}).get("error")
    if isinstance(cause, Misplaced):
        for text, inner in cause.found:
            yield _Found(WrongField(text, place + inner), None, None)
        return
    message, hint = _words(raw, model, place)
    yield _Found(WrongField(message, place, hint), form_of, _WANTED.get(raw["type"]))


def _place(data: object, loc: Place, error_type: str) -> tuple[Place, Place | None]:
    """The problem's place in what was written, and where pydantic named a form of the value."""
    place: Place = ()
    form_of: Place | None = None
    inside: Any = data
    for position, part in enumerate(loc):
        is_there = (
            part in inside
            if isinstance(inside, dict)
            else isinstance(inside, list) and isinstance(part, int) and part < len(inside)
        )
        is_missing = error_type == "missing" and position == len(loc) - 1
        if not is_there and not is_missing and isinstance(part, str) and _FORM.fullmatch(part):
            form_of = place if form_of is None else form_of
            continue
        place += (part,)
        inside = inside[part] if is_there else None
    return place, form_of


def _one_of_each_form(found: Iterable[_Found]) -> Iterator[_Found]:
    """Of a value that has none of several forms the problem that lies deepest, for that form was
    meant; and what it might be, where none was."""
    forms: dict[Place, list[_Found]] = {}
    for one in found:
        if one.form_of is None:
            yield one
        else:
            forms.setdefault(one.form_of, []).append(one)
    for tried in forms.values():
        deepest = max(len(one.problem.place) for one in tried)
        left = [one for one in tried if len(one.problem.place) == deepest]
        first = left[0]
        wanted = [one.wanted for one in left if one.wanted]
        if len(wanted) < 2 or len(wanted) < len(left):
            yield first
            continue
        message = first.problem.message.replace(wanted[0], " or ".join(dict.fromkeys(wanted)), 1)
        yield replace(first, problem=replace(first.problem, message=message, hint=None))


def _without_twins(problems: list[WrongField]) -> Iterator[WrongField]:
    """What is missing, and stands beside it under a name that is nearly that, is told once."""
    unknown = [one for one in problems if one.message == _UNKNOWN]
    missing = [one for one in problems if one.message == _MISSING]
    for one in problems:
        if one not in missing:
            yield one
    for one in missing:
        beside = [str(u.place[-1]) for u in unknown if u.place[:-1] == one.place[:-1]]
        if not difflib.get_close_matches(str(one.place[-1]), beside, 1):
            yield one


def _words(raw: Any, model: type[BaseModel], place: Place) -> tuple[str, str | None]:
    """(what is wrong, what to do) of one of pydantic's errors."""
    kind, value, context = raw["type"], raw.get("input"), raw.get("ctx", {})
    if kind == "extra_forbidden":
        return _UNKNOWN, _meant(str(place[-1]), _known_at(model, place))
    if kind == "missing":
        return _MISSING, "add it"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, is {_said(value)}", _way(_WANTED[kind], value)
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]}, is {_said(value)}", None
    if kind == "literal_error":
        known = re.findall("'([^']*)'", context["expected"])
        near = difflib.get_close_matches(value, known) if isinstance(value, str) else []
        hint = f"did you mean {near[0]}?" if near else None
        return f"must be {context['expected']}, is {_said(value)}", hint
    if kind == "too_short" and not value:
        return "is empty", "name at least one, or leave it out"
    if kind == "string_too_short" and not value:
        return "is empty", "write something, or leave it out"
    if kind in ("too_long", "string_too_long"):
        parts = "entries" if kind == "too_long" else "characters"
        many = context.get("actual_length") or len(value)
        return f"has {many} {parts}, and at most {context['max_length']} may be there", None
    message = raw["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message.replace("Input should be", "must be"), None


def _way(wanted: str, value: Any) -> str | None:
    """How a value becomes what is wanted, where that is plain."""
    if wanted == _TEXT and isinstance(value, bool | int | float | date):
        return "put it in quotes"
    if wanted in (_WHOLE, _NUMBER) and isinstance(value, str) and _is_number(value):
        return "leave out the quotes"
    if wanted == _SWITCH and isinstance(value, str) and value.lower() in ("true", "false"):
        return "leave out the quotes"
    if wanted == _LIST and isinstance(value, str) and len(value) <= _VALUE_AT_MOST:
        return f'write ["{value}"]'
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _said(value: Any) -> str:
    """A value in words; a long one is cut."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    for kind, name in ((list, "a list"), (tuple, "a list"), (dict, "an object")):
        if isinstance(value, kind):
            return name
    kinds = {str: "the text", int: "the number", float: "the number"}
    name = "the date" if isinstance(value, date) else kinds.get(type(value), "a value:")
    if isinstance(value, int) and abs(value) >= 10**_VALUE_AT_MOST:
        return "a very large number"  # Python does not even write one of over 4300 digits
    text = repr(value) if isinstance(value, str) else str(value)
    return f"{name} {text if len(text) <= _VALUE_AT_MOST else text[:_VALUE_AT_MOST] + '…'}"


def _meant(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def _known_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that there may be beside a place's last one."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is not None:
            model = _model_in(field.annotation) or model
    return [name for name in model.model_fields if name not in _OF_NO_FILE]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((one for one in found if one is not None), None)
