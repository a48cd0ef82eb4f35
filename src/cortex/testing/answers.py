"""What people answer, wherever they do it: as a drop, as an edit that is dropped, in the file.

Values only; chance comes from the generator that is handed in.
"""

from __future__ import annotations

import random
from typing import Any

__all__ = ["any_answer", "change_something"]

Row = dict[str, Any]
#: The lists of handoffs.json: the field of their ids, what waits, and what people say to it.
_LISTS = {
    "approvals": ("approval_id", "pending", ("approved", "approved", "denied")),
    "handoffs": ("handoff_id", "pending", ("accepted", "rejected")),
    "escalations": ("escalation_id", "open", ("closed",)),
}


def any_answer(chance: random.Random, document: Any) -> tuple[str, str, str] | None:
    """(list, id, status) that answers a row of handoffs.json which waits; None where none does."""
    waiting = []
    for name, (key, waits, answers) in _LISTS.items():
        rows = document.get(name) if isinstance(document, dict) else None
        for row in rows if isinstance(rows, list) else ():
            if (
                isinstance(row, dict)
                and row.get("status") == waits
                and isinstance(row.get(key), str)
            ):
                waiting.append((name, row[key], chance.choice(answers)))
    return chance.choice(waiting) if waiting else None


def change_something(chance: random.Random, name: str, document: Row) -> Row | None:
    """Changes a document that is not the queue as its reader may, in place; what was changed, as an
    edit that is dropped would say it. None where there is nothing to change."""
    if name == "handoffs.json":
        return _answer(chance, document)
    if name == "token-budget.json" and isinstance(document.get("total_budget"), int):
        total = document["total_budget"] + chance.choice((-20_000, 5000, 90_000))
        document["total_budget"] = max(0, total)
        return {"total_budget": document["total_budget"]}
    rows = document.get("scheduled_workers")
    if name == "schedules.json" and isinstance(rows, list):
        return _schedule(chance, rows)
    return None


def _answer(chance: random.Random, document: Row) -> Row | None:
    found = any_answer(chance, document)
    if found is None:
        return None
    name, ident, status = found
    key = _LISTS[name][0]
    for row in document[name]:
        if isinstance(row, dict) and row.get(key) == ident:
            row["status"] = status
    return {name: [{key: ident, "status": status}]}


def _schedule(chance: random.Random, rows: list[Any]) -> Row | None:
    if not rows or chance.random() < 0.5:
        new: Row = {"schedule": "every 1m", "command": ["comes", "by", "hand"], "timeout": "20s"}
        rows.append(new)
        return {"scheduled_workers": [new]}
    row = chance.choice(rows)
    if not isinstance(row, dict):
        return None
    if chance.random() < 0.3:
        rows.remove(row)
        return None
    row["paused"] = not row.get("paused")
    return {"scheduled_workers": [{"id": row.get("id"), "paused": row["paused"]}]}
