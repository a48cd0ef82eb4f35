"""The real clock, and the only source of chance in the daemon."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["RealClock"]


class RealClock:
    """`model.seams.Clock` over the operating system's clocks."""

    def __init__(self) -> None:
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._random = random.Random()

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def random(self) -> float:
        return self._random.random()

    def boot_id(self) -> str:
        return self._boot_id
