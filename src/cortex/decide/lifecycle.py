"""The life of tasks, steps, workers and handoffs as tables: which status may follow which.

The tables are data, so that tests drive every edge and the documentation draws its diagrams from
them. Terminal statuses have no edges; a retry makes a new worker, or reopens a task explicitly.
"""

from __future__ import annotations

__all__ = [
    "HANDOFF_EDGES",
    "STEP_EDGES",
    "TASK_EDGES",
    "WORKER_EDGES",
    "InvalidTransitionError",
    "check",
]

Edges = dict[str, frozenset[str]]


def _edges(table: dict[str, str]) -> Edges:
    return {status: frozenset(following.split()) for status, following in table.items()}


TASK_EDGES: Edges = _edges(
    {
        "pending": "assigned blocked awaiting_approval paused cancelled failed",
        "blocked": "pending paused cancelled",
        "awaiting_approval": "pending assigned in_progress aggregating paused cancelled",
        "assigned": "pending in_progress planning blocked awaiting_approval paused cancelled "
        "failed",
        "planning": "pending in_progress paused cancelled",
        "in_progress": "pending aggregating awaiting_approval paused cancelled",
        "aggregating": "completed failed in_progress paused cancelled",
        "paused": "pending blocked awaiting_approval assigned planning in_progress aggregating "
        "cancelled",
        "completed": "",
        "failed": "assigned pending",
        "cancelled": "assigned pending",
    }
)

STEP_EDGES: Edges = _edges(
    {
        "waiting": "ready failed cancelled",
        "ready": "active failed cancelled",
        "active": "ready done failed cancelled",
        "done": "ready",
        "failed": "ready",
        "cancelled": "ready waiting",
    }
)

WORKER_EDGES: Edges = _edges(
    {
        "requested": "approved queued rejected blocked cancelled",
        "queued": "approved rejected cancelled blocked",
        "blocked": "requested cancelled rejected",
        "approved": "spawning queued cancelled",
        "spawning": "running queued failed approved cancelled ending lost collecting",
        "running": "collecting ending lost",
        "ending": "collecting lost",
        "collecting": "completed failed timeout budget_exhausted cancelled lost",
        "completed": "",
        "failed": "",
        "timeout": "",
        "budget_exhausted": "",
        "cancelled": "",
        "rejected": "",
        "lost": "",
    }
)

HANDOFF_EDGES: Edges = _edges(
    {
        "pending": "accepted rejected",
        "accepted": "completed rejected",
        "completed": "",
        "rejected": "",
    }
)


class InvalidTransitionError(Exception):
    """An event asks for an edge that the tables do not have: a fault of ours, never of a user."""


def check(table: Edges, before: str, after: str, what: str) -> None:
    """Raises InvalidTransitionError unless `after` may follow `before`; staying is allowed."""
    if before != after and after not in table[before]:
        raise InvalidTransitionError(f"{what}: {before} → {after} is no edge of its life")
