"""One thing that the doctor looked at: what it is, how good it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level"]

Level = Literal["ok", "warn", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`section` groups findings, `what` is what was seen, `remedy` what to do about it."""

    section: str
    name: str
    what: str
    level: Level = "ok"
    remedy: str = ""
