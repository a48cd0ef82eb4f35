"""An edit of a published document as values: what somebody left there, what it began from, and
what has been in its place since. Reading it is the store's; what becomes of it is `decide.merge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "LISTS",
    "Difference",
    "Edit",
    "Merged",
    "Place",
    "Refusal",
    "differences",
    "flat",
    "is_same",
    "rows_of",
]

Event = dict[str, Any]
Row = dict[str, Any]
#: (list of the document, id of the row). A worker keeps its place when it changes lists.
Place = tuple[str, str]

#: The lists of a document, and the field that names a row.
LISTS: dict[str, tuple[tuple[str, str], ...]] = {
    "task-queue.json": (("tasks", "id"),),
    "worker-pool.json": (
        ("queued_workers", "id"),
        ("active_workers", "worker_id"),
        ("completed_workers", "worker_id"),
        ("failed_workers", "worker_id"),
    ),
    "handoffs.json": (
        ("handoffs", "handoff_id"),
        ("escalations", "escalation_id"),
        ("approvals", "approval_id"),
    ),
    "schedules.json": (("scheduled_workers", "id"),),
}
#: What stands above the rows of every document.
_HEAD = frozenset({"version", "format", "written_by", "updated_at", "journal_seq"})


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody left in the place of a document.

    `base` is the document as of the journal line that the edit names; None where it names none,
    and then it can only add. `before` are its rows, and `same` those that nobody changed. `since`
    has the further values that fields of a changed row have had from there to now. `archived`
    tells of ids and keys (`key:…`) that new rows name. `is_partial`: rows that it does not have
    stay as they are.
    """

    file: str
    content: Row
    base: Row | None = None
    before: Mapping[Place, Row] = field(default_factory=dict)
    same: frozenset[Place] = frozenset()
    since: Mapping[Place, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    archived: Mapping[str, str] = field(default_factory=dict)
    is_partial: bool = False

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

    def refuse(self, where: str, reason: str, each: Difference | None = None, now: Any = None,
               hint: str | None = None, field: str | None = None) -> None:  # fmt: skip
        """Keeps one part out: a changed field, or what else is named."""
        name, yours = (each.name, each.yours) if each is not None else (field, None)
        self.refusals.append(Refusal(where, reason, name, yours, now, hint))


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
    """The rows of a document by place, as far as they have an id; the first of several counts.

    A worker's row says in `list` where it stands, and the ledger is one row of dotted names.
    """
    if file == "token-budget.json":
        return {("budget", ""): flat({k: v for k, v in content.items() if k not in _HEAD})}
    found: dict[Place, Row] = {}
    for name, key in LISTS.get(file, ()):
        rows = content.get(name)
        for row in rows if isinstance(rows, list) else ():
            if not isinstance(row, dict) or not isinstance(row.get(key), str):
                continue
            if file == "worker-pool.json":
                found.setdefault(("workers", row[key]), {**row, "list": name})
            else:
                found.setdefault((name, row[key]), row)
    return found


def flat(value: Row, prefix: str = "") -> Row:
    """Nested objects as one, with dotted names."""
    found: Row = {}
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            found |= flat(inner, f"{prefix}{name}.")
        else:
            found[prefix + name] = inner
    return found
