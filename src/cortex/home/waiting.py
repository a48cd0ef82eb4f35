"""Waits until tasks or workers reach a status, woken by the published files.

Waiting needs a daemon that moves things on; one that is away for longer than a restart takes ends
the wait with an error of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cortex.home.documents import Row
from cortex.model.errors import CortexError, HomeError
from cortex.model.statuses import TERMINAL_TASK, TERMINAL_WORKER

if TYPE_CHECKING:
    from cortex.home.client import Home

__all__ = ["DaemonAbsentError", "DaemonWatch", "Waited", "has_ended", "wait_for"]

#: A daemon may be away so long before waiting on it is given up: a restart.
ABSENCE_S = 5.0
_ENDED = TERMINAL_TASK | TERMINAL_WORKER | {"closed", "denied", "withdrawn"}


class DaemonAbsentError(CortexError):
    """No daemon serves the home, so what is waited for cannot come."""


class DaemonWatch:
    """Tells while something is followed that the daemon has gone, but not for a restart."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen_s: float | None = None

    def check(self) -> None:
        """Call it every second or two. DaemonAbsentError if none runs, or none has for a while."""
        now_s = time.monotonic()
        if self._home.daemon().running:
            self._seen_s = now_s
        elif self._seen_s is None or now_s - self._seen_s > ABSENCE_S:
            raise DaemonAbsentError(
                f"no daemon runs for {self._home.root}, so nothing moves on; "
                f"start one with `cortexd --home {self._home.root}`"
            )


@dataclass(slots=True)
class Waited:
    """How a wait ended: the last rows seen by id, and whether all conditions hold."""

    rows: dict[str, Row] = field(default_factory=dict)
    reached: bool = False
    #: Ids that ended in another status than the one waited for: it cannot come any more.
    missed: tuple[str, ...] = ()


def has_ended(status: str) -> bool:
    """Whether a task, worker, handoff or escalation in this status moves no more by itself."""
    return status in _ENDED


def wait_for(
    home: Home, ids: Sequence[str], *, until: str = "ended", timeout_s: float | None = None
) -> Waited:
    """Waits until every id is in the status `until` (or in any terminal one for `ended`).

    Returns early when one of them ends otherwise, and with `reached` False at the time limit.
    Raises HomeError for an id that the home does not know, DaemonAbsentError when no daemon runs.
    """
    return wait_until(home, lambda: _look(home, ids, until), timeout_s)


def wait_until(home: Home, look: Callable[[], Waited], timeout_s: float | None) -> Waited:
    """Looks again at each change until it is decided, the time is over or the daemon is gone."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    watch = DaemonWatch(home)
    waited = look()
    if waited.reached or waited.missed:
        return waited
    for _ in home.changes(every_s=1.0):
        waited = look()
        if waited.reached or waited.missed or (end is not None and time.monotonic() >= end):
            return waited
        watch.check()
    return waited


def _look(home: Home, ids: Sequence[str], until: str) -> Waited:
    rows: dict[str, Row] = {}
    published = home.queue().get("journal_seq")
    for ident in ids:
        found = home.lookup(ident)
        if found is None:
            raise HomeError(f"{ident}: nothing has this id; `cortex get tasks` lists what there is")
        rows[ident] = found.row
    statuses = {ident: str(row.get("status")) for ident, row in rows.items()}
    ended = {ident for ident, status in statuses.items() if has_ended(status)}
    if ended and isinstance(published, int) and ended & _reopened(home, published):
        return Waited(rows)
    if until == "ended":
        return Waited(rows, len(ended) == len(rows))
    missed = [ident for ident, now in statuses.items() if ident in ended and now != until]
    return Waited(rows, all(now == until for now in statuses.values()), tuple(missed))


def _reopened(home: Home, published: int) -> set[str]:
    """The tasks that run again since the journal line that the files show: `cortex retry` returns
    before they show it, and whoever waits next must not take the end before for the new one."""
    from cortex.home.journal import last_lines

    newest = last_lines(home.paths.journal, 1)
    behind = newest[0].seq - published if newest else 0
    lines = last_lines(home.paths.journal, behind) if behind > 0 else []
    events = (event for line in lines for event in line.events)
    return {str(event["task_id"]) for event in events if event["event"] == "task_reopened"}
