"""One ceiling for a task and all that comes of it."""

from __future__ import annotations

from typing import Any

from cortex.decide.accept import accept_all
from cortex.decide.entry import Entry
from cortex.masters.reconcile import reconcile_task
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


def test_retries_stop_at_the_ceiling_until_a_person_says_yes_and_again_at_the_next() -> None:
    world = world_with(attempts_per_lineage=2)
    task = world.task(plan=[STEP], retries=9)
    fails(world, task)
    assert task.status == "in_progress"
    fails(world, task)
    assert task.status == "awaiting_approval"
    (asked,) = world.state.approvals.values()
    assert asked.reason == (
        "it has had 2 attempts; limits.attempts_per_lineage is 2; "
        "a yes lets it go on until 4, and asks again there"
    )
    for yeses in (1, 2, 3):
        yes(world, task)
        fails(world, task)
        assert task.status == "in_progress"
        fails(world, task)
        assert task.status == "awaiting_approval", "one yes is one more portion"
        assert len(task.workers) == 2 * (yeses + 1)
        assert len(world.state.approvals) == yeses + 1


def test_a_yes_to_one_task_of_a_line_lets_the_others_go_on_too() -> None:
    world = world_with(attempts_per_lineage=1)
    first = world.task(plan=[STEP], retries=9)
    fails(world, first)
    assert first.status == "awaiting_approval"
    yes(world, first)
    assert first.status == "in_progress"
    assert State.from_json(world.state.to_json()).lineages == {first.id: [2, 10, 1, 2, 0]}
    child = world.task(id="child", plan=[STEP], root=first.id, caused_by=first.id)
    assert child.status == "awaiting_approval", "that one attempt is spent"
    yes(world, child)
    assert child.status == "in_progress"


def test_a_yes_after_the_limit_was_lowered_still_gives_a_whole_portion() -> None:
    world = world_with()
    task = world.task(plan=[STEP], retries=20)
    for _ in range(7):
        fails(world, task)
    world.settings = world_with(attempts_per_lineage=3).settings
    fails(world, task)
    assert task.status == "awaiting_approval"
    yes(world, task)
    fails(world, task)
    fails(world, task)
    assert task.status == "in_progress"
    fails(world, task)
    assert task.status == "awaiting_approval"


def test_a_yes_of_an_older_journal_counts_as_one_portion() -> None:
    world = world_with(attempts_per_lineage=2)
    task = world.task(plan=[STEP], retries=9)
    fails(world, task)
    fails(world, task)
    (asked,) = world.state.approvals.values()
    asked.lifts = {}  # as a version wrote it whose yes had no end
    yes(world, task)
    fails(world, task)
    assert task.status == "in_progress"
    fails(world, task)
    assert task.status == "awaiting_approval"


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


def wide(world: World, count: int, **fields: Any) -> Task:
    return world.task(plan=[{**STEP, "name": f"s{n}"} for n in range(count)], **fields)


def test_a_plan_that_is_wider_than_the_attempts_left_starts_as_many_and_asks() -> None:
    world = world_with(attempts_per_lineage=5)
    task = wide(world, 12)
    assert len(task.workers) == 5
    assert task.status == "awaiting_approval"
    yes(world, task)
    assert len(task.workers) == 10
    assert task.status == "awaiting_approval"


def test_a_plan_that_may_use_more_than_the_tokens_left_starts_what_fits_and_then_the_rest() -> None:
    world = world_with(tokens_per_lineage=250)
    task = wide(world, 6)
    world.admit()
    assert len(task.workers) == 3, "the third begins below the ceiling"
    assert task.status == "in_progress"
    assert (
        task.waiting_for
        == "what runs of its line may use what limits.tokens_per_lineage (250) leaves"
    )
    for ident in list(task.workers):
        world.end(ident, 30)
    world.reconcile()
    world.admit()
    assert len(task.workers) == 5, "90 are used, and two more may use 100 each"
    for ident in task.workers[3:]:
        world.end(ident, 100)
    world.reconcile()
    assert task.status == "awaiting_approval"
    (asked,) = world.state.approvals.values()
    assert asked.reason.startswith("it has used 290 tokens")


def test_a_step_that_cannot_start_takes_no_room_of_others_below_the_ceiling() -> None:
    world = world_with(attempts_per_lineage=2)
    later = [{**STEP, "name": name, "needs": ["fix"]} for name in ("gone", "there")]
    task = world.task(plan=[STEP, *later])
    task.step("gone").worker_type = "gone-worker"
    world.admit()
    world.end(task.workers[0], 1)
    world.reconcile()
    assert [world.state.workers[ident].step for ident in task.workers] == ["fix", "there"]


def test_workers_of_other_tasks_of_a_line_hold_its_tokens_and_tools_are_not_held() -> None:
    world = world_with(tokens_per_lineage=100)
    first = world.task(plan=[STEP])
    tool = {"name": "look", "worker_type": "analysis-worker", "runtime": "tools"}
    child = world.task(id="child", plan=[STEP, tool], root=first.id, caused_by=first.id)
    world.admit()
    assert [world.state.workers[ident].step for ident in child.workers] == ["look"]
    decision = reconcile_task(world.state, child, world.catalog, world.settings, world.now)
    assert decision.again_in_s is not None
    world.end(first.workers[0], 20)
    world.state.touched["task", child.id] = None
    world.reconcile()
    assert len(child.workers) == 2
    assert child.waiting_for is None


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
