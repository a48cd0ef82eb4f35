"""Edits of handoffs.json: a person's answers to handoffs, escalations and approvals."""

from __future__ import annotations

from typing import Any

from cortex.decide.accept import accept_all
from cortex.decide.edit import LISTS, Difference, Edit, Merged, is_same
from cortex.decide.entry import Now
from cortex.decide.escalate import number_in_order
from cortex.decide.merge_rows import asked_of
from cortex.decide.snapshot import row_of
from cortex.model.errors import RequestError
from cortex.model.owners import ANSWER_OWNERS, Owner
from cortex.model.requests import parse_request
from cortex.model.state import State

__all__ = ["merge_answers"]

Row = dict[str, Any]
#: For each list, what a status asks for: the request of a drop that says the same.
_ANSWERS: dict[str, dict[str, Row]] = {
    "handoffs": {
        "accepted": {"kind": "handoff", "status": "accepted"},
        "rejected": {"kind": "handoff", "status": "rejected"},
    },
    "escalations": {"closed": {"kind": "approve"}, "answered": {"kind": "approve"}},
    "approvals": {"approved": {"kind": "approve"}, "denied": {"kind": "deny"}},
}
_WAYS = {
    "handoffs": "set status to accepted or rejected",
    "escalations": "set status to closed when it is settled",
    "approvals": "set status to approved or denied",
}
#: An answer's words, under whichever of these names they were written.
_WORDS = ("comment", "answer", "reason")


def merge_answers(state: State, edit: Edit, now: Now) -> Merged:
    """What an edit of handoffs.json comes to. RequestError where it is refused whole."""
    if not any(isinstance(edit.content.get(name), list) for name in _ANSWERS):
        raise RequestError(
            f"has none of the lists {', '.join(_ANSWERS)}; the file was restored",
            hint="keep the document's shape, and answer by the status of a row",
        )
    merged = Merged()
    done: set[str] = set()
    for name, key in LISTS[edit.file]:
        rows = edit.content.get(name)
        for number, row in enumerate(rows if isinstance(rows, list) else (), 1):
            ident = row.get(key) if isinstance(row, dict) else None
            if not isinstance(row, dict) or not isinstance(ident, str):
                merged.refuse(
                    f"{name}, row {number}",
                    f"is no row with a {key}; only the daemon adds rows here",
                    hint="to hand in work, drop a task into coordination/inbox/",
                )
            elif (name, ident) not in edit.same:
                _merge_row(state, edit, (name, ident), row, now, merged, done)
    if not edit.is_partial:
        _missing(state, edit, merged)
    number_in_order(state, merged.events)
    return merged


def _merge_row(
    state: State,
    edit: Edit,
    place: tuple[str, str],
    row: Row,
    now: Now,
    merged: Merged,
    done: set[str],
) -> None:
    name, ident = place
    present = row_of(state, name, ident)
    if not present:
        if place not in edit.before:
            merged.refuse(ident, f"is in none of the {name} here", hint="only the daemon adds rows")
        return

    def owner(field: str) -> Owner:
        return ANSWER_OWNERS[name].get(field, "daemon")

    hints = dict.fromkeys(row, _WAYS[name])
    asked = {each.name: each for each in asked_of(edit, place, row, present, owner, merged, hints)}
    status = asked.pop("status", None)
    if status is not None:
        words = next((row[w] for w in _WORDS if w in asked and isinstance(row.get(w), str)), None)
        _answer(state, edit, place, status, words, now, merged, done)
    elif asked and is_same(row.get("status"), edit.before.get(place, {}).get("status")):
        each = next(iter(asked.values()))
        reason = "says something, and the status does not change with it"
        merged.refuse(ident, reason, each, present.get(each.name), _WAYS[name])


def _answer(
    state: State,
    edit: Edit,
    place: tuple[str, str],
    status: Difference,
    words: str | None,
    now: Now,
    merged: Merged,
    done: set[str],
) -> None:
    name, ident = place
    present = row_of(state, name, ident).get("status")
    request = _ANSWERS[name].get(status.yours) if isinstance(status.yours, str) else None
    if request is None:
        merged.refuse(ident, f"{status.yours!r} is no answer", status, present, _WAYS[name])
        return
    payload = {**request, dict(LISTS[edit.file])[name]: ident}
    try:
        asked = parse_request(payload | ({"reason": words} if words else {}))
        events = accept_all(state, [asked], edit.file, now, {}).events
    except RequestError as error:
        merged.refuse(ident, error.message, status, present, error.hint)
        return
    touched = {value for event in events for value in event.values() if isinstance(value, str)}
    touched &= {*state.tasks, *state.handoffs, *state.approvals, *state.escalations}
    if touched & done:
        reason = f"another answer of the same edit changes {sorted(touched & done)[0]} too"
        merged.refuse(ident, reason, status, present, "save this answer once more, by itself")
        return
    done |= touched
    merged.events += events
    merged.changes.append(f"{ident} {status.yours}" + (f": {words}" if words else ""))


def _missing(state: State, edit: Edit, merged: Merged) -> None:
    """A row that still waits for its answer can't be taken out; others leave by themselves."""
    waiting = {"pending", "open"}
    there = {
        (name, row.get(key))
        for name, key in LISTS[edit.file]
        for row in edit.content.get(name) or ()
        if isinstance(row, dict)
    }
    for place in edit.before:
        row = row_of(state, *place)
        if place not in there and is_same(row.get("status") in waiting, True):
            merged.refuse(
                place[1],
                "was taken out, and still waits for its answer; it was put back",
                hint=_WAYS[place[0]],
            )
