"""Which writing workers may run side by side, and what the one that waits says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.decide.admit import waiting_reason
from cortex.decide.claims import claims_of, overlap
from cortex.model.errors import RequestError
from cortex.model.requests import parse_request
from tests.unit.decide.fleet import Fleet
from tests.unit.deciding import World

PATHS = st.lists(st.text("ab/", min_size=1, max_size=6), max_size=3)


def fix(world: World, repository: str = "/r", **scope: Any) -> str:
    task = world.task(
        type="fix",
        scope={"repository": repository, **scope},
        command="true",
        plan=[{"name": "fix", "worker_type": "fix-worker", "command": "true"}],
    )
    return task.workers[-1]


def started(world: World) -> list[str]:
    world.admit()
    return world.workers("approved")


def test_two_tasks_that_write_the_same_files_run_one_after_the_other() -> None:
    world = World()
    first, second = fix(world, paths=["src/api"]), fix(world, paths=["src"])
    assert started(world) == [first]
    waits = waiting_reason(world.state, world.state.workers[second])
    assert waits == f"{first} of task-001, which works on src/api of /r"
    world.end(first, 0)
    assert started(world) == [second]


def test_other_paths_other_repositories_and_steps_of_one_task_run_side_by_side() -> None:
    world = World()
    fix(world, paths=["src/api"])
    fix(world, paths=["src/web"])
    fix(world, repository="/other")
    steps = [{"name": n, "worker_type": "fix-worker", "command": "true"} for n in "ab"]
    world.task(type="fix", scope={"repository": "/third"}, plan=steps)
    assert len(started(world)) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("shop", "./shop/"),
        ("/srv//git/shop", "/srv/git/shop"),
        ("https://example.org/shop.git", "https://example.org/shop.git/"),
    ],
)
def test_one_repository_is_one_however_it_is_spelt(one: str, other: str) -> None:
    fleet = Fleet()
    writer = {"name": "fix", "worker_type": "fix-worker", "command": "true"}
    for spelt in (one, other):
        fleet.dropped(type="fix", workers=[writer], scope={"repository": spelt})
    assert len(started(fleet)) == 1


def test_a_list_that_names_one_repository_twice_is_refused_however_it_is_spelt() -> None:
    with pytest.raises(RequestError, match="names a repository twice"):
        parse_request({"type": "scan", "scope": {"repositories": ["shop", "./shop"]}})


def test_readers_claim_nothing() -> None:
    world = World()
    fix(world)
    world.task(type="scan", scope={"repository": "/r"}, assigned_to="security-master")
    assert len(started(world)) == 2


def test_work_behind_a_claim_is_not_held_back() -> None:
    world = World()
    first = fix(world)
    held = [fix(world) for _ in range(20)]
    free = fix(world, repository="/free")
    assert started(world) == [first, free]
    for ident in [first, *held[:-1]]:
        world.end(ident, 0)
        assert len(started(world)) == 2


@pytest.mark.parametrize(
    ("paths", "claims"),
    [
        (None, ["."]),
        ([], ["."]),
        (["src/**/*.py", "src/"], ["src"]),
        (["*.md"], ["."]),
        (["./a//b"], ["a/b"]),
    ],
)
def test_what_is_claimed(paths: list[str] | None, claims: list[str]) -> None:
    assert claims_of(paths) == claims


@given(PATHS, PATHS)
def test_overlap_is_mutual_and_with_itself(one: list[str], other: list[str]) -> None:
    these, those = claims_of(one), claims_of(other)
    assert bool(overlap(these, those)) == bool(overlap(those, these))
    assert overlap(these, these)
