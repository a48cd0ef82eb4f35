"""Plans that a model proposed are facts of a recorded day: a rerun decides on them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.store.disk import RealDisk
from cortex.whatif.recording import record
from cortex.whatif.rerun import rerun
from tests.unit.deciding import builtin_catalog
from tests.unit.whatif.recorded import RecordedWorld

PLAN = {
    "workers": [
        {"name": "a", "worker_type": "analysis"},
        {"name": "b", "worker_type": "coordinator"},
    ]
}


def a_day(folder: Path) -> HomePaths:
    """A task whose first plan is refused, and whose second one is carried out."""
    world = RecordedWorld(folder)
    world.at(9)
    task = world.task(type="general")
    world.go_on(1)
    says: list[Any] = [{"workers": []}, PLAN]
    for minute, plan in enumerate(says, 2):
        world.end(task.workers[-1], 500, results={"status": "completed", "plan": plan})
        world.go_on(minute)
    for ident in world.workers("approved"):
        world.end(ident, 100)
    world.go_on(9)
    world.journal.close()
    return world.paths


def told(lines: Any, name: str) -> list[dict[str, Any]]:
    return [event for _, events in lines for event in events if event["event"] == name]


def test_a_rerun_judges_the_plans_that_were_proposed(tmp_path: Path) -> None:
    paths = a_day(tmp_path)
    recording = record(RealDisk(), paths, 0.0, None)
    again = rerun(recording, Settings(), builtin_catalog(), paths, cores=16, other_budget=False)
    assert again.faults == []
    for name in ("plan_refused", "plan_accepted"):
        (happened,) = told(recording.lines, name)
        (would,) = told(again.lines, name)
        assert happened == would
    steps = [step["name"] for event in told(again.lines, "task_planned") for step in event["steps"]]
    assert steps == ["a", "b"]
