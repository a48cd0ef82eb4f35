"""What may leave the published files, and what goes with it."""

from __future__ import annotations

from typing import Any

from cortex.decide.archiving import leaving, loose_ends, may_leave
from cortex.decide.entry import Entry
from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, finding
from tests.unit.deciding import World


def ended(world: World, **fields: Any) -> Task:
    """A command that was run and has ended, its worker's files not yet cleared away."""
    task = world.task(command="true", **fields)
    world.admit()
    world.end(task.workers[0], 0)
    world.reconcile()
    end = {"event": "task_ended", "task_id": task.id, "status": "completed"}
    world.apply(Entry("test", "", [end]))
    return task


def clear(world: World, task: Task) -> None:
    events = [{"event": "worker_cleaned", "worker_id": ident} for ident in task.workers]
    world.apply(Entry("test", "", events))


def handoff(world: World, ident: str, task_id: str, *statuses: str) -> None:
    made = {"id": ident, "from_agent": "a", "to_agent": "b", "task_id": task_id,
            "created_at": world.now.at}  # fmt: skip
    world.apply(Entry("test", "", [{"event": "handoff_created", "handoff": made}]))
    for status in statuses:
        event = {"event": "handoff_changed", "handoff_id": ident, "status": status}
        world.apply(Entry("test", "", [event]))


def escalation(world: World, ident: str, task_id: str | None, *, over: bool) -> None:
    made = {"id": ident, "subject": "s", "reason": "r", "created_at": world.now.at,
            "task_id": task_id}  # fmt: skip
    events = [{"event": "escalation_raised", "escalation": made}]
    if over:
        events.append({"event": "escalation_ended", "escalation_id": ident})
    world.apply(Entry("test", "", events))


def test_a_task_stays_while_files_of_it_are_uncleared_or_something_open_needs_it() -> None:
    world = World()
    task = ended(world)
    assert not may_leave(world.state, task)
    clear(world, task)
    assert may_leave(world.state, task)
    world.task(command="true", needs=[task.id])
    assert not may_leave(world.state, task)


def test_a_task_stays_until_its_branches_are_in_a_mirror_or_known_to_come_to_none() -> None:
    """Nobody takes them there any more once its workers have left."""
    for mirror in ("mirrors/shop.git", None):
        world = World()
        task = world.task(command="true", scope={"repository": "/srv/shop"})
        world.admit()
        (ident,) = task.workers
        branch = {"name": "fix", "bundle": "fix.bundle", "base": "a" * 40, "head": "b" * 40}
        world.end(ident, 0, results={"status": "completed", "branches": [branch]})
        world.reconcile()
        end = {"event": "task_ended", "task_id": task.id, "status": "completed"}
        world.apply(Entry("test", "", [end]))
        clear(world, task)
        assert not may_leave(world.state, task)
        refs = [row["ref"] for row in world.state.workers[ident].branches]
        kept = {"event": "branches_kept", "worker_id": ident, "mirror": mirror}
        refused = {} if mirror else {"refused": dict.fromkeys(refs, "gone")}
        world.apply(Entry("test", "", [kept | refused]))
        assert may_leave(world.state, task)


def archived(fleet: Fleet, task: Task) -> None:
    """The task is archived, if it may leave once its files are cleared away."""
    clear(fleet, task)
    if may_leave(fleet.state, task):
        fleet.apply(Entry("daemon", "", [leaving(fleet.state, [task])[1]]))


def test_a_parent_that_is_retried_finds_what_became_of_its_tasks() -> None:
    fleet = Fleet()
    scan = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    fleet.admit()
    fleet.finish(scan.workers[0])
    fleet.gather(scan, finding("sql", "a.py"))
    parent, fix = (fleet.state.tasks[ident] for ident in ("task-002", "task-003"))
    fleet.drop(kind="cancel", task_id=fix.id)
    archived(fleet, fix)
    fleet.drop(kind="retry", task_id=parent.id)
    assert parent.status == "blocked", "the fix runs again, and it waits for that"
    fleet.drop(kind="cancel", task_id=parent.id)
    archived(fleet, parent)
    archived(fleet, fix)
    assert {parent.id, fix.id}.isdisjoint(fleet.state.tasks)


def test_a_need_that_failed_is_still_known_when_who_needs_it_is_retried() -> None:
    fleet = Fleet()
    first = fleet.dropped(command="true", retries=0)
    second = fleet.dropped(command="true", needs=[first.id])
    fleet.admit()
    fleet.fail(first.workers[0])
    fleet.gather(first)
    fleet.drop(kind="cancel", task_id=second.id)
    archived(fleet, first)
    fleet.drop(kind="retry", task_id=second.id)
    assert (second.status, second.workers) == ("pending", [])
    assert "which failed" in str(second.waiting_for)


def test_a_task_takes_workers_escalations_and_answered_handoffs_along() -> None:
    world = World()
    task = ended(world)
    clear(world, task)
    handoff(world, "handoff-001", task.id, "accepted")
    handoff(world, "handoff-002", task.id)
    escalation(world, "escalation-001", task.id, over=False)
    rows, event = leaving(world.state, [task])
    kinds = [(kind, ident) for kind, ident, _ in rows]
    assert kinds == [
        ("task", task.id),
        ("worker", task.workers[0]),
        ("handoff", "handoff-001"),
        ("escalation", "escalation-001"),
    ]
    world.apply(Entry("daemon", "", [event]))
    assert list(world.state.handoffs) == ["handoff-002"]
    assert not world.state.escalations
    assert not world.state.workers
    assert not world.state.dependents


def test_old_answers_that_belong_to_no_task_leave_by_themselves() -> None:
    world = World()
    handoff(world, "handoff-001", "gone", "rejected")
    handoff(world, "handoff-002", "gone")
    escalation(world, "escalation-001", None, over=True)
    escalation(world, "escalation-002", None, over=False)
    assert loose_ends(world.state, world.now.at) == ([], [])
    world.at(12)
    found = loose_ends(world.state, world.now.at)
    assert found == (["handoff-001"], ["escalation-001"])
    _, event = leaving(world.state, [], *found)
    world.apply(Entry("daemon", "", [event]))
    assert list(world.state.handoffs) == ["handoff-002"]
    assert list(world.state.escalations) == ["escalation-002"]


def test_what_is_no_more_needed_leaves_no_trace_in_the_indexes() -> None:
    world = World()
    first = ended(world)
    second = ended(world, needs=[first.id])
    for task in (first, second):
        clear(world, task)
    world.apply(Entry("daemon", "", [leaving(world.state, [first, second])[1]]))
    state = world.state
    assert (state.dependents, state.keys, state.ended_tasks) == ({}, {}, {})
