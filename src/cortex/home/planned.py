"""Who planned a task, in words, where a model was asked for its plan. From published rows alone."""

from __future__ import annotations

from typing import Any

__all__ = ["planned_by", "proposed_steps", "refusals"]

Row = dict[str, Any]
#: How the daemon says that planning was given up for a plan, before the first reason.
_REFUSED = " is refused"


def planned_by(row: Row, *, reasons: bool = True) -> str | None:
    """Of a task's row: who planned it and why so, or why nobody did; None if no model was asked.

    Without `reasons` those of `refusals` are left out.
    """
    planning = row.get("planning")
    if not isinstance(planning, dict):
        return None
    who = str(planning.get("worker_id") or planning.get("by"))
    if planning.get("status") == "given up":
        reason = str(planning.get("reason"))
        if not refusals(row):
            return reason
        head = reason.partition(_REFUSED)[0] + _REFUSED
        return f"{head}: {'; '.join(refusals(row))}" if reasons else head
    if planning.get("status") == "accepted":
        said = planning.get("reason")
        return f"{who}: {said}" if said else who
    refused = planning.get("refused") or []
    return f"{who}, asked again: {'; '.join(map(str, refused))}" if refused else f"{who}, asked"


def refusals(row: Row) -> list[str]:
    """Of a task's row: every reason for which the last plan was refused, where planning was given
    up for that."""
    planning = row.get("planning")
    if not isinstance(planning, dict) or planning.get("status") != "given up":
        return []
    was_last = _REFUSED in str(planning.get("reason"))
    return [str(reason) for reason in planning.get("refused") or []] if was_last else []


def proposed_steps(row: Row) -> list[Row]:
    """The steps of an accepted plan that has not begun: a person may be asked about it."""
    planning = row.get("planning")
    steps = planning.get("steps") if isinstance(planning, dict) else None
    return [step for step in steps or [] if isinstance(step, dict)]
