"""Steps that cannot start because their worker type is gone, and what they must not hold up."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

from cortex.masters.lacking import means_changed
from cortex.masters.reconcile import reconcile_task
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet

FIRST = {"name": "first", "command": "true"}
GONE = {"name": "gone", "worker_type": "test-worker", "command": "true", "runtime": "command"}


def without_its_type(*others: dict[str, Any]) -> tuple[Fleet, Task]:
    """A task that runs, whose step `gone` will find its worker type's file removed."""
    fleet = Fleet()
    task = fleet.dropped(title="p", workers=[FIRST, {**GONE, "needs": ["first"]}, *others])
    fleet.admit()
    types = {name: kind for name, kind in fleet.catalog.types.items() if name != "test-worker"}
    fleet.catalog = replace(fleet.catalog, types=types)
    return fleet, task


def running(fleet: Fleet, task: Task, step: str) -> str:
    (worker,) = (one for one in fleet.workers_of(task, "approved") if one_step(fleet, one) == step)
    return worker


def one_step(fleet: Fleet, worker_id: str) -> str:
    return fleet.state.workers[worker_id].step


def test_a_step_in_backoff_is_looked_at_again_beside_one_that_cannot_start() -> None:
    fleet, task = without_its_type({"name": "other", "command": "true"})
    fleet.finish(running(fleet, task, "first"))
    fleet.fail(running(fleet, task, "other"))
    assert "test-worker has no file" in str(task.waiting_for)
    found = reconcile_task(fleet.state, task, fleet.catalog, fleet.settings, fleet.now)
    due = task.step("other").not_before
    assert due is not None
    assert found.entry is None
    assert found.again_in_s == due.length_s


def test_a_step_that_needs_a_yes_is_asked_for_beside_one_that_cannot_start() -> None:
    ship = {"name": "ship", "command": "true", "needs": ["first"], "approval": True}
    fleet, task = without_its_type(ship)
    fleet.finish(running(fleet, task, "first"))
    assert task.status == "awaiting_approval"
    assert [one.step for one in fleet.state.approvals.values()] == ["ship"]
    fleet.drop(kind="approve", task_id=task.id)
    fleet.admit()
    fleet.finish(running(fleet, task, "ship"))
    assert [step.status for step in task.steps] == ["done", "waiting", "done"]
    assert "test-worker has no file" in str(task.waiting_for)


def lines_run(steps: int) -> int:
    """How many lines of Python looking at a task takes whose workers all wait for their turn."""
    fleet = Fleet()
    rows = [{"name": f"s{number}", "command": "true"} for number in range(steps)]
    task = fleet.dropped(title="p", workers=rows)
    assert len(fleet.state.waiting) == steps
    count = 0

    def counted(_frame: FrameType, event: str, _what: object) -> Any:
        nonlocal count
        count += event == "line"
        return counted

    before = sys.gettrace()
    sys.settrace(counted)
    try:
        assert means_changed(fleet.state, task, fleet.catalog) is None
    finally:
        sys.settrace(before)
    return count


def test_what_many_waiting_workers_need_is_looked_at_in_time_proportional_to_them() -> None:
    assert lines_run(200) < 3 * lines_run(100)


def test_a_worker_whose_type_is_gone_waits_for_it_while_another_step_waits_for_a_yes() -> None:
    """It would be granted its place, and fail for want of a type."""
    fleet = Fleet()
    asks = {"name": "asks", "command": "true", "approval": True}
    task = fleet.dropped(title="p", workers=[{**GONE, "needs": []}, asks])
    assert task.status == "awaiting_approval"
    kept = fleet.catalog
    types = {name: kind for name, kind in kept.types.items() if name != "test-worker"}
    fleet.catalog = replace(kept, types=types)
    fleet.reconcile()
    assert fleet.workers_of(task, "blocked")
    fleet.catalog = kept
    fleet.reconcile()
    assert fleet.workers_of(task, "requested")
