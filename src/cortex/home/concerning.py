"""Whose journal lines tell of a task: its workers', and those of what was asked and handed for it.

An answer names the approval that it answers; journals of older versions name nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.home.client import Found, Home
    from cortex.home.documents import Row
    from cortex.model.journal_line import Line

__all__ = ["answered_by", "ids_about"]

_ANSWERS = {"approval_answered": "approval_id", "escalation_ended": "escalation_id"}


def ids_about(home: Home, ident: str, found: Found | None) -> set[str]:
    """The id itself, and for a task the ids of its workers, approvals, escalations and handoffs."""
    if found is None or found.kind != "task":
        return {ident}
    transfers = home.transfers()
    asked = {
        str(row.get(f"{kind}_id"))
        for kind in ("approval", "escalation", "handoff")
        for row in transfers.get(f"{kind}s") or ()
        if isinstance(row, dict) and row.get("task_id") == ident
    }
    return {ident, *map(str, found.row.get("workers") or ()), *asked}


def answered_by(row: Row, history: Iterable[Line]) -> str | None:
    """Who answered an approval or closed an escalation; None where the journal does not tell."""
    for line in history:
        for event in line.events:
            key = _ANSWERS.get(str(event.get("event")))
            if key is not None and row.get(key) == event.get(key) is not None:
                return line.by
    return None
