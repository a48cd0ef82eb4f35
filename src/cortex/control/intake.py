"""The controller of the inbox: drops become tasks, or lie in rejected/ beside their reason.

Claiming, reading and validating happen in an effect thread; whether a request fits the state is
decided in the control thread, and a file leaves the inbox only after that line is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortex.control.context import Context
from cortex.decide.accept import accept_all
from cortex.decide.entry import Entry
from cortex.model.errors import RequestError
from cortex.store.archive import Archive
from cortex.store.inbox import Drop, Inbox, Problem

__all__ = ["Intake"]


@dataclass(frozen=True, slots=True)
class _Read:
    """A claimed drop with its requests, or what is wrong with it."""

    drop: Drop
    requests: list[Any]
    archived: dict[str, str]
    problem: Problem | None


class Intake:
    """Takes drops in, one scan at a time."""

    def __init__(self, context: Context, inbox: Inbox, archive: Archive) -> None:
        self._context = context
        self._inbox = inbox
        self._archive = archive
        self._due = 0.0
        self._under_way = False
        self._again = False

    def look(self) -> None:
        """Something may have been dropped."""
        self._due = 0.0
        self._again = self._under_way

    def next_due(self) -> float | None:
        """Monotonic instant of the next scan."""
        return None if self._under_way else self._due

    def turn(self) -> None:
        """Starts a scan if one is due."""
        clock = self._context.engine.clock.monotonic()
        if self._under_way or clock < self._due or self._context.full is not None:
            return
        self._under_way, self._again = True, False
        inbox, archive, receipts = (
            self._inbox,
            self._archive,
            frozenset(self._context.state.receipts),
        )
        floor = self._context.state.receipt_floor
        self._context.effects.run(
            "intake",
            lambda: _scan(inbox, archive, lambda n: n < floor or n in receipts),
            self._scanned,
        )

    def _scanned(self, outcome: Any) -> None:
        self._under_way = False
        clock = self._context.engine.clock.monotonic()
        if isinstance(outcome, Exception):
            self._context.log.error("the inbox could not be read", error=str(outcome))
            self._due = clock + 1.0
            return
        reads, look_again_s = outcome
        resync = self._context.settings.daemon.resync
        wait = resync if look_again_s is None else min(look_again_s, resync)
        self._due = clock if self._again else clock + wait
        finish: list[Callable[[], None]] = []
        for read in reads:
            finish.append(self._take(read))
        if finish:
            self._context.engine.afterwards(lambda: self._finish(finish))

    def _finish(self, actions: list[Callable[[], None]]) -> None:
        def work() -> None:
            for action in actions:
                action()

        self._context.effects.run("intake", work, self._finished)

    def _finished(self, outcome: Any) -> None:
        if isinstance(outcome, Exception):
            self._context.log.warning("a taken drop could not be cleared away", error=str(outcome))

    def _take(self, read: _Read) -> Callable[[], None]:
        """Applies the line of one drop; returns what is to be done once it is durable."""
        context, drop = self._context, read.drop
        state = context.state
        inbox = self._inbox
        if drop.number < state.receipt_floor or drop.number in state.receipts:
            return lambda: inbox.settle(drop)
        receipt = {
            "event": "receipt_taken",
            "receipt": drop.number,
            "floor": min(self._inbox.floor, drop.number),
            "file": drop.name,
        }
        problem = read.problem
        if problem is None:
            try:
                entry = accept_all(
                    state, read.requests, drop.name, context.engine.now(), read.archived
                )
            except RequestError as error:
                problem = _problem(error)
        if problem is not None:
            refused = {
                "event": "drop_rejected",
                "file": drop.name,
                "reason": problem.reason,
                "field": problem.field,
                "line": problem.line,
                "hint": problem.hint,
            }
            context.engine.apply(Entry("inbox", problem.reason[:300], [receipt, refused]))
            context.log.warning("a drop was refused", file=drop.name, reason=problem.reason)
            found, at = problem, context.engine.now().at
            return lambda: inbox.reject(drop, found, at=at)
        context.engine.apply(Entry(entry.by, entry.why, [receipt, *entry.events]))
        return lambda: inbox.finish(drop)


def _problem(error: RequestError) -> Problem:
    return Problem(reason=error.message, line=None, field=error.field, hint=error.hint)


def _scan(
    inbox: Inbox, archive: Archive, is_taken: Callable[[int], bool]
) -> tuple[list[_Read], float | None]:
    """Claims what is ready, reads it, and looks up what it names in the archive."""
    result = inbox.scan(is_taken)
    return [_read(drop, archive) for drop in result.drops], result.look_again_s


def _read(drop: Drop, archive: Archive) -> _Read:
    from cortex.model.requests import TaskRequest, parse_request

    if drop.problem is not None or drop.payloads is None:
        return _Read(drop, [], {}, drop.problem)
    requests = []
    archived: dict[str, str] = {}
    for payload in drop.payloads:
        try:
            request = parse_request(payload)
        except RequestError as error:
            return _Read(drop, [], {}, _problem(error))
        requests.append(request)
        if isinstance(request, TaskRequest):
            for ident in (request.id, *request.needs):
                found = archive.find(ident) if ident is not None else None
                if ident is not None and found is not None:
                    archived[ident] = str(found.row.get("status"))
            if request.key is not None:
                known = archive.find_key(request.key)
                if known is not None:
                    archived[f"key:{request.key}"] = known
    return _Read(drop, requests, archived, None)
