"""How tasks move, each edge by the cause that its table names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortex.model.state import Task
from cortex.testing import Behaviour
from tests.unit.decide.edges.registry import edge
from tests.unit.decide.edges.stage import Home, Stage, shipped

NOT_RUN = Behaviour(
    end="failed", says={"outcome": "not_run", "missing": ["an environment"], "permanent": True}
)
PLAN = [{"name": "build", "command": "make"}, {"name": "push", "command": "make push"}]
PLAN_THAT_ASKS = [PLAN[0], {**PLAN[1], "needs": ["build"], "approval": True}]


def row_of(content: dict[str, Any], task: Task) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in content["tasks"] if row["id"] == task.id)
    return row


def change(home: Home, task: Task, **fields: Any) -> None:
    """Somebody changes a task's row in task-queue.json."""
    home.edit("task-queue.json", lambda content: row_of(content, task).update(fields))


def cannot_run(home: Home) -> Task:
    """A task that is blocked: nothing here can do it."""
    task = home.dropped(type="scan", scope={"repository": "/srv/a"})
    assert task.status == "blocked"
    return task


# --- routed and planned


@edge("task", "pending", "assigned")
@edge("task", "assigned", "in_progress")
@edge("task", "in_progress", "aggregating")
@edge("task", "aggregating", "completed")
def a_command_runs_through(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    assert task.assigned_to == "coordinator-master"
    home.wait(lambda: task.status == "completed")


@edge("task", "pending", "blocked")
def its_master_is_switched_off(stage: Stage) -> None:
    home = stage.home(masters={"security": {"enabled": False}})
    task = home.dropped(type="scan", scope={"repository": "/srv/a"})
    assert task.blocked_on is not None
    assert "masters.security.enabled in cortex.toml" in task.blocked_on


@edge("task", "assigned", "blocked")
@edge("task", "blocked", "pending")
def a_runtime_is_missing_and_then_configured(stage: Stage) -> None:
    home = stage.home(shipped("tools"))
    task = cannot_run(home)
    assert task.assigned_to == "security-master"
    home.configure(shipped())
    assert task.status == "in_progress"
    assert task.blocked_on is None


@edge("task", "in_progress", "blocked")
@edge("task", "blocked", "pending")
def a_worker_lacks_something_and_a_person_says_where_it_is(stage: Stage) -> None:
    home = stage.home()
    home.default = NOT_RUN
    task = home.dropped(command="make test")
    home.wait(lambda: task.status == "blocked")
    assert task.blocked_on == "step main lacks an environment"
    home.pass_time(3600.0)
    assert (task.status, len(task.workers)) == ("blocked", 1), "nothing changed, nothing is tried"
    home.default = Behaviour()
    change(home, task, scope={"python": "/srv/venv/bin/python"})
    home.wait(lambda: task.status == "completed")
    assert [home.state.workers[ident].attempt for ident in task.workers] == [1, 1]


@edge("task", "blocked", "pending")
def a_worker_lacked_something_and_a_person_retries(stage: Stage) -> None:
    home = stage.home()
    home.default = NOT_RUN
    task = home.dropped(command="make")
    home.wait(lambda: task.status == "blocked")
    home.drop(kind="retry", task_id=task.id)
    home.wait(lambda: task.status == "blocked" and len(task.workers) == 2)
    home.default = Behaviour()
    home.drop(kind="retry", task_id=task.id)
    home.wait(lambda: task.status == "completed")
    assert (task.run, task.step("main").attempt) == (1, 0)


@edge("task", "blocked", "pending")
def a_worker_lacked_something_and_its_types_file_says_where_it_is(stage: Stage) -> None:
    home = stage.home()
    home.default = NOT_RUN
    task = home.dropped(command="make test")
    home.wait(lambda: task.status == "blocked")
    home.default = Behaviour()
    kind = home.catalog.types["command-worker"]
    says = kind.model_copy(update={"timeout": kind.timeout + 1})
    home.configure(replace(home.catalog, types={**home.catalog.types, kind.name: says}))
    home.wait(lambda: task.status == "completed")


@edge("task", "aggregating", "failed")
@edge("task", "failed", "assigned")
def a_step_fails_and_a_person_retries(stage: Stage) -> None:
    home = stage.home(workers={"retries": 0})
    home.default = Behaviour(end="exit 1")
    task = home.dropped(command="false")
    home.wait(lambda: task.status == "failed")
    home.drop(kind="retry", task_id=task.id)
    assert (task.run, task.status) == (2, "in_progress")


# --- a person's yes or no


@edge("task", "assigned", "awaiting_approval")
@edge("task", "awaiting_approval", "assigned")
def the_whole_waits_for_a_yes(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    assert task.status == "awaiting_approval"
    home.drop(kind="approve", task_id=task.id)
    assert task.status == "in_progress"


@edge("task", "in_progress", "awaiting_approval")
@edge("task", "awaiting_approval", "in_progress")
def a_step_waits_for_a_yes(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(title="p", workers=PLAN_THAT_ASKS)
    home.wait(lambda: task.status == "awaiting_approval")
    home.drop(kind="approve", task_id=task.id)
    assert task.step("push").status == "active"


@edge("task", "in_progress", "awaiting_approval")
def branches_conflict_and_nobody_could_join_them(stage: Stage) -> None:
    home = stage.home()
    said = {"status": "failed", "outcome": "conflict", "conflicts": ["a.py"]}
    home.default = Behaviour(end="failed", says=said)
    task = home.dropped(title="p", workers=[{"name": "join", "command": "git merge"}])
    home.wait(lambda: task.status == "awaiting_approval")
    (approval,) = home.state.approvals.values()
    assert "a.py" in approval.reason


@edge("task", "awaiting_approval", "assigned")
def nobody_answers_until_it_is_escalated(stage: Stage) -> None:
    home = stage.home(approvals={"deadline": "1h"})
    task = home.dropped(command="true", approval=True)
    home.wait(lambda: len(home.state.escalations) == 1, 3700.0)
    home.pass_time(7200.0)
    (escalation,) = home.state.escalations.values()
    assert (task.status, escalation.status) == ("awaiting_approval", "open")
    home.drop(kind="approve", task_id=task.id)
    assert (task.status, escalation.status) == ("in_progress", "closed")


@edge("task", "awaiting_approval", "cancelled")
def a_person_says_no(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    home.drop(kind="deny", task_id=task.id, reason="too dear")
    assert task.reason == "approval-001 was denied: too dear"


@edge("task", "awaiting_approval", "cancelled")
def a_person_cancels_instead_of_answering(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    home.drop(kind="cancel", task_id=task.id)
    assert home.state.approvals["approval-001"].status == "withdrawn"


@edge("task", "awaiting_approval", "pending")
def a_task_is_changed_before_the_answer(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    change(home, task, command="make")
    assert task.command == "make"
    home.wait(lambda: task.status == "awaiting_approval")  # the changed one is asked for too
    states = {one.id: one.status for one in home.state.approvals.values()}
    assert states == {"approval-001": "withdrawn", "approval-002": "pending"}
    home.drop(kind="approve", task_id=task.id)
    assert task.status == "in_progress"


# --- changed before it starts


@edge("task", "in_progress", "pending")
def a_task_is_changed_before_its_worker_starts(stage: Stage) -> None:
    home = stage.home()
    home.drop(kind="pause")
    task = home.dropped(command="true")
    change(home, task, command="make")
    assert [home.state.workers[ident].status for ident in task.workers] == [
        "cancelled",
        "requested",
    ]


@edge("task", "assigned", "pending")
def a_task_is_retried_and_changed_at_once(stage: Stage) -> None:
    home = stage.home()
    home.drop(kind="pause")
    task = home.dropped(command="true")
    home.drop(kind="cancel", task_id=task.id)
    change(home, task, status="pending", command="make")
    assert (task.status, task.run, task.command) == ("in_progress", 2, "make")


# --- held


@edge("task", "pending", "paused")
@edge("task", "paused", "pending")
def a_held_task_is_paused(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", hold=True)
    home.drop(kind="pause", task_id=task.id)
    home.drop(kind="resume", task_id=task.id)
    assert task.status == "pending"


@edge("task", "blocked", "paused")
@edge("task", "paused", "blocked")
def a_blocked_task_is_paused(stage: Stage) -> None:
    home = stage.home(shipped("tools"))
    task = cannot_run(home)
    home.drop(kind="pause", task_id=task.id)
    home.drop(kind="resume", task_id=task.id)
    assert task.status == "blocked"


@edge("task", "awaiting_approval", "paused")
@edge("task", "paused", "awaiting_approval")
def a_task_is_paused_that_waits_for_a_yes(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    home.drop(kind="pause", task_id=task.id)
    home.drop(kind="resume", task_id=task.id)
    assert task.status == "awaiting_approval"


@edge("task", "paused", "assigned")
def a_paused_task_is_approved(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    home.drop(kind="pause", task_id=task.id)
    home.drop(kind="approve", task_id=task.id)
    assert task.status == "paused"
    home.drop(kind="resume", task_id=task.id)
    assert task.status == "in_progress"


@edge("task", "assigned", "paused")
def a_task_is_retried_and_held_at_once(stage: Stage) -> None:
    home = stage.home()
    home.drop(kind="pause")
    task = home.dropped(command="true")
    home.drop(kind="cancel", task_id=task.id)
    change(home, task, status="pending", hold=True)
    assert task.status == "paused"


@edge("task", "in_progress", "paused")
@edge("task", "paused", "in_progress")
def a_running_task_is_paused(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).status == "running")
    home.drop(kind="pause", task_id=task.id)
    home.wait(lambda: home.worker(task).status == "completed")
    assert task.status == "paused"
    home.drop(kind="resume", task_id=task.id)
    assert task.status == "completed"


@edge("task", "aggregating", "paused")
@edge("task", "paused", "aggregating")
def a_task_is_paused_while_its_results_are_read(stage: Stage) -> None:
    troupe = stage.troupe()
    task = troupe.dropped(command="true")
    troupe.admit()
    troupe.finish(task.workers[0])
    troupe.drop(kind="pause", task_id=task.id)
    troupe.drop(kind="resume", task_id=task.id)
    assert task.status == "aggregating"


# --- cancelled


@edge("task", "pending", "cancelled")
@edge("task", "cancelled", "pending")
def a_held_task_is_cancelled_and_retried(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", hold=True)
    home.drop(kind="cancel", task_id=task.id)
    home.drop(kind="retry", task_id=task.id)
    assert task.status == "in_progress", "nobody holds it any more"


@edge("task", "blocked", "cancelled")
def a_blocked_task_is_cancelled(stage: Stage) -> None:
    home = stage.home(shipped("tools"))
    home.drop(kind="cancel", task_id=cannot_run(home).id)


@edge("task", "assigned", "cancelled")
def a_task_is_approved_and_cancelled_in_one_turn(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", approval=True)
    home.drop_at_once(
        {"kind": "approve", "task_id": task.id}, {"kind": "cancel", "task_id": task.id}
    )
    assert task.status == "cancelled"


@edge("task", "in_progress", "cancelled")
@edge("task", "cancelled", "assigned")
def a_running_task_is_cancelled_and_retried(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).status == "running")
    home.drop(kind="cancel", task_id=task.id)
    home.wait(lambda: home.worker(task).status == "cancelled")
    home.drop(kind="retry", task_id=task.id)
    home.wait(lambda: task.status == "completed")


@edge("task", "in_progress", "cancelled")
def a_tasks_row_is_taken_out(stage: Stage) -> None:
    home = stage.home()
    home.drop(kind="pause")
    task, _other = home.dropped(command="true"), home.dropped(command="true")
    home.edit("task-queue.json", lambda content: content["tasks"].remove(row_of(content, task)))
    assert task.status == "cancelled"


@edge("task", "aggregating", "cancelled")
def a_task_is_cancelled_while_its_results_are_read(stage: Stage) -> None:
    troupe = stage.troupe()
    task = troupe.dropped(command="true")
    troupe.admit()
    troupe.finish(task.workers[0])
    troupe.drop(kind="cancel", task_id=task.id)


@edge("task", "paused", "cancelled")
def a_paused_task_is_cancelled(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    home.drop(kind="pause", task_id=task.id)
    home.drop(kind="cancel", task_id=task.id)
