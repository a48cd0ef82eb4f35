"""Who planned a task, in words, where a model was asked for its plan. From published rows alone."""

from __future__ import annotations

from typing import Any

__all__ = ["planned_by", "proposed_steps"]

Row = dict[str, Any]


def planned_by(row: Row) -> str | None:
    """Of a task's row: who planned it and why so, or why nobody did; None if no model was asked."""
    planning = row.get("planning")
    if not isinstance(planning, dict):
        return None
    who = str(planning.get("worker_id") or planning.get("by"))
    if planning.get("status") == "given up":
        return str(planning.get("reason"))
    if planning.get("status") == "accepted":
        said = planning.get("reason")
        return f"{who}: {said}" if said else who
    refused = planning.get("refused") or []
    return f"{who}, asked again: {'; '.join(map(str, refused))}" if refused else f"{who}, asked"


def proposed_steps(row: Row) -> list[Row]:
    """The steps of an accepted plan that has not begun: a person may be asked about it."""
    planning = row.get("planning")
    steps = planning.get("steps") if isinstance(planning, dict) else None
    return [step for step in steps or [] if isinstance(step, dict)]
