"""What every record of the state can do: become a JSON object, and come back from one."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

__all__ = ["Record"]


class Record:
    """Conversion to and from JSON objects, shared by all records."""

    __slots__: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields under their own names; nested records become objects.

        Fields that say nothing (None, 0, False, an empty list or object) are left out where exactly
        that is their default: the journal stays short, and reading fills them in again.
        """
        silent = _silent(type(self))
        return {
            name: _plain(value)
            for name in self.__slots__
            if (value := getattr(self, name)) or silent.get(name) is not type(value)
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Any:
        """The record of an object made by `to_json`; unknown names are an error of ours."""
        return cls(**data)


_SILENT: dict[str, dict[str, type]] = {}


def _silent(kind: type[Record]) -> dict[str, type]:
    """A record's fields whose default is an empty value, and the type of that: 0 is not None."""
    if kind.__name__ not in _SILENT:
        found: dict[str, type] = {}
        for known in fields(kind):  # type: ignore[arg-type]
            if known.default_factory is not MISSING:
                empty = known.default_factory()
            else:
                empty = known.default
            if empty is not MISSING and not empty:
                found[known.name] = type(empty)
        _SILENT[kind.__name__] = found
    return _SILENT[kind.__name__]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
