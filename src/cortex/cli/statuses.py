"""The statuses that each kind of thing can have, and words that people write for several.

A table for checking what was asked for; what a status means is in docs/states.md. It repeats the
documents' types, since importing those takes longer than a command may; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["STATUSES", "known_statuses"]

#: By the name of the kind, singular, in the order in which they are gone through.
STATUSES: dict[str, tuple[str, ...]] = {
    "task": (
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
    ),
    "worker": (
        "requested",
        "queued",
        "blocked",
        "approved",
        "spawning",
        "running",
        "completed",
        "failed",
        "timeout",
        "budget_exhausted",
        "cancelled",
        "rejected",
        "lost",
    ),
    "handoff": ("pending", "accepted", "completed", "rejected"),
    "escalation": ("open", "closed"),
    "approval": ("pending", "approved", "denied", "withdrawn"),
}


def known_statuses(kinds: Iterable[str]) -> tuple[str, ...]:
    """What things of these kinds can be, each status once; kinds without statuses add none."""
    return tuple(dict.fromkeys(status for kind in kinds for status in STATUSES.get(kind, ())))
