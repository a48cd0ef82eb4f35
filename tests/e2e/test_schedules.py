"""Work that comes back, through the real daemon and the real command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from live_home import LiveHome


def cortex(live: LiveHome, *arguments: str) -> str:
    command = [str(Path(sys.executable).parent / "cortex"), "--home", str(live.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_schedule_is_set_shown_paused_changed_and_removed(live: LiveHome) -> None:
    made = cortex(live, "schedule", "daily@09:00", "-w", "scan", "-r", "/srv/a", "-r", "/srv/b")
    assert made.startswith("schedule-001: next at 20")
    (row,) = live.read("schedules")["scheduled_workers"]
    assert row["worker_type"] == "scan-worker"
    assert row["repositories"] == ["/srv/a", "/srv/b"]
    assert "schedule-001" in cortex(live, "get", "schedules")
    cortex(live, "pause", "schedule-001")
    live.kill()
    live.start()
    live.until(
        lambda: [row["paused"] for row in live.read("schedules")["scheduled_workers"]] == [True],
        "the pause outlives the daemon",
    )
    cortex(live, "schedule", "every 6h", "--command", "true", "--id", "schedule-001")
    cortex(live, "cancel", "schedule-001")
    live.until(lambda: not live.read("schedules")["scheduled_workers"], "it is gone")


@pytest.mark.slow
def test_a_schedule_that_is_due_every_minute_makes_its_task(live: LiveHome) -> None:
    live.drop({"kind": "schedule", "schedule": "* * * * *", "command": "echo tick"})
    live.until(live.tasks, "the next minute begins", 100.0)
    live.until_ended(live.tasks()[0]["id"])
    assert live.tasks()[0]["status"] == "completed"
    assert live.tasks()[0]["title"] == "schedule-001: * * * * *"
    assert live.read("schedules")["scheduled_workers"][0]["runs"] >= 1


def test_a_wrong_schedule_is_refused_with_an_example(live: LiveHome) -> None:
    live.drop({"kind": "schedule", "schedule": "daily@nine", "command": "true"}, "bad.json")
    live.until(lambda: "bad.json" in live.errors(), "it is refused")
    error = live.errors()["bad.json"]
    assert error["field"] == "schedule"
    assert "daily@09:00" in error["reason"]
