"""The errors that a person meets: each says what happened, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "CortexError",
    "DefinitionError",
    "HomeError",
    "ModelError",
    "Place",
    "RequestError",
    "SettingsError",
    "WrongField",
]

#: Where a value stands in somebody's data: keys, and numbers of items.
Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class WrongField:
    """One wrong field: what is wrong, where, and what to do. `source` is a variable of the
    environment, where the value stands there; lines count from 1."""

    message: str
    place: Place = ()
    hint: str | None = None
    line: int | None = None
    source: str | None = None

    @property
    def field(self) -> str | None:
        """The place as a dotted path; None for the whole."""
        return ".".join(map(str, self.place)) or None

    @property
    def text(self) -> str:
        """What is wrong and what to do, without the place."""
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __str__(self) -> str:
        where = self.source or self.field
        return f"{where}: {self.text}" if where else self.text


class CortexError(Exception):
    """Base of all errors that are told to a person instead of shown as a traceback."""


class HomeError(CortexError):
    """A home is missing, incomplete, in use, or of a format that this version does not know."""


class SettingsError(CortexError):
    """cortex.toml or a CORTEX_* variable holds something that cannot be used; `wrong` says what."""

    def __init__(self, message: str, wrong: Sequence[WrongField] = ()) -> None:
        super().__init__(message)
        self.wrong = wrong


class DefinitionError(CortexError):
    """A master, worker type or persona file cannot be used; names file, line and field of the first
    thing that is wrong. `wrong` are all, each with its line.
    """

    def __init__(self, message: str, wrong: Sequence[WrongField]) -> None:
        super().__init__(message)
        self.wrong = wrong


class RequestError(CortexError):
    """A dropped request is refused. `field` is a dotted path into it, `hint` what to do next.
    Where more than one field is wrong, `wrong` are all.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        wrong: Sequence[WrongField] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint
        self.wrong = wrong


class ModelError(CortexError):
    """A model gave no answer. `permanent`: asking again would end the same."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
