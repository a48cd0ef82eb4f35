"""Verbs by edit: what a person asks for by writing another `status` into a task's row."""

from __future__ import annotations

from typing import Any

from cortex.decide.ending import cancel_task, reopen_task
from cortex.decide.not_run import retriable
from cortex.model.errors import RequestError
from cortex.model.state import OPEN_TASK, TERMINAL_TASK, State, Task

__all__ = ["change_status"]

Event = dict[str, Any]
Row = dict[str, Any]
_WAYS = "cancelled ends a task, pending runs a failed one again, paused holds it"


def change_status(state: State, task: Task, wanted: str, before: Row) -> tuple[list[Event], str]:
    """(events, what is done in words) of a wanted status; RequestError where it cannot be.

    `before` is the row as the person saw it. A retry that was done since is not done again.
    """
    if wanted == "cancelled":
        return _cancel(state, task)
    if wanted == "paused":
        return _pause(task)
    if wanted in OPEN_TASK and task.status == "paused":
        return _release(task)
    if wanted == "pending":
        return _retry(state, task, before)
    if wanted in TERMINAL_TASK:
        raise RequestError(f"only its workers' results make a task {wanted}", hint=_WAYS)
    if wanted in OPEN_TASK:
        raise RequestError(f"a task becomes {wanted} by itself", hint=_WAYS)
    raise RequestError(f"{wanted!r} is no status", hint=_WAYS)


def _cancel(state: State, task: Task) -> tuple[list[Event], str]:
    if task.status in TERMINAL_TASK:
        raise RequestError(
            f"it has ended meanwhile ({task.status}); there is nothing to cancel",
            hint="what it made is there; cancel its follow-ups by themselves",
        )
    return cancel_task(state, task, "a person set its status"), f"{task.id} cancelled"


def _pause(task: Task) -> tuple[list[Event], str]:
    if task.status in TERMINAL_TASK:
        raise RequestError(f"it has ended meanwhile ({task.status}); there is nothing to pause")
    return [{"event": "task_paused", "task_id": task.id}], f"{task.id} paused"


def _release(task: Task) -> tuple[list[Event], str]:
    return [{"event": "task_resumed", "task_id": task.id}], f"{task.id} goes on"


def _retry(state: State, task: Task, before: Row) -> tuple[list[Event], str]:
    if task.run > (before.get("run") or 1):
        return [], ""
    if retriable(task):
        return reopen_task(state, task), f"{task.id} runs again"
    if task.status == "completed":
        raise RequestError(
            "a completed task is not run again", hint="drop its file again, as a new task"
        )
    raise RequestError(
        f"it is {task.status}, and does not go back to pending",
        hint=f"{_WAYS}; set hold to true to keep it from starting",
    )
