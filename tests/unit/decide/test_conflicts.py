"""Branches that meet: what that costs, and who is asked."""

from __future__ import annotations

from tests.unit.decide.fleet import Fleet

CONFLICT = {"status": "failed", "outcome": "conflict", "error": "both change a.py"}


def test_a_conflict_spends_no_retry() -> None:
    fleet = Fleet()
    task = fleet.dropped(title="t", retries=1, workers=[{"name": "join", "command": "make"}])
    fleet.admit()
    fleet.fail(task.workers[-1], results=CONFLICT)
    assert task.status == "awaiting_approval"
    fleet.drop(kind="approve", task_id=task.id)
    fleet.admit()
    fleet.fail(task.workers[-1])
    assert task.step("join").status == "ready", "its one retry is left"
    assert task.step("join").attempt == 1
    assert fleet.state.workers[task.workers[-1]].retry_of == task.workers[0]
