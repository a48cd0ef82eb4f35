"""One thing that is wrong with a file, as `cortex validate` tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.model.errors import WrongField

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

    @classmethod
    def of_field(cls, path: Path, wrong: WrongField, line: int | None) -> Problem:
        """One wrong field of a file, or of a variable of the environment that stands for it."""
        if wrong.source is not None:
            return cls(wrong.source, wrong.message, hint=wrong.hint)
        return cls(str(path), wrong.message, line, wrong.field, wrong.hint)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        field = f" {self.field}:" if self.field else ""
        return f"{place}:{field} {self.message}" + (f"; {self.hint}" if self.hint else "")
