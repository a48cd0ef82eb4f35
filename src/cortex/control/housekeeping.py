"""What keeps a home small and its books in time: resets, alerts, archive, clean-up, retention.

Everything here may be late or run twice without harm: files are written first, the line that
relies on them afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex.control.archiving import Archiving
from cortex.control.context import Context
from cortex.control.launching import AttemptPaths, attempt_paths
from cortex.control.mirroring import Keep, Mirroring
from cortex.control.sweeping import Sweeping
from cortex.decide import budget
from cortex.decide.alerts import next_alert
from cortex.decide.entry import Entry, Now
from cortex.model.failpoints import failpoint
from cortex.model.seams import Disk
from cortex.model.state import TERMINAL_WORKER
from cortex.runtime.executor import Executor
from cortex.store.archive import Archive

__all__ = ["Housekeeping"]

WORKERS_AT_ONCE = 200


class Housekeeping:
    """Runs after the controllers, on what they left."""

    def __init__(
        self, context: Context, executor: Executor, archive: Archive, disk: Disk, keep: Keep
    ) -> None:
        self._context = context
        self._executor = executor
        self._disk = disk
        self._uncleaned: dict[str, None] = {}
        self._cleaning = False
        self._archiving = Archiving(context, archive)
        self._sweeping = Sweeping(context, executor, disk)
        self._mirroring = Mirroring(context, keep)

    def start(self) -> None:
        """Finds workers whose files an earlier daemon did not clear away."""
        for worker in self._context.state.workers.values():
            if worker.status in TERMINAL_WORKER and worker.cleaned_up_at is None:
                self._uncleaned[worker.id] = None
        self._mirroring.start()

    def ended(self, ident: str) -> None:
        """Takes in a worker that may have ended."""
        worker = self._context.state.workers.get(ident)
        if worker is not None and worker.status in TERMINAL_WORKER and worker.cleaned_up_at is None:
            self._uncleaned[ident] = None
        self._mirroring.ended(ident)

    def turn(self, now: Now) -> None:
        """Whatever is due and has nothing to wait for."""
        self._period(now)
        self._clean()
        self._archiving.turn(now)
        self._sweeping.turn(now)
        self._mirroring.turn()

    # --- money

    def _period(self, now: Now) -> None:
        context = self._context
        if budget.is_over(context.state.budget, now.wall):
            used = {ident: vitals.tokens_used for ident, vitals in context.vitals.items()}
            events = budget.reset(context.state, context.settings, now.wall, used)
            context.engine.apply(Entry("coordinator-master", "a new budget period begins", events))
        while (due := next_alert(context.state, context.settings, now)) is not None:
            context.engine.apply(due)

    # --- after a worker's end

    def _clean(self) -> None:
        if self._cleaning or not self._uncleaned:
            return
        context = self._context
        idents = list(self._uncleaned)[:WORKERS_AT_ONCE]
        workers = [context.state.workers[i] for i in idents if i in context.state.workers]
        for ident in idents:
            del self._uncleaned[ident]
        paths = [attempt_paths(context, worker) for worker in workers]
        executor, disk = self._executor, self._disk
        self._cleaning = True
        context.engine.afterwards(
            lambda: context.effects.run(
                "clean",
                lambda: _clear_away(executor, disk, paths),
                lambda outcome: self._cleaned([worker.id for worker in workers], outcome),
            )
        )

    def _cleaned(self, idents: list[str], outcome: Any) -> None:
        self._cleaning = False
        context = self._context
        if not context.kept_up("files of ended workers could not be cleared away", outcome):
            return
        events = [
            {"event": "worker_cleaned", "worker_id": ident}
            for ident in idents
            if ident in context.state.workers
        ]
        context.engine.apply(Entry("daemon", "processes gone, spec archived", events))
        self._clean()


def _clear_away(executor: Executor, disk: Disk, attempts: Sequence[AttemptPaths]) -> None:
    """Locks, claims, exit records and live specs of collected attempts; twice is no harm."""
    for paths in attempts:
        executor.forget(paths.locks)
        failpoint("clean.locks_gone")
        disk.remove_all((f"{paths.attempt}/exit.json", paths.spec))
        for folder in (paths.locks, paths.attempt):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
