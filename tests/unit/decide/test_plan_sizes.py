"""How large the plan of a master's file may become, and that it is refused before it is made."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cortex.decide.plan_functions import FUNCTIONS
from cortex.model.state import Step, Task
from tests.unit.decide.fleet import Fleet
from tests.unit.decide.test_master_plans import OPS, catalog, needs

FEATURE = "plans: [{types: [ops], function: feature}]"
EACH = (
    "plans: [{types: [ops], steps: [{name: look, worker_type: analysis, for_each: path}, "
    "{name: scan, worker_type: scan, for_each: path, needs: [look]}]}]"
)
#: Ten times what these take on a slow machine, and far less than they took.
SOON_S = 2.0


def timed(front: str, scope: dict[str, Any]) -> tuple[Fleet, Task, float]:
    fleet = Fleet(catalog=catalog(OPS + front))
    begun = time.perf_counter()
    task = fleet.dropped(type="ops", scope=scope)
    return fleet, task, time.perf_counter() - begun


@pytest.mark.parametrize("paths", [["src"] * 300, [f"src/d{n}" for n in range(5_000)]])
def test_a_feature_of_too_many_paths_is_blocked_at_once_and_told_the_bound(
    paths: list[str],
) -> None:
    fleet, task, took_s = timed(FEATURE, {"repository": "/r", "paths": paths})
    assert task.status == "blocked"
    assert task.blocked_on == (
        f"scope.paths names {len(paths):,}, and a feature has 100 parts; name less, or name "
        "`parts` of several paths each"
    )
    assert took_s < SOON_S
    assert fleet.needs_nothing(task)


def test_a_feature_of_several_repositories_is_one_whole_however_many_paths_it_has() -> None:
    scope = {"repositories": ["/r/a", "/r/b"], "paths": [f"d{n}" for n in range(101)]}
    _, task, _ = timed(FEATURE, scope)
    assert (task.status, [step.name for step in task.steps]) == ("in_progress", ["main"])


def test_of_a_hundred_parts_that_all_meet_each_waits_for_those_before_it() -> None:
    _, task, took_s = timed(FEATURE, {"repository": "/r", "paths": ["src"] * 100})
    names = [step.name for step in task.steps[:100]]
    assert [needs(task)[name] for name in names] == [names[:n] for n in range(100)]
    assert took_s < SOON_S


def test_parts_of_very_many_paths_are_compared_without_pairing_them_all() -> None:
    def part(number: int) -> dict[str, Any]:
        paths = [f"p{number}/d{n}/x" for n in range(1_000)]
        return {"name": f"p{number}", "paths": [*paths[:-1], f"p{number - number % 2}"]}

    scope = {"repository": "/r", "parts": [part(number) for number in range(20)]}
    task = Task("t", "x", "feature", "medium", "x", scope=scope)
    begun = time.perf_counter()
    steps: list[Step] = FUNCTIONS["feature"](task, lambda _: 0)
    assert time.perf_counter() - begun < SOON_S
    for number in range(0, 20, 2):
        assert steps[number].needs == []
        assert steps[number + 1].needs == [f"p{number}"]


def test_needs_that_run_against_the_order_of_the_parts_make_no_circle() -> None:
    parts = [
        {"name": "a", "paths": ["x"], "needs": ["c"]},
        {"name": "b", "paths": ["x/y"]},
        {"name": "c", "paths": ["z"], "needs": ["d"]},
        {"name": "d", "paths": ["x/y/z"]},
    ]
    _, task, _ = timed(FEATURE, {"repository": "/r", "parts": parts})
    found = needs(task)
    assert {name: found[name] for name in "abcd"} == {
        "a": ["c"],
        "b": ["a"],
        "c": ["d"],
        "d": [],
    }


def test_a_step_for_each_path_of_each_repository_is_bounded_before_it_is_made() -> None:
    repositories = [f"/r/{n}" for n in range(1_000)]
    scope = {"repositories": repositories, "paths": [f"d{n}" for n in range(10_000)]}
    fleet, task, took_s = timed(EACH, scope)
    assert task.status == "blocked"
    assert task.blocked_on == (
        "its plan has 20,000,000 steps; a plan has at most 1,000; name less in the scope, or drop "
        "several tasks"
    )
    assert took_s < SOON_S
    assert fleet.needs_nothing(task)


def test_a_plan_as_large_as_it_may_be_is_made() -> None:
    _, task, took_s = timed(EACH, {"repository": "/r", "paths": [f"d{n}" for n in range(500)]})
    assert (task.status, len(task.steps)) == ("in_progress", 1_000)
    assert needs(task)["scan-d499"] == ["look-d499"]
    assert took_s < 3 * SOON_S
