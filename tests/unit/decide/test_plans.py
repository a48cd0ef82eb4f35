"""What a task becomes: its own plan, its master's, a command, one worker, or a word what lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortex.decide.catalog import Catalog, RuntimeInfo
from cortex.decide.spec import worker_spec
from cortex.model.definitions import read_master, read_worker_type
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, settings
from tests.unit.deciding import RUNTIMES, World, builtin_catalog

WITHOUT_AGENT = {name: info for name, info in RUNTIMES.items() if name != "agent"}


def step(name: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": "true", "needs": list(needs), "token_budget": 10, **fields}


def statuses(task: Task) -> dict[str, str]:
    return {step.name: step.status for step in task.steps}


def master(text: str) -> Catalog:
    """The built-in catalog with one more master."""
    catalog = builtin_catalog()
    made = read_master(f"---\n{text}\n---\nprompt", Path("agents/masters/extra.md"))
    return Catalog({**catalog.masters, made.name: made}, catalog.types, catalog.runtimes)


# --- where a plan comes from


def test_a_command_alone_is_one_worker_of_the_coordinator() -> None:
    fleet = Fleet()
    task = fleet.dropped(command=["make", "test"])
    assert (task.type, task.assigned_to, task.status) == (
        "command",
        "coordinator-master",
        "in_progress",
    )
    assert task.workers == ["worker-cmd-001"]
    assert fleet.state.workers["worker-cmd-001"].runtime == "command"


def test_a_command_in_the_scope_is_the_same() -> None:
    fleet = Fleet()
    task = fleet.dropped(scope={"command": "make test"})
    assert task.command == "make test"
    assert task.workers == ["worker-cmd-001"]


def test_the_masters_plan_makes_one_step_for_each_repository() -> None:
    fleet = Fleet()
    task = fleet.dropped(
        type="security", scope={"repositories": ["/srv/app", "/srv/lib/", "https://x/y/app.git"]}
    )
    assert task.assigned_to == "security-master"
    assert [step.name for step in task.steps] == ["scan-app", "scan-lib", "scan-app-2"]
    assert [step.scope for step in task.steps] == [
        {"repository": "/srv/app"},
        {"repository": "/srv/lib"},
        {"repository": "https://x/y/app.git"},
    ]
    assert task.workers == ["worker-scan-001", "worker-scan-002", "worker-scan-003"]


def test_step_names_are_unique_and_fit_for_files_whatever_the_repositories_are_called() -> None:
    fleet = Fleet()
    names = ["/a/v2", "/b/v2", "/c/v2", "/", "..", "/x/ä ö", "/y/ä ö", "/n/" + "r" * 100]
    names += ["/m/" + "r" * 100, "/z/v-2", "-"]
    task = fleet.dropped(type="scan", scope={"repositories": names})
    made = [step.name for step in task.steps]
    assert len(set(made)) == len(names) == len(task.workers)
    assert all(len(name) <= 64 and not set(name) & set("/ \0ä") for name in made)


def test_steps_of_different_templates_never_share_a_name() -> None:
    plan = """name: twin
routes: [twin]
plans:
  - types: [twin]
    steps:
      - {name: scan, worker_type: scan, for_each: repository}
      - {name: scan-x, worker_type: scan}"""
    fleet = Fleet(catalog=master(plan))
    task = fleet.dropped(type="twin", scope={"repositories": ["/srv/x", "/srv/y"]})
    made = [step.name for step in task.steps]
    assert len(set(made)) == 3


def test_a_need_on_a_template_for_each_repository_is_a_need_on_all_of_them() -> None:
    plan = """name: pair
routes: [pair]
plans:
  - types: [pair]
    max_parallel: 2
    steps:
      - {name: scan, worker_type: scan, for_each: repository}
      - {name: sum, worker_type: analysis, needs: scan, optional: true, retries: 0}"""
    fleet = Fleet(catalog=master(plan))
    task = fleet.dropped(type="pair", scope={"repositories": ["/srv/x", "/srv/y", "/srv/z"]})
    last = task.step("sum")
    assert last.needs == ["scan-x", "scan-y", "scan-z"]
    assert (last.optional, last.retries, last.status) == (True, 0, "waiting")
    fleet.admit()
    assert len(fleet.workers("approved")) == 2


def test_a_tasks_own_plan_comes_before_its_masters() -> None:
    fleet = Fleet()
    task = fleet.dropped(type="scan", workers=[step("a"), step("b", "a")])
    assert statuses(task) == {"a": "active", "b": "waiting"}
    assert task.assigned_to == "security-master"


def test_a_step_takes_what_it_names_and_inherits_the_rest() -> None:
    fleet = Fleet()
    task = fleet.dropped(
        title="p",
        timeout="20m",
        retries=5,
        env={"A": "1", "B": "2"},
        scope={"repositories": ["/srv/a"], "depth": "full"},
        workers=[
            step("own", env={"B": "3"}, scope={"repository": "/srv/b"}, timeout="5m", retries=0),
            step("heir"),
        ],
    )
    own, heir = task.steps
    assert (own.timeout_s, own.retries, own.env) == (300, 0, {"A": "1", "B": "3"})
    assert own.scope == {"repository": "/srv/b", "depth": "full"}
    assert (heir.timeout_s, heir.retries, heir.env) == (1200, 5, {"A": "1", "B": "2"})
    assert heir.scope == {"repositories": ["/srv/a"], "depth": "full"}


def test_a_step_without_tokens_or_runtime_of_its_own_has_those_of_its_task() -> None:
    fleet = Fleet()
    fix = {"name": "fix", "worker_type": "fix", "scope": {"repository": "/srv/a"}}
    task = fleet.dropped(
        title="p",
        runtime="tools",
        token_budget=700,
        workers=[
            fix,
            {"name": "make", "command": "make"},
            {**fix, "name": "ask", "runtime": "agent"},
            step("cheap"),
        ],
    )
    made = {row.name: (row.runtime, row.token_budget) for row in task.steps}
    assert made == {
        "fix": ("tools", 700),
        "make": ("auto", 700),
        "ask": ("agent", 700),
        "cheap": ("auto", 10),
    }


def test_a_step_that_names_several_repositories_drops_the_tasks_single_one() -> None:
    fleet = Fleet()
    task = fleet.dropped(
        title="p",
        scope={"repository": "/srv/a"},
        workers=[step("s", scope={"repositories": ["/srv/b", "/srv/c"]})],
    )
    assert task.steps[0].scope == {"repositories": ["/srv/b", "/srv/c"]}


def test_a_type_without_a_plan_becomes_one_whole_worker() -> None:
    fleet = Fleet()
    task = fleet.dropped(type="implementation", title="write it", token_budget=500)
    assert [step.worker_type for step in task.steps] == ["implementation-worker"]
    (worker,) = (fleet.state.workers[ident] for ident in task.workers)
    assert (worker.id, worker.lane, worker.token_budget) == ("worker-impl-001", "agent", 500)


def test_a_type_that_nobody_knows_is_taken_whole_by_the_coordinator() -> None:
    fleet = Fleet()
    task = fleet.dropped(type="poetry", title="write a poem")
    assert task.assigned_to == "coordinator-master"
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]


def test_zero_tokens_and_zero_retries_are_taken_at_their_word() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="false", token_budget=0, retries=0)
    (worker,) = (fleet.state.workers[ident] for ident in task.workers)
    assert worker.token_budget == 0
    fleet.admit()
    fleet.fail(worker.id)
    assert statuses(task) == {"main": "failed"}


def test_the_budget_of_a_type_is_taken_where_nobody_names_one() -> None:
    fleet = Fleet()
    task = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    worker = fleet.state.workers[task.workers[0]]
    assert (worker.token_budget, worker.timeout_s) == (8_000, 900)


# --- blocked: what to configure


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "implementation"}, "no model provider is configured"),
        ({"workers": [step("a", worker_type="scanner")]}, "did you mean scan-worker?"),
        ({"workers": [step("a", worker_type="zzz")]}, "known: analysis-worker"),
        ({"type": "scan", "runtime": "codex"}, "runtime 'codex' is not configured here; known:"),
        ({"type": "scan", "runtime": "command"}, "step scan is to run a command, and names none"),
        (
            {"type": "implementation", "runtime": "tools"},
            "has no tools runtime; name another runtime",
        ),
    ],
    ids=str,
)
def test_what_cannot_run_is_blocked_and_says_what_to_configure(
    fields: dict[str, Any], says: str
) -> None:
    fleet = Fleet(catalog=builtin_catalog(runtimes=WITHOUT_AGENT))
    task = fleet.dropped(title="t", **fields)
    assert task.status == "blocked"
    assert task.blocked_on is not None and says in task.blocked_on
    assert not task.workers
    assert fleet.needs_nothing(task), "said once"


def test_a_blocked_task_goes_on_when_what_it_lacked_is_there() -> None:
    fleet = Fleet(catalog=builtin_catalog(runtimes=WITHOUT_AGENT))
    task = fleet.dropped(title="t", type="implementation")
    fleet.catalog = builtin_catalog()
    fleet.reconcile()
    assert (task.status, task.blocked_on) == ("in_progress", None)


def test_a_cause_that_changes_is_said_anew() -> None:
    fleet = Fleet(catalog=builtin_catalog(runtimes=WITHOUT_AGENT))
    task = fleet.dropped(title="t", type="implementation", runtime="agent")
    first = task.blocked_on
    fleet.catalog = builtin_catalog(runtimes={**WITHOUT_AGENT, "codex": RuntimeInfo("codex")})
    fleet.reconcile()
    assert task.blocked_on != first
    assert task.blocked_on is not None and "codex" in task.blocked_on


def test_a_home_without_masters_says_where_to_add_a_route() -> None:
    fleet = Fleet(catalog=Catalog({}, builtin_catalog().types, RUNTIMES))
    task = fleet.dropped(command="true")
    assert (
        task.blocked_on == "no master takes tasks of type 'command'; add a route in agents/masters/"
    )


@pytest.mark.parametrize("key", ["security", "security-master"])
def test_a_master_that_is_switched_off_keeps_its_tasks_blocked(key: str) -> None:
    fleet = Fleet(settings(masters={key: {"enabled": False}}))
    task = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    assert task.status == "blocked"
    assert task.blocked_on is not None and "masters.security.enabled" in task.blocked_on
    fleet.settings = settings()
    fleet.reconcile()
    assert task.status == "in_progress"


def test_a_switched_off_master_gets_no_retried_and_no_handed_over_work_either() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = fleet.dropped(type="scan", workers=[step("a"), step("b", "a")])
    fleet.admit()
    fleet.finish(task.workers[0])
    fleet.admit()
    fleet.fail(task.workers[1])
    fleet.gather(task)
    assert task.status == "failed"
    fleet.settings = settings(masters={"security": {"enabled": False}})
    fleet.drop(kind="retry", task_id=task.id)
    assert task.status == "blocked"
    fleet.settings = settings()
    fleet.reconcile()
    assert statuses(task) == {"a": "done", "b": "active"}, "finished steps are kept"


def test_a_step_whose_type_has_gone_says_what_it_waits_for() -> None:
    fleet = Fleet()
    whole = fleet.catalog
    task = fleet.dropped(title="p", workers=[step("a"), step("b", "a", worker_type="fix")])
    fleet.admit()
    types = {name: kind for name, kind in whole.types.items() if name != "fix-worker"}
    fleet.catalog = Catalog(whole.masters, types, whole.runtimes)
    fleet.finish(task.workers[0])
    assert task.waiting_for is not None and "worker type fix-worker has no file" in task.waiting_for
    assert fleet.needs_nothing(task), "said once"
    fleet.catalog = whole
    fleet.reconcile()
    assert statuses(task)["b"] == "active"
    assert task.waiting_for is None


# --- the way through a plan


def test_steps_start_when_all_they_need_is_done() -> None:
    fleet = Fleet()
    task = fleet.dropped(
        title="p", workers=[step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]
    )
    seen = []
    while task.status == "in_progress":
        fleet.admit()
        active = fleet.workers_of(task, "approved")
        seen.append([fleet.state.workers[ident].step for ident in active])
        for ident in active:
            fleet.finish(ident)
    assert seen == [["a"], ["b", "c"], ["d"]]
    assert task.status == "aggregating"
    fleet.gather(task)
    assert (task.status, task.summary) == ("completed", "4 of 4 steps done")


def test_one_line_ends_all_that_needs_a_failed_step_in_whatever_order_they_stand() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    chain = [step(f"s{number}", f"s{number + 1}") for number in range(200)]
    maybe = {**step("maybe", "s0"), "optional": True}
    task = fleet.dropped(title="p", workers=[step("after", "maybe"), maybe, *chain, step("s200")])
    fleet.admit()
    before = len(fleet.lines)
    fleet.fail(task.workers[0])
    assert len(fleet.lines) <= before + 4
    assert statuses(task)["s0"] == statuses(task)["maybe"] == "cancelled"
    assert statuses(task)["after"] == "active", "it needs only what may be left out"


def test_a_failed_step_ends_what_needs_it_and_nothing_else() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = fleet.dropped(
        title="p", workers=[step("a"), step("b", "a"), step("c", "b"), step("d"), step("e", "d")]
    )
    fleet.admit()
    by_step = {fleet.state.workers[ident].step: ident for ident in task.workers}
    fleet.fail(by_step["a"], tail="no such file")
    assert statuses(task) == {
        "a": "failed",
        "b": "cancelled",
        "c": "cancelled",
        "d": "active",
        "e": "waiting",
    }
    assert task.step("b").reason == "needs a, which did not succeed"
    fleet.finish(by_step["d"])
    fleet.admit()
    fleet.finish(fleet.workers("approved")[0])
    fleet.gather(task)
    assert task.status == "failed"
    assert task.reason == "step a failed: exit 1: no such file"


def test_the_reason_names_the_step_that_failed_and_not_one_that_needed_it() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = fleet.dropped(title="p", workers=[step("tests", "build"), step("build")])
    fleet.admit()
    fleet.fail(task.workers[0])
    fleet.gather(task)
    assert task.reason == "step build failed: exit 1"


def test_an_optional_step_may_fail() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = fleet.dropped(title="p", workers=[step("a", optional=True), step("b", "a")])
    fleet.admit()
    fleet.fail(task.workers[0])
    assert statuses(task) == {"a": "failed", "b": "active"}
    fleet.run_through(task)
    assert task.status == "completed"


def test_an_optional_step_that_is_dead_holds_nothing_up() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = fleet.dropped(
        title="p", workers=[step("a"), step("b", "a", optional=True), step("c", "b"), step("d")]
    )
    fleet.admit()
    fleet.fail(task.workers[0])
    fleet.run_through(task)
    assert task.status == "failed"
    assert statuses(task) == {"a": "failed", "b": "cancelled", "c": "done", "d": "done"}


def test_a_failed_attempt_is_tried_again_after_its_backoff() -> None:
    fleet = Fleet(settings(workers={"retries": 2, "backoff": "10s"}))
    task = fleet.dropped(command="flaky")
    for attempt in (1, 2, 3):
        fleet.wall += 60
        fleet.reconcile()
        fleet.admit()
        worker = fleet.state.workers[task.workers[-1]]
        assert worker.attempt == attempt
        fleet.fail(worker.id)
        assert len(task.workers) == attempt, "not before the backoff is over"
    assert statuses(task) == {"main": "failed"}
    assert [fleet.state.workers[ident].retry_of for ident in task.workers] == [
        None,
        "worker-cmd-001",
        "worker-cmd-002",
    ]
    fleet.gather(task)
    assert task.reason == "step main failed after 3 attempts: exit 1"


def test_the_next_attempt_is_told_why_the_last_one_failed() -> None:
    fleet = Fleet(settings(workers={"retries": 1, "backoff": 0.0}))
    task = fleet.dropped(command="flaky")
    fleet.admit()
    fleet.fail(task.workers[0], tail="disk on fire")
    again = fleet.state.workers[task.workers[1]]
    spec = worker_spec(task, again, fleet.catalog)
    assert spec["retry_of"] == "worker-cmd-001"
    assert spec["context"]["why_again"] == "exit 1: disk on fire"


# --- direct mode


def test_direct_mode_is_one_worker_on_the_masters_own_tokens() -> None:
    fleet = Fleet()
    scope = {"repositories": ["/srv/a", "/srv/b"]}
    task = fleet.dropped(type="scan", execution_mode="direct", runtime="agent", scope=scope)
    fleet.admit()
    (worker,) = (fleet.state.workers[ident] for ident in task.workers)
    assert worker.fund == "master:security"
    assert task.steps[0].scope == {"repositories": ["/srv/a", "/srv/b"]}
    fleet.finish(worker.id, 500)
    assert fleet.state.budget.masters["security"].used == 500
    assert fleet.state.budget.pool_spent == 0


@pytest.mark.parametrize("key", ["security", "security-master"])
def test_a_master_without_worker_mode_runs_its_tasks_in_direct_mode(key: str) -> None:
    fleet = Fleet(settings(masters={key: {"worker_mode": False}}))
    task = fleet.dropped(type="scan", scope={"repositories": ["/srv/a", "/srv/b"]})
    fleet.admit()
    (ident,) = fleet.workers_of(task, "approved")
    worker = fleet.state.workers[ident]
    assert (worker.fund, worker.repository) == ("master:security", "/srv/a")
    assert task.execution_mode == "direct", "and its row says so"


def direct_scan(fleet: Fleet, **scope: Any) -> Task:
    return fleet.dropped(type="scan", execution_mode="direct", runtime="tools", scope=scope)


def test_one_entry_of_repositories_is_the_same_as_a_repository_in_direct_mode() -> None:
    fleet = Fleet()
    task = direct_scan(fleet, repositories=["/srv/a"], depth="quick")
    assert [step.scope for step in task.steps] == [{"repository": "/srv/a", "depth": "quick"}]
    assert fleet.state.workers[task.workers[0]].repository == "/srv/a"


def test_a_tool_in_direct_mode_takes_one_repository_after_another() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    task = direct_scan(fleet, repositories=["/srv/a", "/srv/b", "/srv/c"])
    assert [(step.name, step.scope) for step in task.steps] == [
        (f"main-{name}", {"repository": f"/srv/{name}"}) for name in "abc"
    ]
    seen = []
    for number in range(3):
        fleet.admit()
        (ident,) = fleet.workers_of(task, "approved")
        worker = fleet.state.workers[ident]
        assert worker.fund == "master:security"
        seen.append(worker.repository)
        fleet.fail(ident) if number == 1 else fleet.finish(ident)
    assert seen == ["/srv/a", "/srv/b", "/srv/c"], "also after one that failed"
    fleet.gather(task)
    assert (task.status, task.reason) == ("failed", "step main-b failed: exit 1")


# --- needs between tasks


def test_a_task_waits_for_the_tasks_that_it_needs_and_says_for_which() -> None:
    fleet = Fleet()
    first = fleet.dropped(command="true")
    second = fleet.dropped(command="true")
    third = fleet.dropped(command="true", needs=[first.id, second.id, first.id])
    assert (third.status, third.waiting_for) == ("pending", "task-001 (in_progress)")
    fleet.run_through(first)
    fleet.reconcile()
    assert (third.status, third.waiting_for) == ("pending", "task-002 (in_progress)")
    fleet.run_through(second)
    fleet.reconcile()
    assert (third.status, third.waiting_for) == ("in_progress", None)


def test_a_task_whose_need_failed_says_what_to_do_and_goes_on_after_the_retry() -> None:
    fleet = Fleet(settings(workers={"retries": 0}))
    first = fleet.dropped(command="false")
    second = fleet.dropped(command="true", needs=[first.id])
    fleet.admit()
    fleet.fail(first.workers[0])
    fleet.gather(first)
    assert second.waiting_for == "task-001, which failed: retry it, or cancel this task"
    fleet.drop(kind="retry", task_id=first.id)
    fleet.run_through(first)
    fleet.reconcile()
    assert second.status == "in_progress"


def test_a_held_task_does_nothing_until_it_is_resumed() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="true", hold=True)
    assert (task.status, task.hold) == ("pending", True)
    fleet.drop(kind="resume", task_id=task.id)
    assert task.status == "in_progress"


# --- the spec of a worker


def test_the_spec_names_the_file_that_the_type_was_read_from() -> None:
    """A subagent file keeps its own name: `reviewer.md` is the type `reviewer-worker`."""
    catalog = builtin_catalog()
    text = "---\nname: reviewer\ndescription: reviews\n---\nReview it."
    kind = read_worker_type(text, Path("agents/prompts/workers/reviewer.md"))
    fleet = Fleet(catalog=Catalog(catalog.masters, {**catalog.types, kind.name: kind}, RUNTIMES))
    task = fleet.dropped(type="reviewer", title="look at it")
    (worker,) = (fleet.state.workers[ident] for ident in task.workers)
    assert worker.id == "worker-reviewer-001"
    spec = worker_spec(task, worker, fleet.catalog)
    assert spec["prompt_template"] == "agents/prompts/workers/reviewer.md"


def test_the_spec_has_the_public_fields() -> None:
    fleet = Fleet()
    task = fleet.dropped(
        title="Initial security assessment",
        type="security-scan",
        priority="high",
        deadline="2025-11-01T13:00:00+01:00",
        scope={"repository": "/srv/git/app", "scan_types": ["secrets"], "depth": "full"},
    )
    fleet.admit()
    spec = worker_spec(task, fleet.state.workers[task.workers[0]], fleet.catalog)
    assert list(spec)[:12] == [
        "worker_id",
        "worker_type",
        "created_by",
        "created_at",
        "task_id",
        "scope",
        "context",
        "token_budget",
        "timeout",
        "deliverables",
        "prompt_template",
        "runtime",
    ]
    assert spec["worker_type"] == "scan-worker"
    assert spec["timeout"] == "15m"
    assert spec["context"]["deadline"] == "2025-11-01T12:00:00Z"
    assert spec["scope"] == {
        "repository": "/srv/git/app",
        "scan_types": ["secrets"],
        "depth": "full",
    }


def test_a_worker_types_retries_count_unless_the_task_or_step_says_otherwise() -> None:
    catalog = builtin_catalog()
    test = catalog.types["test-worker"].model_copy(update={"retries": 5})
    world = World(catalog=replace(catalog, types={**catalog.types, "test-worker": test}))
    steps = [
        {"name": "a", "worker_type": "test-worker", "command": "true"},
        {"name": "b", "worker_type": "test-worker", "command": "true", "retries": 0},
        {"name": "c", "worker_type": "command-worker", "command": "true"},
    ]
    assert [step.retries for step in world.task(plan=steps).steps] == [5, 0, 2]
    assert [step.retries for step in world.task(plan=steps, retries=1).steps] == [1, 0, 1]


def test_a_misspelt_type_is_told_as_such() -> None:
    world = World(catalog=builtin_catalog(runtimes=WITHOUT_AGENT))
    task = world.task(type="securty-scan")
    assert task.blocked_on is not None
    assert "is called 'securty-scan'; did you mean 'security-scan'?" in task.blocked_on
    assert world.task(type="general").blocked_on.startswith("coordinator-worker needs thought")


def test_a_task_falls_back_to_direct_mode_where_its_plan_lacks_a_runtime() -> None:
    catalog = master(
        """name: ops
routes: [scan]
budget: {allocated: 20000, worker_pool: 5000}
plans:
  - types: [scan]
    steps: [{name: think, worker_type: implementation}, {name: scan, worker_type: scan}]"""
    )
    catalog = replace(catalog, runtimes=WITHOUT_AGENT)
    plain = World(catalog=catalog).task(type="scan", assigned_to="ops-master")
    assert plain.status == "blocked"
    task = World(catalog=catalog).task(type="scan", assigned_to="ops-master", fallback=True)
    assert (task.status, task.execution_mode) == ("in_progress", "direct")
    assert [step.worker_type for step in task.steps] == ["scan-worker"]


def test_a_plan_that_was_dropped_for_direct_mode_is_told() -> None:
    world = World()
    world.state.budget.pool_spent = world.state.budget.pool_total
    world.task(type="implementation", assigned_to="development-master", fallback=True)
    (line,) = (one for one in world.lines if any(e["event"] == "task_planned" for e in one.events))
    assert "was dropped for direct mode: the pool can pay for none of it this period" in line.why


def test_a_fallback_that_cannot_help_says_why() -> None:
    catalog = replace(builtin_catalog(), runtimes=WITHOUT_AGENT)
    task = World(catalog=catalog).task(type="implementation", fallback=True)
    assert task.status == "blocked"
    assert task.blocked_on is not None
    assert task.blocked_on.endswith("; fallback cannot help: direct mode lacks the same")
    own = [{"name": "one", "worker_type": "implementation-worker"}]
    task = World(catalog=catalog).task(type="implementation", fallback=True, plan=[
        {**row, "runtime": "agent"} for row in own])  # fmt: skip
    assert task.blocked_on is not None and "this task has its own" in task.blocked_on


def test_a_fallback_that_its_master_cannot_pay_says_so() -> None:
    catalog = master(
        """name: ops
routes: [scan]
budget: {allocated: 10, worker_pool: 5000}
plans:
  - types: [scan]
    steps: [{name: think, worker_type: nobodys}, {name: scan, worker_type: scan}]"""
    )
    task = World(catalog=catalog).task(
        type="scan", assigned_to="ops-master", runtime="agent", fallback=True
    )
    assert task.blocked_on is not None
    assert "ops-master has not the" in task.blocked_on


def test_a_task_falls_back_to_direct_mode_where_the_pool_can_pay_for_nothing() -> None:
    world = World()
    world.state.budget.pool_spent = world.state.budget.pool_total
    fields = {"type": "implementation", "assigned_to": "development-master"}
    assert world.task(**fields, fallback=True).execution_mode == "direct"
    assert world.task(**fields).execution_mode == "workers"
