"""What a decision is: one journal line to be, and the instant it was taken at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortex.model.state import Due

__all__ = ["Entry", "Now", "due_after", "due_at", "seconds_left", "was_set_back"]

#: A wall clock that stands this much before an instant that was its present was set back.
_SET_BACK_S = 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One atomic transaction: who decided it, why, and the events it consists of."""

    by: str
    why: str
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Now:
    """One instant on every clock that decisions use, in seconds; `at` is its printed form."""

    wall: float
    boottime: float
    boot_id: str
    at: str
    random: float = 0.5


def due_after(now: Now, length_s: float) -> dict[str, Any]:
    """A stored instant `length_s` from now, as an event carries it."""
    return Due(now.boot_id, now.boottime + length_s, now.wall + length_s, length_s).to_json()


def due_at(now: Now, wall: float) -> dict[str, Any]:
    """A stored instant at a wall time, as an event carries it; in the past it is due at once."""
    return due_after(now, max(0.0, wall - now.wall))


def seconds_left(due: Due, now: Now) -> float:
    """Seconds until a stored instant; exact on its own boot, else by the wall clock.

    More than its whole length can't be left: then that clock was set back, and the instant is due.
    """
    if due.boot_id == now.boot_id:
        return max(0.0, due.boottime - now.boottime)
    left = due.wall - now.wall
    return left if 0.0 < left <= due.length_s else 0.0


def was_set_back(now: Now, since: float) -> bool:
    """Whether the wall clock stands a day or more before `since`, which was its time once.

    What recurs is then counted anew from now; a smaller step leaves it where it was.
    """
    return now.wall < since - _SET_BACK_S
