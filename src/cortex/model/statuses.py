"""Every status that a task, step, worker, handoff, escalation or approval can have.

One list for the documents, the state and the command line, so it imports next to nothing. What may
follow what is `decide.lifecycle`; what a status means stands in docs/states.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

__all__ = [
    "LIVE",
    "OPEN_TASK",
    "STATUSES",
    "TERMINAL_TASK",
    "TERMINAL_WORKER",
    "WAITING_WORKER",
    "ApprovalStatus",
    "EscalationStatus",
    "FailedStatus",
    "HandoffStatus",
    "LiveStatus",
    "StepStatus",
    "TaskStatus",
    "WaitingStatus",
    "known_statuses",
]

TaskStatus = Literal[
    "pending",
    "blocked",
    "awaiting_approval",
    "assigned",
    "planning",
    "in_progress",
    "aggregating",
    "paused",
    "completed",
    "failed",
    "cancelled",
]
StepStatus = Literal["waiting", "ready", "active", "done", "failed", "cancelled"]
#: Of a worker that holds no tokens yet.
WaitingStatus = Literal["requested", "queued", "blocked"]
#: Of a live worker, as it is published: `ending` and `collecting` show as a running one's phase.
LiveStatus = Literal["approved", "spawning", "running"]
#: Of a worker that ended, other than completed.
FailedStatus = Literal["failed", "timeout", "budget_exhausted", "cancelled", "rejected", "lost"]
HandoffStatus = Literal["pending", "accepted", "completed", "rejected"]
EscalationStatus = Literal["open", "closed"]
ApprovalStatus = Literal["pending", "approved", "denied", "withdrawn"]

TERMINAL_TASK = frozenset({"completed", "failed", "cancelled"})
OPEN_TASK = frozenset(get_args(TaskStatus)) - TERMINAL_TASK
TERMINAL_WORKER = frozenset({"completed", *get_args(FailedStatus)})
WAITING_WORKER = frozenset(get_args(WaitingStatus))
#: Statuses in which a worker holds tokens.
LIVE = frozenset({*get_args(LiveStatus), "ending", "collecting"})

#: What is published, by the name of the kind, in the order in which it is gone through.
STATUSES: dict[str, tuple[str, ...]] = {
    "task": get_args(TaskStatus),
    "worker": (
        *get_args(WaitingStatus),
        *get_args(LiveStatus),
        "completed",
        *get_args(FailedStatus),
    ),
    "handoff": get_args(HandoffStatus),
    "escalation": get_args(EscalationStatus),
    "approval": get_args(ApprovalStatus),
}


def known_statuses(kinds: Iterable[str]) -> tuple[str, ...]:
    """What things of these kinds can be, each status once; kinds without statuses add none."""
    return tuple(dict.fromkeys(status for kind in kinds for status in STATUSES.get(kind, ())))
