"""What a person answered on a recorded day, where a rerun may never have asked it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex.decide.entry import Entry
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.store.disk import RealDisk
from cortex.store.journal import recover
from cortex.whatif.recording import Fact, Recording, record
from cortex.whatif.rerun import rerun
from tests.unit.deciding import World, builtin_catalog

CONFLICT = {
    "status": "failed",
    "outcome": "conflict",
    "error": "conflict: one and two change the same lines",
    "conflicts": ["a.py"],
}


@pytest.fixture
def day(tmp_path: Path) -> tuple[Recording, HomePaths]:
    """An integration meets a conflict, a person says yes to it, and it is done."""
    paths = HomePaths(tmp_path)
    paths.state.mkdir(parents=True)
    world = World()
    journal = recover(RealDisk(), paths.journal, ballast=paths.ballast).journal
    written = 0

    def log(minute: int) -> None:
        nonlocal written
        world.reconcile()
        world.admit()
        for entry in world.lines[written:]:
            moment = datetime.fromtimestamp(world.wall, UTC)
            journal.append(moment, entry.by, entry.why, entry.events)
        journal.commit()
        written = len(world.lines)
        world.at(9, minute)

    world.at(9)
    task = world.task(type="integration", scope={"repository": "/srv/shop"})
    log(1)
    world.end(task.workers[0], 0, results=CONFLICT)
    log(2)
    (approval,) = world.state.approvals.values()
    answered = {"event": "approval_answered", "approval_id": approval.id, "task_id": task.id}
    world.apply(Entry("person", "resolved", [{**answered, "status": "approved"}]))
    log(3)
    world.end(task.workers[-1], 0, results={"status": "completed"})
    log(4)
    journal.close()
    return record(RealDisk(), paths, 0.0, None), paths


def test_a_conflict_is_asked_about_again_and_the_answer_fits(
    day: tuple[Recording, HomePaths],
) -> None:
    recording, paths = day
    again = rerun(recording, Settings(), builtin_catalog(), paths, cores=4, other_budget=False)
    assert [one.status for one in again.state.approvals.values()] == ["approved"]
    assert len(again.state.workers) == 2
    assert (again.unlike, again.faults) == (0, [])


def test_an_answer_to_what_is_not_asked_any_more_is_counted_and_the_day_goes_on(
    day: tuple[Recording, HomePaths],
) -> None:
    recording, paths = day
    begun = recording.start_s
    odd = {"event": "approval_answered", "approval_id": "approval-099", "task_id": "task-099"}
    recording.facts.insert(0, Fact(begun, "events", ({**odd, "status": "approved"},)))
    resumed = {"event": "task_resumed", "task_id": "task-099", "status": "pending"}
    recording.facts.insert(0, Fact(begun, "events", (resumed,)))
    again = rerun(recording, Settings(), builtin_catalog(), paths, cores=4, other_budget=False)
    assert again.unlike == 2
    assert len(again.state.workers) == 2
