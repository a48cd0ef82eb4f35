"""What a master's plan makes of a task: for_each over what the scope names, options, functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.decide.catalog import Catalog
from cortex.decide.plan_functions import FUNCTIONS
from cortex.model.definitions import MasterPlan, read_master
from cortex.model.state import Step, Task
from tests.unit.decide.fleet import Fleet
from tests.unit.deciding import builtin_catalog

OPS = "name: ops\nroutes: [ops]\n"


def catalog(front: str) -> Catalog:
    """The built-in catalog with one more master."""
    base = builtin_catalog()
    made = read_master(f"---\n{front}\n---\nprompt", Path("agents/masters/ops-master.md"))
    return Catalog({**base.masters, made.name: made}, base.types, base.runtimes)


def planned(front: str, **fields: Any) -> Task:
    return Fleet(catalog=catalog(OPS + front)).dropped(**{"type": "ops", **fields})


def needs(task: Task) -> dict[str, list[str]]:
    return {step.name: step.needs for step in task.steps}


def by_name(task: Task) -> dict[str, Step]:
    return {step.name: step for step in task.steps}


# --- for_each

TWO = "plans: [{types: [ops], steps: [{name: look, worker_type: analysis, for_each: repository},"


def test_a_step_for_each_repository_needs_the_one_of_its_own_repository() -> None:
    front = TWO + " {name: scan, worker_type: scan, for_each: repository, needs: [look]}]}]"
    task = planned(front, scope={"repositories": ["/r/shop", "/r/site"]})
    assert needs(task) == {
        "look-shop": [],
        "look-site": [],
        "scan-shop": ["look-shop"],
        "scan-site": ["look-site"],
    }


def test_a_step_for_the_whole_needs_those_of_every_repository() -> None:
    front = TWO + " {name: sum, worker_type: coordinator, needs: [look]}]}]"
    task = planned(front, scope={"repositories": ["/r/shop", "/r/site"]})
    assert needs(task)["sum"] == ["look-shop", "look-site"]
    assert by_name(task)["sum"].scope == {"repositories": ["/r/shop", "/r/site"]}


PATHS = (
    "plans: [{types: [ops], steps: [{name: build, worker_type: implementation, for_each: path},"
    " {name: doc, worker_type: documentation, for_each: path, needs: [build]},"
    " {name: pr, worker_type: pr, for_each: repository, needs: [build]}]}]"
)


def test_a_step_for_each_path_has_that_path_alone() -> None:
    task = planned(PATHS, scope={"repository": "/r/shop", "paths": ["src/api", "web/api"]})
    assert needs(task) == {
        "build-api": [],
        "build-api-2": [],
        "doc-api": ["build-api"],
        "doc-api-2": ["build-api-2"],
        "pr-shop": ["build-api", "build-api-2"],
    }
    assert by_name(task)["build-api-2"].scope == {"repository": "/r/shop", "paths": ["web/api"]}


def test_paths_are_taken_in_every_repository_and_their_steps_called_after_both() -> None:
    task = planned(PATHS, scope={"repositories": ["/r/a", "/r/b"], "paths": ["x"]})
    assert needs(task)["pr-b"] == ["build-b-x"]
    assert by_name(task)["build-b-x"].scope == {"repository": "/r/b", "paths": ["x"]}


def test_without_paths_there_is_one_step_for_each_repository() -> None:
    task = planned(PATHS, scope={"repositories": ["/r/a", "/r/b"]})
    assert [name for name in needs(task) if name.startswith("build")] == ["build-a", "build-b"]
    assert list(needs(planned(PATHS))) == ["build", "doc", "pr"]


# --- what a step says


def test_a_step_of_a_plan_brings_its_command_its_options_and_its_limits() -> None:
    front = (
        "plans: [{types: [ops], steps: [{name: build, worker_type: implementation,"
        " command: [make, all], env: {CC: gcc}, scope: {workspace: clone, depth: full},"
        " token_budget: 70, timeout: 2m, retries: 0, accept_partial: true}]}]"
    )
    scope = {"repository": "/r/shop", "depth": "quick"}
    task = planned(front, scope=scope, env={"CC": "cc", "CI": "1"}, token_budget=9, timeout="1h")
    step = task.steps[0]
    assert (step.command, step.retries, step.accept_partial) == (["make", "all"], 0, True)
    assert step.env == {"CC": "gcc", "CI": "1"}
    assert step.scope == {"repository": "/r/shop", "depth": "full", "workspace": "clone"}
    assert (step.token_budget, step.timeout_s) == (70, 120.0)
    assert task.workers == ["worker-impl-001"]


# --- the function `feature`

FEATURE = "plans: [{types: [ops], function: feature}]"


def test_every_function_that_a_plan_may_name_is_there() -> None:
    known = MasterPlan.model_json_schema()["properties"]["function"]["anyOf"][0]
    assert known.get("enum", [known.get("const")]) == list(FUNCTIONS)


def test_a_feature_becomes_its_parts_their_merge_tests_and_a_proposal() -> None:
    parts = [
        {"name": "models", "paths": ["models.py"], "command": "true"},
        {"name": "api", "paths": ["api"], "needs": ["models"], "about": "the routes"},
        {"name": "web", "paths": ["web"]},
    ]
    task = planned(FEATURE, scope={"repository": "/r/shop", "parts": parts, "python": "python3"})
    assert needs(task) == {
        "models": [],
        "api": ["models"],
        "web": [],
        "integrate": ["models", "api", "web"],
        "test": ["integrate"],
        "pr": ["integrate", "test"],
    }
    steps = by_name(task)
    common = {"repository": "/r/shop", "python": "python3"}
    assert steps["api"].scope == {
        **common,
        "workspace": "clone",
        "paths": ["api"],
        "part": {"name": "api", "paths": ["api"], "about": "the routes"},
    }
    assert (steps["models"].command, steps["web"].command) == ("true", None)
    assert steps["test"].scope == {**common, "must_pass": True}
    assert steps["pr"].scope == steps["integrate"].scope == common


def test_parts_that_would_write_the_same_files_follow_one_another() -> None:
    parts = [
        {"name": "a", "paths": ["src"]},
        {"name": "b", "paths": ["src/api", "docs"]},
        {"name": "c", "paths": ["docs/x.md"]},
        {"name": "d", "paths": ["web"]},
        {"name": "e"},
    ]
    task = planned(FEATURE, scope={"repository": "/r/shop", "parts": parts})
    found = needs(task)
    assert [found[name] for name in "abcde"] == [[], ["a"], ["b"], [], []]


def test_an_order_that_a_part_names_is_not_turned_round() -> None:
    parts = [{"name": "a", "paths": ["src"], "needs": ["b"]}, {"name": "b", "paths": ["src/x"]}]
    found = needs(planned(FEATURE, scope={"repository": "/r/shop", "parts": parts}))
    assert (found["a"], found["b"]) == (["b"], [])


def test_paths_alone_are_parts_too_and_one_part_needs_no_integration() -> None:
    task = planned(FEATURE, scope={"repository": "/r/shop", "paths": ["src", "src/api"]})
    found = needs(task)
    assert (found["part-src"], found["part-api"]) == ([], ["part-src"])
    task = planned(FEATURE, scope={"repository": "/r/shop", "paths": ["src"]})
    assert needs(task) == {"part-src": [], "test": ["part-src"], "pr": ["part-src", "test"]}


def test_names_of_parts_are_left_to_them() -> None:
    parts = [{"name": "test"}, {"name": "integrate"}]
    task = planned(FEATURE, scope={"repository": "/r/shop", "parts": parts})
    assert list(needs(task)) == ["test", "integrate", "integrate-2", "test-2", "pr"]


@pytest.mark.parametrize(
    "scope", [{}, {"repository": "/r/a"}, {"repositories": ["/r/a", "/r/b"], "paths": ["x"]}]
)
def test_a_function_with_nothing_to_work_with_leaves_the_plan_to_others(scope: Any) -> None:
    task = planned(FEATURE, scope=scope)
    assert [step.worker_type for step in task.steps] == ["coordinator-worker"]


# --- review

FIX = "plans: [{types: [ops], review: {by: review, at: high}, steps: [{name: fix, worker_type: fix"


def test_a_review_stands_between_what_writes_and_the_end_of_the_plan() -> None:
    front = FIX + "}, {name: pr, worker_type: pr, needs: [fix]}]}]"
    task = planned(front, scope={"repository": "/r/a", "paths": ["x"]})
    assert needs(task) == {"fix": [], "pr": ["fix", "review"], "review": ["fix"]}
    review = by_name(task)["review"]
    assert review.worker_type == "review-worker"
    assert review.scope == {"repository": "/r/a", "request_changes_at": "high"}


def test_each_repository_has_a_review_of_its_own() -> None:
    front = FIX + (
        ", for_each: repository}, {name: pr, worker_type: pr, for_each: repository,"
        " needs: [fix]}]}]"
    )
    task = planned(front, scope={"repositories": ["/r/a", "/r/b"]})
    assert needs(task) == {
        "fix-a": [],
        "fix-b": [],
        "pr-a": ["fix-a", "review-a"],
        "pr-b": ["fix-b", "review-b"],
        "review-a": ["fix-a"],
        "review-b": ["fix-b"],
    }


def test_a_feature_is_reviewed_as_a_whole() -> None:
    front = "plans: [{types: [ops], function: feature, review: review-worker}]"
    parts = [{"name": "a"}, {"name": "b"}]
    found = needs(planned(front, scope={"repository": "/r/a", "parts": parts}))
    assert (found["review"], found["pr"]) == (["integrate"], ["integrate", "test", "review"])
    assert found["test"] == ["integrate"]


def test_what_a_command_commits_in_a_clone_of_its_own_is_reviewed_too() -> None:
    front = (
        "plans: [{types: [ops], review: review, steps: [{name: list, worker_type: analysis},"
        " {name: make, worker_type: command, command: make, needs: [list]},"
        " {name: pr, worker_type: pr, needs: [make]}]}]"
    )
    in_clones = planned(front, scope={"repository": "/r/a", "workspace": "clone"})
    assert needs(in_clones)["review"] == ["make"]
    assert needs(in_clones)["pr"] == ["make", "review"]
    assert "review" not in needs(planned(front, scope={"repository": "/r/a"}))


def test_a_plan_that_writes_nothing_has_nothing_to_review() -> None:
    front = "plans: [{types: [ops], review: review, steps: [{name: scan, worker_type: scan}]}]"
    assert list(needs(planned(front))) == ["scan"]
