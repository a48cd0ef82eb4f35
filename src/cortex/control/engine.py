"""The one place where decisions become facts: journal line, then state, then what may follow.

`apply` buffers a line and evolves the state at once, so that the next decision sees it; `commit`
makes all lines of the turn durable; only then do the actions run that were given to `afterwards`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from cortex.decide.entry import Entry, Now
from cortex.decide.evolve import evolve
from cortex.model.errors import CortexError
from cortex.model.failpoints import failpoint
from cortex.model.seams import Clock
from cortex.model.state import State

__all__ = ["Engine", "HalfAppliedError", "JournalLike"]

#: Characters of a reason: one line that a person reads.
WHY_AT_MOST = 300


class HalfAppliedError(CortexError):
    """A line's events could not be taken into the state; nothing of this life is written on."""


class JournalLike(Protocol):
    """What the engine needs of a journal (`store.journal.Journal`)."""

    @property
    def pending(self) -> int: ...

    @property
    def last_at(self) -> str: ...

    def append(self, at: datetime, by: str, why: str, events: list[dict[str, Any]]) -> int: ...

    def commit(self) -> None: ...


class Engine:
    """State and journal, kept in step."""

    def __init__(self, state: State, journal: JournalLike, clock: Clock) -> None:
        self.state = state
        self.journal = journal
        self.clock = clock
        self.lines = 0
        self._actions: list[Callable[[], None]] = []
        self._half_applied: str | None = None

    def now(self) -> Now:
        """This instant, as decisions take it; `at` never goes back."""
        moment = self.clock.now()
        at = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        return Now(
            wall=moment.timestamp(),
            boottime=self.clock.boottime(),
            boot_id=self.clock.boot_id(),
            at=max(at, self.state.at[:19] + "Z") if self.state.at else at,
            random=self.clock.random(),
        )

    def apply(self, entry: Entry) -> None:
        """Appends a decision's line and evolves the state by it; durable after `commit`.

        Where an event cannot be taken in, what that raises is raised, and HalfAppliedError from
        then on: nothing has followed from the lines of the turn yet, and the next life goes on
        before them.
        """
        self._raise_if_half_applied()
        if not entry.events:
            return
        why = " ".join(entry.why.split())[:WHY_AT_MOST]
        seq = self.journal.append(self.clock.now(), entry.by, why, entry.events)
        try:
            evolve(self.state, seq, self.journal.last_at, entry.events)
        except Exception as error:
            names = ", ".join(str(event.get("event")) for event in entry.events)
            self._half_applied = (
                f"line {seq} ({names}) of {entry.by} does not fit the state: {error!r}; it and the "
                "lines since the last durable one are not written. Start the daemon again, and "
                "report this"
            )
            raise
        self.lines += 1

    def afterwards(self, action: Callable[[], None]) -> None:
        """Runs an action once everything that was applied so far is durable."""
        self._actions.append(action)

    def commit(self) -> bool:
        """Makes the turn durable and runs what waited for it; whether there was anything.

        Raises JournalFull and JournalBroken as the journal does, and HalfAppliedError where the
        state holds a part of a line; actions then keep waiting.
        """
        self._raise_if_half_applied()
        had_lines = bool(self.journal.pending)
        if had_lines:
            self.journal.commit()
            failpoint("turn.durable")
        actions, self._actions = self._actions, []
        for action in actions:
            action()
            failpoint("turn.acted")
        return had_lines or bool(actions)

    def _raise_if_half_applied(self) -> None:
        if self._half_applied is not None:
            raise HalfAppliedError(self._half_applied)
