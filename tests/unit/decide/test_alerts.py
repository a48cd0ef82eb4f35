"""What people are told of the funds, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide import budget
from cortex.decide.alerts import next_alert
from cortex.decide.entry import Entry
from cortex.model.state import Escalation, State
from tests.unit.decide.fleet import Fleet, settings


def told(fleet: Fleet) -> list[str]:
    """What is told now, down to the last of it; what is over is closed."""
    found = []
    while (due := next_alert(fleet.state, fleet.settings, fleet.now)) is not None:
        fleet.apply(due)
        found += [event["alert"] for event in due.events if event["event"] == "alert_raised"]
    return found


def reset(fleet: Fleet) -> None:
    fleet.wall = fleet.state.budget.resets_at + 1
    fleet.apply(Entry("", "", budget.reset(fleet.state, fleet.settings, fleet.wall, {})))


def holds(fleet: Fleet, tokens: int, **fields: Any) -> str:
    """A worker that holds so many tokens."""
    task = fleet.dropped(command="true", token_budget=tokens, **fields)
    fleet.admit()
    (worker,) = task.workers
    assert fleet.state.workers[worker].status == "approved"
    return worker


def escalated(fleet: Fleet) -> list[Escalation]:
    return [one for one in fleet.state.escalations.values() if one.status == "open"]


def test_each_threshold_of_a_fund_is_told_once_a_period() -> None:
    fleet = Fleet()
    holds(fleet, 48_749)
    assert told(fleet) == []
    holds(fleet, 1)
    assert told(fleet) == ["pool:alert"]
    assert told(fleet) == []
    holds(fleet, 15_000)
    assert told(fleet) == ["pool:escalation", "pool:reserve_next"]
    for ident in fleet.workers("approved"):
        fleet.finish(ident)
    reset(fleet)
    assert told(fleet) == []
    holds(fleet, 60_000)
    assert told(fleet) == ["pool:alert", "pool:escalation", "pool:reserve_next"]


def test_a_full_pool_is_escalated_until_it_is_no_longer() -> None:
    fleet = Fleet()
    worker = holds(fleet, 60_000)
    assert told(fleet) == ["pool:alert", "pool:escalation", "pool:reserve_next"]
    (open_one,) = escalated(fleet)
    assert open_one.subject == "the worker pool is nearly used up"
    assert open_one.reason.startswith("60,000 of the worker pool's 65,000 tokens are held or spent")
    fleet.finish(worker, 100)
    assert told(fleet) == []
    assert (open_one.status, escalated(fleet)) == ("closed", [])
    holds(fleet, 60_000)
    assert told(fleet) == [], "once in a period"
    assert escalated(fleet) == []


def test_a_reset_closes_what_was_escalated_and_tells_the_new_period_anew() -> None:
    fleet = Fleet()
    fleet.finish(holds(fleet, 60_000), 60_000)
    told(fleet)
    assert escalated(fleet)
    reset(fleet)
    assert told(fleet) == []
    assert escalated(fleet) == []
    holds(fleet, 60_000)
    assert "pool:escalation" in told(fleet)
    assert len(fleet.state.escalations) == 2


def test_what_a_person_has_seen_is_not_raised_again() -> None:
    fleet = Fleet()
    holds(fleet, 60_000)
    told(fleet)
    (open_one,) = escalated(fleet)
    fleet.drop(kind="approve", escalation_id=open_one.id)
    assert told(fleet) == []
    assert escalated(fleet) == []


def test_a_raised_total_is_told_of_anew_and_a_lowered_one_is_not() -> None:
    fleet = Fleet()
    holds(fleet, 60_000)
    told(fleet)
    fleet.drop(kind="budget", total_budget=260_000)
    assert told(fleet) == []
    assert (fleet.state.budget.alerts, escalated(fleet)) == ([], [])
    holds(fleet, 60_000)
    assert told(fleet) == ["pool:alert", "pool:escalation", "pool:reserve_next"]
    fleet.drop(kind="budget", total_budget=256_000)
    assert told(fleet) == []


def test_of_a_raised_fund_that_is_full_again_at_once_one_escalation_is_open() -> None:
    fleet = Fleet()
    holds(fleet, 60_000)
    told(fleet)
    (before,) = escalated(fleet)
    fleet.drop(kind="budget", total_budget=220_000)
    holds(fleet, 24_000)
    told(fleet)
    (after,) = escalated(fleet)
    assert before.status == "closed"
    assert after.reason.startswith("84,000 of the worker pool's 85,000 tokens")


def test_tokens_that_move_by_themselves_tell_nothing_anew() -> None:
    fleet = Fleet()
    holds(fleet, 64_000)
    told(fleet)
    holds(fleet, 3_000, type="fix")
    assert fleet.state.budget.moved_steps == 1
    assert told(fleet) == []


def test_a_masters_own_fund_is_told_of_too() -> None:
    fleet = Fleet()
    worker = holds(fleet, 45_000, execution_mode="direct")
    assert told(fleet) == ["master:coordinator:alert", "master:coordinator:escalation"]
    (open_one,) = escalated(fleet)
    assert open_one.subject == "the coordinator master is nearly used up"
    fleet.finish(worker, 40_000)
    assert told(fleet) == []
    assert escalated(fleet) == []


def test_the_reserve_is_told_of_too() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    fleet.run(fleet.state.workers[holds(fleet, 65_000)])
    told(fleet)
    holds(fleet, 19_000, priority="critical")
    assert told(fleet) == ["reserve:alert"]


@pytest.mark.parametrize(("reserve", "expected"), [(25_000, ["pool:reserve_next"]), (0, [])])
def test_people_hear_that_the_reserve_is_next_at_its_threshold(
    reserve: int, expected: list[str]
) -> None:
    fleet = Fleet(
        settings(budget={"trigger_threshold": 0.5, "total": 200_000, "emergency_reserve": reserve})
    )
    holds(fleet, fleet.state.budget.pool_total // 2 - 1)
    assert told(fleet) == []
    holds(fleet, 2)
    assert told(fleet) == expected
    assert told(fleet) == []


def test_what_was_told_is_not_told_again_after_a_restart() -> None:
    fleet = Fleet()
    holds(fleet, 60_000)
    told(fleet)
    for again in (State.from_json(fleet.state.to_json()), fleet.replayed()):
        assert next_alert(again, fleet.settings, fleet.now) is None
