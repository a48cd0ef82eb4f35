"""`cortex replay` on awkward moments and folders."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex.cli.moments import parse_moment
from cortex.model.times import parse_time
from live_home import BIN, LiveHome


def replay(home: LiveHome, *arguments: str, zone: str = "UTC") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "cortex"), "replay", *arguments, "--home", str(home.root)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", "TZ": zone},
    )


@pytest.fixture
def lived(live: LiveHome) -> LiveHome:
    live.run("one", "true")
    live.until_ended("one")
    live.run("two", "true")
    live.until_ended("two")
    live.stop()
    return live


def test_each_moment_shows_what_was_there_then(lived: LiveHome, tmp_path: Path) -> None:
    accepted = [
        line.at
        for line in lived.lines()
        if any(event["event"] == "task_accepted" for event in line.events)
    ]
    done = replay(lived, "--at", accepted[0], "--to", str(tmp_path / "then"))
    assert done.returncode == 0, done.stderr
    queue = json.loads((tmp_path / "then/task-queue.json").read_bytes())
    assert [task["id"] for task in queue["tasks"]] == ["one"]
    assert f"journal line {queue['journal_seq']}" in done.stdout


def test_a_local_time_means_the_zone_of_this_machine(lived: LiveHome) -> None:
    last = lived.lines()[-1].at
    local = datetime.fromtimestamp(parse_time(last) + 1, UTC).strftime("%Y-%m-%d %H:%M:%S")
    assert "two" in replay(lived, "--at", local).stdout
    east = replay(lived, "--at", local, zone="Asia/Tokyo")
    assert east.returncode == 1
    assert "nothing had happened here; the journal begins at" in east.stderr


def test_before_the_first_line_there_is_nothing_and_after_the_last_there_is_now(
    lived: LiveHome,
) -> None:
    before = replay(lived, "--at", "2001-01-01T00:00:00Z")
    assert (before.returncode, before.stdout) == (1, "")
    assert "the journal begins at" in before.stderr
    ahead = replay(lived, "--at", "2999-01-01T00:00:00Z")
    assert ahead.returncode == 0
    assert "has not come yet; these are the files of now" in ahead.stderr
    assert '"two"' in ahead.stdout


@pytest.mark.parametrize("text", ["yesterday", "", "2025-13-01T00:00:00Z", "25:00", "-2h", "nan"])
def test_what_is_no_moment_is_a_usage_error(lived: LiveHome, text: str) -> None:
    done = replay(lived, f"--at={text}")
    assert done.returncode == 2
    assert "--at: " in done.stderr


def test_nothing_is_overwritten(lived: LiveHome, tmp_path: Path) -> None:
    now = ("--at", "now")
    (tmp_path / "task-queue.json").write_text("mine")
    (tmp_path / "file").write_text("")
    refused = replay(lived, *now, "--to", str(tmp_path))
    assert refused.returncode == 2
    assert "has a task-queue.json already" in refused.stderr
    assert (tmp_path / "task-queue.json").read_text() == "mine"
    inside = replay(lived, *now, "--to", str(lived.paths.coordination / "then"))
    assert "lies in the home's coordination/" in inside.stderr
    assert replay(lived, *now, "--to", str(tmp_path / "file")).returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert replay(lived, *now, "--to", str(empty)).returncode == 0
    assert len(list(empty.iterdir())) >= 4


def test_moments_are_read_as_people_write_them() -> None:
    now = datetime(2025, 11, 1, 12, 0, tzinfo=UTC)
    assert parse_moment("2h", now) == parse_moment("2h ago", now) == now.timestamp() - 7200
    assert parse_moment("now", now) == now.timestamp()
    assert parse_moment("2025-11-01T10:15:00+01:00", now) == parse_time("2025-11-01T09:15:00Z")
    local = datetime(2025, 11, 1, 10, 15).astimezone()
    assert parse_moment("2025-11-01 10:15", now) == local.timestamp()
    assert parse_moment("2025-11-01", now) == local.replace(hour=0, minute=0).timestamp()
