"""How the state follows from the events of hand edits; `decide.evolve` has them in its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.decide.transitions import set_task_status
from cortex.model.state import WAITING_WORKER, State

__all__ = ["EVENTS"]

Event = dict[str, Any]
#: What waiting workers have from their task.
_OF_WORKERS = ("priority", "deadline")
#: So many edits are remembered; the file of one is gone seconds after its line is durable.
_EDITS_AT_MOST = 50


def _task_edited(state: State, event: Event, _at: str) -> None:
    """A person changed fields of it; workers that wait for their turn go with them."""
    task = state.tasks[event["task_id"]]
    for name, value in event["fields"].items():
        setattr(task, name, value)
    for step in task.steps:
        step.retries = event.get("retries", {}).get(step.name, step.retries)
    for ident in task.workers:
        worker = state.workers.get(ident)
        if worker is not None and worker.status in WAITING_WORKER:
            for name in _OF_WORKERS:
                setattr(worker, name, event["fields"].get(name, getattr(worker, name)))
            state.touch("worker", ident)
    state.touch("task", task.id)


def _task_replanned(state: State, event: Event, _at: str) -> None:
    """Nothing of it has started and what it is made of has changed: it is planned anew."""
    task = state.tasks[event["task_id"]]
    task.steps, task.planning = [], None
    task.assigned_to = event["assigned_to"]
    task.approved = event.get("approved", task.approved)
    task.blocked_on = task.waiting_for = None
    if task.status == "paused":
        task.resume_to = "pending"
        state.touch("task", task.id)
    else:
        set_task_status(state, task, "pending")


def _file_edited(state: State, event: Event, _at: str) -> None:
    """The receipt keeps a crash between this line and the file's removal from doubling it."""
    if "receipt" in event:
        state.edits[event["receipt"]] = event.get("refusal")
        for receipt in list(state.edits)[:-_EDITS_AT_MOST]:
            del state.edits[receipt]


EVENTS: dict[str, Callable[[State, Event, str], None]] = {
    "task_edited": _task_edited,
    "task_replanned": _task_replanned,
    "file_edited": _file_edited,
    "file_edit_refused": _file_edited,
}
