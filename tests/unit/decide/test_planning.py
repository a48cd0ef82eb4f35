"""Plans that a model proposes: who is asked, what is accepted, and every way out of `planning`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.decide.answers import answer
from cortex.decide.catalog import Catalog
from cortex.decide.ending import cancel_task, reopen_task
from cortex.decide.entry import Entry
from cortex.decide.planning import plan_context
from cortex.decide.spec import worker_spec
from cortex.model.definitions import WorkerTypeDefinition
from cortex.model.requests import Answer
from cortex.model.settings import Settings
from cortex.model.state import PLANNER, State, Task
from tests.unit.deciding import RUNTIMES, World, builtin_catalog

PLAN: dict[str, Any] = {
    "reason": "the interface comes first",
    "workers": [
        {"name": "api", "worker_type": "implementation"},
        {"name": "pages", "worker_type": "implementation", "scope": {"instructions": "the pages"}},
        {"name": "tests", "worker_type": "test-worker", "needs": ["api", "pages"]},
    ],
}
SCOPE = {"repository": "/srv/shop"}
WITHOUT_AGENT = {name: info for name, info in RUNTIMES.items() if name != "agent"}


def changed(catalog: Catalog, kind: str, name: str, **fields: Any) -> Catalog:
    """The catalog with other fields in one master's or worker type's file."""
    rows = dict(getattr(catalog, kind))
    rows[name] = rows[name].model_copy(update=fields)
    return replace(catalog, **{kind: rows})


def catalog_of(**fields: Any) -> Catalog:
    """The built-in one, whose development master has no plan for features of its own."""
    catalog = builtin_catalog()
    plans = [one for one in catalog.masters["development-master"].plans if "fix" in one.types]
    fields = {"plans": plans, "planner": "planner-worker", **fields}
    return changed(catalog, "masters", "development-master", **fields)


def world_of(**fields: Any) -> World:
    return World(catalog=catalog_of(**fields))


def feature(world: World, **fields: Any) -> Task:
    task = world.task(**{"type": "feature", "scope": SCOPE, "title": "A shop", **fields})
    world.admit()
    return task


def propose(world: World, task: Task, proposal: Any, used: int = 900, **observed: Any) -> None:
    """The planner that runs for the task ends and says this."""
    results = {"status": "completed", "tokens_used": used, "plan": proposal}
    live = [ident for ident in task.workers if ident in world.state.live]
    world.end(live[0], used, **{"results": results, **observed})
    world.reconcile()
    world.admit()


def last_why(world: World, event: str) -> str:
    return next(
        line.why
        for line in reversed(world.lines)
        if any(one["event"] == event for one in line.events)
    )


# --- who is asked


def test_a_feature_that_nobody_planned_is_planned_by_a_worker_on_its_masters_own_tokens() -> None:
    world = world_of()
    task = feature(world)
    assert task.status == "planning"
    assert task.steps == []
    worker = world.state.workers["worker-planner-001"]
    assert (worker.fund, worker.reserved) == ("master:development", 3000)
    assert world.state.budget.pool_allocated == 0
    assert worker.step == PLANNER


@pytest.mark.parametrize(
    "fields",
    [
        {"plan": [{"name": "a", "worker_type": "analysis-worker"}]},
        {"command": "make"},
        {"execution_mode": "direct"},
        {"type": "test"},
        {"type": "fix"},
        {"type": "implementation"},
        {"type": "featrue"},
    ],
    ids=["own plan", "command", "direct", "own type", "master's plan", "agent's own type", "typo"],
)
def test_no_model_is_asked_where_something_says_how_the_task_is_done(
    fields: dict[str, Any],
) -> None:
    world = world_of()
    feature(world, **fields)
    assert not any(worker.step == PLANNER for worker in world.state.workers.values())


@pytest.mark.parametrize("planner", [None, "nobody-worker"])
def test_without_a_planner_one_worker_gets_the_whole_task(planner: str | None) -> None:
    world = world_of(planner=planner)
    task = feature(world)
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]


def test_a_planner_that_cannot_run_here_changes_nothing() -> None:
    world = World(catalog=replace(catalog_of(), runtimes=WITHOUT_AGENT))
    task = feature(world)
    assert task.status == "blocked"
    assert "needs thought" in str(task.blocked_on)


def test_a_planner_with_a_command_in_its_file_needs_no_agent() -> None:
    catalog = replace(catalog_of(), runtimes=WITHOUT_AGENT)
    world = World(catalog=catalog)
    task = feature(world)
    assert task.status == "blocked"
    world.catalog = changed(
        catalog, "types", "planner-worker", runtime="command", command="my-planner"
    )
    world.reconcile()
    world.admit()
    assert task.status == "planning", "and a blocked task goes on by itself"
    worker = world.state.workers["worker-planner-001"]
    assert worker.runtime == "command"
    assert worker_spec(task, worker, world.catalog)["command"] == "my-planner"


def test_a_types_command_is_run_where_neither_step_nor_task_names_one() -> None:
    kind = WorkerTypeDefinition(name="spelling", command=["codespell"])
    types = {**builtin_catalog().types, kind.name: kind}
    world = World(catalog=replace(builtin_catalog(), types=types))
    rows = [
        {"name": "plain", "worker_type": "spelling-worker"},
        {"name": "own", "worker_type": "spelling-worker", "command": "true"},
    ]
    task = world.task(plan=rows)
    said = [
        worker_spec(task, world.state.workers[ident], world.catalog)["command"]
        for ident in task.workers
    ]
    assert said == [["codespell"], "true"]


def test_the_planner_is_told_the_task_the_types_the_limits_and_the_schema() -> None:
    world = world_of()
    task = feature(world, scope={"repository": "https://example.org/shop.git", "paths": ["src"]})
    worker = world.state.workers[task.workers[0]]
    spec = worker_spec(task, worker, world.catalog)
    assert spec["scope"] == {}, "nothing is fetched to plan"
    asked = plan_context(task, world.catalog, world.settings)["plan"]
    assert asked["task"]["scope"]["repository"] == "https://example.org/shop.git"
    offered = [row["worker_type"] for row in asked["worker_types"]]
    assert "implementation-worker" in offered
    assert "planner-worker" not in offered
    assert "scan-worker" not in offered, "development does not spawn it"
    assert asked["schema"]["properties"]["workers"]
    assert asked["steps_at_most"] == 50


# --- what comes of it


def test_a_valid_plan_becomes_the_tasks_steps_in_one_line() -> None:
    world = world_of()
    task = feature(world)
    propose(world, task, PLAN)
    assert task.status == "in_progress"
    assert [step.name for step in task.steps] == ["api", "pages", "tests"]
    assert task.steps[1].scope == {**SCOPE, "instructions": "the pages"}
    line = next(one for one in world.lines if one.events[0]["event"] == "plan_accepted")
    assert {"task_planned", "worker_requested"} <= {event["event"] for event in line.events}
    assert "the interface comes first" in line.why
    fund = world.state.budget.masters["development"]
    assert (fund.used, fund.reserved) == (900, 0)
    assert task.planning is not None
    assert task.planning.step.status == "done"
    assert all(step.retries == 2 for step in task.steps), "none was spent"


def test_an_invalid_plan_is_asked_for_again_with_the_reasons() -> None:
    world = world_of()
    task = feature(world)
    propose(world, task, {"workers": [{"name": "a", "worker_type": "wizard"}]})
    assert task.status == "planning"
    assert world.state.workers["worker-planner-001"].review == "refused"
    assert world.state.budget.accepted_tokens == 0
    second = world.state.workers["worker-planner-002"]
    assert second.retry_of == "worker-planner-001"
    told = plan_context(task, world.catalog, world.settings)["refused"]
    assert told == ["workers.0.worker_type: 'wizard-worker' is no worker type here"]
    propose(world, task, PLAN)
    assert task.status == "in_progress"
    assert len(task.steps) == 3
    assert world.state.budget.accepted_tokens == 900


def test_a_plan_refused_twice_leaves_one_worker_for_the_whole() -> None:
    world = world_of()
    task = feature(world)
    for _ in range(2):
        propose(world, task, "I would rather not")
    assert task.status == "in_progress"
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]
    assert "is a text; answer with one JSON object" in last_why(world, "planning_given_up")
    assert sum(worker.step == PLANNER for worker in world.state.workers.values()) == 2


def test_a_planner_that_fails_for_good_leaves_one_worker_for_the_whole() -> None:
    world = world_of()
    task = feature(world)
    propose(
        world, task, None, code=1, results={"status": "failed", "permanent": True, "error": "x"}
    )
    assert task.status == "in_progress"
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]
    assert "no plan of a model: exit 1: x" in last_why(world, "planning_given_up")


def test_a_planner_that_fails_is_tried_again_by_its_own_retries_after_a_while() -> None:
    world = world_of()
    task = feature(world, retries=0)
    propose(world, task, None, code=1, results=None)
    assert task.status == "planning"
    assert task.planning is not None
    assert task.planning.step.status == "ready"
    world.at(1)
    world.reconcile()
    world.admit()
    propose(world, task, None, code=1, results=None)
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]
    assert task.steps[0].retries == 0


@pytest.mark.parametrize("used", [0, 900])
def test_a_planner_without_results_or_plan_is_one_that_was_refused(used: int) -> None:
    world = world_of()
    task = feature(world)
    results = {"status": "completed", "tokens_used": used} if used else None
    propose(world, task, None, used, results=results)
    assert task.planning is not None
    assert task.planning.refusals == 1
    assert "results.json" in task.planning.refused[0]


def test_a_master_without_tokens_does_not_wait_for_a_plan() -> None:
    world = world_of()
    world.state.budget.masters["development"].used = 28_000
    task = feature(world)
    world.reconcile()
    assert task.status == "in_progress"
    assert world.state.workers["worker-planner-001"].status == "rejected"
    why = last_why(world, "planning_given_up")
    assert "needs 3000 tokens of development's own, 2000 are free" in why


def test_a_planner_waits_while_its_masters_tokens_may_come_back() -> None:
    world = world_of()
    task = feature(world, title="a direct one", execution_mode="direct", token_budget=28_000)
    assert world.workers("approved") == task.workers
    second = feature(world, priority="low")
    assert second.status == "planning"
    assert world.state.workers["worker-planner-001"].status == "queued"
    world.end(task.workers[0], 100)
    world.admit()
    assert world.state.workers["worker-planner-001"].status == "approved"


def test_where_one_worker_cannot_run_either_the_task_is_blocked() -> None:
    catalog = changed(
        replace(catalog_of(), runtimes=WITHOUT_AGENT), "types", "planner-worker", command="plan"
    )
    world = World(catalog=catalog)
    task = feature(world)
    for _ in range(2):
        propose(world, task, [])
    assert task.status == "blocked"
    assert "needs thought" in str(task.blocked_on)
    world.reconcile()
    assert len(task.workers) == 2, "it is not planned again and again"
    world.apply(Entry("cli", "retried", reopen_task(world.state, task)))
    world.reconcile()
    world.admit()
    assert task.status == "planning", "a retry asks for a plan anew"
    propose(world, task, {"workers": [{"name": "check", "worker_type": "test-worker"}]})
    assert (task.status, [step.name for step in task.steps]) == ("in_progress", ["check"])


def test_a_plan_above_the_price_waits_for_a_yes_and_the_same_plan_goes_on() -> None:
    world = world_of()
    world.settings = Settings.model_validate({"approvals": {"tokens_above": 10_000}})
    task = feature(world)
    assert task.status == "planning", "a plan that nobody knows yet has no price"
    propose(world, task, PLAN)
    assert task.status == "awaiting_approval"
    assert task.planning is not None
    assert [row["name"] for row in task.planning.workers] == ["api", "pages", "tests"]
    world.apply(answer(world.state, Answer(kind="approve", task_id=task.id)))
    world.reconcile()
    assert task.status == "in_progress"
    assert [step.name for step in task.steps] == ["api", "pages", "tests"]
    assert sum(worker.step == PLANNER for worker in world.state.workers.values()) == 1


def test_a_denied_plan_is_forgotten_by_a_retry() -> None:
    world = world_of(approvals=["feature"])
    task = feature(world)
    propose(world, task, PLAN)
    world.apply(answer(world.state, Answer(kind="deny", task_id=task.id)))
    assert task.status == "cancelled"
    world.apply(Entry("person", "", reopen_task(world.state, task)))
    world.reconcile()
    assert task.status == "planning"
    assert task.workers == ["worker-planner-001", "worker-planner-002"]


def test_a_yes_for_one_worker_is_none_for_the_plan_that_a_retry_brings() -> None:
    catalog = changed(catalog_of(approvals=["feature"]), "types", "planner-worker", command="plan")
    world = World(catalog=catalog)
    task = feature(world)
    for _ in range(2):
        propose(world, task, [])
    assert task.status == "awaiting_approval", "one worker for the whole"
    world.catalog = replace(catalog, runtimes=WITHOUT_AGENT)
    world.apply(answer(world.state, Answer(kind="approve", task_id=task.id)))
    world.reconcile()
    assert task.status == "blocked"
    world.apply(Entry("cli", "retried", reopen_task(world.state, task)))
    world.reconcile()
    world.admit()
    propose(world, task, {"workers": [{"name": "check", "worker_type": "test-worker"}]})
    assert (task.status, task.steps) == ("awaiting_approval", [])


# --- people in between


def test_a_task_paused_while_it_is_planned_takes_up_the_plan_when_it_goes_on() -> None:
    world = world_of()
    task = feature(world)
    world.apply(Entry("person", "", [{"event": "task_paused", "task_id": task.id}]))
    propose(world, task, PLAN)
    assert task.status == "paused"
    assert task.steps == []
    world.apply(Entry("person", "", [{"event": "task_resumed", "task_id": task.id}]))
    world.reconcile()
    assert task.status == "in_progress"
    assert len(task.steps) == 3


def test_a_cancel_ends_the_planner_and_what_it_says_then_counts_no_more() -> None:
    world = world_of()
    task = feature(world)
    worker = world.state.workers[task.workers[0]]
    world.run(worker)
    world.apply(Entry("person", "", cancel_task(world.state, task, "no")))
    assert worker.status == "ending"
    propose(world, task, PLAN)
    assert task.status == "cancelled"
    assert task.steps == []
    assert world.state.budget.masters["development"].reserved == 0
    world.apply(Entry("person", "", reopen_task(world.state, task)))
    world.reconcile()
    assert task.status == "planning"


def test_a_state_in_the_middle_of_planning_survives_its_checkpoint() -> None:
    world = world_of()
    task = feature(world)
    propose(world, task, {"workers": []})
    again = State.from_json(world.state.to_json())
    assert again.to_json() == world.state.to_json()
    assert again.tasks[task.id].step(PLANNER).status == "active"


# --- what a plan may not do


def step(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "worker_type": "implementation-worker", **fields}


@pytest.mark.parametrize(
    ("workers", "reason"),
    [
        ([], "workers: is empty"),
        ([{"name": "a"}], "workers.0.worker_type: is missing"),
        ([step(env={"A": "b"})], "workers.0.env: no such key; known here: name, "),
        ([step(scope={"test_command": "rm"})], "workers.0.scope.test_command: no such key"),
        ([step(scope={"paths": ["../x"]})], "workers.0.scope.paths: path '../x' leaves"),
        ([step(name="../a")], "workers.0.name: '../a' is no id"),
        ([step(), step()], "workers.1.name: two of them are named 'a'"),
        ([step(needs=["b"])], "workers.0.needs: 'a' needs 'b', which is not in the plan"),
        ([step(needs=["a"])], "workers: a → a need each other in a circle"),
        ([step(worker_type="planner")], "workers.0.worker_type: 'planner-worker' only plans"),
        ([step(worker_type="scan")], "'scan-worker' is none that development-master spawns"),
        ([step(token_budget=10_001)], "workers.0.token_budget: 10001 is more than the 10000"),
        ([step(timeout="2h")], "workers.0.timeout: 7200 s is more than the 2700 s"),
        ([step(command="rm -rf /")], "workers.0.command: plans may name no commands here"),
        ([step(scope={"repository": "/etc"})], "workers.0.scope.repository: '/etc' is not in"),
        ([step(scope={"paths": ["docs"]})], "workers.0.scope.paths: 'docs' is not in the paths"),
        ([step(name=f"s{n}") for n in range(51)], "workers: has 51 steps; at most 50"),
    ],
)
def test_a_plan_that_asks_for_what_it_may_not_is_refused_with_the_place(
    workers: list[dict[str, Any]], reason: str
) -> None:
    world = world_of()
    task = feature(world, scope={**SCOPE, "paths": ["src"]})
    propose(world, task, {"workers": workers})
    assert task.planning is not None
    assert reason in task.planning.refused[0]


@pytest.mark.parametrize(
    ("allowed", "path"),
    [("src", "src/a"), ("./src/", "src"), ("src/**", "src/a/b.py"), ("*.py", "a.py"), (".", "x")],
)
def test_paths_inside_those_of_the_task_are_accepted(allowed: str, path: str) -> None:
    world = world_of()
    task = feature(world, scope={**SCOPE, "paths": [allowed]})
    propose(world, task, {"workers": [step(scope={"paths": [path]})]})
    assert task.status == "in_progress"
    assert task.steps[0].scope["paths"] == [path]


def test_a_type_that_cannot_run_here_is_refused_with_what_it_lacks() -> None:
    catalog = replace(catalog_of(), runtimes=WITHOUT_AGENT)
    world = World(catalog=changed(catalog, "types", "planner-worker", command="plan"))
    task = feature(world)
    propose(world, task, PLAN)
    assert task.planning is not None
    assert "'implementation-worker' cannot run here: " in task.planning.refused[0]


def test_commands_of_a_plan_run_only_where_the_masters_file_says_so() -> None:
    world = world_of(plan_commands=True)
    task = feature(world)
    propose(world, task, {"workers": [step(command=["make", "it"], scope={"paths": ["src"]})]})
    assert task.status == "in_progress"
    assert task.steps[0].command == ["make", "it"]


def test_a_plan_may_ask_for_a_yes_and_cannot_take_one_away() -> None:
    catalog = changed(catalog_of(), "types", "test-worker", approval=True)
    world = World(catalog=catalog)
    task = feature(world)
    tested = {"name": "tests", "worker_type": "test", "approval": False}
    propose(world, task, {"workers": [step(approval=True), tested]})
    assert task.status == "awaiting_approval"
    (asked,) = world.state.approvals.values()
    assert asked.reason == "step a asks for it; tests with it"
    assert [step["worker_type"] for step in asked.offer["steps"]][1:] == ["test-worker"]


def test_a_huge_proposal_is_not_taken_into_the_journal() -> None:
    world = world_of()
    task = feature(world)
    propose(world, task, {"reason": "x" * 200_000, "workers": []})
    assert task.planning is not None
    assert task.planning.refused == ["plan: has more than 100,000 characters"]
