"""An edit of a published document as values: what somebody left there, what it began from, and
what has been in its place since. Reading it is the store's; what becomes of it is `decide.merge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Difference", "Edit", "Merged", "Refusal", "differences", "is_same", "rows_of"]

Event = dict[str, Any]
Row = dict[str, Any]
#: (list of the document, id of the row). A worker keeps its place when it changes lists.
Place = tuple[str, str]

_LISTS: dict[str, tuple[tuple[str, str], ...]] = {
    "task-queue.json": (("tasks", "id"),),
    "handoffs.json": (("handoffs", "handoff_id"), ("escalations", "escalation_id")),
    "schedules.json": (("scheduled_workers", "id"),),
}


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody left in the place of a document.

    `base` is the document as of the journal line that the edit names; None where it names none,
    and then it can only add. `since` has the further values that fields of a changed row have had
    from there to now. `archived` tells of ids and keys (`key:…`) that new rows name.
    """

    file: str
    content: Row
    base: Row | None = None
    since: Mapping[Place, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    archived: Mapping[str, str] = field(default_factory=dict)

    def had(self, place: Place, name: str, value: Any) -> bool:
        """Whether the field has had this value since: the edit is no news then."""
        return any(is_same(value, past) for past in self.since.get(place, {}).get(name, ()))


@dataclass(frozen=True, slots=True)
class Refusal:
    """One part of an edit that is not taken up: where, why, both values, what to do next."""

    where: str
    reason: str
    field: str | None = None
    yours: Any = None
    now: Any = None
    hint: str | None = None


@dataclass(slots=True)
class Merged:
    """What an edit comes to: events of one journal line, the changes in words, and what is refused.

    `heard` are workers that showed life, with the tokens they named; that is in no journal line.
    """

    events: list[Event] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    heard: dict[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not as it was in the base."""

    name: str
    yours: Any
    base: Any


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values say the same. A field that says nothing is as good as a missing one,
    for rows leave those out; true is not 1."""
    if _is_silent(one) or _is_silent(other):
        return _is_silent(one) and _is_silent(other)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def _is_silent(value: Any) -> bool:
    return value is None or value is False or value in ([], {}, "")


def differences(row: Row, base: Row) -> list[Difference]:
    """The fields of an edited row that are not as they were.

    A row may be cut down to its id and what changes. Only where it is a whole copy, so that it
    still has the daemon's own fields, does a line that was taken out say something.
    """
    found = [
        Difference(name, value, base.get(name))
        for name, value in row.items()
        if not is_same(value, base.get(name))
    ]
    if "created_at" in row or "worker_plan" in row:
        found += [
            Difference(name, None, value)
            for name, value in base.items()
            if name not in row and not is_same(None, value)
        ]
    return found


def rows_of(file: str, content: Row) -> dict[Place, Row]:
    """The rows of a document by place, as far as they have an id; the first of several counts."""
    found: dict[Place, Row] = {}
    for name, key in _LISTS.get(file, ()):
        rows = content.get(name)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and isinstance(row.get(key), str):
                found.setdefault((name, row[key]), row)
    return found
