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

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        """Queues work at its lane's end."""
        self._lanes.setdefault(lane, deque()).append((work, then))

    @property
    def lanes(self) -> list[str]:
        """Lanes with work waiting, in the order in which they were first used."""
        return [lane for lane, jobs in self._lanes.items() if jobs]

    def run_one(self, lane: str) -> None:
        """Does the lane's next piece of work and posts its result."""
        work, then = self._lanes[lane].popleft()
        result = outcome(work)
        self._post(lambda: then(result))

    def close(self) -> None:
        """Does everything that waits, lane by lane."""
        while self.lanes:
            self.run_one(self.lanes[0])
