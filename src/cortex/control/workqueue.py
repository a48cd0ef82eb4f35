"""A queue of keys that are to be looked at, each at most once, some of them later.

The contract (after client-go's workqueue): adding a key that waits changes nothing; `add_after`
keeps the sooner of two instants; a key that is added while it is being worked on comes up again
afterwards, because `take` hands keys out one batch at a time. It is for one thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["WorkQueue"]

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Keys in the order they were added; seconds are those of the caller's clock."""

    def __init__(self) -> None:
        self._ready: dict[Key, None] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: Key) -> None:
        """Lets a key come up as soon as possible."""
        self._ready[key] = None

    def add_at(self, key: Key, when: float) -> None:
        """Lets a key come up at an instant, unless it comes up sooner anyway."""
        if self._due.get(key, float("inf")) <= when:
            return
        self._due[key] = when
        self._count += 1
        heapq.heappush(self._later, (when, self._count, key))

    def take(self, now: float, most: int = 1000) -> list[Key]:
        """Up to `most` keys that are due, removed from the queue."""
        while self._later and self._later[0][0] <= now:
            when, _, key = heapq.heappop(self._later)
            if self._due.get(key) == when:
                del self._due[key]
                self._ready[key] = None
        keys: list[Key] = []
        for key in self._ready:
            if len(keys) == most:
                break
            keys.append(key)
        for key in keys:
            del self._ready[key]
        return keys

    def next_due(self) -> float | None:
        """The instant of the next delayed key; stale entries are dropped on the way."""
        while self._later and self._due.get(self._later[0][2]) != self._later[0][0]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None
