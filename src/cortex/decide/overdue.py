"""Answers that people owe: an approval that waits for longer than it may is escalated, once.

Nothing is decided in the person's stead: the task stays as it is.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.entry import Entry, Now
from cortex.decide.escalate import end_escalation, raise_escalation
from cortex.model.settings import Settings
from cortex.model.state import Approval, State
from cortex.model.times import format_duration, parse_time

__all__ = ["close_overdue", "next_overdue"]

Event = dict[str, Any]


def next_overdue(state: State, settings: Settings, now: Now) -> Entry | None:
    """The line of one pending approval that is older than `approvals.deadline` and was not told
    of yet, or None; to be applied before the next."""
    limit_s = settings.approvals.deadline
    if not limit_s:
        return None
    for approval in state.approvals.values():
        if approval.status != "pending" or approval.escalation_id is not None:
            continue
        if parse_time(approval.created_at) + limit_s <= now.wall:
            return _told(state, approval, limit_s, now)
    return None


def _told(state: State, approval: Approval, limit_s: float, now: Now) -> Entry:
    task = state.tasks[approval.task_id]
    subject = f"{approval.id} of {task.id} has no answer after {format_duration(limit_s)}"
    reason = f"{approval.reason}; {task.title}"[:500]
    raised = raise_escalation(state, subject, reason, task.id, now)
    event: Event = {
        "event": "approval_overdue",
        "approval_id": approval.id,
        "task_id": task.id,
        "escalation_id": raised["escalation"]["id"],
    }
    return Entry(task.assigned_to or "coordinator-master", subject, [event, raised])


def close_overdue(state: State, approval: Approval) -> list[Event]:
    """Events that close what was escalated about an approval, once it is answered."""
    escalation = state.escalations.get(approval.escalation_id or "")
    if escalation is None or escalation.status != "open":
        return []
    return [end_escalation(escalation)]
