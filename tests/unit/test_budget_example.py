"""The worked example of docs/budget.md, line by line, through the deciding code itself."""

from __future__ import annotations

from typing import Any

from cortex.decide import budget
from cortex.decide.budget import total_used
from cortex.decide.entry import Entry
from cortex.decide.project import budget_document
from cortex.model.settings import Settings
from tests.unit.deciding import World


def pool(world: World) -> tuple[int, int, int, int]:
    found = world.state.budget
    return (found.pool_total, found.pool_allocated, found.pool_spent, found.pool_available)


def steps(*budgets: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"s{number}",
            "worker_type": "command-worker",
            "command": "true",
            "token_budget": tokens,
        }
        for number, tokens in enumerate(budgets)
    ]


def new_world() -> World:
    settings = Settings.model_validate(
        {"workers": {"retries": 1, "retry_timeouts": 1, "backoff": 0.0}}
    )
    return World(settings)


def test_the_example_day_holds_line_by_line() -> None:
    world = new_world()
    ledger = world.state.budget
    # 00:00, a new day
    assert pool(world) == (65_000, 0, 0, 65_000)
    assert {name: fund.allocated for name, fund in ledger.masters.items()} == {
        "coordinator": 50_000,
        "development": 30_000,
        "security": 30_000,
    }
    assert ledger.reserve_total == 25_000
    _morning(world)
    _feature(world)
    _direct(world)
    _emergency(world)
    _night(world)


def _morning(world: World) -> None:
    world.at(9)
    world.task(
        type="security-scan",
        scope={"repositories": ["/a", "/b", "/c"]},
        token_budget=8_000,
    )
    world.admit()
    scans = world.workers("approved")
    assert scans == ["worker-scan-001", "worker-scan-002", "worker-scan-003"]
    assert pool(world) == (65_000, 24_000, 0, 41_000)
    assert world.state.budget.masters["security"].share_used == 24_000
    for scan in scans:
        world.run(world.state.workers[scan])
    done = {"status": "completed"}
    world.at(9, 12)
    world.end("worker-scan-001", 7_200, results=done)
    assert pool(world) == (65_000, 16_000, 7_200, 41_800)
    world.at(9, 14)
    world.end("worker-scan-003", 6_900, results=done)
    assert pool(world) == (65_000, 8_000, 14_100, 42_900)
    world.at(9, 15)
    assert world.end("worker-scan-002", 8_000, code=None, signal=15, cause="timeout").status == (
        "timeout"
    )
    assert world.state.budget.pool_spent == 22_100
    world.reconcile()
    world.admit()
    again = world.state.workers["worker-scan-004"]
    assert (again.retry_of, again.attempt) == ("worker-scan-002", 2)
    assert pool(world) == (65_000, 8_000, 22_100, 34_900)
    world.at(9, 27)
    world.end("worker-scan-004", 7_000, results=done)
    assert pool(world) == (65_000, 0, 29_100, 35_900)
    world.reconcile()
    assert world.state.tasks["task-001"].status == "aggregating"


def _feature(world: World) -> None:
    """10:00: four workers of development, of which the last needs an idle master's tokens."""
    world.at(10)
    planning = world.task(
        type="feature",
        execution_mode="direct",
        command="true",
        assigned_to="development-master",
        token_budget=3_000,
    )
    world.admit()
    world.end(planning.workers[0], 3_000)
    world.reconcile()
    assert world.state.budget.masters["development"].used == 3_000
    feature = world.task(
        type="feature", plan=steps(8_000, 10_000, 10_000, 8_000), assigned_to="development-master"
    )
    granted = [world.admit_one() for _ in range(3)]
    assert all(line is not None for line in granted)
    assert pool(world) == (65_000, 28_000, 29_100, 7_900)
    line = world.admit_one()
    assert line is not None
    assert line.events[0] == {
        "event": "tokens_reallocated",
        "from": "coordinator",
        "to": "development",
        "tokens": 5_000,
    }
    assert pool(world) == (70_000, 36_000, 29_100, 4_900)
    assert world.state.budget.masters["coordinator"].allocated == 45_000
    assert world.state.budget.masters["development"].share == 25_000
    for ident in feature.workers:
        world.end(ident, 8_000)
    pr = world.task(type="pr", command="true", token_budget=4_000)
    world.admit()
    world.end(pr.workers[0], 3_600)
    assert pool(world) == (70_000, 0, 64_700, 5_300)


def _direct(world: World) -> None:
    world.at(11)
    task = world.task(
        type="audit",
        execution_mode="direct",
        command="true",
        assigned_to="security-master",
        token_budget=12_000,
    )
    world.admit()
    security = world.state.budget.masters["security"]
    assert security.reserved == 12_000
    world.end(task.workers[0], 9_500)
    assert (security.reserved, security.used) == (0, 9_500)
    assert pool(world) == (70_000, 0, 64_700, 5_300)


def _emergency(world: World) -> None:
    """15:00: a critical task opens the reserve as far as it goes; a person pays for the rest."""
    world.at(15)
    task = world.task(
        type="audit", priority="critical", plan=steps(*[8_000] * 10), assigned_to="security-master"
    )
    lines = world.admit()
    assert sum(event["event"] == "reserve_opened" for line in lines for event in line.events) == 3
    ledger = world.state.budget
    assert ledger.reserve_allocated + ledger.reserve_spent == 24_000
    assert len(world.workers("queued") + world.workers("requested")) == 7
    raised = [escalation.reason for escalation in world.state.escalations.values()]
    assert raised == [f"short by 50,700: 7 workers of {task.id} wait"]
    world.at(15, 5)
    audits = world.workers("approved")
    world.apply(Entry("person", "", budget.change_total(world.state, 260_000)))
    world.admit()
    assert pool(world) == (130_000, 56_000, 64_700, 9_300)
    for ident in audits:
        world.end(ident, 6_000)
    assert ledger.reserve_allocated + ledger.reserve_spent == 18_000
    world.at(15, 40)
    for ident in world.workers("approved"):
        world.end(ident, 6_000)
    assert pool(world) == (130_000, 0, 106_700, 23_300)
    used, own = total_used(world.state)
    assert (used, own) == (137_200, 12_500)
    metrics = budget_document(world.state, {})["usage_metrics"]
    assert metrics["masters_percentage"] == 9
    assert metrics["workers_percentage"] == 91


def _night(world: World) -> None:
    world.at(23, 55)
    task = world.task(type="scan", command="true", token_budget=8_000)
    world.admit()
    assert pool(world) == (130_000, 8_000, 106_700, 15_300)
    world.run(world.state.workers[task.workers[0]])
    world.at(0, 0, day=2)
    ledger = world.state.budget
    events = budget.reset(world.state, world.settings, world.wall, {task.workers[0]: 2_000})
    assert events[0]["ended_period"]["pool_spent"] + 2_000 == 108_700
    world.apply(Entry("coordinator-master", "a new period", events))
    assert pool(world) == (125_000, 6_000, 0, 119_000)
    assert ledger.total == 260_000
    assert ledger.masters["coordinator"].allocated == 50_000
    assert all(fund.used == 0 for fund in ledger.masters.values())
    assert ledger.reserve_allocated + ledger.reserve_spent == 0
    world.at(0, 5, day=2)
    world.end(task.workers[0], 6_500)
    assert pool(world) == (125_000, 0, 4_500, 120_500)
