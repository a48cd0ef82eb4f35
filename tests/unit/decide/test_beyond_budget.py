"""What asks for more tokens than there ever are: told at once, with what would change it."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.budget import change_total
from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet

#: The pool of the built-in masters has 65,000; of idle ones' tokens one step is lent, 3,000.
POOL, LENT = 65_000, 3_000


def asks(fleet: Fleet, tokens: int, **fields: Any) -> Task:
    return fleet.dropped(**{"command": "true", "token_budget": tokens, **fields})


def test_a_worker_beyond_the_pool_blocks_its_task_until_a_person_adds_to_the_pool() -> None:
    fleet = Fleet()
    task = asks(fleet, 100_000, priority="low")
    said = "step main needs 100,000 tokens for one worker; the worker pool is 65,000 in all"
    assert (task.status, task.blocked_on, task.workers) == ("blocked", said, [])
    total = fleet.state.budget.total + 100_000 - POOL
    fleet.drop(kind="budget", total_budget=total - 1)
    assert task.status == "blocked"
    fleet.state.touched.clear()
    fleet.apply(Entry("person", "", change_total(fleet.state, total)))
    assert ("task", task.id) in fleet.state.touched, "it is looked at again at once"
    fleet.run_through(task)
    assert task.status == "completed"


def test_one_worker_of_a_plan_holds_up_all_of_it_before_anything_is_spent() -> None:
    fleet = Fleet()
    rows = [{"name": "a", "command": "x"}, {"name": "b", "command": "x", "token_budget": 99_000}]
    task = fleet.dropped(workers=rows)
    assert (task.status, task.workers) == ("blocked", [])
    assert "step b needs 99,000" in str(task.blocked_on)


@pytest.mark.parametrize(
    ("tokens", "priority", "is_beyond"),
    [
        (POOL, "low", False),
        (POOL + 1, "low", True),
        (POOL + LENT, "high", False),
        (POOL + LENT + 1, "high", True),
    ],
)
def test_what_idle_masters_may_lend_is_not_beyond_the_pool_but_for_low_priority(
    tokens: int, priority: str, is_beyond: bool
) -> None:
    fleet = Fleet()
    asks(fleet, POOL - 1000)
    fleet.admit()
    task = asks(fleet, tokens, priority=priority)
    assert (task.status == "blocked") is is_beyond, "whatever is held now"


def test_a_task_goes_on_by_itself_when_the_file_of_its_type_asks_for_less() -> None:
    fleet = Fleet()
    kind = fleet.catalog.types["implementation-worker"]
    dear = kind.model_copy(update={"token_budget": 90_000})
    types = {**fleet.catalog.types, kind.name: dear}
    fleet.catalog = _with(fleet, types)
    task = fleet.dropped(type="implementation", runtime="agent")
    assert task.status == "blocked"
    fleet.catalog = _with(fleet, {**types, kind.name: kind})
    fleet.reconcile()
    assert len(task.workers) == 1


def _with(fleet: Fleet, types: dict[str, Any]) -> Catalog:
    return Catalog(fleet.catalog.masters, types, fleet.catalog.runtimes)


def test_direct_mode_is_held_against_the_masters_own_tokens() -> None:
    fleet = Fleet()
    own = fleet.state.budget.masters["coordinator"].allocated
    task = asks(fleet, own + 1, execution_mode="direct")
    assert "coordinator has 50,000 of its own in all" in str(task.blocked_on)
    assert asks(fleet, own, execution_mode="direct").status == "in_progress"
    critical = asks(fleet, own + 1, execution_mode="direct", priority="critical")
    assert critical.status == "blocked", "no reserve pays for it"


def test_what_uses_no_tokens_is_never_beyond_a_budget() -> None:
    fleet = Fleet()
    fleet.drop(kind="budget", total_budget=fleet.state.budget.total - POOL)
    task = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    fleet.admit()
    assert fleet.workers_of(task, "approved")


def test_critical_work_is_asked_for_and_people_are_told_how_much_is_short() -> None:
    fleet = Fleet()
    task = asks(fleet, 90_000, priority="critical")
    fleet.admit()
    assert fleet.workers_of(task, "queued")
    (told,) = fleet.state.escalations.values()
    assert told.reason.startswith("short by 25,000")


def test_a_total_that_is_lowered_keeps_a_later_step_from_being_asked_for() -> None:
    fleet = Fleet()
    rows = [
        {"name": "a", "command": "x"},
        {"name": "b", "command": "x", "needs": ["a"], "token_budget": 60_000},
    ]
    task = fleet.dropped(workers=rows)
    fleet.admit()
    total = fleet.state.budget.total
    fleet.drop(kind="budget", total_budget=total - 30_000)
    fleet.finish(task.workers[0])
    assert (task.status, len(task.workers)) == ("in_progress", 1)
    said = "step b needs 60,000 tokens for one worker; the worker pool is 35,000 in all"
    assert task.waiting_for == said
    fleet.drop(kind="budget", total_budget=total)
    assert len(task.workers) == 2
    assert fleet.replayed().tasks[task.id].waiting_for is None


def test_a_request_for_such_a_worker_is_refused_where_workers_stand() -> None:
    fleet = Fleet()
    fleet.drop(kind="budget", total_budget=fleet.state.budget.total - POOL + 2000)
    asked = {"kind": "worker_request", "master_agent": "security", "worker_type": "scan"}
    fleet.drop({**asked, "runtime": "agent"})
    (worker,) = fleet.state.workers.values()
    assert (worker.status, worker.permanent) == ("rejected", True)
    assert "needs 8,000 tokens for one worker; the worker pool is 2,000" in str(worker.reason)
