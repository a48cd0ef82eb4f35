"""How the steps of a plan move, each edge by the cause that its table names."""

from __future__ import annotations

from cortex.testing import Behaviour
from tests.unit.decide.edges.registry import edge
from tests.unit.decide.edges.stage import Stage

TWO = [{"name": "build", "command": "make"}, {"name": "push", "command": "x", "needs": ["build"]}]


@edge("step", "waiting", "ready")
@edge("step", "ready", "active")
@edge("step", "active", "done")
def steps_follow_each_other(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(title="p", workers=TWO)
    assert task.step("push").status == "waiting"
    home.wait(lambda: task.status == "completed")


@edge("step", "active", "ready")
def a_failed_attempt_is_made_again(stage: Stage) -> None:
    home = stage.home(workers={"retries": 1})
    home.default = Behaviour(end="exit 1")
    task = home.dropped(command="false")
    home.wait(lambda: task.step("main").status == "ready")
    assert task.step("main").attempt == 1


@edge("step", "active", "ready")
def low_priority_waits_for_the_reset(stage: Stage) -> None:
    home = stage.home()
    home.spend(64_000)
    task = home.dropped(command="true", token_budget=5000, priority="low")
    (step,) = task.steps
    assert (step.attempt, step.status) == (0, "ready"), "no retry is spent"
    assert step.not_before is not None


@edge("step", "active", "ready")
def branches_in_conflict_go_through_an_integration_worker(stage: Stage) -> None:
    home = stage.home()
    steps = [{"name": name, "command": "make"} for name in ("api", "web")]
    join = {"name": "join", "worker_type": "pr-worker", "command": "x", "needs": ["api", "web"]}
    said = {"status": "failed", "outcome": "conflict", "conflicts": ["a.py"]}
    home.behave["pr-worker"] = Behaviour(end="failed", says=said)
    task = home.dropped(title="p", workers=[*steps, join])
    home.wait(lambda: task.step("join").status == "ready")
    assert task.step("join").needs == ["join-integration"]


@edge("step", "active", "failed")
@edge("step", "waiting", "cancelled")
@edge("step", "failed", "waiting")
@edge("step", "cancelled", "waiting")
def a_step_fails_for_good_and_its_task_is_retried(stage: Stage) -> None:
    home = stage.home(workers={"retries": 0})
    home.default = Behaviour(end="exit 1")
    task = home.dropped(title="p", workers=TWO)
    home.wait(lambda: task.status == "failed")
    assert task.step("push").reason == "needs build, which did not succeed"
    home.drop(kind="retry", task_id=task.id)


@edge("step", "active", "cancelled")
@edge("step", "waiting", "cancelled")
def a_task_is_cancelled_with_its_steps(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(title="p", workers=TWO)
    home.drop(kind="cancel", task_id=task.id)


@edge("step", "ready", "cancelled")
def a_task_is_cancelled_between_two_attempts(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(end="exit 1")
    task = home.dropped(command="false")
    home.wait(lambda: task.step("main").status == "ready")
    home.drop(kind="cancel", task_id=task.id)
