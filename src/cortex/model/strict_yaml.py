"""Reads YAML as if it were JSON with fewer quotes: the same values, the same refusals.

Scalars follow YAML 1.2's core schema, so `no`, `12:30` and dates stay strings. Built from the
parser's events instead of its loader, because a loader recurses, expands aliases without limit
and keeps the last of two equal keys. Tags and merge keys are refused.
"""

import re
from typing import Any

from cortex.model.json_place import JsonProblem
from cortex.model.yaml_words import yaml_words

__all__ = ["parse_text"]

MAX_VALUES = 100_000

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def parse_text(text: str, *, max_depth: int) -> object:
    """The value of the one document in the text. Raises JsonProblem, with line and field."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(max_depth)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise JsonProblem(
            f"not YAML: {yaml_words(error.problem or error.context)}",
            mark.line + 1 if mark else None,
            mark.column + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:
        place = getattr(error, "position", None)
        line = text.count("\n", 0, place) + 1 if isinstance(place, int) else None
        raise JsonProblem(f"not YAML: {str(error).splitlines()[0]}", line) from None
    return builder.finish()


class _Open:
    """An object or list that is being filled."""

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.last_key = ""

    def step(self, *, is_inside: bool) -> str:
        """The path's part for the value that comes next, or for the one that is being filled."""
        if isinstance(self.value, list):
            return f"[{len(self.value) - is_inside}]"
        key = self.last_key if is_inside else self.key
        return f".{key}" if key else ""


class _Builder:
    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._documents: list[Any] = []
        self._values = 0

    def finish(self) -> object:
        if not self._documents:
            raise JsonProblem("the file is empty", 1, 1)
        return self._documents[0]

    def take(self, event: Any) -> None:
        """Takes one parser event; its class name says what it is."""
        kind = type(event).__name__
        if kind == "DocumentStartEvent" and self._documents:
            raise self._problem("a second document begins here; one file holds one", event)
        if kind == "ScalarEvent":
            self._add(self._scalar(event), event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin({} if kind == "MappingStartEvent" else [], event)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            done = self._open.pop()
            if done.anchor is not None:
                self._anchors[done.anchor] = done.value
        elif kind == "AliasEvent":
            self._add(self._alias(event), event)

    def _begin(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if event.tag not in (None, "!"):
            raise self._problem(f"the tag {event.tag} is not read; write plain values", event)
        self._add(value, event)
        self._open.append(_Open(value, event.anchor))
        if len(self._open) > self._max_depth:
            raise self._problem(f"nested deeper than {self._max_depth} levels", event)

    def _add(self, value: Any, event: Any) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._problem(f"more than {MAX_VALUES} values, aliases expanded", event)
        if not self._open:
            self._documents.append(value)
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            top.key = top.last_key = self._key(value, top.value, event)
        else:
            top.value[top.key] = value
            top.key = None

    def _key(self, value: Any, target: dict[str, Any], event: Any) -> str:
        if not isinstance(value, str):
            raise self._problem(f"the key {value!r} is not text; put it in quotes", event)
        if value == "<<" and not event.style:
            raise self._problem("merge keys (<<) are not read; write the fields out", event)
        if value in target:
            raise self._problem(f'the key "{value}" appears twice in one object', event)
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._problem(f"the tag {event.tag} is not read; write plain values", event)
        plain = not event.style and event.tag is None
        value = self._resolve(event.value, event) if plain else event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        if isinstance(value, str) and "\0" in value:
            raise self._problem("a string holds NUL, which no file name can carry", event)
        return value

    def _resolve(self, text: str, event: Any) -> Any:
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text):
            return True
        if _FALSE.fullmatch(text):
            return False
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NOT_FINITE.fullmatch(text):
            raise self._problem(f"{text} is not a number that can be used", event)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise self._problem("the number is too large", event)
            return number
        return text

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._problem(f"the alias *{event.anchor} names nothing before it", event)
        return self._copy(self._anchors[event.anchor], event)

    def _copy(self, value: Any, event: Any) -> Any:
        """A copy, so that no two places share an object; each value in it counts."""
        if isinstance(value, dict):
            return {key: self._counted(child, event) for key, child in value.items()}
        if isinstance(value, list):
            return [self._counted(child, event) for child in value]
        return value

    def _counted(self, value: Any, event: Any) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._problem(f"more than {MAX_VALUES} values, aliases expanded", event)
        return self._copy(value, event)

    def _problem(self, message: str, event: Any) -> JsonProblem:
        mark = event.start_mark
        last = len(self._open) - 1
        steps = (part.step(is_inside=i < last) for i, part in enumerate(self._open[:12]))
        path = "".join(steps).lstrip(".")
        return JsonProblem(message, mark.line + 1, mark.column + 1, path or None)
