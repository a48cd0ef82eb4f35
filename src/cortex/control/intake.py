"""The controller of the inbox: drops become tasks, or lie in rejected/ beside their reason.

Claiming, reading and validating happen in an effect thread; whether a request fits the state is
decided in the control thread, and a file leaves the inbox only after that line is durable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cortex.control.context import Context
from cortex.control.reading import ReadDrop, entry_of, read_drop
from cortex.decide.entry import Entry
from cortex.decide.health import Sign
from cortex.model.seams import Disk
from cortex.store.archive import Archive
from cortex.store.drop import Drop, Problem
from cortex.store.inbox import Known, ScanResult, leftovers, scan
from cortex.store.rejecting import finish, reject

__all__ = ["Intake"]


#: Files that one scan claims at most, so that the turn that takes them in stays short.
DROPS_A_SCAN = 200


class Intake:
    """Takes drops in, one scan at a time."""

    def __init__(self, context: Context, disk: Disk, archive: Archive) -> None:
        self._context = context
        self._disk = disk
        self._archive = archive
        self._due = 0.0
        self._under_way = False
        self._again = False
        self._known: Known = {}
        self._next_number = 0
        self._faults: list[str] = []
        self._error: str | None = None
        self._waiting: dict[str, int] = {}
        # Taken, and their files not yet cleared away: their receipts must be kept.
        self._open: set[int] = set()
        # Claims from this number on may lie in .intake/ unread: no receipt's floor passes it.
        self._stranded: int | None = None
        self._uncleared: list[tuple[Callable[[], None], Callable[[Any], None]]] = []

    def start(self) -> None:
        """Takes up what an earlier daemon had claimed; before the first turn, so it may block."""
        self._take_left_over()

    def _take_left_over(self) -> None:
        """Takes up what is claimed and lies in `.intake/`, but for what is being cleared away."""
        left = leftovers(self._disk, self._context.paths)
        state = self._context.state
        numbers = [state.receipt_floor, *state.receipts, *(drop.number for drop in left)]
        self._next_number = max(self._next_number, max(numbers) + 1)
        new = [drop for drop in left if drop.number not in self._open]
        self._take_all(
            [read_drop(self._disk, self._context.paths, drop, self._archive) for drop in new]
        )
        self._stranded = None

    def _strand(self, number: int) -> None:
        """Claims from `number` on were lost sight of; they are looked for at once, or later."""
        self._stranded = number if self._stranded is None else min(self._stranded, number)
        with contextlib.suppress(OSError):
            self._take_left_over()

    def look(self) -> None:
        """Something may have been dropped."""
        self._due = 0.0
        self._again = self._under_way

    def next_due(self) -> float | None:
        """Monotonic instant of the next scan."""
        return None if self._under_way else self._due

    def signs(self) -> Iterable[Sign]:
        """What lies in the inbox, or was claimed from it, and is not taken in."""
        if self._error is not None:
            yield Sign("drops_stuck", "scan", self._error)
        for fault in self._faults:
            yield Sign("drops_stuck", fault, fault)
        for name, size in self._waiting.items():
            cause = f"{name} is not taken up: somebody has it open, or writes into it"
            yield Sign("drops_stuck", f"{name} {size}", cause)
        if self._stranded is not None or self._uncleared:
            yield Sign("drops_stuck", ".intake", "claimed files in inbox/.intake/ are stuck there")

    def turn(self) -> None:
        """Starts a scan if one is due."""
        context = self._context
        clock = context.engine.clock.monotonic()
        if self._under_way or clock < self._due or context.full is not None:
            return
        if self._stranded is not None:
            self._strand(self._stranded)
            self._due = clock + 1.0
            return
        self._under_way, self._again = True, False
        uncleared, self._uncleared = self._uncleared, []
        for again in uncleared:
            context.effects.run("intake", *again)
        disk, archive, known, number = self._disk, self._archive, self._known, self._next_number
        now_ns = int(context.engine.clock.now().timestamp() * 1e9)
        at = context.engine.now().at
        paths = context.paths

        def work() -> tuple[ScanResult, list[ReadDrop]]:
            found = scan(
                disk,
                paths,
                now_ns=now_ns,
                monotonic_s=clock,
                at=at,
                next_number=number,
                known=known,
                limit=DROPS_A_SCAN,
            )
            return found, [read_drop(disk, paths, drop, archive) for drop in found.drops]

        context.effects.run("intake", work, self._scanned)

    def _scanned(self, outcome: Any) -> None:
        self._under_way = False
        clock = self._context.engine.clock.monotonic()
        if isinstance(outcome, Exception):
            self._context.log.error("the inbox could not be read", error=repr(outcome))
            self._error = f"the inbox could not be read: {outcome}"
            self._due = clock + 1.0
            self._strand(self._next_number)
            self._seen()
            return
        found, reads = outcome
        self._error, self._waiting = None, found.waiting
        self._known, self._next_number = found.known, found.next_number
        self._tell(found.faults)
        # Without a file that waits, the next event or resync asks for the next look.
        wait = 3600.0 if found.look_again_s is None else found.look_again_s
        self._due = clock if self._again else clock + wait
        if found.stranded:
            self._stranded = min(found.stranded)
        self._take_all(reads)
        if self._stranded is not None:
            self._strand(self._stranded)
        if len(found.drops) < DROPS_A_SCAN:
            self._seen()

    def _seen(self) -> None:
        """What lay here when the daemon started was decided, or cannot be read: work may start."""
        if self._context.inbox_seen:
            return
        self._context.inbox_seen = True
        state = self._context.state
        for ident in state.live:
            if state.workers[ident].status == "approved":
                state.touch("worker", ident)

    def _tell(self, faults: list[str]) -> None:
        for fault in faults:
            if fault not in self._faults:
                self._context.log.warning(fault)
        self._faults = faults

    def _take_all(self, reads: Sequence[ReadDrop]) -> None:
        """Applies the line of every drop; the files are cleared away once that is durable."""
        done: list[Drop] = []
        refused: list[tuple[Drop, Problem]] = []
        # Before the first line of them: a receipt's floor must not pass its own batch by.
        numbers = {read.drop.number for read in reads}
        self._open |= numbers
        for read in reads:
            problem = self._take(read)
            if problem is None:
                done.append(read.drop)
            else:
                refused.append((read.drop, problem))
        if not reads:
            return
        disk, paths, at = self._disk, self._context.paths, self._context.engine.now().at

        def clear_away() -> None:
            finish(disk, done)
            reject(disk, paths, refused, at)

        def cleared(outcome: Any) -> None:
            if isinstance(outcome, Exception):
                self._context.log.warning("taken drops are still there", error=str(outcome))
                self._uncleared.append((clear_away, cleared))
            else:
                self._open -= numbers

        self._context.engine.afterwards(
            lambda: self._context.effects.run("intake", clear_away, cleared)
        )

    def _take(self, read: ReadDrop) -> Problem | None:
        """Applies the line of one drop; the reason where it is refused."""
        context, drop = self._context, read.drop
        state = context.state
        if drop.number in state.receipts or drop.number < state.receipt_floor:
            reason = state.receipts.get(drop.number)
            return drop.problem or (Problem(reason) if reason else None)
        problem = read.problem
        receipt = {
            "event": "receipt_taken",
            "receipt": drop.number,
            "floor": min(self._open if self._stranded is None else {*self._open, self._stranded}),
            "file": drop.receipt,
        }
        if problem is None:
            now = context.engine.now()
            outcome = entry_of(state, read, now, context.catalog, context.settings)
            if isinstance(outcome, Entry):
                context.engine.apply(Entry(outcome.by, outcome.why, [receipt, *outcome.events]))
                return None
            problem = outcome
        refused = {
            "event": "drop_rejected",
            "receipt": drop.number,
            "file": drop.receipt,
            "reason": problem.reason,
            "field": problem.field,
            "line": problem.line,
            "hint": problem.hint,
        }
        why = f"{problem.field}: {problem.reason}" if problem.field else problem.reason
        context.engine.apply(Entry("inbox", why[:300], [receipt, refused]))
        context.log.warning("a drop was refused", file=drop.receipt, reason=problem.reason)
        return problem
