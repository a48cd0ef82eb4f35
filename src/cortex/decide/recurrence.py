"""Which schedule is due, and what its run becomes.

A schedule that was due several times while nobody looked (the daemon was down, the machine slept)
is due once. Each run is a task like a dropped one, made in the same line that moves the schedule
on, so a crash can neither lose a run nor double it.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.accept import accept_all
from cortex.decide.entry import Entry, Now, was_set_back
from cortex.decide.schedules import request_of
from cortex.model.calendar import next_after
from cortex.model.errors import RequestError
from cortex.model.state import OPEN_TASK, Schedule, State
from cortex.model.times import format_duration, format_time

__all__ = ["next_run"]

Event = dict[str, Any]
BY = "coordinator-master"
_LATE_S = 60.0


def next_run(state: State, now: Now) -> Entry | None:
    """The line of one schedule that is due, or None; to be applied before this is asked again."""
    for schedule in state.schedules.values():
        if schedule.paused:
            continue
        if was_set_back(now, schedule.set_at):
            event = {"event": "schedule_moved", **_moved(schedule, now.wall, now)}
            return Entry(BY, "the clock was set back", [event])
        if now.wall >= schedule.next_at:
            return _run(state, schedule, now)
    return None


def _run(state: State, schedule: Schedule, now: Now) -> Entry:
    due = format_time(schedule.next_at)
    moved = _moved(schedule, max(now.wall, schedule.next_at), now)
    last = state.tasks.get(schedule.last_task or "")
    accepted: list[Event] = []
    if schedule.overlap == "skip" and last is not None and last.status in OPEN_TASK:
        reason = f"{last.id} of the run before is still {last.status}"
    else:
        accepted, reason = _accepted(state, schedule, now)
    if not accepted:
        event = {"event": "schedule_skipped", **moved, "due_at": due, "reason": reason}
        return Entry(BY, f"{schedule.id} passes over {due}: {reason}", [event])
    late_s = now.wall - schedule.next_at
    why = f"{schedule.schedule} was due at {due}"
    why += f", {format_duration(late_s)} ago" if late_s > _LATE_S else ""
    made = accepted[0]["task"]["id"]
    fired = {"event": "schedule_fired", **moved, "due_at": due, "task_id": made}
    return Entry(BY, why, [fired, *accepted])


def _accepted(state: State, schedule: Schedule, now: Now) -> tuple[list[Event], str]:
    """(the events of the run's task; why there is none): what an earlier version took up may be
    what no run can become."""
    try:
        entry = accept_all(state, [request_of(schedule)], schedule.id, now, {})
    except RequestError as error:
        return [], str(error)
    return [event for event in entry.events if event["event"] == "task_accepted"], entry.why


def _moved(schedule: Schedule, after: float, now: Now) -> dict[str, Any]:
    return {
        "schedule_id": schedule.id,
        "next_at": next_after(schedule.schedule, schedule.timezone, after, schedule.created),
        "set_at": now.wall,
    }
