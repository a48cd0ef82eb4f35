"""One ceiling for a task and all that comes of it."""

from __future__ import annotations

from typing import Any

from cortex.decide.accept import accept_all
from cortex.decide.entry import Entry
from cortex.model.requests import parse_request
from cortex.model.settings import Settings
from cortex.model.state import State, Task
from tests.unit.deciding import World

STEP = {"name": "fix", "worker_type": "fix-worker", "token_budget": 100, "runtime": "agent"}


def world_with(**limits: Any) -> World:
    return World(Settings.model_validate({"limits": limits, "workers": {"backoff": 0}}))


def fails(world: World, task: Task, used: int = 10) -> None:
    world.admit()
    world.end(task.workers[-1], used, code=1)
    world.reconcile()


def yes(world: World, task: Task) -> None:
    request = parse_request({"kind": "approve", "task_id": task.id})
    world.apply(accept_all(world.state, [request], "x.json", world.now, {}))
    world.reconcile()


def test_retries_stop_at_the_ceiling_until_a_person_says_yes() -> None:
    world = world_with(attempts_per_lineage=2)
    task = world.task(plan=[STEP], retries=9)
    fails(world, task)
    assert task.status == "in_progress"
    fails(world, task)
    assert task.status == "awaiting_approval"
    (asked,) = world.state.approvals.values()
    assert asked.reason == "it has had 2 attempts; limits.attempts_per_lineage is 2"
    yes(world, task)
    for _ in range(3):
        fails(world, task)
    assert len(task.workers) == 6
    assert len(world.state.approvals) == 1


def test_what_came_of_a_task_counts_with_it() -> None:
    world = world_with(tokens_per_lineage=150)
    first = world.task(plan=[STEP], retries=1)
    fails(world, first, 100)
    fails(world, first, 60)
    child = world.task(id="child", plan=[STEP], root=first.id, caused_by=first.id)
    assert child.status == "awaiting_approval"
    (asked,) = world.state.approvals.values()
    assert asked.reason.startswith("task-001 and what came of it have used 160 tokens")
    assert world.task(plan=[STEP]).status == "in_progress"
    yes(world, child)
    assert child.status == "in_progress"


def test_a_rejected_worker_was_no_attempt() -> None:
    world = world_with(attempts_per_lineage=1)
    world.state.budget.pool_spent = world.state.budget.pool_total
    task = world.task(plan=[STEP], priority="low")
    world.admit()
    assert world.workers("rejected") == [task.workers[0]]
    assert world.state.lineages["task-001"] == [0, 0, 1]


def test_a_line_is_forgotten_with_its_last_task_and_kept_over_a_restart() -> None:
    world = World()
    task = world.task(plan=[STEP], retries=0)
    fails(world, task, 40)
    assert State.from_json(world.state.to_json()).lineages == {"task-001": [1, 40, 1]}
    task.status = "failed"
    gone = {"event": "archived", "tasks": [task.id], "workers": list(task.workers)}
    world.apply(Entry("test", "", [gone]))
    assert world.state.lineages == {}
