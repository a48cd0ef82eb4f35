"""What a master's file bounds, and what a person may still say: types, steps, tokens, review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.decide.catalog import Catalog
from cortex.model.definitions import read_master
from cortex.model.errors import DefinitionError, RequestError
from tests.unit.decide.fleet import Fleet, settings
from tests.unit.deciding import builtin_catalog

STEPS = "steps: [{name: look, worker_type: analysis, for_each: repository}]"
OPS = f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], {STEPS}}}]\n"
TWO = {"repositories": ["/r/a", "/r/b"]}


def catalog(front: str) -> Catalog:
    """The built-in catalog behind one more master."""
    base = builtin_catalog()
    made = read_master(f"---\n{front}\n---\nprompt", Path("agents/masters/ops-master.md"))
    return Catalog({made.name: made, **base.masters}, base.types, base.runtimes)


def fleet(front: str, **sections: Any) -> Fleet:
    return Fleet(settings(**sections), catalog=catalog(front))


# --- spawns


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (f"plans:\n  - types: [ops]\n    {STEPS}", ":6: plans.0.steps.0.worker_type: analysis-"),
        (
            "plans:\n  - types: [ops]\n    review: review-worker\n    function: feature",
            ":6: plans.0.review.by: review-worker is not among its `spawns`; add it there",
        ),
    ],
)
def test_a_plan_that_names_what_its_master_does_not_spawn_is_refused(more: str, says: str) -> None:
    text = f"---\nname: ops\nspawns: [scan]\n{more}\n---\n"
    with pytest.raises(DefinitionError) as refused:
        read_master(text, Path("ops.md"))
    assert f"ops.md{says}" in str(refused.value)


def test_what_a_function_makes_is_held_against_spawns_too() -> None:
    front = "name: ops\nroutes: [ops]\nspawns: [implementation, test]\n"
    world = fleet(f"{front}plans: [{{types: [ops], function: feature}}]")
    task = world.dropped(type="ops", scope={"repository": "/r/a", "paths": ["x"]})
    assert task.status == "blocked"
    assert task.blocked_on == (
        "ops-master does not spawn pr-worker (step pr); add it to `spawns` of ops-master, or name "
        "it in the task's own `workers`"
    )


def test_a_master_without_a_plan_does_not_fall_back_on_what_it_does_not_spawn() -> None:
    world = fleet("name: ops\nroutes: [ops]\nspawns: [scan]")
    task = world.dropped(type="ops")
    assert "ops-master does not spawn coordinator-worker" in str(task.blocked_on)
    world.catalog = catalog("name: ops\nroutes: [ops]")
    world.reconcile()
    assert task.status == "in_progress"


def test_what_a_person_names_needs_no_place_in_spawns() -> None:
    world = fleet("name: ops\nroutes: [ops, scan]\nspawns: []")
    named = world.dropped(type="ops", workers=[{"name": "a", "worker_type": "analysis"}])
    command = world.dropped(type="ops", command="true")
    called_so = world.dropped(type="scan")
    for task, kind in ((named, "analysis"), (command, "command"), (called_so, "scan")):
        assert (task.status, task.assigned_to) == ("in_progress", "ops-master")
        assert [step.worker_type for step in task.steps] == [f"{kind}-worker"]


def test_branches_that_meet_are_joined_whatever_spawns_says() -> None:
    front = (
        "name: ops\nroutes: [ops]\nspawns: [command, pr]\nplans:\n  - types: [ops]\n    steps:\n"
        "      - {name: a, worker_type: command, command: 'true'}\n"
        "      - {name: b, worker_type: command, command: 'true'}\n"
        "      - {name: pr, worker_type: pr, needs: [a, b]}\n"
    )
    world = fleet(front)
    task = world.dropped(type="ops", scope={"repository": "/r/a"})
    world.admit()
    for worker in list(world.state.workers.values()):
        world.run(worker)
        world.finish(worker.id)
    world.admit()
    (pr,) = [worker for worker in world.state.workers.values() if worker.step == "pr"]
    world.run(pr)
    conflict = {"status": "failed", "outcome": "conflict", "conflicts": ["x"], "error": "no"}
    world.finish(pr.id, code=1, results=conflict)
    assert task.step("pr-integration").status == "active"
    assert task.waiting_for is None


def test_a_type_that_is_taken_out_of_spawns_is_not_asked_for_any_more() -> None:
    steps = (
        "steps: [{name: look, worker_type: analysis}, {name: scan, worker_type: scan,"
        " needs: [look]}]"
    )
    world = fleet(f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], {steps}}}]")
    task = world.dropped(type="ops")
    world.admit()
    world.catalog = catalog("name: ops\nroutes: [ops]\nspawns: [analysis]")
    world.run(world.state.workers["worker-analysis-001"])
    world.finish("worker-analysis-001")
    assert (task.status, len(task.workers)) == ("in_progress", 1)
    assert "does not spawn scan-worker (step scan)" in str(task.waiting_for)
    world.catalog = catalog("name: ops\nroutes: [ops]")
    world.reconcile()
    assert (task.workers[1:], task.waiting_for) == (["worker-scan-001"], None)


# --- limits


def test_a_plan_with_more_steps_than_its_master_allows_is_blocked() -> None:
    world = fleet(f"{OPS}limits: {{max_steps: 1}}")
    task = world.dropped(type="ops", scope=TWO)
    assert task.blocked_on == (
        "its plan has 2 steps; max_steps of ops-master is 1; name less in the scope, or raise it"
    )
    person = world.dropped(type="ops", workers=[{"name": n, "command": "true"} for n in "ab"])
    assert person.status == "in_progress"
    world.catalog = catalog(f"{OPS}limits: {{max_steps: 2}}")
    world.reconcile()
    assert task.status == "in_progress"


@pytest.mark.parametrize(
    ("of_file", "of_settings", "live"), [(1, None, 1), (None, 2, 2), (3, 1, 1), (1, 3, 1)]
)
def test_of_two_limits_of_live_workers_the_smaller_one_holds(
    of_file: int | None, of_settings: int | None, live: int
) -> None:
    limits = f"limits: {{max_parallel: {of_file}}}" if of_file else ""
    sections = {"limits": {"per_master": {"ops": of_settings}}} if of_settings else {}
    world = fleet(OPS + limits, **sections)
    world.dropped(type="ops", scope={"repositories": [f"/r/{name}" for name in "abcd"]})
    world.admit()
    assert len(world.state.live) == live


def test_a_worker_that_waits_for_its_masters_limit_says_so() -> None:
    from cortex.decide.admit import waiting_reason

    world = fleet(f"{OPS}limits: {{max_parallel: 1}}")
    world.dropped(type="ops", scope=TWO)
    world.admit()
    (waiting,) = world.state.waiting
    assert waiting_reason(world.state, world.state.workers[waiting]) == (
        "a free slot: 1 of ops-master run, and limits.max_parallel of its file is 1"
    )


THINK = "plans: [{types: [ops], steps: [{name: do, worker_type: implementation, retries: 3}]}]"


def test_a_task_that_may_use_more_tokens_than_its_master_allows_waits_for_a_yes() -> None:
    world = fleet(f"name: ops\nroutes: [ops]\n{THINK}\nlimits: {{tokens_per_task: 9999}}")
    task = world.dropped(type="ops")
    (approval,) = world.state.approvals.values()
    assert task.status == "awaiting_approval"
    assert approval.reason == "it may use 10,000 tokens; tokens_per_task of ops-master is 9,999"


def test_attempts_count_towards_the_tokens_of_a_task() -> None:
    world = fleet(f"name: ops\nroutes: [ops]\n{THINK}\nlimits: {{tokens_per_task: 15000}}")
    task = world.dropped(type="ops")
    world.admit()
    world.run(world.state.workers["worker-impl-001"])
    world.finish("worker-impl-001", 9000, code=1)
    world.wall += 3600
    world.reconcile()
    (approval,) = world.state.approvals.values()
    assert approval.reason.startswith("it may use 19,000 tokens (9,000 so far); tokens_per_task")
    assert task.workers == ["worker-impl-001"]


def test_a_step_that_was_given_up_does_not_count_towards_the_tokens_of_a_task() -> None:
    steps = (
        "[{name: a, worker_type: implementation, optional: true, retries: 0},"
        " {name: b, worker_type: implementation, needs: [a]}]"
    )
    front = f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], steps: {steps}}}]\n"
    world = fleet(f"{front}limits: {{tokens_per_task: 20000}}")
    task = world.dropped(type="ops")
    world.admit()
    world.run(world.state.workers["worker-impl-001"])
    world.finish("worker-impl-001", 5000, code=1)
    assert (task.status, len(task.workers)) == ("in_progress", 2)


# --- review


def test_a_task_of_a_plan_with_a_persons_review_is_over_when_somebody_said_yes() -> None:
    world = fleet(f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], review: person, {STEPS}}}]")
    task = world.dropped(type="ops")
    world.admit()
    world.run(world.state.workers["worker-analysis-001"])
    world.finish("worker-analysis-001")
    assert task.status == "awaiting_approval"
    (approval,) = world.state.approvals.values()
    wanted = "ops-master wants a person's yes on what its workers made"
    assert approval.reason == f"{wanted}: no findings"
    world.drop(kind="approve", task_id=task.id)
    assert task.status == "aggregating"


@pytest.mark.parametrize("paused", [False, True])
def test_what_a_person_reviews_gets_no_further_worker(paused: bool) -> None:
    world = fleet(f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], review: person, {STEPS}}}]")
    task = world.dropped(type="ops")
    world.admit()
    world.finish("worker-analysis-001")
    if paused:
        world.drop(kind="pause", task_id=task.id)
    asked = {"kind": "worker_request", "master_agent": "ops", "worker_type": "analysis"}
    with pytest.raises(RequestError, match="all of its steps are over") as refused:
        world.drop({**asked, "task_id": task.id})
    assert refused.value.field == "task_id"
    world.drop(kind="approve", task_id=task.id)
    assert [step.status for step in task.steps] == ["done"]


def test_a_failed_task_needs_no_review() -> None:
    world = fleet(f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], review: person, {STEPS}}}]")
    task = world.dropped(type="ops", retries=0)
    world.admit()
    world.run(world.state.workers["worker-analysis-001"])
    world.finish("worker-analysis-001", code=1)
    assert task.status == "aggregating"


@pytest.mark.parametrize(("said", "status"), [("true", "completed"), ("false", "failed")])
def test_a_step_says_whether_a_partial_result_will_do(said: str, status: str) -> None:
    steps = f"steps: [{{name: a, worker_type: analysis, accept_partial: {said}, retries: 0}}]"
    world = fleet(
        f"name: ops\nroutes: [ops]\nplans: [{{types: [ops], {steps}}}]",
        workers={"accept_partial": said == "false"},
    )
    world.dropped(type="ops")
    world.admit()
    world.run(world.state.workers["worker-analysis-001"])
    worker = world.finish("worker-analysis-001", results={"status": "partial"})
    assert worker.status == status
