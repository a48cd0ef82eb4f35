"""Low priority that was refused for want of tokens: what lets it go on before the reset."""

from __future__ import annotations

from cortex.decide.budget import change_total
from cortex.decide.entry import Entry
from cortex.masters.reconcile import reconcile_task
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, settings


def refused(fleet: Fleet) -> Task:
    """A low task that found the pool taken by another one's worker."""
    free = fleet.state.budget.pool_available
    fleet.dropped(command="true", token_budget=free)
    fleet.admit()
    task = fleet.dropped(command="true", token_budget=100, priority="low")
    fleet.admit()
    assert fleet.workers_of(task, "rejected") == task.workers
    fleet.reconcile()
    assert len(task.workers) == 1
    return task


def later(fleet: Fleet, seconds: float) -> None:
    fleet.wall += seconds
    fleet.reconcile()
    fleet.admit()


def test_it_starts_once_tokens_are_free_and_is_looked_at_each_minute() -> None:
    fleet = Fleet()
    task = refused(fleet)
    found = reconcile_task(fleet.state, task, fleet.catalog, fleet.settings, fleet.now)
    assert (found.entry, found.again_in_s) == (None, 60.0)
    (holder,) = fleet.workers("approved")
    fleet.finish(holder)
    later(fleet, 1)
    assert len(fleet.workers_of(task, "approved")) == 1


def test_it_waits_without_a_word_while_the_pool_is_short() -> None:
    fleet = Fleet()
    task = refused(fleet)
    lines = len(fleet.lines)
    for _ in range(10):
        later(fleet, 300)
    assert (len(task.workers), len(fleet.lines)) == (1, lines)


def test_it_asks_again_at_once_when_its_priority_is_raised() -> None:
    fleet = Fleet()
    task = refused(fleet)
    task.priority = "high"
    later(fleet, 1)
    assert len(task.workers) == 2


def test_a_larger_total_lets_it_go_on_at_once() -> None:
    fleet = Fleet()
    task = refused(fleet)
    fleet.state.touched.clear()
    fleet.apply(Entry("person", "", change_total(fleet.state, 1_000_000)))
    assert ("task", task.id) in fleet.state.touched, "nobody waits for the next look"
    later(fleet, 0)
    assert len(fleet.workers_of(task, "approved")) == 1


def test_of_many_steps_of_a_task_only_as_many_ask_as_can_be_paid() -> None:
    fleet = Fleet(settings(limits={"tools": 20}))
    fleet.dropped(command="true", token_budget=fleet.state.budget.pool_available)
    fleet.admit()
    rows = [{"name": f"s{n}", "command": "true", "token_budget": 100} for n in range(6)]
    task = fleet.dropped(workers=rows, priority="low")
    fleet.admit()
    assert len(fleet.workers_of(task, "rejected")) == 6
    total = fleet.state.budget.total
    fleet.drop(kind="budget", total_budget=total + 250)
    fleet.admit()
    assert (len(fleet.workers_of(task, "approved")), len(task.workers)) == (2, 8)


def test_of_many_only_as_many_ask_as_can_be_paid() -> None:
    fleet = Fleet()
    first = refused(fleet)
    others = [fleet.dropped(command="true", token_budget=100, priority="low") for _ in range(5)]
    fleet.admit()
    (holder,) = fleet.workers("approved")
    fleet.finish(holder, used=fleet.state.workers[holder].token_budget - 250)
    later(fleet, 60)
    tasks = [first, *others]
    assert sum(len(fleet.workers_of(task, "approved")) for task in tasks) == 2
    assert sum(len(task.workers) for task in tasks) == 8
