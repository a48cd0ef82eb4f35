"""Escalations: what a person must know or decide, told once and closed when it is over."""

from __future__ import annotations

from typing import Any

from cortex.decide.entry import Now
from cortex.model.state import State

__all__ = ["close_escalations", "is_escalated", "raise_escalation"]

Event = dict[str, Any]


def raise_escalation(
    state: State, subject: str, reason: str, task_id: str | None, now: Now, *, ahead: int = 0
) -> Event:
    """The event of a new escalation; `ahead` counts others of the same line before it."""
    number = state.counters.get("escalation", 0) + 1 + ahead
    return {
        "event": "escalation_raised",
        "escalation": {
            "id": f"escalation-{number:03d}",
            "subject": subject,
            "reason": reason,
            "created_at": now.at,
            "task_id": task_id,
        },
    }


def is_escalated(state: State, task_id: str) -> bool:
    """Whether a person is waited for in a task's matter already."""
    return any(
        escalation.task_id == task_id and escalation.status == "open"
        for escalation in state.escalations.values()
    )


def close_escalations(state: State, task_id: str, subject: str | None = None) -> list[Event]:
    """Events that close what was escalated about a task, once it is over; of one subject alone
    where that is named."""
    return [
        {"event": "escalation_ended", "escalation_id": told.id}
        for told in state.escalations.values()
        if told.task_id == task_id and told.status == "open" and subject in (None, told.subject)
    ]
