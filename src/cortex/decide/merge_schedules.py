"""Edits of schedules.json: schedules are added, changed, paused and taken out."""

from __future__ import annotations

from typing import Any

from cortex.decide.edit import Edit, Merged, is_same, rows_of
from cortex.decide.entry import Now
from cortex.decide.merge_rows import asked_of
from cortex.decide.schedules import set_schedule
from cortex.decide.snapshot import row_of
from cortex.model.errors import RequestError
from cortex.model.owners import schedule_owner
from cortex.model.requests import ScheduleRequest, parse_request
from cortex.model.state import State

__all__ = ["merge_schedules"]

Row = dict[str, Any]
#: So many rows missing at once are an accident, if they are more than half of what was there.
_MANY = 3


def merge_schedules(state: State, edit: Edit, now: Now) -> Merged:
    """What an edit of schedules.json comes to. RequestError where it is refused whole."""
    rows = edit.content.get("scheduled_workers")
    if not isinstance(rows, list) or (edit.base is None and not rows):
        raise RequestError(
            "has no list `scheduled_workers` with a row or a head; the file was restored",
            field="scheduled_workers",
            hint="keep the document's shape: edit its rows, add some or take one out",
        )
    merged = Merged()
    if not edit.is_partial:
        _take_out(state, edit, merged)
    number = state.counters.get("schedule", 0)
    taken = {str(row.get("id")) for row in rows if isinstance(row, dict)}
    for count, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            merged.refuse(f"scheduled_workers, row {count}", "is no object")
            continue
        if isinstance(row.get("id"), str) and _is_known(state, edit, row["id"]):
            _change(state, edit, row, now, merged)
        elif not _is_there(state, row):
            number += 1
            while f"schedule-{number:03d}" in taken:
                number += 1
            named = row if row.get("id") else {**row, "id": f"schedule-{number:03d}"}
            _set(state, edit, named, now, merged, "added")
    return merged


def _is_known(state: State, edit: Edit, ident: str) -> bool:
    return ident in state.schedules or ("scheduled_workers", ident) in edit.before


def _is_there(state: State, row: Row) -> bool:
    """Whether a new row without an id is a schedule already: the same buffer was saved twice."""
    asked = {name: value for name, value in row.items() if schedule_owner(name) == "person"}
    return "id" not in row and any(
        all(is_same(value, row_of(state, "scheduled_workers", ident).get(name))
            for name, value in asked.items())
        for ident in state.schedules
    )  # fmt: skip


def _take_out(state: State, edit: Edit, merged: Merged) -> None:
    there = rows_of(edit.file, edit.content)
    missing = [ident for _, ident in edit.before if ("scheduled_workers", ident) not in there]
    gone = [ident for ident in missing if ident in state.schedules]
    many = len(missing) > _MANY and len(missing) * 2 > len(edit.before)
    if gone and (many or (len(gone) > 1 and not there)):
        raise RequestError(
            f"{len(missing)} of {len(edit.before)} rows are missing; that is taken for an accident",
            field="scheduled_workers",
            hint="take schedules out one by one, or drop a cancel with schedule_id for each",
        )
    for ident in gone:
        merged.events.append({"event": "schedule_removed", "schedule_id": ident})
        merged.changes.append(f"{ident} taken out")


def _change(state: State, edit: Edit, row: Row, now: Now, merged: Merged) -> None:
    place = ("scheduled_workers", row["id"])
    if place in edit.same:
        return
    present = row_of(state, *place)
    if not present:
        return  # somebody took it out meanwhile; to add it again takes a row of a new name
    asked = asked_of(edit, place, row, present, schedule_owner, merged)
    if not asked:
        return
    whole = {name: value for name, value in present.items() if schedule_owner(name) == "person"}
    for each in asked:
        whole.pop(each.name, None)
        if each.yours is not None:
            whole[each.name] = each.yours
    changed = ", ".join(each.name for each in asked)
    _set(state, edit, {"id": row["id"], **whole}, now, merged, f"changed: {changed}")


def _set(state: State, edit: Edit, row: Row, now: Now, merged: Merged, words: str) -> None:
    ident = str(row.get("id"))
    asked = {k: v for k, v in row.items() if k == "id" or schedule_owner(k) == "person"}
    try:
        request = parse_request({**asked, "kind": "schedule"})
        assert isinstance(request, ScheduleRequest)
        merged.events += set_schedule(state, request, edit.file, now).events
    except RequestError as error:
        hint = None if error.hint and "drop the file" in error.hint else error.hint
        merged.refuse(ident, error.message, hint=hint or "correct it in the file",
                      field=error.field)  # fmt: skip
        return
    merged.changes.append(f"{ident} {words}")
