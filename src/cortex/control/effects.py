"""Effect threads: they take values, do what may block, and post the result to the mailbox.

An effect decides nothing and touches no state. What it raises is posted as well, so that the
control thread sees every outcome; effects of one lane run one after the other, in order.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Effects", "InlineEffects", "Post", "ThreadEffects", "outcome"]

Done = Callable[[Any], None]
#: Hands a callable over to the control thread and wakes it.
Post = Callable[[Callable[[], None]], None]


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
            thread = threading.Thread(target=self._serve, args=(jobs,), name=f"effects-{lane}")
            thread.daemon = True
            thread.start()
            self._threads.append(thread)
        self._lanes[lane].put((work, then))

    def _serve(self, jobs: queue.SimpleQueue[tuple[Callable[[], Any], Done] | None]) -> None:
        while (job := jobs.get()) is not None:
            work, then = job
            result = outcome(work)
            self._post(lambda then=then, result=result: then(result))  # type: ignore[misc]

    def close(self, timeout_s: float = 5.0) -> None:
        """Lets every lane finish what it has, within the time given."""
        for jobs in self._lanes.values():
            jobs.put(None)
        for thread in self._threads:
            thread.join(timeout_s)


class InlineEffects:
    """Runs work where it stands: for tests."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def run(self, lane: str, work: Callable[[], Any], then: Done) -> None:
        del lane
        result = outcome(work)
        self._post(lambda: then(result))

    def close(self) -> None:
        """Nothing is ever left over."""


def outcome(work: Callable[[], Any]) -> Any:
    """What the work returned, or the exception that it raised, as a value."""
    try:
        return work()
    except Exception as error:
        return error
