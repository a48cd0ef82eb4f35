"""Edits of token-budget.json: the total, up or down as far as tokens are not committed."""

from __future__ import annotations

from typing import Any

from cortex.decide import budget
from cortex.decide.edit import Difference, Edit, Merged, rows_of
from cortex.decide.entry import Now
from cortex.decide.merge_rows import asked_of
from cortex.decide.rehearse import rehearse
from cortex.decide.snapshot import row_of
from cortex.model.errors import RequestError
from cortex.model.owners import Owner
from cortex.model.requests import BudgetRequest, parse_request
from cortex.model.state import State

__all__ = ["merge_budget"]

Row = dict[str, Any]
_PLACE = ("budget", "")
_HINT = "change total_budget; the parts of it are set in cortex.toml and agents/masters/"


def merge_budget(state: State, edit: Edit, now: Now) -> Merged:
    """What an edit of token-budget.json comes to. RequestError where it is refused whole."""
    del now
    row = rows_of(edit.file, edit.content)[_PLACE]
    present = row_of(state, *_PLACE)
    if edit.base is None or not row:
        raise RequestError(
            "has no journal_seq, or nothing beside it; the file was restored",
            field="journal_seq",
            hint="edit total_budget in the file as it is, and keep its head",
        )
    merged = Merged()
    _negative(row, present, merged)
    # The total first: who also moved the sums along that hang on it has made no mistake.
    total = {name: value for name, value in row.items() if name == "total_budget"}
    for each in asked_of(edit, _PLACE, total, present, _owner, merged):
        _change(state, each, present, merged)
    after = row_of(rehearse(state, merged.events), *_PLACE)
    rest = {n: v for n, v in row.items() if n != "total_budget" and v != after.get(n)}
    known = {part.field for part in merged.refusals}
    parts = {name: value for name, value in rest.items() if name not in known}
    hints = dict.fromkeys(parts, _HINT)
    asked_of(edit, _PLACE, parts, present, _owner, merged, hints)
    return merged


def _owner(field: str) -> Owner:
    if field == "total_budget":
        return "person"
    return "derived" if field.startswith("usage_metrics.") else "daemon"


def _negative(row: Row, present: Row, merged: Merged) -> None:
    """What no ledger can hold is told as that, whoever owns the field."""
    for name, value in row.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and value < 0:
            each = Difference(name, value, present.get(name))
            merged.refuse("token-budget.json", "is negative", each, present.get(name), _HINT)


def _change(state: State, each: Difference, present: Row, merged: Merged) -> None:
    if any(part.field == each.name for part in merged.refusals):
        return
    try:
        request = parse_request({"kind": "budget", "total_budget": each.yours})
        assert isinstance(request, BudgetRequest)
        merged.events += budget.change_total(state, request.total_budget)
    except RequestError as error:
        hint = None if error.hint and "drop the file" in error.hint else error.hint
        now = present.get(each.name)
        merged.refuse("token-budget.json", error.message, each, now, hint or _HINT)
        return
    merged.changes.append(f"total_budget: {state.budget.total:,} → {each.yours:,}")
