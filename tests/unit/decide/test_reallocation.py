"""Tokens of idle masters that move to the share of one that is short (B4), clause by clause."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from cortex.decide import budget
from cortex.decide.entry import Entry
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, settings

FULL = {"command": "true", "token_budget": 65_000, "type": "fix"}


def full(**changed: Any) -> Fleet:
    """Development holds the whole pool; coordinator and security are idle."""
    fleet = Fleet(settings(budget=changed) if changed else None)
    held = fleet.dropped(**FULL)
    fleet.admit()
    fleet.run(fleet.state.workers[held.workers[0]])
    return fleet


def short(fleet: Fleet, tokens: int, **fields: Any) -> Task:
    task = fleet.dropped(**{**FULL, "token_budget": tokens, **fields})
    fleet.admit()
    return task


def allocated(fleet: Fleet) -> dict[str, int]:
    return {name: fund.allocated for name, fund in fleet.state.budget.masters.items()}


def granted(fleet: Fleet, task: Task) -> bool:
    return bool(fleet.workers_of(task, "approved"))


def lines_run(open_tasks: int) -> int:
    """How many lines of Python admission takes for one worker that nobody's tokens can help."""
    fleet = full()
    fleet.drop(*({"command": "true", "hold": True} for _ in range(open_tasks)))
    task = fleet.dropped(**{**FULL, "token_budget": 60_000})
    count = 0

    def counted(_frame: FrameType, event: str, _what: object) -> Any:
        nonlocal count
        count += event == "line"
        return counted

    before = sys.gettrace()
    sys.settrace(counted)
    try:
        fleet.admit_one()
    finally:
        sys.settrace(before)
    assert fleet.workers_of(task, "queued")
    return count


def test_open_tasks_are_not_gone_through_where_no_master_could_give_enough() -> None:
    fleet_of_few, fleet_of_many = lines_run(10), lines_run(500)
    assert fleet_of_many < fleet_of_few + 300


def test_the_idle_master_with_most_free_gives_a_tenth_of_what_it_is_configured_to_have() -> None:
    fleet = full()
    total = fleet.state.budget.total
    assert granted(fleet, short(fleet, 5_000))
    assert allocated(fleet) == {"coordinator": 45_000, "development": 30_000, "security": 30_000}
    assert fleet.state.budget.masters["development"].share == 25_000
    assert (fleet.state.budget.total, fleet.state.budget.pool_total) == (total, 70_000)


def test_what_is_left_counts_and_not_what_was_configured() -> None:
    fleet = full()
    own = fleet.dropped(command="true", execution_mode="direct", token_budget=25_000)
    fleet.admit()
    fleet.run_through(own)
    fleet.state.budget.masters["coordinator"].used = 25_000
    assert granted(fleet, short(fleet, 3_000))
    assert allocated(fleet)["security"] == 27_000, "30,000 free against 25,000"


def test_a_master_with_open_work_gives_nothing() -> None:
    fleet = full()
    for kind, master in (("command", "coordinator-master"), ("audit", "security-master")):
        open_one = fleet.dropped(command="true", token_budget=0, type=kind)
        assert open_one.assigned_to == master
    assert not granted(fleet, short(fleet, 3_000))
    assert fleet.state.budget.moved_steps == 0


def test_nothing_moves_that_is_not_enough() -> None:
    fleet = full()
    assert not granted(fleet, short(fleet, 5_001))
    assert fleet.state.budget.moved_steps == 0


def test_several_steps_move_together_where_they_are_allowed_and_enough() -> None:
    fleet = full(reallocate_steps=3)
    task = short(fleet, 14_000)
    assert granted(fleet, task)
    moved = [e["tokens"] for e in fleet.lines[-1].events if e["event"] == "tokens_reallocated"]
    assert moved == [5_000, 5_000, 5_000]
    assert fleet.state.budget.moved_steps == 3
    assert not granted(fleet, short(fleet, 3_000)), "no step is left, and 1,000 are free"


def test_a_donor_keeps_half_and_the_next_one_gives() -> None:
    fleet = full(reallocate_steps=10)
    assert granted(fleet, short(fleet, 34_000))
    assert allocated(fleet) == {"coordinator": 25_000, "development": 30_000, "security": 21_000}


@pytest.mark.parametrize("configured", [9, 10, 11, 19, 70, 101, 29_999])
def test_steps_are_whole_tokens_and_half_is_never_undercut(configured: int) -> None:
    fleet = full(reallocate_steps=10)
    fund = fleet.state.budget.masters["coordinator"]
    fund.allocated = fund.configured = configured
    fleet.state.budget.masters["security"].reserved = 1
    events = budget.reallocate(fleet.state, fleet.settings, "development", 1, set())
    assert [event["tokens"] for event in events] == [configured // 10][: len(events)]
    assert len(events) == (configured >= 10)
    most = budget.reallocate(
        fleet.state, fleet.settings, "development", 5 * (configured // 10), set()
    )
    assert 2 * (configured - sum(event["tokens"] for event in most)) >= configured


def test_one_step_a_period_by_default_and_another_after_the_reset() -> None:
    fleet = full()
    assert granted(fleet, short(fleet, 5_000))
    assert not granted(fleet, short(fleet, 5_000))
    for ident in (*fleet.workers("running"), *fleet.workers("approved")):
        fleet.finish(ident)
    fleet.admit()
    fleet.wall = fleet.state.budget.resets_at
    fleet.apply(Entry("", "", budget.reset(fleet.state, fleet.settings, fleet.wall, {})))
    assert fleet.state.budget.moved_steps == 0
    assert allocated(fleet)["coordinator"] == 50_000


def test_it_is_tried_before_the_reserve() -> None:
    fleet = full()
    task = short(fleet, 5_000, priority="critical")
    assert fleet.state.workers[task.workers[0]].fund == "pool"
    assert fleet.state.budget.openings == []


def test_low_priority_moves_nothing() -> None:
    fleet = full()
    short(fleet, 3_000, priority="low")
    assert fleet.state.budget.moved_steps == 0


def test_the_most_urgent_of_those_that_wait_gets_it() -> None:
    fleet = full()
    medium = fleet.dropped(**{**FULL, "token_budget": 5_000})
    high = fleet.dropped(**{**FULL, "token_budget": 5_000, "priority": "high"})
    fleet.admit()
    assert (granted(fleet, high), granted(fleet, medium)) == (True, False)
