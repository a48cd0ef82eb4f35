"""Handoffs between masters: accepting assigns the linked tasks, rejecting tells the sender."""

from __future__ import annotations

from typing import Any

from cortex.decide.ending import awaited_handoff, cancel_work
from cortex.decide.entry import Now
from cortex.decide.escalate import number_in_order, raise_escalation
from cortex.model.errors import RequestError
from cortex.model.state import TERMINAL_TASK, Handoff, State, Task

__all__ = [
    "accept_handoff",
    "check_release",
    "completed_handoffs",
    "failed_handoffs",
    "is_handed_over",
    "linked_tasks",
    "reject_handoff",
]

Event = dict[str, Any]


def linked_tasks(state: State, handoff: Handoff) -> list[Task]:
    """The handoff's task and its children, as far as they are still here."""
    parent = state.tasks.get(handoff.task_id)
    if parent is None:
        return []
    return [parent, *(state.tasks[child] for child in parent.children if child in state.tasks)]


def is_handed_over(state: State, task: Task) -> bool:
    """Whether a handoff chose the task's master, its own or the one of its parent."""
    parent = state.tasks.get(task.parent or "")
    return bool(task.handoff_id or (parent is not None and parent.handoff_id))


def check_release(state: State, task: Task) -> None:
    """RequestError where a held task waits for its receiver's word, and not for a resume.

    Released alone it would run while its handoff goes on waiting.
    """
    handoff = awaited_handoff(state, task) if task.hold else None
    if handoff is not None:
        raise RequestError(
            f"{task.id} waits for {handoff.to_agent} to accept {handoff.id}",
            field="task_id",
            hint=f"`cortex handoff accept {handoff.id}` lets it start, "
            f"`cortex handoff reject {handoff.id}` cancels it",
        )


def accept_handoff(state: State, handoff: Handoff) -> list[Event]:
    """One line: the handoff is accepted and the same tasks become the receiver's."""
    events: list[Event] = [
        {"event": "handoff_changed", "handoff_id": handoff.id, "status": "accepted"}
    ]
    for task in linked_tasks(state, handoff):
        if "pending" in (task.status, task.resume_to):
            of_receiver = {"task_id": task.id, "master": handoff.to_agent}
            events.append({"event": "task_released", **of_receiver})
            if task.status == "pending":
                events.append({"event": "task_routed", **of_receiver})
    return events


def reject_handoff(state: State, handoff: Handoff, reason: str, now: Now) -> list[Event]:
    """The handoff is rejected, its tasks are cancelled, and a person is told why."""
    events: list[Event] = [
        {
            "event": "handoff_changed",
            "handoff_id": handoff.id,
            "status": "rejected",
            "reason": reason,
        }
    ]
    for task in linked_tasks(state, handoff):
        if task.status not in TERMINAL_TASK:
            events += cancel_work(state, task, f"{handoff.id} was rejected: {reason}")
    subject = f"{handoff.to_agent} rejected {handoff.id} of {handoff.from_agent}"
    about = handoff.source_task or handoff.task_id
    return [*events, raise_escalation(state, subject, reason, about, now)]


def completed_handoffs(state: State, task: Task) -> list[Event]:
    """Handoffs that are over because their task is completed."""
    return [
        {"event": "handoff_changed", "handoff_id": handoff.id, "status": "completed"}
        for handoff in state.handoffs.values()
        if handoff.task_id == task.id and handoff.status == "accepted"
    ]


def failed_handoffs(state: State, task: Task, reason: str, now: Now) -> list[Event]:
    """A handoff whose task failed stays accepted, and a person is told once each time."""
    events = [
        raise_escalation(
            state,
            f"{handoff.id} was accepted by {handoff.to_agent}, and its task failed",
            f"{task.id} failed: {reason}"[:500],
            task.id,
            now,
        )
        for handoff in state.handoffs.values()
        if handoff.task_id == task.id and handoff.status == "accepted"
    ]
    number_in_order(state, events)
    return events
