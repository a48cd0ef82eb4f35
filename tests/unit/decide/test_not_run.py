"""Attempts that could not be made: what waits, for what, and what lets it go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.decide.not_run import missing_in
from cortex.model.errors import RequestError
from cortex.model.state import Task
from tests.unit.decide.editing import Desk, row_in
from tests.unit.decide.fleet import Fleet, settings

BUILD = {"name": "build", "command": "make"}
CHECK = {"name": "check", "worker_type": "test-worker", "scope": {"repository": "/srv/a"}}


def not_run(fleet: Fleet, worker_id: str, *missing: str) -> None:
    """A worker says that it could not do its work at all."""
    said = {"status": "failed", "outcome": "not_run", "missing": list(missing), "permanent": True}
    fleet.finish(worker_id, results={**said, "error": "not run: nothing fits"})


def lacking(fleet: Fleet, *missing: str, **fields: Any) -> Task:
    """A task whose one worker lacked something."""
    task = fleet.dropped(**{"type": "test", "scope": {"repository": "/srv/a"}, **fields})
    fleet.admit()
    not_run(fleet, task.workers[0], *missing or ("an environment with pytest",))
    return task


def of_step(fleet: Fleet, task: Task, name: str) -> list[str]:
    return [ident for ident in task.workers if fleet.state.workers[ident].step == name]


def test_it_waits_as_blocked_and_says_what_is_missing() -> None:
    fleet = Fleet()
    task = lacking(fleet, "an environment with pytest", "go")
    (step,) = task.steps
    assert task.status == "blocked"
    assert task.blocked_on == f"step {step.name} lacks an environment with pytest, go"
    assert (step.status, step.attempt) == ("ready", 0), "no retry is spent"
    assert fleet.state.workers[task.workers[0]].status == "failed"
    assert fleet.needs_nothing(task)
    assert fleet.replayed().tasks == fleet.state.tasks


def test_it_never_runs_again_by_itself() -> None:
    fleet = Fleet()
    task = lacking(fleet)
    for _ in range(5):
        fleet.wall += 86_400
        fleet.reconcile()
        fleet.admit()
    assert (task.status, len(task.workers)) == ("blocked", 1)


def test_a_retry_runs_it_again_in_the_same_run() -> None:
    fleet = Fleet()
    task = lacking(fleet)
    fleet.drop(kind="retry", task_id=task.id)
    assert (task.status, task.run, task.blocked_on) == ("in_progress", 1, None)
    fleet.admit()
    not_run(fleet, task.workers[1], "still no pytest")
    assert task.blocked_on == f"step {task.steps[0].name} lacks still no pytest"
    fleet.drop(kind="retry", task_id=task.id)
    fleet.run_through(task)
    assert task.status == "completed"
    last = fleet.state.workers[task.workers[2]]
    assert (last.attempt, last.retry_of) == (1, task.workers[1])


def test_a_changed_worker_type_is_another_attempt_and_an_unchanged_one_is_not() -> None:
    fleet = Fleet()
    task = lacking(fleet)
    kind = fleet.catalog.types["test-worker"]
    same = {**fleet.catalog.types, "test-worker": kind.model_copy()}
    fleet.catalog = replace(fleet.catalog, types=same)
    fleet.reconcile()
    assert task.status == "blocked"
    changed = {**same, "test-worker": kind.model_copy(update={"setup": "make venv"})}
    fleet.catalog = replace(fleet.catalog, types=changed)
    fleet.reconcile()
    assert task.status == "in_progress"


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": {"repository": "/srv/a", "setup": "make venv"}},
        {"command": "make test"},
        {"timeout": "1h"},
        {"status": "pending"},
        {"scope": {"repository": "/srv/b"}},
        {"type": "scan"},
    ],
    ids=["scope", "command", "timeout", "status", "another repository", "another type"],
)
def test_an_edit_of_its_row_lets_it_go_on(fields: dict[str, Any]) -> None:
    fleet = Fleet()
    task = lacking(fleet)
    desk = Desk(fleet)
    copy = desk.open()
    row_in(copy, task.id).update(fields)
    merged = desk.save(copy)
    assert merged.refusals == []
    assert task.status == "in_progress"
    fleet.run_through(task)
    assert task.status == "completed"


def test_a_title_says_nothing_of_what_is_missing() -> None:
    fleet = Fleet()
    task = lacking(fleet)
    desk = Desk(fleet)
    copy = desk.open()
    row_in(copy, task.id)["title"] = "Test it, please"
    desk.save(copy)
    assert (task.status, task.title) == ("blocked", "Test it, please")


def test_other_steps_go_on_first_and_what_they_made_is_kept() -> None:
    fleet = Fleet()
    ship = {"name": "ship", "command": "make ship", "needs": ["build", "check"]}
    task = fleet.dropped(title="p", workers=[BUILD, CHECK, ship])
    fleet.admit()
    (check,) = of_step(fleet, task, "check")
    not_run(fleet, check, "pytest")
    assert task.status == "in_progress", "the build still runs"
    (build,) = of_step(fleet, task, "build")
    fleet.finish(build)
    assert (task.status, task.blocked_on) == ("blocked", "step check lacks pytest")
    desk = Desk(fleet)
    copy = desk.open()
    row_in(copy, task.id)["scope"] = {"python": "/srv/venv/bin/python"}
    desk.save(copy)
    assert task.step("check").scope == {"repository": "/srv/a", "python": "/srv/venv/bin/python"}
    fleet.run_through(task)
    assert task.status == "completed"
    assert [len(of_step(fleet, task, name)) for name in ("build", "check", "ship")] == [1, 2, 1]


def test_an_optional_step_fails_and_the_plan_goes_on() -> None:
    fleet = Fleet()
    task = fleet.dropped(title="p", workers=[BUILD, {**CHECK, "optional": True}])
    fleet.admit()
    not_run(fleet, of_step(fleet, task, "check")[0], "pytest")
    fleet.finish(of_step(fleet, task, "build")[0])
    assert (task.step("check").status, task.status) == ("failed", "aggregating")


def test_nobody_is_asked_to_provide_anything_for_a_task_that_fails_anyway() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = fleet.dropped(title="p", workers=[BUILD, CHECK])
    fleet.admit()
    not_run(fleet, of_step(fleet, task, "check")[0], "pytest")
    fleet.fail(of_step(fleet, task, "build")[0])
    assert task.step("check").reason == "not run; missing: pytest; and build did not succeed"
    fleet.gather(task)
    assert (task.status, task.reason) == ("failed", "step build failed: exit 1")
    fleet.drop(kind="retry", task_id=task.id)
    fleet.run_through(task)
    assert task.status == "completed"


def test_it_can_be_paused_resumed_and_cancelled_meanwhile() -> None:
    fleet = Fleet()
    task = lacking(fleet)
    fleet.drop(kind="pause", task_id=task.id)
    with pytest.raises(RequestError, match="or one that lacked something"):
        fleet.drop(kind="retry", task_id=task.id)
    fleet.drop(kind="resume", task_id=task.id)
    assert task.status == "blocked"
    fleet.drop(kind="cancel", task_id=task.id)
    assert (task.status, task.steps[0].status) == ("cancelled", "cancelled")
    fleet.drop(kind="retry", task_id=task.id)
    fleet.run_through(task)
    assert task.status == "completed"


@pytest.mark.parametrize(
    ("results", "missing"),
    [
        (None, []),
        ({"outcome": "conflict", "missing": ["x"]}, []),
        ({"outcome": "not_run", "missing": ["a", "", 7]}, ["a", "7"]),
        ({"outcome": "not_run", "missing": "a shell"}, ["a shell"]),
        ({"outcome": "not_run", "error": "no idea"}, ["no idea"]),
        ({"outcome": "not_run", "missing": [{"a": 1}] * 50}, ["{'a': 1}"] * 10),
        ({"outcome": "not_run", "missing": ["\x1b[2Jx" * 100]}, ["[2Jx" * 50]),
        ({"outcome": "not_run"}, ["not said what"]),
    ],
)
def test_what_a_worker_says_is_missing_is_a_strangers_word(
    results: dict[str, Any] | None, missing: list[str]
) -> None:
    assert missing_in(results) == missing


PARTS = [{"name": "api", "command": ["x"]}, {"name": "pages", "command": ["y"]}]


@pytest.mark.parametrize(
    ("scope", "edited", "steps"),
    [
        ({"parts": PARTS}, {"parts": [{"name": "shop", "command": ["z"]}]}, ["shop"]),
        ({"paths": ["src/a", "src/b"]}, {"paths": ["src/a"]}, ["part-a"]),
    ],
    ids=["parts", "paths"],
)
def test_an_edit_of_what_its_plan_is_made_of_makes_another_plan(
    scope: dict[str, Any], edited: dict[str, Any], steps: list[str]
) -> None:
    fleet = Fleet()
    where = {"repository": "/srv/a"}
    task = fleet.dropped(type="feature", title="f", scope={**where, **scope})
    before = task.steps[0].name
    fleet.admit()
    for ident in fleet.workers_of(task, "approved"):
        not_run(fleet, ident, "cc")
    assert str(task.blocked_on).startswith(f"step {before} lacks cc")
    desk = Desk(fleet)
    copy = desk.open()
    row_in(copy, task.id)["scope"] = {**where, **edited}
    merged = desk.save(copy)
    assert merged.refusals == []
    assert task.status == "in_progress"
    made = [step.name for step in task.steps if step.worker_type == "implementation-worker"]
    assert made == steps


def test_an_edit_beside_the_parts_keeps_what_was_made_of_them() -> None:
    fleet = Fleet()
    scope = {"repository": "/srv/a", "parts": PARTS}
    task = fleet.dropped(type="feature", title="f", scope=scope)
    fleet.admit()
    fleet.finish(of_step(fleet, task, "api")[0])
    not_run(fleet, of_step(fleet, task, "pages")[0], "cc")
    assert task.status == "blocked"
    desk = Desk(fleet)
    copy = desk.open()
    row_in(copy, task.id)["scope"]["setup"] = "make venv"
    desk.save(copy)
    assert (task.status, task.step("api").status) == ("in_progress", "done")
