"""How often a model is asked for a plan at most, and what a plan of it may cost at most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.decide.entry import Entry
from cortex.decide.planning import plan_context
from cortex.masters.reconcile import reconcile_task
from cortex.model.settings import Settings
from cortex.model.state import PLANNER, Task
from tests.unit.decide.test_planning import (
    SCOPE,
    WITHOUT_AGENT,
    catalog_of,
    changed,
    feature,
    propose,
    step,
    world_of,
)
from tests.unit.deciding import World

CONFLICT = {"status": "failed", "outcome": "conflict", "error": "x"}


def at_most(attempts: int, **more: Any) -> World:
    """A world whose lines may have so many attempts."""
    limits = {"attempts_per_lineage": attempts}
    return World(Settings.model_validate({"limits": limits}), **{"catalog": catalog_of(), **more})


def fail_until_given_up(world: World, task: Task, results: dict[str, Any] | None) -> int:
    """Lets every planner of the task fail; how many were asked for."""
    for hour in range(1, 11):
        live = [ident for ident in task.workers if ident in world.state.live]
        if task.status != "planning" or not live:
            break
        world.end(live[0], 0, results=results, code=1 if results is None else 0)
        world.at(hour)
        world.reconcile()
        world.admit()
    return sum(one.step == PLANNER for one in world.state.workers.values())


def test_at_the_ceiling_of_its_line_a_task_that_only_a_planner_could_do_stays_blocked() -> None:
    catalog = replace(catalog_of(), runtimes=WITHOUT_AGENT)
    catalog = changed(catalog, "types", "planner-worker", command=["plan"])
    world = at_most(1, catalog=catalog)
    root = world.task(command=["true"])
    child = Task("task-050", "x", "feature", "medium", world.now.at, scope=SCOPE, root=root.id)
    world.apply(Entry("test", "", [{"event": "task_accepted", "task": child.to_json()}]))
    task = world.state.tasks[child.id]
    for _ in range(5):
        found = reconcile_task(world.state, task, world.catalog, world.settings, world.now)
        if found.entry is not None:
            world.apply(found.entry)
    assert found.entry is None, "it does not go round and round"
    assert task.status == "blocked"
    assert "needs thought" in str(task.blocked_on)


def test_a_planner_that_says_it_met_a_conflict_has_failed_like_any_other() -> None:
    world = world_of()
    task = feature(world)
    assert fail_until_given_up(world, task, CONFLICT) == 2, "its type has one retry"
    assert task.status == "in_progress"
    assert [one.worker_type for one in task.steps] == ["coordinator-worker"]


def test_no_further_planner_is_asked_past_the_ceiling_of_the_line() -> None:
    world = at_most(1)
    task = feature(world)
    assert fail_until_given_up(world, task, None) == 1
    assert task.planning is not None
    assert "it has had 1 attempts" in str(task.planning.given_up)
    assert task.status == "awaiting_approval", "one worker for the whole waits for a yes"


def test_a_planner_that_was_asked_too_often_already_is_asked_no_more() -> None:
    world = world_of()
    task = feature(world)
    assert task.planning is not None
    task.planning.step.attempt = 60
    propose(world, task, {"workers": []})
    assert task.planning.given_up
    assert [one.worker_type for one in task.steps] == ["coordinator-worker"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (step(token_budget=2_001), "token_budget: 2001 is more than the 2000 that its task says"),
        (step(timeout="61s"), "timeout: 61 s is more than the 60 s that its task says"),
    ],
)
def test_a_plan_may_not_exceed_what_the_task_says_for_a_worker(
    row: dict[str, Any], reason: str
) -> None:
    world = world_of()
    task = feature(world, token_budget=2_000, timeout_s=60.0)
    propose(world, task, {"workers": [row]})
    assert task.planning is not None
    assert reason in task.planning.refused[0]


def test_a_plans_steps_have_the_tokens_and_time_that_the_task_says_unless_they_ask_for_less() -> (
    None
):
    world = world_of()
    task = feature(world, token_budget=2_000, timeout_s=60.0)
    less = {**step(token_budget=500, timeout="10s"), "name": "b"}
    propose(world, task, {"workers": [step(), less]})
    assert [(one.token_budget, one.timeout_s) for one in task.steps] == [(2_000, 60), (500, 10)]


def test_a_task_that_says_more_than_a_type_lets_its_plan_have_it() -> None:
    world = world_of()
    task = feature(world, token_budget=20_000, timeout_s=7_200.0)
    propose(world, task, {"workers": [step(token_budget=20_000, timeout="2h")]})
    assert [(one.token_budget, one.timeout_s) for one in task.steps] == [(20_000, 7_200)]


def test_the_planner_is_told_the_most_that_its_steps_may_have() -> None:
    world = world_of()
    task = feature(world, token_budget=2_000, timeout_s=60.0)
    rows = plan_context(task, world.catalog, world.settings)["plan"]["worker_types"]
    assert {(row["token_budget"], row["timeout"]) for row in rows} == {(2_000, "1m")}
