"""The one control thread: wait, take in what happened, decide, make it durable, act.

A turn ends when no controller has anything left to say; its lines share one fdatasync. Nothing is
polled where an event exists: file events, executor reports and effect results wake the loop, and
a resync each second or two looks at what lives, because events may be lost.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cortex.control.stalling import StallWatch
from cortex.model.seams import Clock

__all__ = ["Loop", "Mailbox", "on_signals"]

SLOW_TURN_S = 0.05


class Mailbox:
    """Hands callables from other threads over to the control thread, and wakes it."""

    def __init__(self) -> None:
        self._items: deque[Callable[[], None]] = deque()
        self._signalled = False
        self._look = False
        self.looked: Callable[[], None] = lambda: None
        self.fileno = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def post(self, item: Callable[[], None]) -> None:
        """Queues a callable for the control thread; from any thread."""
        self._items.append(item)
        self.wake()

    def post_look(self) -> None:
        """Asks for `looked` to be called in the next turn, once however often it is asked."""
        self._look = True
        self.wake()

    def wake(self) -> None:
        """Lets the loop take a turn; from any thread, and from signal handlers."""
        if not self._signalled:
            self._signalled = True
            os.eventfd_write(self.fileno, 1)

    @property
    def waiting(self) -> bool:
        """Whether something was posted that nobody took yet."""
        return bool(self._items) or self._look

    def close(self) -> None:
        """Gives the descriptor back; for whoever runs many daemons in one process."""
        os.close(self.fileno)

    def take(self) -> int:
        """Runs everything that was posted; how many that were."""
        # First the event, then the mark: a post in between is in the queue already, and one
        # that comes later sees no mark and writes the event again. No lock, for a signal
        # handler may interrupt this very function.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fileno)
        self._signalled = False
        if self._look:
            self._look = False
            self.looked()
        count = 0
        while self._items:
            self._items.popleft()()
            count += 1
        return count


class Loop:
    """Waits for whatever comes first and calls `turn`; stops when told to."""

    def __init__(
        self,
        clock: Clock,
        mailbox: Mailbox,
        turn: Callable[[], None],
        next_due: Callable[[], Iterable[float | None]],
        slow: Callable[[float, str], None],
        stall: StallWatch | None = None,
    ) -> None:
        self._clock = clock
        self._mailbox = mailbox
        self._turn = turn
        self._next_due = next_due
        self._slow = slow
        self._stall = stall
        self._selector = selectors.DefaultSelector()
        self._selector.register(mailbox.fileno, selectors.EVENT_READ)
        self._watched: set[int] = set()
        self._stopping = False

    def watch(self, filenos: Sequence[int]) -> None:
        """Also wakes when one of these is readable; replaces those given before."""
        wanted = set(filenos)
        if wanted == self._watched:
            return
        for fileno in self._watched - wanted:
            self._selector.unregister(fileno)
        for fileno in wanted - self._watched:
            self._selector.register(fileno, selectors.EVENT_READ)
        self._watched = wanted

    def stop(self) -> None:
        """Lets `run` return after the turn that is under way."""
        self._stopping = True
        self._mailbox.wake()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping

    def run(self) -> None:
        """Turns until `stop`; every exception is the caller's."""
        while not self._stopping:
            self._selector.select(self._timeout())
            started = time.perf_counter()
            if self._stall is not None:
                self._stall.turn_begins()
            posted = self._mailbox.take()
            self._turn()
            took = time.perf_counter() - started
            if self._stall is not None:
                self._stall.turn_ended()
            if took > SLOW_TURN_S:
                self._slow(took, f"{posted} results taken in")

    def _timeout(self) -> float:
        now = self._clock.monotonic()
        dues = [due for due in self._next_due() if due is not None]
        return min(60.0, max(0.0, min(dues) - now)) if dues else 60.0


def on_signals(numbers: Iterable[int], action: Callable[[int], Any]) -> None:
    """Calls `action` with the signal's number when one arrives."""
    for number in numbers:
        signal.signal(number, lambda received, _frame: action(received))
