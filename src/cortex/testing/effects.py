"""Effect lanes that a scheduler runs when it likes, on its own thread.

Within a lane the order is kept, as with real threads; which lane goes next is the caller's choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from cortex.control.effects import Done, Post, outcome

__all__ = ["ScheduledEffects"]


class ScheduledEffects:
    """`control.effects.Effects` that waits until `run_one` is called."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lanes: dict[str, deque[tuple[Callable[[], Any], Done]]] = {}
        self._busy: set[str] = set()

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        """Queues work at its lane's end."""
        self._lanes.setdefault(lane, deque()).append((work, then))

    @property
    def lanes(self) -> list[str]:
        """Lanes with work waiting and none under way, in the order of their first use."""
        return [lane for lane, jobs in self._lanes.items() if jobs and lane not in self._busy]

    def run_one(self, lane: str) -> None:
        """Does the lane's next piece of work and posts its result. Another lane's may be done in
        the middle of it, by whoever gets into a call of its."""
        work, then = self._lanes[lane].popleft()
        self._busy.add(lane)
        try:
            result = outcome(work)
        finally:
            self._busy.discard(lane)
        self._post(lambda: then(result))

    def close(self) -> None:
        """Does everything that waits, lane by lane."""
        while self.lanes:
            self.run_one(self.lanes[0])
