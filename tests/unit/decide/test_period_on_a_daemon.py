"""A period's end as a whole daemon meets it that was away for days, while work went on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.model.times import parse_time
from cortex.testing import Behaviour
from tests.unit.decide.edges.stage import Home, Stage

DAY_S = 86_400.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Stage(tmp_path).home(daemon={"resync": 60.0})


def test_a_daemon_that_was_away_over_several_resets_makes_one(home: Home) -> None:
    before = home.state.budget.resets_at
    home.default = Behaviour(run_s=4 * DAY_S)
    task = home.dropped(command="true", token_budget=8_000, timeout="30d")
    home.wait(lambda: home.worker(task).status == "running")
    home.kill()
    home.machine.pass_time(3 * DAY_S)
    home.start()
    ledger = home.state.budget
    home.wait(lambda: ledger.resets_at > before, 600.0)
    assert ledger.resets_at == before + 3 * DAY_S
    assert ledger.period_start <= parse_time(home.state.at) < ledger.resets_at
    assert (ledger.pool_allocated, ledger.pool_spent) == (8_000, 0), "it runs on, and holds its own"
    home.wait(lambda: home.state.tasks[task.id].status == "completed", 2 * DAY_S)
    assert home.state.budget.pool_allocated == 0
