"""Steps that could not run: tried again once they are another attempt, else their task is blocked.

As `masters.reconcile`, which calls this for tasks under way: level-triggered and without memory.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry
from cortex.decide.not_run import given_up_events, lacks, provided
from cortex.model.state import Task

__all__ = ["stuck", "tried_again"]

Event = dict[str, Any]


def tried_again(task: Task, catalog: Catalog) -> Entry | None:
    """The line that lets steps go on whose worker type's file has changed since; None: none of
    them would be another attempt."""
    again = [step.name for step in provided(task.steps, catalog)]
    if not again:
        return None
    events: list[Event] = [
        {"event": "step_changed", "task_id": task.id, "step": name, "status": "ready"}
        for name in again
    ]
    return Entry(task.assigned_to or "", f"{', '.join(again)}: another attempt by now", events)


def stuck(task: Task) -> Entry | None:
    """The line of a task that cannot go on without what some of its steps lack; None: it can.

    To be asked where no step can be started. Where another step has failed for good, nobody is
    asked to provide anything: the task ends, and a retry of it tries all of them.
    """
    lacking = lacks(task.steps)
    if lacking is None or any(step.status == "active" for step in task.steps):
        return None
    given_up = given_up_events(task)
    if given_up:
        return Entry(task.assigned_to or "", str(given_up[0]["reason"]), given_up)
    event: Event = {
        "event": "task_blocked",
        "task_id": task.id,
        "blocked_on": lacking,
        "master": task.assigned_to,
    }
    return Entry(task.assigned_to or "", lacking, [event])
