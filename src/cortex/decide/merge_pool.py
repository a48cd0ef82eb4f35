"""Edits of worker-pool.json: a worker's own signs of life, and nothing else."""

from __future__ import annotations

from typing import Any

from cortex.decide.edit import LISTS, Difference, Edit, Merged, rows_of
from cortex.decide.entry import Now
from cortex.decide.merge_rows import asked_of
from cortex.decide.snapshot import row_of
from cortex.model.errors import RequestError
from cortex.model.owners import WORKER_OWNERS, Owner
from cortex.model.state import TERMINAL_WORKER, State
from cortex.model.times import parse_time

__all__ = ["merge_pool"]

Row = dict[str, Any]
_HINT = "a worker is ended with its task: set the task's status to cancelled in task-queue.json"


def merge_pool(state: State, edit: Edit, now: Now) -> Merged:
    """What an edit of worker-pool.json comes to. RequestError where it is refused whole."""
    del now
    names = [name for name, _ in LISTS[edit.file]]
    if not any(isinstance(edit.content.get(name), list) for name in names):
        raise RequestError(
            "has none of the lists of workers; the file was restored",
            hint="drop tasks into coordination/inbox/; masters ask for workers",
        )
    if edit.base is None:
        raise RequestError(
            "has no journal_seq, and rows are only added by the daemon; the file was restored",
            field="journal_seq",
            hint="keep the file's head; to hand in work, drop a task into coordination/inbox/",
        )
    merged = Merged()
    rows = rows_of(edit.file, edit.content)
    for place, row in rows.items():
        if place not in edit.same:
            _merge_row(state, edit, place, row, merged)
    for place in () if edit.is_partial else edit.before:
        worker = state.workers.get(place[1])
        if place not in rows and worker is not None and worker.status not in TERMINAL_WORKER:
            merged.refuse(place[1], "was taken out, and has not ended; it was put back", hint=_HINT)
    return merged


def _owner(field: str) -> Owner:
    return WORKER_OWNERS.get(field, "daemon")


def _merge_row(state: State, edit: Edit, place: tuple[str, str], row: Row, merged: Merged) -> None:
    worker = state.workers.get(place[1])
    if worker is None:
        if place not in edit.before:
            hint = "masters ask for workers; drop a task into coordination/inbox/"
            merged.refuse(place[1], "is no worker here", hint=hint)
        return
    present = row_of(state, *place)
    hints = dict.fromkeys(row, _HINT)
    for each in asked_of(edit, place, row, present, _owner, merged, hints):
        try:
            tokens = _sign(each)
        except ValueError as error:
            merged.refuse(place[1], str(error), each, present.get(each.name), _FORM[each.name])
            continue
        if worker.status == "running":
            known = merged.heard.get(worker.id)
            merged.heard[worker.id] = known if tokens is None else tokens


_FORM = {
    "tokens_used": "write the tokens used so far, as a whole number",
    "last_heartbeat": "write an instant like 2025-11-01T10:15:00Z",
}


def _sign(each: Difference) -> int | None:
    """The tokens that a sign of life names; ValueError for what is none."""
    value = each.yours
    if each.name == "tokens_used":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError("is no count of tokens")
        return value
    if not isinstance(value, str):
        raise ValueError("is no instant")
    parse_time(value)
    return None
