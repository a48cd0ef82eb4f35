"""Takes ended work out of the published files and into the archive, by age and by number.

The rows are written first, and the line that relies on them afterwards: a crash in between writes
the same rows again, which the archive notices.
"""

from __future__ import annotations

from typing import Any

from cortex.control.context import Context
from cortex.decide.archiving import leaving, loose_ends, may_leave
from cortex.decide.entry import Entry, Now
from cortex.model.state import Task
from cortex.model.times import format_time, parse_time
from cortex.store.archive import Archive

__all__ = ["Archiving"]

#: Tasks of one batch, so that the turn which chooses them stays short.
TASKS_AT_ONCE = 200
#: Ended tasks over the limit wait for so many more, so that a busy fleet writes few batches.
FEW = 50


class Archiving:
    """Archives for one daemon, one batch at a time."""

    def __init__(self, context: Context, archive: Archive) -> None:
        self._context = context
        self._archive = archive
        self._under_way = False

    def turn(self, now: Now) -> None:
        """Starts a batch if enough is due."""
        if self._under_way:
            return
        state, retention = self._context.state, self._context.settings.retention
        before = format_time(now.wall - retention.archive_after)
        handoffs, escalations = loose_ends(state, before)
        tasks = self._chosen(now)
        if tasks or handoffs or escalations:
            again_after = self._context.catalog.again_after
            rows, event = leaving(state, tasks, handoffs, escalations, again_after)
            self._under_way = True
            day, archive = now.at[:10], self._archive
            self._context.effects.run(
                "archive",
                lambda: archive.append(day, rows),
                lambda outcome: self._archived(event, outcome),
            )

    def _chosen(self, now: Now) -> list[Task]:
        """Those that ended too long ago, and the eldest of those that are too many."""
        state, retention = self._context.state, self._context.settings.retention
        over = len(state.ended_tasks) - retention.archive_over
        chosen: list[Task] = []
        aged = False
        cleared = True
        for ident in state.ended_tasks:
            task = state.tasks[ident]
            old = now.wall - parse_time(task.ended_at or now.at) > retention.archive_after
            if (not old and len(chosen) >= over) or len(chosen) == TASKS_AT_ONCE:
                break
            if may_leave(state, task):
                chosen.append(task)
                aged = aged or old
            elif any(ident in state.workers and state.workers[ident].cleaned_up_at is None
                     for ident in task.workers):  # fmt: skip
                cleared = False
        # Where some only wait for their files to be cleared, a moment later they go together.
        if not aged and not cleared and len(chosen) < min(over, FEW):
            return []
        return chosen

    def _archived(self, event: dict[str, Any], outcome: Any) -> None:
        self._under_way = False
        context = self._context
        if not context.kept_up("ended tasks could not be archived", outcome):
            return
        if not self._still_there(event):
            return  # a task was taken up again meanwhile; the rest is chosen anew
        count = len(event["tasks"])
        why = f"{count} ended tasks are in the archive" if count else "older answers are archived"
        context.engine.apply(Entry("daemon", why, [event]))
        self.turn(context.engine.now())

    def _still_there(self, event: dict[str, Any]) -> bool:
        state = self._context.state
        return (
            all(ident in state.ended_tasks for ident in event["tasks"])
            and all(ident in state.handoffs for ident in event["handoffs"])
            and all(ident in state.escalations for ident in event["escalations"])
        )
