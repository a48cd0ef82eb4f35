"""What people are told of an edit's refused parts: one sentence, and each part with both values."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from cortex.decide.edit import Merged, Refusal

__all__ = ["PARTS_AT_MOST", "problem_parts"]

#: Refused parts that are told of one edit, and characters of a value.
PARTS_AT_MOST = 50
_VALUE_AT_MOST = 200


def problem_parts(merged: Merged) -> tuple[str, tuple[dict[str, Any], ...], tuple[str, ...]]:
    """(the reason in one sentence, each refused part, what was taken up) of an edit that has
    refused parts."""
    first = merged.refusals[0]
    count = len(merged.refusals)
    place = f"{first.where}{f' {first.field}' if first.field else ''}"
    reason = f"{place}: {first.reason}"
    if count > 1:
        reason += f"; and {count - 1} more"
    if merged.events:
        reason += ". The rest of the edit was taken up"
    parts = tuple(_part(refusal) for refusal in merged.refusals[:PARTS_AT_MOST])
    return reason, parts, tuple(merged.changes[:PARTS_AT_MOST])


def _part(refusal: Refusal) -> dict[str, Any]:
    part: dict[str, Any] = {"where": refusal.where, "reason": refusal.reason}
    if refusal.field is not None:
        part |= {"field": refusal.field, "yours": _cut(refusal.yours), "now": _cut(refusal.now)}
    return part | ({"hint": refusal.hint} if refusal.hint else {})


def _cut(value: Any) -> Any:
    """The value, or the beginning of its text where it is long. A copy: what there is now may be
    a record's own list, which changes later."""
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return deepcopy(value) if len(text) <= _VALUE_AT_MOST else f"{text[:_VALUE_AT_MOST]}…"
