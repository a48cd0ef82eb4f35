"""Deadlines that pass are told once each, however often their task changes."""

from __future__ import annotations

from typing import Any

from cortex.decide.deadlines import Deadlines
from tests.unit.deciding import World

NINE, TEN = "2025-11-01T09:00:00Z", "2025-11-01T10:00:00Z"


def missed(world: World, index: Deadlines) -> list[str]:
    found = []
    while (entry := index.next_missed(world.state, world.now)) is not None:
        world.apply(entry)
        found.append(entry.why)
    return found


def watched(world: World, **fields: Any) -> tuple[Any, Deadlines]:
    index = Deadlines()
    task = world.task(command="true", **fields)
    for _ in range(3):
        index.put(task)
    return task, index


def test_an_open_task_past_its_deadline_is_told_once() -> None:
    world = World()
    task, index = watched(world, deadline=NINE)
    assert missed(world, index) == []
    world.at(9)
    assert missed(world, index) == [f"task-001 is in_progress past its deadline {NINE}"]
    index.put(task)
    assert missed(world, index) == []


def test_a_later_deadline_may_be_missed_anew() -> None:
    world = World()
    task, index = watched(world, deadline=NINE)
    world.at(9)
    assert len(missed(world, index)) == 1
    task.deadline = TEN
    index.put(task)
    assert missed(world, index) == []
    world.at(11)
    assert len(missed(world, index)) == 1


def test_a_deadline_that_was_moved_or_met_says_nothing() -> None:
    world = World()
    moved, index = watched(world, deadline=NINE)
    met = world.task(command="true", deadline=NINE)
    index.put(met)
    moved.deadline = None
    met.status = "completed"
    world.at(12)
    assert missed(world, index) == []
