"""How tasks that a model plans move, each edge by the cause that its table names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.model.state import Task
from cortex.testing import Behaviour
from tests.unit.decide.edges.registry import edge
from tests.unit.decide.edges.stage import Home, Stage, shipped
from tests.unit.decide.edges.task_edges import change

PLAN = {"reason": "first look", "workers": [{"name": "look", "worker_type": "coordinator"}]}


BOTH = ("planner-worker", "coordinator-worker")


def with_commands(*types: str) -> Catalog:
    """What is shipped, where workers of these types have a program that they run."""
    catalog = shipped()
    able = {name: catalog.types[name].model_copy(update={"command": "think"}) for name in types}
    return replace(catalog, types={**catalog.types, **able})


def planned(stage: Stage, *types: str, says: Any = PLAN, **sections: Any) -> tuple[Home, Task]:
    """A task that a planner is asked about, and what it will say after a while."""
    home = stage.home(with_commands(*(types or BOTH)), **sections)
    home.behave["planner-worker"] = Behaviour(run_s=5.0, says={"plan": says})
    task = home.dropped(title="Something new")
    assert task.workers[0] == "worker-planner-001"
    return home, task


@edge("task", "assigned", "planning")
@edge("task", "planning", "in_progress")
def a_model_plans_it(stage: Stage) -> None:
    home, task = planned(stage)
    home.wait(lambda: task.status == "completed")
    assert [step.name for step in task.steps] == ["look"]


@edge("task", "planning", "in_progress")
def a_model_has_no_plan_and_one_worker_does_it(stage: Stage) -> None:
    home, task = planned(stage, says="no")
    home.wait(lambda: task.status == "in_progress")
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]
    assert len(task.workers) == 3, "it was asked twice"


@edge("task", "planning", "blocked")
def a_model_has_no_plan_and_one_worker_cannot_do_it(stage: Stage) -> None:
    home, task = planned(stage, "planner-worker", says={"workers": []})
    home.wait(lambda: task.status == "blocked")
    assert "coordinator-worker needs thought" in str(task.blocked_on)


@edge("task", "planning", "awaiting_approval")
@edge("task", "awaiting_approval", "assigned")
def a_plan_waits_for_a_yes(stage: Stage) -> None:
    home, task = planned(stage, approvals={"types": ["general"]})
    home.wait(lambda: task.status == "awaiting_approval")
    home.drop(kind="approve", task_id=task.id)
    home.wait(lambda: task.status == "completed")
    assert [step.name for step in task.steps] == ["look"]
    assert len(task.workers) == 2, "the model was asked once"


@edge("task", "planning", "pending")
def it_is_changed_before_its_planner_starts(stage: Stage) -> None:
    home, task = planned(stage, says=PLAN)
    home.wait(lambda: task.status == "completed")
    home.drop(kind="pause")
    other = home.dropped(title="Another")
    assert other.status == "planning"
    change(home, other, scope={"paths": ["src"]})
    home.drop(kind="resume")
    home.wait(lambda: other.status == "completed")
    assert other.steps[0].scope == {"paths": ["src"]}
    first, second, _ = other.workers
    assert home.state.workers[first].status == "cancelled"
    assert home.state.workers[second].status == "completed"


@edge("task", "planning", "paused")
@edge("task", "paused", "planning")
def it_is_paused_and_resumed(stage: Stage) -> None:
    home, task = planned(stage)
    home.drop(kind="pause", task_id=task.id)
    home.pass_time(60.0)
    assert (task.status, task.steps) == ("paused", [])
    home.drop(kind="resume", task_id=task.id)
    home.wait(lambda: task.status == "completed")
    assert len(task.workers) == 2


@edge("task", "planning", "cancelled")
@edge("task", "cancelled", "assigned")
@edge("task", "assigned", "planning")
def it_is_cancelled_and_retried(stage: Stage) -> None:
    home, task = planned(stage)
    home.drop(kind="cancel", task_id=task.id)
    home.wait(lambda: home.worker(task).status == "cancelled")
    home.drop(kind="retry", task_id=task.id)
    assert task.status == "planning"
    home.wait(lambda: task.status == "completed")


@edge("task", "planning", "in_progress")
def the_daemon_is_killed_while_it_is_planned(stage: Stage) -> None:
    home, task = planned(stage)
    home.wait(lambda: home.worker(task).status == "running")
    home.kill()
    home.start()
    again = home.state.tasks[task.id]
    assert again.status == "planning"
    home.wait(lambda: home.state.tasks[task.id].status == "completed")
    assert len(home.state.tasks[task.id].workers) == 2, "one planner ran"


@edge("worker", "requested", "rejected")
def its_masters_own_tokens_cannot_pay_for_a_plan(stage: Stage) -> None:
    home, task = planned(stage, masters={"coordinator": {"allocated": 2000}})
    home.wait(lambda: task.status == "completed")
    planner = home.state.workers[task.workers[0]]
    assert planner.status == "rejected"
    assert planner.reason == "needs 3000 tokens of coordinator's own, 2000 are free"
