"""Edits of task-queue.json: fields, verbs by `status`, new rows, rows that were taken out."""

from __future__ import annotations

from typing import Any

from cortex.decide.edit import Difference, Edit, Merged, Refusal, differences, is_same
from cortex.decide.ending import cancel_tasks
from cortex.decide.entry import Now
from cortex.decide.merge_fields import edit_fields, is_said_by
from cortex.decide.merge_new_tasks import add_tasks
from cortex.decide.merge_rows import asked_of
from cortex.decide.merge_status import change_status
from cortex.decide.snapshot import queue_row
from cortex.model.errors import RequestError
from cortex.model.owners import task_owner
from cortex.model.state import TERMINAL_TASK, State, Task

__all__ = ["merge_tasks"]

Row = dict[str, Any]
#: So many rows missing at once are an accident, if they are more than half of what was there.
_MANY = 3


def merge_tasks(state: State, edit: Edit, now: Now) -> Merged:
    """What an edit of task-queue.json comes to. RequestError where it is refused whole."""
    rows = edit.content.get("tasks")
    if not isinstance(rows, list):
        raise RequestError(
            "has no list `tasks`, so nothing of it was taken up; the file was restored",
            field="tasks",
            hint="keep the document's shape: edit its rows, add some or take one out",
        )
    if edit.base is None and not rows:
        raise RequestError(
            "has no journal_seq, so it can only add rows, and there is none; the file was restored",
            field="tasks",
            hint="edit the file as it is and keep its head, or drop tasks into coordination/inbox/",
        )
    merged = Merged()
    known, new = _sorted_out(state, edit, rows, merged)
    gone = _taken_out(state, edit, known)
    asked = {ident: _asked(state, edit, ident, row, merged) for ident, row in known.items()}
    _cancel(state, gone, [ident for ident, found in asked.items() if _cancels(found)], merged)
    for ident, found in asked.items():
        if found:
            _apply(state, edit, state.tasks[ident], found, merged)
    add_tasks(state, edit, new, now, merged)
    _merge_head(state, edit, merged)
    return merged


def _sorted_out(
    state: State, edit: Edit, rows: list[Any], merged: Merged
) -> tuple[dict[str, Row], list[Row]]:
    """(rows of tasks that there are or were, new rows)."""
    known: dict[str, Row] = {}
    new: list[Row] = []
    for number, row in enumerate(rows, 1):
        ident = row.get("id") if isinstance(row, dict) else None
        if not isinstance(row, dict):
            merged.refusals.append(
                Refusal(f"tasks, row {number}", "is no object", hint="a row is an object: {…}")
            )
        elif not isinstance(ident, str) or not ident:
            new.append(row)
        elif ident in known:
            if not is_same(row, known[ident]):
                merged.refusals.append(
                    Refusal(ident, "stands twice; the first one counts", field="id")
                )
        elif ("tasks", ident) in edit.before or ident in state.tasks:
            known[ident] = row
        else:
            new.append(row)
    return known, new


# --- rows that were taken out


def _taken_out(state: State, edit: Edit, known: dict[str, Row]) -> list[Task]:
    """A row that was there and is missing cancels its task, unless it has ended by then."""
    if edit.base is None or edit.is_partial:
        return []
    before = edit.before
    missing = [ident for _, ident in before if ident not in known]
    open_before = [i for (_, i), row in before.items() if row.get("status") not in TERMINAL_TASK]
    gone = [
        state.tasks[ident]
        for ident in open_before
        if ident not in known
        and ident in state.tasks
        and state.tasks[ident].status not in TERMINAL_TASK
    ]
    if not gone:
        return []
    everything = not edit.content["tasks"]
    if everything or _most(len(missing), len(before)) or _most(len(gone), len(open_before)):
        count = "all rows are" if everything else f"{len(missing)} of {len(before)} rows are"
        raise RequestError(
            f"{count} missing; that is taken for an accident, and nothing of the edit was taken up",
            field="tasks",
            hint="to cancel tasks in numbers, set their `status` to cancelled, or use "
            "`cortex cancel`; ended rows leave by themselves",
        )
    return gone


def _most(part: int, whole: int) -> bool:
    return part > _MANY and part * 2 > whole


# --- rows that are there


def _asked(state: State, edit: Edit, ident: str, row: Row, merged: Merged) -> list[Difference]:
    """What a person asks for by a task's row; what cannot be is refused."""
    place = ("tasks", ident)
    if place in edit.same:
        return []
    task = state.tasks.get(ident)
    if task is None:
        _archived(ident, differences(row, edit.before.get(place, {})), merged)
        return []
    present = queue_row(state, task)
    said = {
        name: present.get(name)
        for name, value in row.items()
        if not is_same(value, present.get(name)) and is_said_by(task, name, value)
    }
    return asked_of(edit, place, row | said, present, task_owner, merged, _INSTEAD)


def _archived(ident: str, found: list[Difference], merged: Merged) -> None:
    asked = [d for d in found if task_owner(d.name) not in ("daemon", "derived")]
    if asked:
        merged.refusals.append(
            Refusal(
                ident,
                "has left for the archive since; it cannot be changed any more",
                field=asked[0].name,
                yours=asked[0].yours,
                hint="drop it again as a new task",
            )
        )


_INSTEAD = {
    "assigned_to": "masters take tasks by their type",
    "needs": "cancel the task and drop it again with other needs",
    "key": "a key is given when a task is dropped",
    "env": "cancel the task and drop it again with another env",
    "workers": "attempts are made by the masters; a plan is given when a task is dropped",
    "steps": "cancel the task, or set hold, to keep steps from starting",
}


# --- what follows


def _cancels(asked: list[Difference]) -> bool:
    return any(each.name == "status" and each.yours == "cancelled" for each in asked)


def _cancel(state: State, gone: list[Task], named: list[str], merged: Merged) -> None:
    """All cancels of the edit at once: a task may take others along that are named too."""
    for task in gone:
        merged.changes.append(f"{task.id} cancelled (its row was taken out)")
    merged.events += cancel_tasks(state, gone, "a person took it out of task-queue.json")
    open_ones = [state.tasks[i] for i in named if state.tasks[i].status not in TERMINAL_TASK]
    done = {event.get("task_id") for event in merged.events}
    left = [task for task in open_ones if task.id not in done]
    merged.events += cancel_tasks(state, left, "a person set its status to cancelled")
    merged.changes += [f"{task.id} cancelled" for task in open_ones]


def _apply(state: State, edit: Edit, task: Task, asked: list[Difference], merged: Merged) -> None:
    """The verb first, so that the fields find the task open again that it retries."""
    is_gone = any(e["event"] == "task_ended" and e["task_id"] == task.id for e in merged.events)
    if is_gone and not _cancels(asked):
        merged.refusals.append(
            Refusal(task.id, "the same edit cancels it; nothing else was done with it")
        )
        return
    verbs = {"task_ended"} if is_gone else set()
    fields = [each for each in asked if each.name != "status"]
    for each in asked:
        if each.name == "status" and not is_gone:
            verbs |= _verb(state, edit, task, each, merged)
    edit_fields(state, task, fields, merged, verbs)


def _verb(state: State, edit: Edit, task: Task, each: Difference, merged: Merged) -> set[str]:
    """Adds what a changed status asks for; the names of its events."""
    try:
        events, words = change_status(
            state, task, str(each.yours), edit.before.get(("tasks", task.id), {})
        )
    except RequestError as error:
        merged.refusals.append(
            Refusal(task.id, error.message, each.name, each.yours, task.status, error.hint)
        )
        return set()
    done = [e for e in merged.events if e["event"] == "task_reopened"]
    if any(event["task_id"] == task.id for event in done):
        return {"task_reopened"}  # its parent was retried by the same edit, and took it along
    merged.events += events
    merged.changes += [words] if words else []
    return {event["event"] for event in events}


# --- the head


def _merge_head(state: State, edit: Edit, merged: Merged) -> None:
    """Of the head, only `daemon.paused` is a person's: it holds the whole fleet."""
    daemon, before = edit.content.get("daemon"), (edit.base or {}).get("daemon")
    if not isinstance(daemon, dict) or not isinstance(before, dict):
        return
    paused = daemon.get("paused")
    if not isinstance(paused, bool) or paused in (bool(before.get("paused")), state.paused):
        return
    merged.events.append({"event": "fleet_paused", "paused": paused})
    merged.changes.append("the fleet is paused" if paused else "the fleet goes on")
