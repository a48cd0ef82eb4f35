"""The life of tasks, steps, workers and handoffs: every edge, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import cortex
from cortex.decide.evolve import EVENTS, evolve
from cortex.decide.lifecycle import (
    HANDOFF_EDGES,
    STEP_EDGES,
    TASK_EDGES,
    WORKER_EDGES,
    Edges,
    InvalidTransitionError,
    check,
)
from cortex.model.state import (
    LIVE,
    OPEN_TASK,
    TERMINAL_TASK,
    TERMINAL_WORKER,
    WAITING_WORKER,
    Handoff,
    State,
    Step,
    Task,
    Worker,
)

TABLES = {
    "task": TASK_EDGES,
    "step": STEP_EDGES,
    "worker": WORKER_EDGES,
    "handoff": HANDOFF_EDGES,
}
WORKER_ENDS = sorted(TERMINAL_WORKER)


def state_with(
    task: str = "in_progress", step: str = "active", worker: str = "running", handoff: str = ""
) -> State:
    state = State()
    made = Task("task-001", "t", "command", "medium", "2025-11-01T00:00:00Z", status=task)
    made.assigned_to = "coordinator-master"
    made.steps = [Step("main", "command-worker", status=step, worker_id="worker-cmd-001")]
    made.workers = ["worker-cmd-001"]
    made.resume_to = "in_progress"
    state.tasks[made.id] = made
    state.workers["worker-cmd-001"] = Worker(
        "worker-cmd-001",
        "command-worker",
        "task-001",
        "main",
        "coordinator-master",
        1,
        "medium",
        "2025-11-01T00:00:00Z",
        status=worker,
    )
    if handoff:
        state.handoffs["handoff-001"] = Handoff(
            "handoff-001", "a-master", "b-master", "task-001", "x", status=handoff
        )
    state.index()
    return state


def task_event(after: str) -> dict[str, Any]:
    plain = {
        "assigned": {"event": "task_routed", "master": "coordinator-master"},
        "blocked": {"event": "task_blocked", "blocked_on": "a file"},
        "pending": {"event": "task_unblocked"},
        "in_progress": {"event": "task_planned", "steps": []},
        "aggregating": {"event": "task_aggregating"},
        "paused": {"event": "task_paused"},
    }
    found = plain.get(after, {"event": "task_ended", "status": after})
    return {**found, "task_id": "task-001"}


def worker_event(after: str) -> dict[str, Any]:
    plain: dict[str, dict[str, Any]] = {
        "queued": {"event": "worker_queued", "reason": "r"},
        "blocked": {"event": "worker_blocked", "reason": "r"},
        "requested": {
            "event": "worker_unblocked",
            "runtime": "tools",
            "lane": "tools",
            "uses_tokens": False,
            "heartbeats": False,
            "overhead_tokens": 0,
        },
        "approved": {"event": "worker_approved"},
        "spawning": {
            "event": "worker_spawning",
            "boot_id": "b",
            "runtime_dir": "/run",
            "nonce": 1,
            "folder": "f",
        },
        "running": {"event": "worker_running", "pid": 1, "spawned_at": "x", "timeout_at": "y"},
        "ending": {"event": "worker_ending", "cause": "cancelled"},
        "collecting": {"event": "worker_collecting"},
    }
    found = plain.get(after, {"event": "worker_ended", "status": after})
    return {**found, "worker_id": "worker-cmd-001"}


def step_event(after: str) -> dict[str, Any]:
    return {"event": "step_changed", "task_id": "task-001", "step": "main", "status": after}


def pairs(table: Edges) -> Iterator[tuple[str, str]]:
    return product(table, table)


def drive(state: State, event: dict[str, Any], is_edge: bool) -> None:
    if is_edge:
        evolve(state, 1, "2025-11-01T00:00:01Z", [event])
    else:
        with pytest.raises(InvalidTransitionError, match="is no edge of its life"):
            evolve(state, 1, "2025-11-01T00:00:01Z", [event])


@pytest.mark.parametrize("name", TABLES)
def test_every_status_that_a_table_leads_to_is_in_the_table(name: str) -> None:
    table = TABLES[name]
    assert set().union(*table.values()) <= set(table)


def test_the_tables_and_the_records_know_the_same_statuses() -> None:
    assert set(TASK_EDGES) == OPEN_TASK | TERMINAL_TASK
    assert set(WORKER_EDGES) == LIVE | WAITING_WORKER | TERMINAL_WORKER


def test_ended_workers_and_handoffs_never_move_again_and_ended_tasks_only_reopen() -> None:
    assert all(not WORKER_EDGES[status] for status in TERMINAL_WORKER)
    assert not HANDOFF_EDGES["completed"] | HANDOFF_EDGES["rejected"]
    assert not TASK_EDGES["completed"]
    assert TASK_EDGES["failed"] == {"assigned"}
    assert TASK_EDGES["cancelled"] == {"assigned", "pending"}, "pending: had no master yet"


@pytest.mark.parametrize("name", TABLES)
def test_every_status_can_be_reached_from_the_first_one(name: str) -> None:
    table = TABLES[name]
    reached, new = set(), {next(iter(table))}
    while new:
        reached |= new
        new = set().union(*(table[status] for status in new)) - reached
    assert reached == set(table)


@pytest.mark.parametrize("name", ["task", "worker"])
def test_from_every_open_status_an_end_can_be_reached(name: str) -> None:
    table = TABLES[name]
    ends = {status for status, after in table.items() if not after} | {"failed", "cancelled"}
    can_end = set(ends)
    while more := {s for s, after in table.items() if after & can_end} - can_end:
        can_end |= more
    assert can_end == set(table)


@pytest.mark.parametrize(("before", "after"), [*pairs(TASK_EDGES)])
def test_a_task_goes_only_where_its_table_leads(before: str, after: str) -> None:
    is_edge = before == after or after in TASK_EDGES[before]
    if after in ("awaiting_approval", "planning"):
        # No event leads there yet; the table is asked itself.
        with nullcontext() if is_edge else pytest.raises(InvalidTransitionError):
            check(TASK_EDGES, before, after, "task-001")
        return
    state = state_with(task=before)
    drive(state, task_event(after), is_edge)
    assert state.tasks["task-001"].status == (after if is_edge else before)


@pytest.mark.parametrize(("before", "after"), [*pairs(WORKER_EDGES)])
def test_a_worker_goes_only_where_its_table_leads(before: str, after: str) -> None:
    is_edge = before == after or after in WORKER_EDGES[before]
    state = state_with(worker=before)
    drive(state, worker_event(after), is_edge)
    worker = state.workers["worker-cmd-001"]
    assert worker.status == (after if is_edge else before)
    assert (worker.id in state.live) == (worker.status in LIVE)
    assert (worker.id in state.waiting) == (worker.status in WAITING_WORKER)


@pytest.mark.parametrize(("before", "after"), [*pairs(STEP_EDGES)])
def test_a_step_goes_only_where_its_table_leads(before: str, after: str) -> None:
    is_edge = before == after or after in STEP_EDGES[before]
    state = state_with(step=before)
    drive(state, step_event(after), is_edge)
    assert state.tasks["task-001"].step("main").status == (after if is_edge else before)


@pytest.mark.parametrize(("before", "after"), [*pairs(HANDOFF_EDGES)])
def test_a_handoff_goes_only_where_its_table_leads(before: str, after: str) -> None:
    event = {"event": "handoff_changed", "handoff_id": "handoff-001", "status": after}
    is_edge = before == after or after in HANDOFF_EDGES[before]
    state = state_with(handoff=before)
    drive(state, event, is_edge)
    assert state.handoffs["handoff-001"].status == (after if is_edge else before)


@pytest.mark.parametrize("before", sorted(OPEN_TASK - {"paused"}))
def test_a_resumed_task_goes_on_where_it_was_paused(before: str) -> None:
    state = state_with(task=before)
    state.tasks["task-001"].resume_to = None
    evolve(state, 1, "x", [{"event": "task_paused", "task_id": "task-001"}])
    assert state.tasks["task-001"].status == "paused"
    evolve(state, 2, "x", [{"event": "task_resumed", "task_id": "task-001"}])
    assert state.tasks["task-001"].status == before


@pytest.mark.parametrize("before", sorted(TERMINAL_TASK))
def test_a_task_is_reopened_only_by_a_retry_of_a_failed_or_cancelled_one(before: str) -> None:
    state = state_with(task=before, step="failed", worker="failed")
    drive(state, {"event": "task_reopened", "task_id": "task-001"}, before != "completed")
    if before != "completed":
        assert state.tasks["task-001"].run == 2
        assert state.tasks["task-001"].step("main").status == "waiting"


def test_an_event_of_another_history_is_an_error_instead_of_a_new_fact() -> None:
    state = state_with()
    with pytest.raises(KeyError):
        evolve(state, 1, "x", [{"event": "task_aggregating", "task_id": "task-404"}])
    with pytest.raises(KeyError):
        evolve(state, 1, "x", [{"event": "never_heard_of"}])


def test_every_event_is_written_by_some_decision() -> None:
    source = Path(cortex.__file__).parent
    written: set[str] = set()
    for path in source.rglob("*.py"):
        text = path.read_text()
        pairs = re.findall(r'"event": ?"([a-z_]+)"(?: if [^"]+ else "([a-z_]+)")?', text)
        written |= {name for pair in pairs for name in pair if name}
    assert written - set(EVENTS) == set(), "events that evolve does not know"
    assert set(EVENTS) - written == set(), "events that nobody writes"
