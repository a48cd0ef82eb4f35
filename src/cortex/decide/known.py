"""Findings whose task has ended: which are not filed again, for how long, and what is said of them.

A fix that waits for somebody to merge it, or that a person did not want, is still found by the next
scan. What ended is remembered by its key, over the archive and over restarts, and with bounds. Not
here: tasks that are open, whose link is the key alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cortex.decide.entry import Now
from cortex.decide.findings import Group
from cortex.model.errors import RequestError
from cortex.model.state import OPEN_TASK, State, Task
from cortex.model.times import format_time, parse_time

__all__ = ["AGAIN_AFTER_S", "EVENTS", "file_again", "known_task", "remember", "remembered"]

Event = dict[str, Any]
Row = dict[str, Any]
#: As long is an ended follow-up linked where no master's file says otherwise.
AGAIN_AFTER_S = 14 * 86_400.0
#: So many ended follow-ups are remembered after they were archived; the oldest go first.
_REMEMBERED = 1000
#: As many characters of a fingerprint tell a finding from the others of its group.
_PRINT = 12


def known_task(
    state: State, finder: Task, found: Group, again_after: float, now: Now
) -> Row | None:
    """The follow-up that a group of findings has already, and what became of it; None: file it.

    The `finder` itself is none: it ends now, and what it was made for is still there. One that
    ended stands for the findings that it was made for, not for others of its kind, and
    `again_after` seconds long. One that failed never does.
    """
    task = state.tasks.get(state.keys.get(found.key, ""))
    if task is not None and task.id == finder.id:
        return None
    if task is not None and task.status in OPEN_TASK:
        told = f"{task.id} is at work on it ({task.status})"
        return {"task_id": task.id, "status": task.status, "told": told}
    record = _record(state, task) if task is not None else state.remembered.get(found.key)
    if record is None or not _stands_for(record, found):
        return None
    again = parse_time(record["ended_at"]) + again_after
    if now.wall >= again:
        return None
    ident = record["task_id"]
    told = (
        f"{ident} {record['told']}; it is filed again from {format_time(again)[:10]} on, "
        f"or after `cortex retry {ident}`"
    )
    return {"task_id": ident, "status": record["status"], "told": told}


def _stands_for(record: Row, found: Group) -> bool:
    of_record = set(record["fingerprints"])
    return all(one[:_PRINT] in of_record for one in found.fingerprints[:200])


def _record(state: State, task: Task) -> Row | None:
    """What is remembered of an ended follow-up; None where it may be filed again at once."""
    if task.key is None or task.parent is None or task.file_again or task.ended_at is None:
        return None
    if task.status not in ("completed", "cancelled"):
        return None
    return {
        "task_id": task.id,
        "status": task.status,
        "ended_at": task.ended_at,
        "told": _told(state, task),
        "fingerprints": [str(one)[:_PRINT] for one in task.context.get("findings") or ()],
    }


def _told(state: State, task: Task) -> str:
    day = (task.ended_at or "")[:10]
    if task.status == "cancelled":
        return f"was cancelled on {day}" + (f": {task.reason}"[:200] if task.reason else "")
    names = [
        str(branch.get("name"))
        for ident in task.workers
        if ident in state.workers
        for branch in state.workers[ident].branches
    ]
    made = f"handed over branch {names[-1]}" if names else "was completed"
    return f"{made} on {day}, not merged yet as far as the scan sees"


def remembered(state: State, tasks: Iterable[Task], again_after: float) -> dict[str, Row]:
    """By key, what to remember of follow-ups that are archived now, and until when."""
    rows = {}
    for task in tasks:
        record = _record(state, task)
        if record is not None and task.key is not None:
            until = format_time(parse_time(record["ended_at"]) + again_after)
            rows[task.key] = {**record, "until": until}
    return rows


def file_again(state: State, ident: str) -> list[Event]:
    """Events after which an ended follow-up is filed again when it is found; [] of any other.

    A failed or cancelled one that is here runs again itself, and is none of this function's.
    """
    task = state.tasks.get(ident)
    if task is not None:
        record = _record(state, task) if task.status == "completed" else None
        key = task.key if record is not None else None
        if key is None and task.file_again:
            raise RequestError(
                f"{ident} is done again already, by the next scan that finds it", field="task_id"
            )
    else:
        key = next((k for k, row in state.remembered.items() if row["task_id"] == ident), None)
    if key is None:
        return []
    return [{"event": "follow_up_released", "task_id": ident, "key": key}]


# --- parts of evolve


def _follow_up_known(state: State, event: Event, _at: str) -> None:
    for ident in event["tasks"]:
        task = state.tasks.get(ident)
        if task is not None:
            task.linked = [*task.linked, event["task_id"]][-20:]
            state.touch("task", ident)


def _follow_up_released(state: State, event: Event, _at: str) -> None:
    state.remembered.pop(event["key"], None)
    task = state.tasks.get(event["task_id"])
    if task is not None:
        task.file_again = True
        state.touch("task", task.id)


def remember(state: State, key: str, event: Event, at: str) -> None:
    """A task with this key is archived: the newest word about the key, or none; a part of `evolve`.

    Also forgets what is over, which stands first.
    """
    state.remembered.pop(key, None)
    row = event.get("known", {}).get(key)
    if row is not None:
        state.remembered[key] = row
    while state.remembered:
        first = next(iter(state.remembered))
        if len(state.remembered) <= _REMEMBERED and state.remembered[first]["until"] > at:
            break
        del state.remembered[first]


EVENTS: dict[str, Callable[[State, Event, str], None]] = {
    "follow_up_known": _follow_up_known,
    "follow_up_released": _follow_up_released,
}
