"""Work that comes back: which instants, once over every kind of gap, and what a run becomes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.decide.accept import accept_all
from cortex.decide.recurrence import next_run
from cortex.decide.snapshot import documents
from cortex.model.calendar import check_schedule, next_after
from cortex.model.errors import RequestError
from cortex.model.requests import parse_request
from cortex.model.state import State
from tests.unit.deciding import World

DAILY = {"schedule": "daily@09:00", "worker_type": "scan", "repositories": ["/a", "/b/a", "/c"]}


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def drop(world: World, **fields: Any) -> None:
    request = parse_request({"kind": "schedule", **fields})
    world.apply(accept_all(world.state, [request], "night.json", world.now, {}))


def say(world: World, **fields: Any) -> None:
    world.apply(accept_all(world.state, [parse_request(fields)], "x.json", world.now, {}))


def run(world: World) -> list[str]:
    """Applies all that is due; what each line began with."""
    made = []
    while (entry := next_run(world.state, world.now)) is not None:
        world.apply(entry)
        made.append(entry.events[0]["event"])
        assert len(made) < 50, "a schedule that is due for ever"
    return made


def test_a_daily_scan_makes_one_task_with_a_worker_for_each_repository() -> None:
    world = World()
    drop(world, **DAILY, count=2)
    world.at(8, 59)
    assert run(world) == []
    world.at(9)
    assert run(world) == ["schedule_fired"]
    assert run(world) == []
    task = world.state.tasks["task-001"]
    assert (task.type, task.max_parallel, task.source) == ("scan", 2, "schedule-001")
    assert [step["name"] for step in task.plan] == ["scan-a", "scan-a-2", "scan-c"]
    assert [step["scope"]["repository"] for step in task.plan] == ["/a", "/b/a", "/c"]
    assert world.lines[-1].why == "daily@09:00 was due at 2025-11-01T09:00:00Z"


def test_runs_that_nobody_could_make_are_made_up_for_once() -> None:
    world = World()
    drop(world, **DAILY)
    world.at(13, day=9)
    assert run(world) == ["schedule_fired"]
    assert world.state.schedules["schedule-001"].next_at == instant("2025-11-10T09:00:00Z")
    assert world.lines[-1].why.endswith("8d 4h ago")


def test_a_run_that_was_slept_over_is_made_up_for_once_while_the_clocks_pass_it_again() -> None:
    world = World()
    world.at(12, day=1)
    drop(
        world, schedule="daily@01:30", timezone="America/New_York", command="true", overlap="allow"
    )
    world.at(6, 10, day=2)  # 01:10, for the second time that night
    assert run(world) == ["schedule_fired"]
    assert world.state.schedules["schedule-001"].next_at == instant("2025-11-03T06:30:00Z")


def test_a_run_is_passed_over_while_the_task_of_the_one_before_is_open() -> None:
    world = World()
    drop(world, **DAILY)
    drop(world, **DAILY, id="pile", overlap="allow")
    world.at(9)
    assert run(world) == ["schedule_fired"] * 2
    world.at(9, day=2)
    assert run(world) == ["schedule_skipped", "schedule_fired"]
    assert "task-001 of the run before is still pending" in world.lines[-2].why
    assert len(world.state.tasks) == 3


def test_a_clock_set_back_by_a_year_does_not_silence_a_schedule() -> None:
    world = World()
    drop(world, **DAILY)
    world.wall += 366 * 86400
    assert run(world) == ["schedule_fired"]
    world.at(10, day=2)
    assert run(world) == ["schedule_moved"]
    assert world.state.schedules["schedule-001"].next_at == instant("2025-11-03T09:00:00Z")


def test_a_clock_set_back_by_minutes_makes_no_second_run() -> None:
    world = World()
    drop(world, **DAILY)
    world.at(9)
    assert run(world) == ["schedule_fired"]
    world.at(8, 50)
    assert run(world) == []
    world.at(9, 1)
    assert run(world) == []


def test_a_paused_schedule_rests_and_makes_up_for_nothing() -> None:
    world = World()
    drop(world, **DAILY, id="night")
    say(world, kind="pause", schedule_id="night")
    world.at(10, day=3)
    assert run(world) == []
    say(world, kind="resume", schedule_id="night")
    assert run(world) == []
    assert world.state.schedules["night"].next_at == instant("2025-11-04T09:00:00Z")
    say(world, kind="cancel", schedule_id="night")
    assert not world.state.schedules


def test_the_same_id_changes_the_schedule_and_keeps_its_history() -> None:
    world = World()
    drop(world, **DAILY, id="night")
    world.at(9)
    run(world)
    drop(world, id="night", schedule="daily@10:00", command="true")
    schedule = world.state.schedules["night"]
    assert (schedule.runs, schedule.last_task, schedule.worker_type) == (1, "task-001", None)
    assert schedule.next_at == instant("2025-11-01T10:00:00Z")


def test_a_command_and_a_type_run_too() -> None:
    world = World()
    drop(world, schedule="hourly", command="make smoke", title="Smoke", priority="high")
    drop(world, schedule="hourly", type="security-scan", repositories=["/a", "/b"], count=1)
    drop(world, schedule="hourly", worker_type="test", count=2, mood="good")
    world.at(1)
    run(world)
    smoke, scan, tests = world.state.tasks.values()
    assert (smoke.command, smoke.title, smoke.priority) == ("make smoke", "Smoke", "high")
    assert (scan.scope, scan.max_parallel) == ({"repositories": ["/a", "/b"]}, 1)
    assert [step["name"] for step in tests.plan] == ["test-1", "test-2"]
    assert tests.extra == {"mood": "good"}


def test_a_replayed_state_and_the_published_rows_are_those_of_the_daemon() -> None:
    world = World()
    drop(world, **DAILY, id="night", timezone="Europe/Berlin")
    world.at(12)
    run(world)
    again = State.from_json(world.state.to_json())
    assert again.schedules == world.state.schedules
    (row,) = documents(again)["schedules.json"]["scheduled_workers"]
    assert row["next_run"] == "2025-11-02T08:00:00Z"
    assert (row["last_task"], row["runs"]) == ("task-001", 1)


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"schedule": "daily@25:00", "command": "true"}, "schedule", "write it like"),
        ({"schedule": "0 0 31 2 *", "command": "true"}, "schedule", "Bad day"),
        ({"schedule": "every 5s", "command": "true"}, "schedule", "too often"),
        ({"schedule": "daily"}, None, "needs a worker_type"),
        ({"schedule": "daily", "command": "true", "timezone": "Mars"}, "timezone", "no time zone"),
        ({"schedule": "daily", "command": "true", "count": 0}, "count", "at least 1"),
        ({"command": "true"}, "schedule", "missing"),
        ({"schedule": "daily", "worker_type": "scan", "repositories": ["/a", "/a"]}, None, "twice"),
        ({"schedule": "daily", "type": "scan", "scope": {"paths": ["../x"]}}, None, "leaves"),
        ({"schedule": "daily", "command": "true", "key": "once"}, "key", "one after another"),
        ({"schedule": "daily", "command": "true", "needs": ["a"]}, "needs", "one after another"),
    ],
)
def test_what_cannot_come_back_is_refused_at_once(
    fields: dict[str, Any], field: str | None, word: str
) -> None:
    with pytest.raises(RequestError) as caught:
        drop(World(), **fields)
    assert word in str(caught.value)
    if field is not None:
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("said", "made", "word"),
    [({"needs": ["gone"]}, 0, "no task here"), ({"key": "once"}, 1, "has the key of task-001")],
)
def test_a_schedule_of_before_that_can_make_no_task_is_passed_over(
    said: dict[str, Any], made: int, word: str
) -> None:
    """It was taken up when nobody refused it; it must not be what ends the daemon."""
    world = World()
    drop(world, schedule="daily@09:00", command="true", overlap="allow")
    schedule = world.state.schedules["schedule-001"]
    schedule.task = {**schedule.task, **said}
    for day in (1, 2):
        world.at(9, day=day)
        told = run(world)
    assert told == ["schedule_skipped"]
    assert word in world.lines[-1].why
    assert len(world.state.tasks) == made
    assert schedule.next_at > world.wall


def test_a_verb_on_an_unknown_schedule_says_where_to_look() -> None:
    with pytest.raises(RequestError, match="no schedule here"):
        say(World(), kind="pause", schedule_id="nightly")


SAID = [
    ("@daily", "UTC", "2025-11-01T12:00:00Z", "2025-11-02T00:00:00Z"),
    ("hourly@15", "UTC", "2025-11-01T12:15:00Z", "2025-11-01T13:15:00Z"),
    ("weekdays@08:00", "UTC", "2025-10-31T08:00:00Z", "2025-11-03T08:00:00Z"),
    ("weekly@mon 06:30", "UTC", "2025-11-01T12:00:00Z", "2025-11-03T06:30:00Z"),
    ("weekly@Sunday@06:30", "UTC", "2025-11-01T12:00:00Z", "2025-11-02T06:30:00Z"),
    ("monthly@31 10:00", "UTC", "2025-11-01T12:00:00Z", "2025-12-31T10:00:00Z"),
    ("*/15 9-17 * * 1-5", "UTC", "2025-11-03T17:45:00Z", "2025-11-04T09:00:00Z"),
    ("daily@09:00", "Asia/Tokyo", "2025-11-01T12:00:00Z", "2025-11-02T00:00:00Z"),
    # the clocks go forward: 02:30 does not exist, and is taken at 03:00
    ("daily@02:30", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
    ("daily@02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
    # the clocks go back: 02:30 comes twice, and is taken the first time
    ("daily@02:30", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
    ("daily@02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
    # asked while they pass it again, also by a machine that slept over the first time
    ("daily@02:30", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
    ("daily@02:30", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"),
    ("0 1-3 * * *", "Europe/Berlin", "2026-10-25T00:40:00Z", "2026-10-25T02:00:00Z"),
    # what goes by the time that passes has every hour, and no hour that is skipped
    ("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
    ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z"),
]


@pytest.mark.parametrize(("schedule", "zone", "after", "then"), SAID)
def test_the_instant_that_follows(schedule: str, zone: str, after: str, then: str) -> None:
    assert next_after(check_schedule(schedule), zone, instant(after), 0.0) == instant(then)


def test_every_counts_from_the_schedules_start() -> None:
    assert next_after("every 6h", "UTC", 1000.0, 1000.0) == 1000.0 + 6 * 3600
    assert next_after("every 6h", "UTC", 1000.0 + 6 * 3600, 1000.0) == 1000.0 + 12 * 3600


@given(
    st.sampled_from([said[0] for said in SAID] + ["every 90m"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(0, 4 * 366 * 86400),
)
def test_an_instant_is_always_later_and_nothing_lies_between(
    schedule: str, zone: str, offset: int
) -> None:
    after = datetime(2025, 1, 1, tzinfo=UTC).timestamp() + offset
    then = next_after(schedule, zone, after, 0.0)
    assert then > after
    assert next_after(schedule, zone, (after + then) / 2, 0.0) == then


@pytest.mark.parametrize("schedule", [said[0] for said in SAID])
@pytest.mark.parametrize(
    ("zone", "night"),
    [
        ("Europe/Berlin", "2026-10-25T00:00:00Z"),
        ("Europe/Berlin", "2026-03-29T00:00:00Z"),
        ("America/Santiago", "2025-04-06T03:00:00Z"),
        ("Australia/Lord_Howe", "2025-04-05T15:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),  # a whole day is skipped
    ],
)
def test_nights_on_which_the_clocks_change_have_one_order_of_instants(
    schedule: str, zone: str, night: str
) -> None:
    asked = [instant(night) + minute * 60 for minute in range(-180, 180, 10)]
    found = [(after, next_after(schedule, zone, after, 0.0)) for after in asked]
    assert all(then > after for after, then in found)
    assert all(
        then == following for (_, then), (after, following) in pairwise(found) if then > after
    )
