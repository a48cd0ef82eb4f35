"""How many at once get the most done: learned from workers' times, on a clock of the test."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex.decide.entry import Entry
from cortex.decide.pace import learned_count
from cortex.model.state import State, Worker
from cortex.model.times import parse_time
from tests.unit.decide.fleet import Fleet, settings

#: How long a piece of work takes while so many run.
Takes = Callable[[int], float]


def learning(most: int = 5, **limits: Any) -> Fleet:
    fleet = Fleet(
        settings(spawn={"policy": "learned", "adaptive_max": most}, limits={"tools": 16, **limits})
    )
    fleet.drop({"kind": "budget", "total_budget": 200_000})
    return fleet


def work(fleet: Fleet, ends: int, takes: Takes, waiting: int = 15) -> list[int]:
    """Keeps so many waiting until so many have ended; how many ran at once, at each end."""
    running = [(fleet.wall, ident) for ident in fleet.workers("running")]
    seen = []
    for number in range(ends):
        while len(fleet.state.waiting) < waiting:
            fleet.dropped(command="true")
        fleet.admit()
        for ident in fleet.workers("approved"):
            fleet.run(fleet.state.workers[ident])
            length = takes(len(fleet.state.live)) * (0.8 + 0.1 * (number % 5))
            heapq.heappush(running, (fleet.wall + length, ident))
        seen.append(len(fleet.state.live))
        fleet.wall, ident = heapq.heappop(running)
        worker = fleet.state.workers[ident]
        fleet.end(ident, 0, duration_s=fleet.wall - parse_time(worker.spawned_at or ""))
        forget(fleet, worker)
    return seen


def forget(fleet: Fleet, worker: Worker) -> None:
    """Ends its task and archives both: what is learned does not hang on them."""
    task = worker.task_id
    fleet.apply(Entry("test", "", [{"event": "task_aggregating", "task_id": task}]))
    fleet.gather(fleet.state.tasks[task])
    fleet.apply(Entry("test", "", [{"event": "archived", "tasks": [task], "workers": [worker.id]}]))


def saturated_at(number: int) -> Takes:
    """Work of ten seconds that shares so many cores."""
    return lambda at_once: 10.0 * max(1.0, at_once / number)


def usual(seen: list[int]) -> int:
    """What was most often the case in the second half."""
    half = seen[len(seen) // 2 :]
    return max(set(half), key=half.count)


@pytest.mark.parametrize("cores, learned", [(1, {1}), (2, {2, 3}), (3, {3}), (5, {5}), (100, {5})])
def test_as_many_run_as_get_more_done(cores: int, learned: set[int]) -> None:
    fleet = learning()
    seen = work(fleet, 300, saturated_at(cores))
    assert usual(seen) in learned, fleet.state.pace
    assert fleet.replayed().pace == fleet.state.pace


@pytest.mark.parametrize("limits", [{"tools": 4}, {"per_runtime": {"command": 4}}], ids=str)
def test_below_a_limit_that_keeps_the_number_from_being_reached_it_is_learned_too(
    limits: dict[str, Any],
) -> None:
    fleet = learning(**limits)
    seen = work(fleet, 400, saturated_at(2))
    assert usual(seen) in (2, 3), fleet.state.pace
    fleet = learning(**limits)
    assert usual(work(fleet, 400, saturated_at(100))) == 4, fleet.state.pace


def test_what_was_learned_is_told_with_its_evidence() -> None:
    fleet = learning()
    work(fleet, 200, saturated_at(2))
    told = [line.why for line in fleet.lines if line.events[0]["event"] == "workers_at_once_set"]
    assert told[0] == "tools: 5 at once to begin with, the most that the settings allow"
    assert any("at once again" in why and "a minute" in why for why in told), told


def test_trials_become_rare_where_they_bring_nothing() -> None:
    fleet = learning()
    seen = work(fleet, 800, saturated_at(3))
    late = seen[400:]
    assert late.count(3) > 0.8 * len(late)


def test_it_follows_when_the_machine_becomes_another_one() -> None:
    fleet = learning()
    work(fleet, 200, saturated_at(2))
    assert learned_count(fleet.state, "tools") in (1, 2, 3)
    seen = work(fleet, 500, saturated_at(100))
    assert usual(seen) == 5, fleet.state.pace


def test_other_work_at_another_number_is_not_mistaken_for_speed() -> None:
    fleet = learning()
    lengths = iter([5.0, 50.0] * 10_000)
    seen = work(fleet, 300, lambda at_once: next(lengths) * max(1.0, at_once / 2))
    assert usual(seen) <= 4, fleet.state.pace


def test_a_restart_forgets_nothing() -> None:
    fleet = learning()
    work(fleet, 100, saturated_at(2))
    assert State.from_json(fleet.state.to_json()).pace == fleet.state.pace


def test_a_copied_state_keeps_what_it_had_learned() -> None:
    fleet = learning()
    work(fleet, 60, saturated_at(2))
    copied, before = copy(fleet.state), json.dumps(fleet.state.pace)
    work(fleet, 60, saturated_at(2))
    assert json.dumps(copied.pace) == before != json.dumps(fleet.state.pace)


def test_without_the_policy_nothing_is_decided_but_all_is_seen() -> None:
    fleet = Fleet(settings(limits={"tools": 4}))
    work(fleet, 60, saturated_at(2))
    assert learned_count(fleet.state, "tools") is None
    assert fleet.state.pace["tools"]["kinds"]["command-worker"]["4"][0] >= 3


def test_a_smaller_maximum_in_the_settings_holds_at_once() -> None:
    fleet = learning()
    work(fleet, 60, saturated_at(100))
    fleet.settings = settings(spawn={"policy": "learned", "adaptive_max": 2}, limits={"tools": 16})
    seen = work(fleet, 30, saturated_at(100))
    assert max(seen[10:]) == 2


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    most=st.integers(1, 8),
    tools=st.integers(1, 8),
    waiting=st.integers(1, 14),
    lengths=st.lists(st.floats(0.01, 500.0), min_size=1, max_size=20),
)
def test_never_more_at_once_than_the_limits_and_the_steps_allow(
    most: int, tools: int, waiting: int, lengths: list[float]
) -> None:
    fleet = Fleet(
        settings(spawn={"policy": "learned", "adaptive_max": most}, limits={"tools": tools})
    )
    endless = iter(lengths * 1000)
    seen = work(fleet, 60, lambda _: next(endless), waiting=waiting)
    deepest = waiting + min(most, tools) + 1
    by_depth = 1 if deepest < 3 else 3 if deepest < 10 else max(3, most)
    assert max(seen) <= min(tools, by_depth)
    count = learned_count(fleet.state, "tools")
    assert count is None or 1 <= count <= most
