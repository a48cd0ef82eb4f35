"""`cortex sla`: deadlines kept and missed, from published and archived tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.home import Home, create_home
from cortex.home.service_levels import service_levels
from cortex.model.times import parse_time

NOON = "2025-11-01T12:00:00Z"


def task(ident: str, status: str, ended: str | None = None, **fields: Any) -> dict[str, Any]:
    row = {"id": ident, "status": status, "priority": "high", "created_at": "2025-11-01T10:00:00Z"}
    row |= {"started_at": "2025-11-01T10:05:00Z", "deadline": NOON}
    return {**row, **({"ended_at": ended} if ended else {}), **fields}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(create_home(tmp_path / "h").root)
    rows = [
        task("met", "completed", "2025-11-01T11:00:00Z"),
        task("just", "completed", NOON),
        task("missed", "completed", "2025-11-01T12:00:01Z"),
        task("failed", "failed", "2025-11-01T11:00:00Z"),
        task("cancelled", "cancelled", "2025-11-01T11:00:00Z"),
        task("late", "in_progress"),
        task("free", "in_progress", deadline=None, priority="low"),
    ]
    home.paths.task_queue.write_text(json.dumps({"tasks": rows}))
    return home


def test_deadlines_are_counted_by_priority(home: Home) -> None:
    high, low = service_levels(home, parse_time("2025-11-01T13:00:00Z"))
    assert (high.priority, high.tasks, high.open) == ("high", 6, 1)
    assert (high.met, high.missed, high.late) == (2, 3, ["late"])
    assert high.kept == 0.4
    assert (low.tasks, low.kept, low.late) == (1, None, [])
    assert high.to_json()["wait_p50_s"] == 300.0


def test_what_is_open_is_late_only_after_its_deadline(home: Home) -> None:
    high, _ = service_levels(home, parse_time("2025-11-01T11:30:00Z"))
    assert (high.missed, high.late) == (2, [])


def test_older_tasks_can_be_left_out(home: Home) -> None:
    assert service_levels(home, 2e9, since=parse_time("2025-11-01T10:00:01Z")) == []


def test_the_command_says_what_is_late_and_fails(
    home: Home, cortex: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_HOME", str(home.root))
    ran = cortex("sla")
    assert ran.code == 1
    assert "late now: late" in ran.out
    assert "2 of 5" in ran.out
    assert cortex("sla", "--since", "soon").code == 2
    assert cortex("sla", "--since", "1h").code == 0
