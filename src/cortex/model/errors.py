"""The errors that a person meets: each says what happened, where, and what to do next."""

from __future__ import annotations

__all__ = [
    "CortexError",
    "DefinitionError",
    "HomeError",
    "ModelError",
    "RequestError",
    "SettingsError",
]


class CortexError(Exception):
    """Base of all errors that are told to a person instead of shown as a traceback."""


class HomeError(CortexError):
    """A home is missing, incomplete, in use, or of a format that this version does not know."""


class SettingsError(CortexError):
    """cortex.toml or a CORTEX_* variable holds something that cannot be used."""


class DefinitionError(CortexError):
    """A master, worker type or persona file cannot be used; names file, line and field."""


class RequestError(CortexError):
    """A dropped request is refused. `field` is a dotted path into it, `hint` what to do next."""

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class ModelError(CortexError):
    """A model gave no answer. `permanent`: asking again would end the same."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
