"""Escalations: what a person must know or decide, told once and closed when it is over."""

from __future__ import annotations

from typing import Any

from cortex.decide.entry import Now
from cortex.model.state import Escalation, State

__all__ = [
    "close_escalations",
    "end_escalation",
    "is_escalated",
    "number_in_order",
    "raise_escalation",
]

Event = dict[str, Any]


def raise_escalation(
    state: State, subject: str, reason: str, task_id: str | None, now: Now
) -> Event:
    """The event of a new escalation, the first of its line; for more see `number_in_order`."""
    number = state.counters.get("escalation", 0) + 1
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


def end_escalation(told: Escalation) -> Event:
    """The event that closes one."""
    return {"event": "escalation_ended", "escalation_id": told.id}


def number_in_order(state: State, events: list[Event]) -> None:
    """Gives the escalations of one line numbers of their own, where each was made by itself."""
    raised = (event for event in events if event["event"] == "escalation_raised")
    for number, event in enumerate(raised, state.counters.get("escalation", 0) + 1):
        event["escalation"]["id"] = f"escalation-{number:03d}"


def is_escalated(state: State, task_id: str, subject: str) -> bool:
    """Whether a person is told of this in a task's matter already."""
    return any(
        told.task_id == task_id and told.status == "open" and told.subject == subject
        for told in state.escalations.values()
    )


def close_escalations(state: State, task_id: str, subject: str | None = None) -> list[Event]:
    """Events that close what was escalated about a task, once it is over; of one subject alone
    where that is named."""
    return [
        end_escalation(told)
        for told in state.escalations.values()
        if told.task_id == task_id and told.status == "open" and subject in (None, told.subject)
    ]
