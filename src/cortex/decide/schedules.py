"""Work that comes back: taking a schedule up, changing it, and the task that each run of it is.

When a run is due and what it does is `decide.recurrence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortex.decide.entry import Entry, Now
from cortex.decide.steps import names_for_each
from cortex.model.calendar import next_after
from cortex.model.errors import RequestError
from cortex.model.ids import short_type
from cortex.model.state import Schedule, State
from cortex.model.times import format_time

if TYPE_CHECKING:
    from cortex.model.requests import ScheduleRequest, TaskRequest, VerbRequest

__all__ = ["change_schedule", "request_of", "set_schedule"]

Event = dict[str, Any]
_OF_THE_SCHEDULE = frozenset(
    {
        *("kind", "id", "schedule", "timezone", "worker_type", "count", "repositories"),
        *("overlap", "paused"),
    }
)


def set_schedule(state: State, request: ScheduleRequest, source: str, now: Now) -> Entry:
    """The line that takes a schedule up, or changes the one that has its id."""
    before = state.schedules.get(request.id or "")
    ident = request.id or f"schedule-{state.counters.get('schedule', 0) + 1:03d}"
    timezone = request.timezone or state.budget.timezone
    created = before.created if before else now.wall
    schedule = Schedule(
        id=ident,
        schedule=request.schedule,
        timezone=timezone,
        created_at=before.created_at if before else now.at,
        created=created,
        next_at=next_after(request.schedule, timezone, now.wall, created),
        set_at=now.wall,
        worker_type=request.worker_type,
        count=request.count,
        repositories=list(request.repositories),
        task=_template(request),
        overlap=request.overlap,
        paused=request.paused,
        runs=before.runs if before else 0,
        last_run=before.last_run if before else None,
        last_task=before.last_task if before else None,
        source=source,
    )
    # What cannot become a task, time and again, is refused now, not at nine in the morning.
    _check_comes_back(request_of(schedule))
    verb = "changes" if before else "asks for"
    why = f"{source} {verb} {ident}: {request.schedule}, next at {format_time(schedule.next_at)}"
    return Entry("person", why, [{"event": "schedule_set", "schedule": schedule.to_json()}])


def _check_comes_back(request: TaskRequest) -> None:
    for name, said in (("key", request.key), ("needs", request.needs)):
        if said:
            raise RequestError(
                "is for one task, and a schedule makes one after another",
                field=name,
                hint="leave it out",
            )


def _template(request: ScheduleRequest) -> dict[str, Any]:
    """The fields that each task of the schedule has, as a person would drop them."""
    said = request.model_dump(exclude_none=True, exclude_unset=True, exclude={*_OF_THE_SCHEDULE})
    return {name: value for name, value in said.items() if value != {}}


def change_schedule(state: State, request: VerbRequest, now: Now) -> Entry:
    """The line of a cancel, pause or resume that names a schedule."""
    schedule = state.schedules.get(request.schedule_id or "")
    if schedule is None:
        raise RequestError(
            f"{request.kind} names {request.schedule_id}, which is no schedule here",
            field="schedule_id",
            hint="`cortex get schedules` lists them",
        )
    why = request.reason or f"a person asked to {request.kind} it"
    if request.kind == "cancel":
        return Entry("person", why, [{"event": "schedule_removed", "schedule_id": schedule.id}])
    paused = request.kind == "pause"
    if schedule.paused == paused:
        state_now = "paused already" if paused else "not paused"
        raise RequestError(f"{schedule.id} is {state_now}", field="schedule_id")
    then = next_after(schedule.schedule, schedule.timezone, now.wall, schedule.created)
    event = {"event": "schedule_moved", "schedule_id": schedule.id, "paused": paused}
    return Entry("person", why, [{**event, "next_at": then, "set_at": now.wall}])


def request_of(schedule: Schedule) -> TaskRequest:
    """The task of one run, as if it were dropped. RequestError where the fields do not make one."""
    from cortex.model.requests import TaskRequest, parse_request

    payload = {"title": f"{schedule.id}: {schedule.schedule}", **schedule.task}
    repositories = list(schedule.repositories)
    if schedule.worker_type is not None:
        bare = schedule.worker_type.removesuffix("-worker")
        payload.setdefault("type", bare)
        payload["workers"] = _workers(schedule, repositories, payload)
    if repositories:
        payload["scope"] = {**payload.get("scope", {}), "repositories": repositories}
        if schedule.count is not None:
            payload["max_parallel"] = schedule.count
    request = parse_request(payload)
    assert isinstance(request, TaskRequest)
    return request


def _workers(
    schedule: Schedule, repositories: list[str], payload: dict[str, Any]
) -> list[dict[str, Any]]:
    """One worker for each repository, else as many as `count` says."""
    prefix = short_type(schedule.worker_type or "")
    own = {"worker_type": schedule.worker_type}
    own |= {name: payload[name] for name in ("runtime", "token_budget") if name in payload}
    if "command" in payload:
        own["command"] = payload.pop("command")
    if repositories:
        names = names_for_each(prefix, repositories, set())
        return [
            {**own, "name": name, "scope": {"repository": repository}}
            for name, repository in zip(names, repositories, strict=True)
        ]
    return [{**own, "name": f"{prefix}-{number + 1}"} for number in range(schedule.count or 1)]
