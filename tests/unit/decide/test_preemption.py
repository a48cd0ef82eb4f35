"""Critical work and those that were granted before it and have not begun."""

from __future__ import annotations

from typing import Any

from cortex.decide.admit import waiting_reason
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, settings


def command(fleet: Fleet, tokens: int, priority: str = "medium", **fields: Any) -> Task:
    return fleet.dropped(command="true", token_budget=tokens, priority=priority, **fields)


def short_fleet(**sections: dict[str, Any]) -> Fleet:
    """A fleet whose idle masters give nothing."""
    return Fleet(settings(**{"budget": {"reallocate_steps": 0}, **sections}))


def status(fleet: Fleet, task: Task) -> str:
    return fleet.state.workers[task.workers[0]].status


def test_critical_work_takes_the_tokens_of_what_was_granted_and_has_not_begun() -> None:
    fleet = short_fleet()
    lower = command(fleet, 60_000)
    fleet.admit()
    critical = command(fleet, 8_000, "critical")
    fleet.admit()
    assert (status(fleet, lower), status(fleet, critical)) == ("queued", "approved")
    given_way = fleet.state.workers[lower.workers[0]]
    assert (given_way.reserved, given_way.preempted_by) == (0, critical.workers[0])
    assert fleet.state.workers[critical.workers[0]].fund == "pool"
    assert fleet.state.budget.reserve_available == 25_000, "the glass stays whole"
    (line,) = [line for line in fleet.lines if "worker_preempted" in str(line.events)]
    assert f"{lower.workers[0]} gives way" in line.why
    names = [event["event"] for event in line.events]
    assert names == ["tokens_returned", "worker_preempted", "tokens_reserved", "worker_approved"]


def test_the_lowest_priority_gives_way_first_and_of_these_the_youngest() -> None:
    fleet = short_fleet()
    tasks = {
        name: command(fleet, 15_000, priority)
        for name, priority in (
            ("high", "high"),
            ("older", "low"),
            ("younger", "low"),
            ("medium", "medium"),
        )
    }
    fleet.admit()
    command(fleet, 20_000, "critical")
    fleet.admit()
    gave_way = [name for name, task in tasks.items() if status(fleet, task) != "approved"]
    assert gave_way == ["younger"], "5,000 were free"


def test_nobody_gives_way_who_does_not_help() -> None:
    fleet = short_fleet()
    small = command(fleet, 1_000, "low")
    large = command(fleet, 60_000, "medium")
    fleet.admit()
    command(fleet, 64_000, "critical")
    fleet.admit()
    assert (status(fleet, small), status(fleet, large)) == ("approved", "queued")


def test_nobody_gives_way_for_nothing() -> None:
    fleet = short_fleet()
    lower = command(fleet, 60_000)
    fleet.admit()
    critical = command(fleet, 90_000, "critical")
    fleet.admit()
    assert (status(fleet, lower), status(fleet, critical)) == ("approved", "queued")


def test_what_runs_is_left_running_and_the_reserve_is_opened_instead() -> None:
    fleet = short_fleet()
    lower = command(fleet, 60_000)
    fleet.admit()
    fleet.run(fleet.state.workers[lower.workers[0]])
    critical = command(fleet, 8_000, "critical")
    fleet.admit()
    assert status(fleet, lower) == "running"
    assert fleet.state.workers[critical.workers[0]].fund == "reserve"


def test_only_critical_work_takes_a_place() -> None:
    fleet = short_fleet()
    lower = command(fleet, 60_000, "low")
    fleet.admit()
    high = command(fleet, 8_000, "high")
    fleet.admit()
    assert (status(fleet, lower), status(fleet, high)) == ("approved", "queued")


def test_an_idle_masters_tokens_move_before_anybody_gives_way() -> None:
    fleet = Fleet()
    lower = command(fleet, 60_000)
    fleet.admit()
    critical = command(fleet, 8_000, "critical", assigned_to="development-master")
    fleet.admit()
    assert (status(fleet, lower), status(fleet, critical)) == ("approved", "approved")
    assert fleet.state.budget.moved_steps == 1


def test_a_slot_is_given_too_and_the_reserve_says_who_gave_way() -> None:
    fleet = short_fleet(limits={"tools": 2})
    running = command(fleet, 60_000)
    fleet.admit()
    fleet.run(fleet.state.workers[running.workers[0]])
    lower = command(fleet, 100)
    fleet.admit()
    critical = command(fleet, 8_000, "critical")
    fleet.admit()
    assert (status(fleet, lower), status(fleet, critical)) == ("queued", "approved")
    (opening,) = fleet.state.budget.openings
    assert opening.preempted == lower.workers
    assert (opening.task_id, opening.tokens, opening.workers) == (
        critical.id,
        8_000,
        critical.workers,
    )


def test_a_slot_under_a_narrow_limit_is_given_by_who_holds_it() -> None:
    fleet = short_fleet(limits={"per_repository": 1})
    scope = {"repository": "/srv/a"}
    other = command(fleet, 10, "low", scope={"repository": "/srv/b"})
    lower = command(fleet, 100, scope=scope)
    fleet.admit()
    critical = command(fleet, 100, "critical", scope=scope)
    fleet.admit()
    assert [status(fleet, task) for task in (other, lower, critical)] == [
        "approved",
        "queued",
        "approved",
    ]


def test_a_worker_gives_way_once_in_its_life() -> None:
    fleet = short_fleet()
    lower = command(fleet, 60_000)
    fleet.admit()
    first = command(fleet, 8_000, "critical")
    fleet.admit()
    fleet.finish(first.workers[0])
    fleet.admit()
    assert status(fleet, lower) == "approved", "its turn has come again"
    second = command(fleet, 8_000, "critical")
    fleet.admit()
    assert status(fleet, lower) == "approved"
    assert fleet.state.workers[second.workers[0]].fund == "reserve"


def test_who_gave_way_keeps_its_age_and_says_to_whom() -> None:
    fleet = short_fleet()
    lower = command(fleet, 60_000)
    fleet.admit()
    queued_wall = fleet.state.workers[lower.workers[0]].queued_wall
    fleet.wall += 100
    critical = command(fleet, 65_000, "critical")
    fleet.admit()
    worker = fleet.state.workers[lower.workers[0]]
    assert worker.queued_wall == queued_wall
    assert worker.attempt == 1
    assert fleet.state.lineages[lower.id][0] == 1, "it is the same attempt"
    assert "needs 60000 tokens" in waiting_reason(fleet.state, worker)
    assert critical.workers[0] in worker.preempted_by
    fleet.finish(critical.workers[0])
    fleet.admit()
    fleet.finish(lower.workers[0])
    assert worker.status == "completed"


def test_replay_gives_the_same_state_after_somebody_gave_way() -> None:
    fleet = short_fleet(limits={"tools": 1})
    command(fleet, 60_000)
    fleet.admit()
    command(fleet, 8_000, "critical")
    fleet.admit()
    assert fleet.replayed().to_json() == fleet.state.to_json()
