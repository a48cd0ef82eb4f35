"""Effect threads: they take values, do what may block, and post the result to the mailbox.

An effect decides nothing and touches no state. What it raises is posted as well, so that the
control thread sees every outcome; effects of one lane run one after the other, in order.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from cortex.decide.health import Sign

__all__ = [
    "LANE_IDLE",
    "LANE_THREAD",
    "Effects",
    "FollowedEffects",
    "Post",
    "ThreadEffects",
    "outcome",
]

Done = Callable[[Any], None]
#: Hands a callable over to the control thread and wakes it.
Post = Callable[[Callable[[], None]], None]
#: What the names of effect threads begin with.
LANE_THREAD = "effects-"
#: The function in which such a thread waits for work.
LANE_IDLE = "_serve"


class Effects(Protocol):
    """Where blocking work goes. `then` is called with the result on the control thread."""

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        """Queues work; an exception is given to `then` as the result."""

    def close(self) -> None:
        """Lets every lane finish what it has; what is posted by then can be taken."""


class ThreadEffects:
    """One thread a lane."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lanes: dict[str, queue.SimpleQueue[tuple[Callable[[], Any], Done] | None]] = {}
        self._threads: list[threading.Thread] = []

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        if lane not in self._lanes:
            jobs: queue.SimpleQueue[tuple[Callable[[], Any], Done] | None] = queue.SimpleQueue()
            self._lanes[lane] = jobs
            thread = threading.Thread(target=self._serve, args=(jobs,), name=f"{LANE_THREAD}{lane}")
            thread.daemon = True
            thread.start()
            self._threads.append(thread)
        self._lanes[lane].put((work, then))

    def _serve(self, jobs: queue.SimpleQueue[tuple[Callable[[], Any], Done] | None]) -> None:
        while (job := jobs.get()) is not None:
            work, then = job
            result = outcome(work)
            self._post(lambda then=then, result=result: then(result))  # type: ignore[misc]

    def close(self, timeout_s: float = 3.0) -> None:
        """Lets every lane finish what it has, within the time given."""
        for jobs in self._lanes.values():
            jobs.put(None)
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))


class FollowedEffects:
    """Hands work on to other effects, and knows of each lane what has not come back. For the
    control thread alone. A lane of `own_limits_s` does what may take that long and ends by itself:
    only past its limit does patience with it begin.
    """

    def __init__(self, effects: Effects, own_limits_s: Mapping[str, float] | None = None) -> None:
        self._effects = effects
        self._own_limits_s = own_limits_s or {}
        self._handed: dict[str, int] = {}
        self._back: dict[str, int] = {}

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        """As `Effects.run`."""
        self._handed[lane] = self._handed.get(lane, 0) + 1

        def came_back(result: Any) -> None:
            self._back[lane] = self._back.get(lane, 0) + 1
            then(result)

        self._effects.run(lane, work, came_back)

    def close(self) -> None:
        """As `Effects.close`."""
        self._effects.close()

    def signs(self) -> Iterable[Sign]:
        """A sign of each lane with work; each result that comes back begins a new patience."""
        for lane, handed in self._handed.items():
            back = self._back.get(lane, 0)
            if handed > back:
                cause = f"an effect does not come back: {lane}"
                after_s = self._own_limits_s.get(lane, 0.0)
                yield Sign("effect_stuck", f"{lane} {back}", cause, after_s)


def outcome(work: Callable[[], Any]) -> Any:
    """What the work returned, or the exception that it raised, as a value."""
    try:
        return work()
    except Exception as error:
        return error
