"""What never spends a retry (Z15): the machine's faults, a restart, a short pool, giving way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cortex.model.state import Task
from cortex.testing import Behaviour
from tests.unit.decide.edges.stage import Home, Stage


def the_machine_is_short_of_processes(home: Home) -> Task:
    home.default = Behaviour(start_error="EAGAIN", claim_after_s=None)
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).status == "queued")
    return task


def no_shim_comes_once(home: Home) -> Task:
    home.default = Behaviour(claim_after_s=None)
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).nonce == 2)
    return task


def the_daemon_is_killed_while_it_runs(home: Home) -> Task:
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).status == "running")
    home.kill()
    home.start()
    return home.state.tasks[task.id]


def the_pool_is_short(home: Home) -> Task:
    home.spend(30_000)
    task = home.dropped(command="true", token_budget=60_000)
    assert home.worker(task).status == "queued"
    home.drop(kind="budget", total_budget=1_000_000)
    return task


def low_priority_is_refused(home: Home) -> Task:
    home.spend(30_000)
    task = home.dropped(command="true", token_budget=60_000, priority="low")
    assert home.worker(task).status == "rejected"
    home.drop(kind="budget", total_budget=1_000_000)
    home.pass_time(86_400.0)
    return task


def it_gives_way(home: Home) -> Task:
    rows = [{"command": "true"} for _ in range(120)]
    first, *_ = home.drop_at_once(*rows, {"command": "true", "priority": "critical"})
    task = home.state.tasks[first]
    assert home.worker(task).preempted_by is not None
    return task


@pytest.mark.parametrize(
    "happens",
    [
        the_machine_is_short_of_processes,
        no_shim_comes_once,
        the_daemon_is_killed_while_it_runs,
        the_pool_is_short,
        low_priority_is_refused,
        it_gives_way,
    ],
    ids=lambda happens: happens.__name__.replace("_", " "),
)
def test_no_retry_is_spent_and_the_line_counts_one_attempt(
    happens: Callable[[Home], Task], stage: Stage
) -> None:
    home = stage.home(limits={"tools": 1}, workers={"retries": 0})
    task = happens(home)
    home.default = Behaviour(run_s=0.1)
    ident = task.id
    home.wait(lambda: home.state.tasks[ident].status == "completed", 200_000.0)
    task = home.state.tasks[ident]
    assert task.step("main").attempt == 0
    assert home.worker(task).retry_of is None
    assert home.state.lineages[ident][0] == 1


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("home"))
