"""The budget over time: periods, resets, reallocations, totals, configuration, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.decide import budget
from cortex.decide.budget import largest_remainder, period_of
from cortex.decide.entry import Entry
from cortex.model.errors import RequestError
from cortex.model.settings import Settings
from tests.unit.decide.fleet import Fleet, settings


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def reset(fleet: Fleet, used: dict[str, int] | None = None) -> None:
    fleet.wall = fleet.state.budget.resets_at + 1
    events = budget.reset(fleet.state, fleet.settings, fleet.wall, used)
    fleet.apply(Entry("coordinator-master", "a new period", events))


def full(fleet: Fleet) -> None:
    """The pool is in use, and a master's idle tokens have moved to it."""
    fleet.dropped(command="true", token_budget=65_000)
    fleet.admit()
    fleet.dropped(type="fix", command="true", token_budget=3_000)
    fleet.admit()
    assert fleet.state.budget.moved_steps == 1


# --- periods


@pytest.mark.parametrize(
    ("changed", "now", "start", "end"),
    [
        ({}, "2025-11-01T10:00:00Z", "2025-11-01T00:00:00Z", "2025-11-02T00:00:00Z"),
        ({}, "2025-11-01T00:00:00Z", "2025-11-01T00:00:00Z", "2025-11-02T00:00:00Z"),
        (
            {"resets_at": "06:30"},
            "2025-11-01T06:29:59Z",
            "2025-10-31T06:30:00Z",
            "2025-11-01T06:30:00Z",
        ),
        (
            {"period": "weekly"},
            "2025-11-01T10:00:00Z",
            "2025-10-27T00:00:00Z",
            "2025-11-03T00:00:00Z",
        ),
        (
            {"period": "monthly"},
            "2025-12-15T10:00:00Z",
            "2025-12-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        ),
        (
            {"period": "monthly", "resets_at": "12:00"},
            "2026-01-01T11:00:00Z",
            "2025-12-01T12:00:00Z",
            "2026-01-01T12:00:00Z",
        ),
        (
            {"timezone": "Europe/Berlin"},
            "2025-11-01T23:30:00Z",
            "2025-11-01T23:00:00Z",
            "2025-11-02T23:00:00Z",
        ),
        # days of 23 and 25 hours
        (
            {"timezone": "Europe/Berlin"},
            "2025-03-30T10:00:00Z",
            "2025-03-29T23:00:00Z",
            "2025-03-30T22:00:00Z",
        ),
        (
            {"timezone": "Europe/Berlin"},
            "2025-10-26T10:00:00Z",
            "2025-10-25T22:00:00Z",
            "2025-10-26T23:00:00Z",
        ),
    ],
    ids=str,
)
def test_a_period_is_a_calendar_one_in_the_configured_zone(
    changed: dict[str, Any], now: str, start: str, end: str
) -> None:
    assert period_of(settings(budget=changed), at(now)) == (at(start), at(end))


@given(
    now=st.integers(1_704_067_200, 1_830_297_600),
    period=st.sampled_from(["daily", "weekly", "monthly"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    hour=st.sampled_from(["00:00", "01:30", "02:00", "02:30", "23:59"]),
)
def test_every_instant_lies_in_its_period_and_the_next_begins_where_it_ends(
    now: int, period: str, zone: str, hour: str
) -> None:
    policy = settings(budget={"period": period, "timezone": zone, "resets_at": hour})
    start, end = period_of(policy, now)
    assert start <= now < end
    assert period_of(policy, end)[0] == end


@given(
    weights=st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), min_size=1, max_size=6),
    total=st.integers(0, 10**9),
)
def test_parts_add_up_and_are_off_by_less_than_one(weights: dict[str, int], total: int) -> None:
    parts = largest_remainder(weights, total)
    assert sum(parts.values()) == total
    whole = sum(weights.values())
    if whole:
        assert all(abs(parts[name] - total * weights[name] / whole) < 1 for name in weights)


# --- reset


def test_live_workers_carry_over_and_are_charged_to_the_period_they_worked_in() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true", token_budget=10_000)
    fleet.admit()
    fleet.run(fleet.state.workers[task.workers[0]])
    reset(fleet, {task.workers[0]: 4_000})
    ledger = fleet.state.budget
    assert (ledger.pool_allocated, ledger.pool_spent) == (6_000, 0)
    fleet.finish(task.workers[0], 7_000)
    assert (ledger.pool_allocated, ledger.pool_spent) == (0, 3_000)


def test_a_worker_that_says_less_after_the_reset_than_before_gives_nothing_back() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true", token_budget=10_000)
    fleet.admit()
    fleet.run(fleet.state.workers[task.workers[0]])
    reset(fleet, {task.workers[0]: 4_000})
    fleet.finish(task.workers[0], 1_000)
    assert fleet.state.budget.pool_spent == 0
    assert fleet.state.budget.pool_available == 65_000


def test_a_reset_undoes_reallocations_as_far_as_held_tokens_leave_room() -> None:
    fleet = Fleet()
    full(fleet)
    reset(fleet)
    ledger = fleet.state.budget
    assert (ledger.pool_total, ledger.pool_available) == (68_000, 0), "all of it is held"
    assert (ledger.moved_steps, ledger.alerts) == (0, [])
    for ident in fleet.workers("approved"):
        fleet.finish(ident)
    reset(fleet)
    assert ledger.pool_total == 65_000
    assert {name: fund.allocated for name, fund in ledger.masters.items()} == {
        "coordinator": 50_000,
        "development": 30_000,
        "security": 30_000,
    }


def test_a_total_that_was_lowered_below_what_had_moved_survives_the_reset() -> None:
    """The pool had shrunk under what an idle master had given to it."""
    fleet = Fleet()
    full(fleet)
    for ident in fleet.workers("approved"):
        fleet.finish(ident)
    fleet.drop(kind="budget", total_budget=132_000)
    reset(fleet)
    assert fleet.state.budget.total == 132_000
    assert fleet.state.budget.pool_total == 0


def test_a_persons_total_stays_after_the_reset() -> None:
    fleet = Fleet()
    fleet.drop(kind="budget", total_budget=260_000)
    reset(fleet)
    assert (fleet.state.budget.total, fleet.state.budget.pool_total) == (260_000, 125_000)


# --- configuration


def test_a_persons_total_stays_when_a_master_comes_and_goes_until_the_settings_say_another() -> (
    None
):
    fleet = Fleet()
    fleet.drop(kind="budget", total_budget=220_000)
    more = {**funds(fleet), "pilot": (1_000, 1_000)}
    fleet.apply(Entry("d", "", budget.configure(fleet.state, fleet.settings, more, fleet.wall)))
    books = fleet.state.budget
    assert (books.total, books.pool_total) == (220_000, 84_000)
    new = settings(budget={"total": 210_000})
    fleet.apply(Entry("d", "", budget.configure(fleet.state, new, more, fleet.wall)))
    assert books.total == 210_000


def funds(fleet: Fleet) -> dict[str, tuple[int, int]]:
    return {
        name: (fund.configured, fund.configured_share)
        for name, fund in fleet.state.budget.masters.items()
    }


def test_what_is_configured_already_is_no_event() -> None:
    fleet = Fleet()
    given_funds = {"coordinator": (50_000, 30_000), "development": (30_000, 20_000)}
    given_funds["security"] = (30_000, 15_000)
    assert budget.configure(fleet.state, fleet.settings, given_funds, fleet.wall) == []


def test_a_new_pool_is_shared_out_by_the_masters_weights() -> None:
    fleet = Fleet()
    new = settings(budget={"total": 265_000})
    fleet.apply(Entry("person", "", budget.configure(fleet.state, new, funds(fleet), fleet.wall)))
    shares = {name: fund.share for name, fund in fleet.state.budget.masters.items()}
    assert shares == {"coordinator": 60_000, "development": 40_000, "security": 30_000}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"total": 140_000}, "budget.total"),
        ({"total": 100}, "budget.total"),
        ({"emergency_reserve": 2_000}, "budget.emergency_reserve"),
    ],
)
def test_settings_below_what_work_already_holds_are_refused_by_name(
    changed: dict[str, Any], field: str
) -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    held = fleet.dropped(command="true", token_budget=60_000)
    fleet.admit()
    fleet.run(fleet.state.workers[held.workers[0]])
    fleet.dropped(command="true", priority="critical", token_budget=8_000)
    fleet.admit()
    new = Settings.model_validate({"budget": changed})
    with pytest.raises(RequestError) as refused:
        budget.configure(fleet.state, new, funds(fleet), fleet.wall)
    assert refused.value.field == field


def test_a_master_that_is_gone_must_hold_nothing() -> None:
    fleet = Fleet()
    fleet.dropped(command="true", execution_mode="direct", token_budget=60)
    fleet.admit()
    left = {name: pair for name, pair in funds(fleet).items() if name != "coordinator"}
    with pytest.raises(RequestError) as refused:
        budget.configure(fleet.state, fleet.settings, left, fleet.wall)
    assert refused.value.field == "masters.coordinator.allocated"
