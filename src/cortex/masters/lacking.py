"""What a task under way lacks: parts that a worker could not run without, or its workers' runtime.

Steps that lacked parts are tried again once they are another attempt, else their task is blocked.
Workers that wait for their turn are blocked while their runtime is gone. As `masters.reconcile`,
which calls this: level-triggered and without memory.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.catalog import Catalog, Missing
from cortex.decide.entry import Entry
from cortex.decide.not_run import given_up_events, lacks, provided
from cortex.model.state import State, Step, Task, Worker

__all__ = ["means_changed", "stuck", "tried_again"]

Event = dict[str, Any]


def means_changed(state: State, task: Task, catalog: Catalog) -> Entry | None:
    """The line that blocks waiting workers whose type or runtime has gone, and lets them wait for
    their turn again once it is back; None: nothing of that kind happened."""
    waiting = [state.workers[ident] for ident in task.workers if ident in state.waiting]
    steps = {step.name: step for step in task.every_step()} if waiting else {}
    changes = [_change(steps[worker.step], worker, catalog) for worker in waiting]
    events = [event for event in changes if event is not None]
    if not events:
        return None
    what = str(events[0].get("reason") or "what its workers need is there again")
    return Entry(task.assigned_to or "", what[:300], events)


def _change(step: Step, worker: Worker, catalog: Catalog) -> Event | None:
    found = catalog.runtime_for(step)
    if isinstance(found, Missing):
        if worker.status == "blocked" and worker.reason == found.reason:
            return None
        return {"event": "worker_blocked", "worker_id": worker.id, "reason": found.reason}
    if worker.status != "blocked":
        return None
    return {
        "event": "worker_unblocked",
        "worker_id": worker.id,
        "runtime": found.name,
        "lane": found.lane,
        "uses_tokens": found.uses_tokens,
        "heartbeats": found.heartbeats or catalog.types[worker.worker_type].heartbeats,
        "overhead_tokens": found.overhead_tokens,
    }


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
