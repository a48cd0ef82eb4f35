"""Ending and reopening tasks on a person's word: what a cancel reaches, what a retry keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cortex.decide.approvals import withdraw_approvals
from cortex.decide.escalate import close_escalations
from cortex.decide.not_run import plan_was_given_up, waits_for_parts
from cortex.model.errors import RequestError
from cortex.model.state import (
    TERMINAL_TASK,
    TERMINAL_WORKER,
    WAITING_WORKER,
    Handoff,
    State,
    Task,
    Worker,
)

__all__ = [
    "awaited_handoff",
    "cancel_task",
    "cancel_tasks",
    "cancel_with_handoffs",
    "cancel_work",
    "cancel_worker",
    "reopen_task",
]

Event = dict[str, Any]


def cancel_task(state: State, task: Task, reason: str, cascade: bool = False) -> list[Event]:
    """Events that cancel a task and its workers; live ones are ended and keep their record.

    A parent takes its children along. With `cascade` its follow-ups go too; without, they stay.
    Handoffs of the task are rejected, with the reason.
    """
    events: list[Event] = []
    _cancel(state, task, reason, cascade, events, set())
    if not events:
        raise RequestError(f"{task.id} and all that came of it have ended already", field="task_id")
    return events


def cancel_tasks(state: State, tasks: Iterable[Task], reason: str) -> list[Event]:
    """Events that cancel several tasks in one line, each once, whoever else takes it along."""
    events: list[Event] = []
    seen: set[str] = set()
    for task in tasks:
        _cancel(state, task, reason, False, events, seen)
    return events


def _cancel(
    state: State, task: Task, reason: str, cascade: bool, events: list[Event], seen: set[str]
) -> None:
    if task.id in seen:
        return
    seen.add(task.id)
    if task.status not in TERMINAL_TASK:
        events += cancel_with_handoffs(state, task, reason)
    followers = task.children + (task.follow_ups if cascade else [])
    for ident in followers:
        if ident in state.tasks:
            _cancel(state, state.tasks[ident], reason, cascade, events, seen)


def cancel_with_handoffs(state: State, task: Task, reason: str) -> list[Event]:
    """As `cancel_work`; handoffs of the task are rejected with the reason, accepted ones too.

    Nobody is told by an escalation: who cancels it knows.
    """
    said = f"{task.id} was cancelled: {reason}"[:500]
    return [
        *cancel_work(state, task, reason),
        *(
            {
                "event": "handoff_changed",
                "handoff_id": handoff.id,
                "status": "rejected",
                "reason": said,
            }
            for handoff in state.handoffs.values()
            if (handoff.status in ("pending", "accepted") and handoff.task_id == task.id)
            or (handoff.status == "pending" and handoff.source_task == task.id)
        ),
    ]


def cancel_work(state: State, task: Task, reason: str) -> list[Event]:
    """Events that cancel one open task with its steps and workers, and nothing that hangs on it."""
    events: list[Event] = []
    for ident in task.workers:
        worker = state.workers.get(ident)
        if worker is not None and worker.status not in TERMINAL_WORKER:
            events += cancel_worker(worker, reason)
    for step in task.every_step():
        if step.status in ("waiting", "ready", "active"):
            events.append(
                {
                    "event": "step_changed",
                    "task_id": task.id,
                    "step": step.name,
                    "status": "cancelled",
                }
            )
    events += withdraw_approvals(state, task.id)
    events.append(
        {"event": "task_ended", "task_id": task.id, "status": "cancelled", "reason": reason}
    )
    return events + close_escalations(state, task.id)


def awaited_handoff(state: State, task: Task) -> Handoff | None:
    """The handoff whose answer a task waits for, its own or the one of its parent."""
    return _handoff_of(state, task, "pending")


def _handoff_of(state: State, task: Task, *statuses: str) -> Handoff | None:
    for handoff in state.handoffs.values():
        if handoff.status in statuses and handoff.task_id in (task.id, task.parent):
            return handoff
    return None


def cancel_worker(worker: Worker, reason: str) -> list[Event]:
    """Events that cancel one worker: at once where it has not started, else by ending it."""
    ended: Event = {
        "event": "worker_ended",
        "worker_id": worker.id,
        "status": "cancelled",
        "reason": reason,
    }
    if worker.status in WAITING_WORKER:
        return [ended]
    if worker.status == "approved":
        return [{"event": "tokens_returned", "worker_id": worker.id}, ended]
    if worker.status in ("spawning", "running"):
        return [
            {
                "event": "worker_ending",
                "worker_id": worker.id,
                "cause": "cancelled",
                "reason": reason,
            }
        ]
    return []


def reopen_task(state: State, task: Task) -> list[Event]:
    """Events of a retry: the task runs again with what its finished steps made kept."""
    if waits_for_parts(task) and task.status == "blocked":
        lacking = [step.name for step in task.steps if step.missing]
        return [{"event": "task_unblocked", "task_id": task.id, "steps": lacking}]
    if plan_was_given_up(task) and task.status == "blocked":
        return [{"event": "task_unblocked", "task_id": task.id, "plan_again": True}]
    if task.status not in ("failed", "cancelled"):
        raise RequestError(
            f"{task.id} is {task.status}; only a failed or cancelled task is retried, "
            "or one that lacked something or got no plan",
            field="task_id",
            hint="a finished one is done again by dropping its file again",
        )
    for ident in task.workers:
        if ident in state.live:
            raise RequestError(
                f"{ident} of {task.id} is still ending; retry in a moment", field="task_id"
            )
    reopened: Event = {"event": "task_reopened", "task_id": task.id}
    if task.assigned_to is None:
        reopened |= _handed_over_to(state, task)
    events: list[Event] = [reopened]
    for ident in task.children:
        child = state.tasks.get(ident)
        if child is not None and child.status in ("failed", "cancelled"):
            events += reopen_task(state, child)
    return events


def _handed_over_to(state: State, task: Task) -> Event:
    """Whose a reopened task is that has no master: the receiver's who accepted it meanwhile, or
    nobody's while that one has not answered."""
    awaited = awaited_handoff(state, task)
    if awaited is not None:
        return {"waiting_for": f"{awaited.to_agent} to accept {awaited.id}"}
    accepted = _handoff_of(state, task, "accepted", "completed")
    return {} if accepted is None else {"master": accepted.to_agent}
