"""Who passes work that does not fit: those behind it in its own queue, however far."""

from __future__ import annotations

from cortex.model.state import Task, Worker
from tests.unit.decide.fleet import Fleet, settings

BEHIND = 40


def short(**spawn: object) -> Fleet:
    """A fleet with slots enough, and 5,000 tokens of the pool that no running work holds."""
    budget = {"reallocate_steps": 0, "emergency_reserve": 0}
    fleet = Fleet(settings(budget=budget, limits={"tools": 8}, spawn=spawn))
    commands(fleet, fleet.state.budget.pool_available - 5_000)
    fleet.admit()
    for ident in list(fleet.state.live):
        fleet.run(fleet.state.workers[ident])
    return fleet


def commands(fleet: Fleet, *tokens: int, **fields: object) -> Task:
    steps = [{"name": f"s{n}", "command": "x", "token_budget": one} for n, one in enumerate(tokens)]
    task = fleet.dropped(title="commands", workers=steps, **fields)
    assert task.assigned_to == "coordinator-master"
    return task


def worker_of(fleet: Fleet, task: Task) -> Worker:
    (ident,) = task.workers
    return fleet.state.workers[ident]


def test_what_uses_no_tokens_is_found_however_much_waits_before_it() -> None:
    fleet = short()
    commands(fleet, 20_000, priority="critical")
    waits = commands(fleet, *[4_000] * BEHIND)
    free = fleet.dropped(type="analysis", scope={"repository": "/srv/a"})
    fleet.admit()
    assert len(fleet.workers_of(waits, "requested")) == BEHIND, "tokens are kept for the critical"
    worker = worker_of(fleet, free)
    assert (worker.status, worker.reserved) == ("approved", 0)


def test_what_uses_no_tokens_passes_also_what_waited_so_long_that_nobody_else_may() -> None:
    fleet = short(aging="30m")
    first = commands(fleet, 20_000, priority="high")
    fleet.admit()
    fleet.wall += 3_600
    other = commands(fleet, 4_000, priority="high")
    free = fleet.dropped(type="analysis", priority="high", scope={"repository": "/srv/a"})
    fleet.admit()
    assert (worker_of(fleet, first).status, worker_of(fleet, other).status) == (
        "queued",
        "requested",
    )
    assert worker_of(fleet, free).status == "approved"


def test_those_that_a_limit_holds_hide_nobody_who_waits_behind_them() -> None:
    fleet = short()
    commands(fleet, 20_000)
    held = commands(fleet, *[10] * BEHIND, max_parallel=1)
    last = commands(fleet, 10)
    fleet.admit()
    assert len(fleet.workers_of(held, "approved")) == 1
    assert worker_of(fleet, last).status == "approved"
    fleet.finish(fleet.workers_of(held, "approved")[0])
    fleet.admit()
    assert len(fleet.workers_of(held, "approved")) == 1, "the next of them has its turn"
