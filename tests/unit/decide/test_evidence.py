"""What the past says of a worker's tokens, and what is told when a type goes wrong."""

from __future__ import annotations

from typing import Any

from cortex.decide.evidence import estimate
from cortex.model.settings import Settings
from cortex.model.state import State
from tests.unit.deciding import World


def ran(world: World, used: int, **observed: Any) -> list[dict[str, Any]]:
    """One agent works on a repository and ends; the events of its last line."""
    task = world.task(
        type="fix",
        scope={"repository": "/r"},
        assigned_to="development-master",
        retries=0,
        plan=[{"name": "fix", "worker_type": "fix-worker", "runtime": "agent"}],
    )
    world.admit()
    world.end(task.workers[-1], used, **observed)
    return world.lines[-1].events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_an_estimate_needs_five_samples_and_is_never_above_the_budget() -> None:
    world = World()
    for used in (100, 200, 300, 400):
        ran(world, used)
    assert estimate(world.state, "fix-worker", "/r", 5000).samples == 0
    ran(world, 4000)
    found = estimate(world.state, "fix-worker", "/r", 5000)
    assert (found.p50, found.p90, found.samples, found.fitted) == (300, 4000, 5, 1.0)
    assert estimate(world.state, "fix-worker", "/r", 350).p90 == 350
    assert estimate(world.state, "fix-worker", "/r", 350).fitted == 0.6


def test_another_repository_is_judged_by_the_type() -> None:
    world = World()
    for used in (100, 200, 300, 400, 500):
        ran(world, used)
    assert estimate(world.state, "fix-worker", "/other", 5000).p50 == 300
    assert estimate(world.state, "test-worker", "/r", 5000).samples == 0


def test_a_plan_is_quoted_by_what_such_work_took() -> None:
    world = World()
    for used in (100, 200, 300, 400, 500):
        ran(world, used)
    task = world.task(
        type="fix", scope={"repository": "/r"}, assigned_to="development-master", runtime="agent"
    )
    assert task.quote["p50"] == 300
    assert task.quote["p90"] == 500
    assert task.quote["budget"] == 5000 + 4000, "the fix and its pull request"
    assert 0 < task.quote["share_of_left"] < 0.01


def test_what_is_learned_decides_whether_a_plan_waits_for_a_yes() -> None:
    world = World(Settings.model_validate({"approvals": {"tokens_above": 1000}}))
    plan = {"type": "fix", "scope": {"repository": "/r"}, "runtime": "agent"}
    assert world.task(**plan).status == "awaiting_approval"
    world.state.usage["fix-worker /r"] = [400] * 5
    assert world.task(**plan).status == "in_progress"


def test_usage_far_above_the_median_is_told() -> None:
    world = World()
    for _ in range(5):
        assert "usage_unusual" not in names(ran(world, 1000))
    assert "usage_unusual" not in names(ran(world, 3000))
    assert "usage_unusual" in names(ran(world, 3001))


def test_a_type_that_keeps_failing_is_told_once_and_taken_back_by_a_success() -> None:
    world = World()
    for _ in range(4):
        assert "escalation_raised" not in names(ran(world, 10, code=1))
    assert "escalation_raised" in names(ran(world, 10, code=1))
    assert "escalation_raised" not in names(ran(world, 10, code=1))
    (told,) = world.state.escalations.values()
    assert told.subject == "fix-worker keeps failing"
    assert told.reason.startswith("5 in a row")
    ran(world, 10)
    assert told.status == "closed"


def test_what_was_learned_outlives_a_restart() -> None:
    world = World()
    for used in (100, 200, 300, 400, 500):
        ran(world, used, code=1 if used > 400 else 0)
    again = State.from_json(world.state.to_json())
    assert again.usage == world.state.usage
    assert again.failing == {"fix-worker": 1}


def test_the_past_stands_beside_each_decision_about_tokens() -> None:
    world = World()
    for used in (100, 200, 300, 400, 500):
        ran(world, used)
    world.task(
        type="fix", scope={"repository": "/r"}, assigned_to="development-master", runtime="agent"
    )
    (line,) = world.admit()
    assert line.why.endswith(
        "; of 5 such, nine in ten took 500 or less, and 100% stayed within 5000"
    )
