"""Workers of a master whose fund is gone, or never was: they start if free, and always end."""

from __future__ import annotations

import pytest

from cortex.decide import budget
from cortex.decide.entry import Entry
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet


def funds(fleet: Fleet, **changed: int | None) -> None:
    """Configures what masters have of their own; None is a master whose file is gone."""
    pairs = {}
    for name, master in fleet.catalog.masters.items():
        key = name.removesuffix("-master")
        own = changed.get(key, master.budget.allocated)
        if own is not None:
            pairs[key] = (own, master.budget.worker_pool)
    events = budget.configure(fleet.state, fleet.settings, pairs, fleet.wall)
    fleet.apply(Entry("daemon", "", events))


def scan(fleet: Fleet) -> Task:
    return fleet.dropped(type="scan", execution_mode="direct", scope={"repository": "/r"})


@pytest.mark.parametrize("status", ["requested", "approved", "running"])
def test_work_that_was_granted_nothing_ends_after_its_masters_file_is_gone(status: str) -> None:
    fleet = Fleet()
    funds(fleet, security=0)
    task = scan(fleet)
    (worker,) = (fleet.state.workers[ident] for ident in task.workers)
    if status != "requested":
        fleet.admit()
    if status == "running":
        fleet.run(worker)
    assert (worker.status, worker.fund, worker.reserved) == (status, "master:security", 0)
    funds(fleet, security=None)
    fund = fleet.state.budget.masters["security"]
    assert (fund.allocated, fund.share, fund.configured, fund.configured_share) == (0, 0, 0, 0)
    fleet.admit()
    fleet.finish(worker.id)
    assert worker.status == "completed"
    funds(fleet, security=None, development=0)
    assert "security" not in fleet.state.budget.masters, "nobody names it any more"
    assert fleet.replayed().to_json() == fleet.state.to_json()


def test_what_was_granted_nothing_is_cancelled_after_its_masters_file_is_gone() -> None:
    fleet = Fleet()
    funds(fleet, security=0)
    task = scan(fleet)
    fleet.admit()
    funds(fleet, security=None)
    fleet.drop(kind="cancel", task_id=task.id)
    assert task.status == "cancelled"


def test_a_worker_that_uses_no_tokens_needs_no_fund() -> None:
    fleet = Fleet()
    funds(fleet, security=None)
    task = scan(fleet)
    fleet.admit()
    (ident,) = fleet.workers_of(task, "approved")
    fleet.finish(ident)
    assert fleet.state.workers[ident].status == "completed"
