"""How workers move, each edge by the cause that its table names."""

from __future__ import annotations

from dataclasses import replace

from cortex.model.state import Task
from cortex.testing import Behaviour
from tests.unit.decide.edges.registry import edge
from tests.unit.decide.edges.stage import Home, Stage, shipped
from tests.unit.decide.edges.task_edges import change


def short(stage: Stage) -> Home:
    """A home whose pool has 1,000 of its 5,000 tokens left, and nobody lends it any."""
    home = stage.home(budget={"total": 140_000, "reallocate_steps": 0})
    home.spend(4000)
    return home


def dear(home: Home, **fields: object) -> Task:
    """A task whose worker takes tokens."""
    return home.dropped(**{"command": "true", "token_budget": 5000, **fields})


def started(home: Home, **fields: object) -> Task:
    """A task whose worker runs."""
    task = home.dropped(**{"command": "true", **fields})
    home.wait(lambda: home.worker(task).status == "running")
    return task


# --- admission


@edge("worker", "requested", "approved")
@edge("worker", "approved", "spawning")
@edge("worker", "spawning", "running")
@edge("worker", "running", "collecting")
@edge("worker", "collecting", "completed")
def a_worker_runs_through(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).status == "completed")


@edge("worker", "requested", "queued")
@edge("worker", "queued", "approved")
def the_pool_is_short_until_a_person_adds_to_it(stage: Stage) -> None:
    home = short(stage)
    task = dear(home)
    assert home.worker(task).status == "queued"
    home.drop(kind="budget", total_budget=1_000_000)
    home.wait(lambda: home.worker(task).status == "completed")


@edge("worker", "requested", "rejected")
def low_priority_is_refused_while_the_pool_is_short(stage: Stage) -> None:
    home = short(stage)
    assert home.worker(dear(home, priority="low")).status == "rejected"


@edge("worker", "requested", "rejected")
def low_priority_waits_where_no_budget_is_taken_up(stage: Stage) -> None:
    home = stage.home(budget={"total": 1000})  # less than the masters' own
    task = dear(home, priority="low")
    home.pass_time(3600.0)
    assert task.status == "in_progress"
    assert len(task.workers) < 65, "once a minute at most"


@edge("worker", "queued", "rejected")
def a_queued_worker_gets_low_priority(stage: Stage) -> None:
    home = short(stage)
    task = dear(home)
    change(home, task, priority="low")
    assert home.worker(task).status == "rejected"


@edge("worker", "requested", "cancelled")
def a_task_is_cancelled_before_its_worker_was_looked_at(stage: Stage) -> None:
    home = stage.home()
    home.drop(kind="pause")
    task = home.dropped(command="true")
    home.drop(kind="cancel", task_id=task.id)


@edge("worker", "queued", "cancelled")
def a_task_is_cancelled_while_its_worker_waits_for_tokens(stage: Stage) -> None:
    home = short(stage)
    home.drop(kind="cancel", task_id=dear(home).id)


@edge("worker", "approved", "cancelled")
def a_task_is_cancelled_between_approval_and_start(stage: Stage) -> None:
    troupe = stage.troupe()
    task = troupe.dropped(command="true")
    troupe.admit()
    troupe.drop(kind="cancel", task_id=task.id)
    assert troupe.state.budget.pool_allocated == 0


@edge("worker", "approved", "queued")
@edge("worker", "queued", "approved")
def critical_work_comes_before_what_was_granted_in_the_same_turn(stage: Stage) -> None:
    """More is dropped at once than a turn plans in one go, and the critical task comes last."""
    home = stage.home(limits={"tools": 1})
    home.default = Behaviour(run_s=0.1)
    rows = [{"command": "true"} for _ in range(120)]
    tasks = home.drop_at_once(*rows, {"command": "true", "priority": "critical"})
    assert home.worker(home.state.tasks[tasks[-1]]).status == "spawning"
    first = home.worker(home.state.tasks[tasks[0]])
    assert first.preempted_by == home.state.tasks[tasks[-1]].workers[0]
    home.wait(lambda: first.status == "completed")
    assert len(home.state.tasks[tasks[0]].workers) == 1


@edge("worker", "approved", "queued")
def critical_work_is_short_of_the_tokens_of_what_has_not_begun(stage: Stage) -> None:
    troupe = stage.troupe(budget={"reallocate_steps": 0})
    lower = troupe.dropped(command="true", token_budget=60_000)
    troupe.admit()
    troupe.dropped(command="true", token_budget=8_000, priority="critical")
    troupe.admit()
    assert troupe.state.workers[lower.workers[0]].status == "queued"


@edge("worker", "requested", "blocked")
@edge("worker", "blocked", "requested")
def its_runtime_goes_and_comes_back(stage: Stage) -> None:
    home = stage.home()
    home.drop(kind="pause")
    task = home.dropped(type="scan", scope={"repository": "/srv/a"})
    home.configure(shipped("tools"))
    assert home.worker(task).status == "blocked"
    assert "'tools' is not configured here" in (home.worker(task).reason or "")
    home.drop(kind="resume")
    assert home.worker(task).status == "blocked"
    home.configure(shipped())
    home.wait(lambda: task.status == "completed")
    assert len(task.workers) == 1


@edge("worker", "queued", "blocked")
@edge("worker", "blocked", "cancelled")
def the_runtime_of_a_queued_worker_goes_and_its_task_is_cancelled(stage: Stage) -> None:
    home = short(stage)
    task = dear(home)
    home.configure(shipped("command"))
    assert home.worker(task).status == "blocked"
    home.drop(kind="cancel", task_id=task.id)


# --- starting


@edge("worker", "spawning", "queued")
def the_machine_has_no_process_to_spare(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(start_error="EAGAIN", claim_after_s=None)
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).status == "queued")
    home.default = Behaviour()
    home.wait(lambda: task.status == "completed")
    assert (len(task.workers), task.step("main").attempt) == (1, 0)


@edge("worker", "spawning", "approved")
def no_shim_comes(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(claim_after_s=None)
    task = home.dropped(command="true")
    home.wait(lambda: home.worker(task).nonce == 2)
    home.default = Behaviour()
    home.wait(lambda: task.status == "completed")
    assert len(task.workers) == 1


@edge("worker", "spawning", "approved")
def the_daemon_is_killed_before_any_shim_came(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(claim_after_s=None)
    task = home.dropped(command="true")
    home.kill()
    home.default = Behaviour()
    home.start()
    home.wait(lambda: home.state.tasks[task.id].status == "completed")


@edge("worker", "spawning", "running")
def the_daemon_is_killed_and_the_next_one_adopts_the_worker(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    home.kill()
    home.machine.pass_time(1.0)
    home.start()
    home.wait(lambda: home.worker(task).status == "running")


@edge("worker", "spawning", "collecting")
@edge("worker", "collecting", "failed")
def no_shim_ever_comes(stage: Stage) -> None:
    home = stage.home(workers={"retries": 0})
    home.default = Behaviour(claim_after_s=None)
    task = home.dropped(command="true")
    home.wait(lambda: task.status == "failed")
    assert home.worker(task).nonce == 3


@edge("worker", "spawning", "collecting")
@edge("worker", "collecting", "failed")
def a_command_names_no_folder(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true", scope={"repository": "/no/such/folder"})
    home.wait(lambda: task.status == "failed")
    assert "/no/such/folder" in (task.reason or "")


@edge("worker", "collecting", "failed")
def the_program_is_missing(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(end="no program")
    task = home.dropped(command="/no/such/program")
    home.wait(lambda: task.status == "failed")
    assert home.worker(task).permanent
    assert len(task.workers) == 1


@edge("worker", "spawning", "collecting")
@edge("worker", "collecting", "lost")
def the_machine_starts_anew_while_a_worker_starts(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(claim_after_s=5.0)
    task = home.dropped(command="true")
    assert home.worker(task).status == "spawning"
    home.reboot()
    home.start()
    home.wait(lambda: home.state.tasks[task.id].status == "completed")
    first = home.state.workers[task.workers[0]]
    assert first.status == "lost"


@edge("worker", "spawning", "ending")
@edge("worker", "ending", "collecting")
@edge("worker", "collecting", "cancelled")
def a_task_is_cancelled_while_its_worker_starts(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(claim_after_s=None)
    task = home.dropped(command="true")
    home.drop(kind="cancel", task_id=task.id)
    home.wait(lambda: home.worker(task).status == "cancelled")
    assert home.machine.runs == {}


# --- running and ending


@edge("worker", "running", "ending")
@edge("worker", "ending", "collecting")
@edge("worker", "collecting", "cancelled")
def a_task_is_cancelled_while_its_worker_runs(stage: Stage) -> None:
    home = stage.home()
    task = started(home)
    home.drop(kind="cancel", task_id=task.id)
    home.wait(lambda: home.worker(task).status == "cancelled")


@edge("worker", "running", "ending")
@edge("worker", "collecting", "failed")
def a_worker_falls_silent(stage: Stage) -> None:
    catalog = shipped()
    scan = catalog.types["scan-worker"].model_copy(update={"heartbeats": True})
    types = {**catalog.types, scan.name: scan}
    home = stage.home(replace(catalog, types=types), workers={"retries": 0})
    home.default = Behaviour(run_s=800.0, beats=(b"{}",))
    task = home.dropped(type="scan", scope={"repository": "/srv/a"})
    home.wait(lambda: task.status == "failed")
    assert "no heartbeat for" in (home.worker(task).reason or "")


@edge("worker", "collecting", "failed")
def a_workers_results_are_refused(stage: Stage) -> None:
    home = stage.home(workers={"retries": 0})
    home.default = Behaviour(end="nonsense")
    task = home.dropped(command="true")
    home.wait(lambda: task.status == "failed")
    assert "results refused" in (task.reason or "")


@edge("worker", "collecting", "timeout")
def a_worker_runs_over_its_timeout(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(run_s=100.0)
    task = home.dropped(command="sleep 100", timeout=10)
    home.wait(lambda: home.worker(task).status == "timeout")


@edge("worker", "collecting", "budget_exhausted")
def a_worker_used_more_than_it_had(stage: Stage) -> None:
    home = stage.home()
    home.default = Behaviour(tokens=10**6)
    task = dear(home)
    home.wait(lambda: home.worker(task).status == "budget_exhausted")


@edge("worker", "running", "collecting")
@edge("worker", "collecting", "lost")
def a_shim_is_killed_with_its_worker(stage: Stage) -> None:
    home = stage.home()
    task = started(home)
    home.machine.kill_shim(home.worker(task).id)
    first = home.worker(task)
    home.wait(lambda: first.status == "lost")
