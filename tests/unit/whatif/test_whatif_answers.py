"""What a person answered on a recorded day, where a rerun may never have asked it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.decide.entry import Entry
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.store.disk import RealDisk
from cortex.whatif.recording import Fact, Recording, record
from cortex.whatif.rerun import rerun
from tests.unit.deciding import builtin_catalog
from tests.unit.whatif.recorded import RecordedWorld

CONFLICT = {
    "status": "failed",
    "outcome": "conflict",
    "error": "conflict: one and two change the same lines",
    "conflicts": ["a.py"],
}


@pytest.fixture
def day(tmp_path: Path) -> tuple[Recording, HomePaths]:
    """An integration meets a conflict, a person says yes to it, and it is done."""
    world = RecordedWorld(tmp_path)
    world.at(9)
    task = world.task(type="integration", scope={"repository": "/srv/shop"})
    world.go_on(1)
    world.end(task.workers[0], 0, results=CONFLICT)
    world.go_on(2)
    (approval,) = world.state.approvals.values()
    answered = {"event": "approval_answered", "approval_id": approval.id, "task_id": task.id}
    world.apply(Entry("person", "resolved", [{**answered, "status": "approved"}]))
    world.go_on(3)
    world.end(task.workers[-1], 0, results={"status": "completed"})
    world.go_on(4)
    world.journal.close()
    return record(RealDisk(), world.paths, 0.0, None), world.paths


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
