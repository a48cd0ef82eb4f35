"""A clock that stands still until it is told to move, and chance that comes from a seed.

The three clocks can be moved apart: a suspend, a jump of the wall clock, a new boot.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

__all__ = ["START", "FakeClock"]

#: Where a fake clock starts, unless told otherwise.
START = datetime(2025, 11, 1, 10, 0, tzinfo=UTC)


class FakeClock:
    """`model.seams.Clock` in a test's hand. Equal seeds give equal chance."""

    def __init__(self, seed: int = 0, start: datetime = START) -> None:
        self._random = random.Random(f"clock {seed}")
        self._wall = start
        self._monotonic = 1000.0
        self._boottime = 1000.0
        self._boots = 1

    def monotonic(self) -> float:
        """Seconds; moved by `advance` alone."""
        return self._monotonic

    def boottime(self) -> float:
        """Seconds since this boot; `advance` and `suspend` move it."""
        return self._boottime

    def now(self) -> datetime:
        """Wall time in UTC."""
        return self._wall

    def wall_ns(self) -> int:
        """Wall time in nanoseconds since 1970, as file systems have it; exact."""
        since = self._wall - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000

    def random(self) -> float:
        """The seed's next number in [0, 1)."""
        return self._random.random()

    def boot_id(self) -> str:
        """Another one after each `reboot`."""
        return f"00000000-0000-4000-8000-{self._boots:012d}"

    def advance(self, seconds: float) -> None:
        """Time passes for all three clocks."""
        self._monotonic += seconds
        self.suspend(seconds)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: monotonic time stands still."""
        self._boottime += seconds
        self.jump_wall(seconds)

    def jump_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock, forwards or back."""
        self._wall += timedelta(seconds=seconds)

    def reboot(self, seconds: float = 30.0) -> None:
        """Another boot: monotonic clocks start anew, wall time goes on."""
        self._boots += 1
        self._monotonic = self._boottime = 10.0
        self.jump_wall(seconds)
