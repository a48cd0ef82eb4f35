"""What keeps a home small and its books in time: resets, alerts, checkpoints, archive, clean-up.

Everything here may be late or run twice without harm: files are written first, the line that
relies on them afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex.control.context import Context
from cortex.control.launching import AttemptPaths, attempt_paths
from cortex.decide import budget, project
from cortex.decide.entry import Entry, Now
from cortex.model.failpoints import failpoint
from cortex.model.seams import Disk
from cortex.model.state import OPEN_TASK, TERMINAL_WORKER, Task
from cortex.model.times import parse_time
from cortex.runtime.executor import Executor
from cortex.store.archive import Archive, Kind

__all__ = ["Housekeeping"]

ARCHIVE_AT_ONCE = 200


class Housekeeping:
    """Runs after the controllers, on what they left."""

    def __init__(self, context: Context, executor: Executor, archive: Archive, disk: Disk) -> None:
        self._context = context
        self._executor = executor
        self._archive = archive
        self._disk = disk
        self._uncleaned: dict[str, None] = {}
        self._cleaning = False
        self._archiving = False

    def start(self) -> None:
        """Finds workers whose files an earlier daemon did not clear away."""
        for worker in self._context.state.workers.values():
            if worker.status in TERMINAL_WORKER and worker.cleaned_up_at is None:
                self._uncleaned[worker.id] = None

    def ended(self, ident: str) -> None:
        """Takes in a worker that may have ended."""
        worker = self._context.state.workers.get(ident)
        if worker is not None and worker.status in TERMINAL_WORKER and worker.cleaned_up_at is None:
            self._uncleaned[ident] = None

    def turn(self, now: Now) -> None:
        """Whatever is due and has nothing to wait for."""
        self._period(now)
        self._clean()
        self._archive_ended(now)

    # --- money

    def _period(self, now: Now) -> None:
        context = self._context
        if context.state.budget.resets_at and now.wall >= context.state.budget.resets_at:
            used = {ident: vitals.tokens_used for ident, vitals in context.vitals.items()}
            events = budget.reset(context.state, context.settings, now.wall, used)
            context.engine.apply(Entry("coordinator-master", "a new budget period begins", events))
        due = budget.alerts(context.state, context.settings)
        for event in due:
            why = f"{event['fund']} is {event['share']:.0%} in use"
            context.engine.apply(Entry("coordinator-master", why, [event]))

    # --- after a worker's end

    def _clean(self) -> None:
        if self._cleaning or not self._uncleaned:
            return
        context = self._context
        idents = list(self._uncleaned)[:ARCHIVE_AT_ONCE]
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
        if isinstance(outcome, Exception):
            context.log.warning("attempt files could not be cleared away", error=str(outcome))
            return
        events = [
            {"event": "worker_cleaned", "worker_id": ident}
            for ident in idents
            if ident in context.state.workers
        ]
        context.engine.apply(Entry("daemon", "processes gone, spec archived", events))

    # --- archive

    def _archive_ended(self, now: Now) -> None:
        context = self._context
        retention = context.settings.retention
        over = len(context.state.ended_tasks) - retention.archive_over
        if self._archiving or not context.state.ended_tasks:
            return
        chosen: list[Task] = []
        for ident in context.state.ended_tasks:
            task = context.state.tasks[ident]
            old = now.wall - parse_time(task.ended_at or now.at) > retention.archive_after
            if not old and len(chosen) >= over:
                break
            if self._may_leave(task):
                chosen.append(task)
            if len(chosen) >= ARCHIVE_AT_ONCE:
                break
        if not chosen or (len(chosen) < min(over, ARCHIVE_AT_ONCE) // 2 and over > 0):
            return
        self._move(chosen)

    def _may_leave(self, task: Task) -> bool:
        state = self._context.state
        dependents = state.dependents.get(task.id, ())
        if any(
            ident in state.tasks and state.tasks[ident].status in OPEN_TASK for ident in dependents
        ):
            return False
        if task.parent in state.tasks and state.tasks[task.parent].status in OPEN_TASK:
            return False
        workers = [state.workers[ident] for ident in task.workers if ident in state.workers]
        return all(worker.cleaned_up_at is not None for worker in workers)

    def _move(self, tasks: list[Task]) -> None:
        context = self._context
        state = context.state
        rows: list[tuple[Kind, str, dict[str, Any]]] = []
        workers: list[str] = []
        for task in tasks:
            rows.append(("task", task.id, project.task_row(task, state)))
            for ident in task.workers:
                worker = state.workers.get(ident)
                if worker is None:
                    continue
                completed = worker.status == "completed"
                row = project.completed_row(worker) if completed else project.failed_row(worker)
                rows.append(("worker", ident, row))
                workers.append(ident)
        ids = {task.id for task in tasks}
        handoffs = [
            handoff.id
            for handoff in state.handoffs.values()
            if handoff.task_id in ids and handoff.status in ("completed", "rejected")
        ]
        rows += [("handoff", i, project.handoff_row(state.handoffs[i])) for i in handoffs]
        escalations = [e.id for e in state.escalations.values() if e.task_id in ids]
        event = {
            "event": "archived",
            "tasks": sorted(ids),
            "workers": workers,
            "handoffs": handoffs,
            "escalations": escalations,
        }
        self._archiving = True
        day, archive = context.engine.now().at[:10], self._archive
        context.effects.run(
            "archive",
            lambda: archive.append(day, rows),
            lambda outcome: self._archived(event, outcome),
        )

    def _archived(self, event: dict[str, Any], outcome: Any) -> None:
        self._archiving = False
        if isinstance(outcome, Exception):
            self._context.log.warning("ended tasks could not be archived", error=str(outcome))
            return
        state = self._context.state
        if all(ident in state.ended_tasks for ident in event["tasks"]):
            why = f"{len(event['tasks'])} ended tasks are in the archive"
            self._context.engine.apply(Entry("daemon", why, [event]))


def _clear_away(executor: Executor, disk: Disk, attempts: Sequence[AttemptPaths]) -> None:
    """Locks, claims, exit records and live specs of collected attempts; twice is no harm."""
    for paths in attempts:
        executor.forget(paths.locks)
        failpoint("clean.locks_gone")
        disk.remove_all((f"{paths.attempt}/exit.json", paths.spec))
        for folder in (paths.locks, paths.attempt):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
