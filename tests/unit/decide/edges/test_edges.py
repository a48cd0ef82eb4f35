"""Every edge of every table is driven by the cause that the table names, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.decide.edges import (
    handoff_edges,
    planning_edges,
    step_edges,
    task_edges,
    worker_edges,
)
from tests.unit.decide.edges.registry import SCENARIOS, TABLES, Scenario
from tests.unit.decide.edges.stage import Stage

#: Their import registers the scenarios.
PLAYS = (task_edges, planning_edges, step_edges, worker_edges, handoff_edges)
EDGES = {
    (kind, before, after)
    for kind, table in TABLES.items()
    for before, following in table.items()
    for after in following
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_an_edge_is_driven_by_its_cause(scenario: Scenario, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    scenario.play(stage)
    seen = {(kind, before, after) for kind, _, before, after in stage.moves}
    assert (scenario.kind, scenario.before, scenario.after) in seen, scenario.cause
    assert seen <= EDGES, "moves that no table has"


def test_every_edge_has_a_scenario() -> None:
    driven = {(scenario.kind, scenario.before, scenario.after) for scenario in SCENARIOS}
    assert EDGES - driven == set()
    assert driven - EDGES == set(), "scenarios of edges that no table has"
