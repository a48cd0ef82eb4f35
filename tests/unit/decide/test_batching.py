"""How the items of a task are parted among workers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.decide.batching import items_of
from cortex.decide.project import task_row
from cortex.decide.spec import worker_spec
from cortex.model.errors import RequestError
from cortex.model.requests import parse_request
from tests.unit.decide.fleet import Fleet, settings


def batches(number: int, fleet: Fleet | None = None, **task: Any) -> list[int]:
    fleet = fleet or Fleet()
    dropped = fleet.dropped(
        command=["do", "{item}"], items=[f"i{n}" for n in range(number)], **task
    )
    return [len(items_of(dropped, step)) for step in dropped.steps]


def test_many_items_go_to_few_workers() -> None:
    assert batches(100) == [20] * 5
    assert batches(100, batch=50) == [25] * 4, "no slot stays empty"
    assert batches(100, batch=50, max_parallel=2) == [50, 50]
    assert batches(7) == [2, 2, 2, 1]
    assert batches(3) == [1, 1, 1]
    assert batches(10_000, batch=1) == [10] * 1000, "a plan has a thousand steps at most"
    assert batches(100, Fleet(settings(spawn={"batch": 5}))) == [5] * 20
    assert batches(100, Fleet(settings(limits={"tools": 50}))) == [2] * 50


@given(number=st.integers(1, 300), batch=st.integers(1, 60), parallel=st.integers(1, 10))
def test_every_item_is_in_one_batch_in_its_order(number: int, batch: int, parallel: int) -> None:
    fleet = Fleet()
    items = [f"i{n}" for n in range(number)]
    task = fleet.dropped(command="do", items=items, batch=batch, max_parallel=parallel)
    found = [item for step in task.steps for item in items_of(task, step)]
    assert found == items
    assert all(1 <= len(items_of(task, step)) <= batch for step in task.steps)
    assert len({step.name for step in task.steps}) == len(task.steps)


def test_a_worker_is_told_its_items_and_where_they_begin() -> None:
    fleet = Fleet()
    task = fleet.dropped(command=["do", "{item}"], items=["a", "b", "c"], batch=2, max_parallel=2)
    assert task.title == "do {item} (3 items)"
    workers = [fleet.state.workers[ident] for ident in task.workers]
    specs = [worker_spec(task, worker, fleet.catalog) for worker in workers]
    assert [(spec["items"], spec["first_item"]) for spec in specs] == [(["a", "b"], 0), (["c"], 2)]
    row = task_row(task, fleet.state)
    assert row["items"] == 3
    assert [step["items"] for step in row["steps"]] == [2, 1]
    assert fleet.replayed().to_json() == fleet.state.to_json()


def test_each_batch_has_its_own_retries_and_outcome() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="do", items=["a", "b"], retries=0)
    fleet.admit()
    first, second = task.workers
    fleet.finish(first)
    fleet.finish(second, results={"status": "failed", "error": "1 of 1 items failed: b (exit 1)"})
    fleet.run_through(task)
    assert task.status == "failed"
    assert "step items-2 failed: 1 of 1 items failed: b (exit 1)" in (task.reason or "")
    fleet.drop({"kind": "retry", "task_id": task.id})
    assert [step.status for step in task.steps] == ["done", "active"]


def test_in_direct_mode_one_worker_takes_them_all() -> None:
    assert batches(30, execution_mode="direct") == [30]


def test_items_without_a_command_are_refused() -> None:
    with pytest.raises(RequestError, match="has items and no command"):
        parse_request({"title": "x", "items": ["a"]})
