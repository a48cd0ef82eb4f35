"""One thing that is wrong with a file, as `cortex validate` tells it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what to do."""

    file: str
    message: str
    line: int | None = None
    field: str | None = None
    hint: str | None = None
    #: It can be used as it is, but is perhaps not meant so.
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        field = f" {self.field}:" if self.field else ""
        return f"{place}:{field} {self.message}" + (f"; {self.hint}" if self.hint else "")
