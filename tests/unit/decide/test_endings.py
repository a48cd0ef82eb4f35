"""Cancel, retry, pause and resume: what a person's word reaches, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.model.errors import RequestError
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, finding, settings


def step(name: str, *needs: str) -> dict[str, Any]:
    return {"name": name, "command": "true", "needs": list(needs), "token_budget": 10}


def statuses(task: Task) -> dict[str, str]:
    return {step.name: step.status for step in task.steps}


def with_fixes(fleet: Fleet) -> tuple[Task, Task, list[Task]]:
    """A scan that is done, the parent of its fixes, and the fixes."""
    scan = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    fleet.admit()
    fleet.finish(scan.workers[0])
    rows = [finding("sql", "a.py"), finding("xss", "b.py", cwe="CWE-79")]
    fleet.gather(scan, *rows)
    parent = fleet.state.tasks[scan.follow_ups[0]]
    return scan, parent, [fleet.state.tasks[ident] for ident in parent.children]


# --- cancel


def test_a_cancel_ends_waiting_workers_at_once_and_running_ones_by_asking() -> None:
    fleet = Fleet(settings(limits={"tools": 2}))
    task = fleet.dropped(title="p", workers=[step("a"), step("b"), step("c"), step("d", "a")])
    fleet.admit()
    running, approved = fleet.workers("approved")
    fleet.run(fleet.state.workers[running])
    fleet.drop(kind="cancel", task_id=task.id, reason="changed my mind")
    assert (task.status, task.reason) == ("cancelled", "changed my mind")
    assert set(statuses(task).values()) == {"cancelled"}
    workers = fleet.state.workers
    assert workers[running].status == "ending"
    assert workers[approved].status == "cancelled"
    assert workers[task.workers[2]].status == "cancelled"
    assert fleet.state.budget.pool_allocated == 10, "what the running one holds"
    fleet.end(running, 3, code=None, signal=15, cause="stop")
    assert fleet.state.budget.pool_available == 64_997


def test_a_cancelled_task_is_never_started_again_by_itself() -> None:
    fleet = Fleet(settings(workers={"backoff": 0.0}))
    task = fleet.dropped(command="false")
    fleet.admit()
    fleet.fail(task.workers[0])
    fleet.drop(kind="cancel", task_id=task.id)
    fleet.wall += 10_000
    fleet.reconcile()
    assert fleet.admit() == []
    assert len(task.workers) == 2
    assert fleet.workers_of(task, "failed", "cancelled") == task.workers


@pytest.mark.parametrize("status", ["pending", "blocked", "paused"])
def test_whatever_waits_can_be_cancelled(status: str) -> None:
    fleet = Fleet()
    fields = {
        "pending": {"command": "x", "hold": True},
        "blocked": {"type": "scan", "runtime": "nowhere"},
        "paused": {"command": "x"},
    }[status]
    task = fleet.dropped(**fields)
    if status == "paused":
        fleet.drop(kind="pause", task_id=task.id)
    assert task.status == status
    fleet.drop(kind="cancel", task_id=task.id)
    assert task.status == "cancelled"
    assert not fleet.state.waiting


def test_a_cancel_of_a_parent_takes_its_children_and_its_pending_handoff_along() -> None:
    fleet = Fleet()
    fleet.catalog = _asking(fleet)
    _, parent, fixes = with_fixes(fleet)
    fleet.drop(kind="cancel", task_id=parent.id)
    assert [task.status for task in (parent, *fixes)] == ["cancelled"] * 3
    (handoff,) = fleet.state.handoffs.values()
    assert (handoff.status, handoff.reason) == (
        "rejected",
        f"{parent.id} was cancelled: a person asked to cancel",
    )


def test_a_cancel_of_an_ended_task_reaches_its_follow_ups_only_with_cascade() -> None:
    fleet = Fleet()
    scan, parent, fixes = with_fixes(fleet)
    with pytest.raises(RequestError, match=r"has ended already \(completed\)"):
        fleet.drop(kind="cancel", task_id=scan.id)
    fleet.drop(kind="cancel", task_id=scan.id, cascade=True)
    assert scan.status == "completed", "what ended stays as it ended"
    assert [task.status for task in (parent, *fixes)] == ["cancelled"] * 3
    with pytest.raises(RequestError, match="all that came of it have ended already"):
        fleet.drop(kind="cancel", task_id=scan.id, cascade=True)


# --- retry


def test_a_retry_keeps_finished_steps_and_runs_the_rest_again() -> None:
    fleet = Fleet(settings(workers={"retries": 1, "backoff": 0.0}))
    task = fleet.dropped(title="p", workers=[step("a"), step("b", "a"), step("c", "b")])
    fleet.admit()
    fleet.finish(task.workers[0])
    for _ in range(2):
        fleet.admit()
        fleet.fail(task.workers[-1])
    fleet.gather(task)
    assert task.status == "failed"
    assert task.reason == "step b failed after 2 attempts: exit 1"
    fleet.drop(kind="retry", task_id=task.id)
    assert (task.status, task.run, task.reason) == ("in_progress", 2, None)
    assert statuses(task) == {"a": "done", "b": "active", "c": "waiting"}
    again = fleet.state.workers[task.workers[-1]]
    assert (again.attempt, again.retry_of) == (1, task.workers[-2])
    fleet.run_through(task)
    assert task.status == "completed"


def test_a_cancelled_task_is_retried_from_where_it_was() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true")
    fleet.drop(kind="cancel", task_id=task.id)
    fleet.drop(kind="retry", task_id=task.id)
    fleet.run_through(task)
    assert (task.status, task.run) == ("completed", 2)


def test_a_retry_waits_until_the_last_workers_have_ended() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true")
    fleet.admit()
    fleet.run(fleet.state.workers[task.workers[0]])
    fleet.drop(kind="cancel", task_id=task.id)
    with pytest.raises(RequestError, match="worker-cmd-001 of task-001 is still ending"):
        fleet.drop(kind="retry", task_id=task.id)


@pytest.mark.parametrize("status", ["completed", "in_progress"])
def test_only_failed_and_cancelled_tasks_are_retried(status: str) -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true")
    if status == "completed":
        fleet.run_through(task)
    with pytest.raises(RequestError, match=f"task-001 is {status}; only a failed") as refused:
        fleet.drop(kind="retry", task_id=task.id)
    assert refused.value.field == "task_id"


def test_a_task_that_was_cancelled_before_it_had_a_master_runs_on_retry() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true", hold=True)
    fleet.drop(kind="cancel", task_id=task.id)
    fleet.drop(kind="retry", task_id=task.id)
    fleet.run_through(task)
    assert task.status == "completed"


def test_a_retry_still_waits_for_what_the_task_needs() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    first = fleet.dropped(command="true", hold=True)
    second = fleet.dropped(command="true", needs=[first.id])
    fleet.drop(kind="cancel", task_id=second.id)
    fleet.drop(kind="retry", task_id=second.id)
    assert not second.workers
    fleet.drop(kind="resume", task_id=first.id)
    fleet.run_through(first)
    fleet.run_through(second)
    assert second.status == "completed"


def test_a_retried_parent_takes_its_failed_children_up_again() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    _, parent, fixes = with_fixes(fleet)
    fleet.admit()
    good, bad = fixes
    fleet.fail(bad.workers[0])
    fleet.gather(bad)
    fleet.run_through(good)
    assert (parent.status, parent.reason) == ("failed", f"{bad.id} failed")
    assert parent.summary == "1 of 2 tasks completed"
    fleet.drop(kind="retry", task_id=parent.id)
    assert bad.run == 2
    fleet.run_through(bad)
    assert (parent.status, parent.run) == ("completed", 2)


# --- pause


def test_a_paused_tasks_running_workers_finish_and_none_start() -> None:
    fleet = Fleet(settings(limits={"tools": 1}))
    task = fleet.dropped(title="p", workers=[step("a"), step("b", "a"), step("c")])
    fleet.admit()
    fleet.run(fleet.state.workers[task.workers[0]])
    fleet.drop(kind="pause", task_id=task.id)
    fleet.finish(task.workers[0])
    assert fleet.admit() == []
    assert statuses(task) == {"a": "done", "b": "waiting", "c": "active"}
    fleet.drop(kind="resume", task_id=task.id)
    assert statuses(task)["b"] == "active"
    fleet.run_through(task)
    assert task.status == "completed"


def test_a_task_that_was_paused_while_aggregating_is_aggregated_when_resumed() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true")
    fleet.admit()
    fleet.finish(task.workers[0])
    assert task.status == "aggregating"
    fleet.drop(kind="pause", task_id=task.id)
    fleet.drop(kind="resume", task_id=task.id)
    assert task.status == "aggregating"


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("resume", r"task-001 is not paused \(in_progress\)"),
        ("pause", "task-001 is paused already"),
    ],
)
def test_a_verb_that_means_nothing_here_is_refused(verb: str, says: str) -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true")
    if verb == "pause":
        fleet.drop(kind="pause", task_id=task.id)
    with pytest.raises(RequestError, match=says):
        fleet.drop(kind=verb, task_id=task.id)


@pytest.mark.parametrize("verb", ["cancel", "retry", "pause", "resume"])
def test_a_verb_on_an_unknown_task_says_so(verb: str) -> None:
    with pytest.raises(RequestError, match=f"{verb} names task-404, which is no task here"):
        Fleet().drop(kind=verb, task_id="task-404")


def test_a_pause_does_not_release_what_was_held() -> None:
    """A follow-up that waits for its receiver still waits for it after a pause."""
    fleet = Fleet()
    task = fleet.dropped(command="true", hold=True)
    fleet.drop(kind="pause", task_id=task.id)
    fleet.drop(kind="resume", task_id=task.id)
    assert (task.status, task.hold) == ("pending", True)
    fleet.drop(kind="resume", task_id=task.id)
    assert task.status == "in_progress"


def _asking(fleet: Fleet) -> Any:
    """The catalog with a development master that a person answers for."""
    from dataclasses import replace

    masters = dict(fleet.catalog.masters)
    development = masters["development-master"]
    masters["development-master"] = development.model_copy(update={"accept_handoffs": False})
    return replace(fleet.catalog, masters=masters)
