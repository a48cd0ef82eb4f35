"""Days go by for a real daemon: ended work is archived, old logs go, the journal turns a page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cortex.store.disk import RealDisk
from cortex.store.history import check_home, state_at
from live_home import LiveHome, MakeHome

#: cortexd whose wall clock and clock since boot are so many hours ahead as a file says.
PROGRAM = """
import sys
from datetime import timedelta
from cortex import serving

HOURS = float(open(sys.argv[1]).read())

class Clock(serving.RealClock):
    def now(self):
        return super().now() + timedelta(hours=HOURS)

    def boottime(self):
        return super().boottime() + HOURS * 3600

serving.RealClock = Clock
sys.exit(serving.main(sys.argv[2:]))
"""
SETTINGS = """
[retention]
archive_over = 1
archive_after = "366d"
retention_days = 1
"""


class Days:
    """A home and its clock; `later` lets hours go by while no daemon runs."""

    def __init__(self, make_home: MakeHome, folder: Path, settings: str) -> None:
        self.shift = folder / "hours"
        self.hours = 0
        self.shift.write_text("0")
        program = (sys.executable, "-c", PROGRAM, str(self.shift))
        self.home: LiveHome = make_home(settings=settings, program=program)
        self.home.start()

    def later(self, hours: int) -> None:
        self.home.stop()
        self.hours += hours
        self.shift.write_text(str(self.hours))
        self.home.start()

    def archived(self) -> set[str]:
        return {ident for event in self.home.events("archived") for ident in event["tasks"]}


@pytest.fixture
def days(make_home: MakeHome, tmp_path: Path) -> Days:
    return Days(make_home, tmp_path, SETTINGS)


def test_old_logs_go_and_nothing_that_is_still_shown_or_that_lies_elsewhere(
    days: Days, tmp_path: Path
) -> None:
    home, gate = days.home, tmp_path / "gate"
    home.run("old", "echo old")
    home.until_ended("old")
    home.run("kept", "echo kept")
    home.run("open", f"until test -e {gate}; do sleep 0.05; done", timeout="10h")
    home.drop(b"{", "bad.json")
    home.until(lambda: "bad.json" in home.errors(), "the bad drop is refused")
    home.until_running("open")
    home.until(lambda: "old" in days.archived(), "old has left")
    home.until_ended("kept")
    old = [home.folder_of(str(home.home.task("old")["workers"][0])), home.report_of("old")]  # type: ignore[index]
    kept = [home.folder_of(home.task("kept")["workers"][0]), home.report_of("kept")]
    kept.append(home.folder_of(home.running("open")[0]["worker_id"]))
    canary = tmp_path / "elsewhere" / "canary"
    canary.parent.mkdir()
    canary.touch()
    (old[0].parent / "link").symlink_to(canary.parent)
    (home.paths.worker_logs / "2020-01-01").symlink_to(canary.parent)
    for _ in range(3):
        days.later(20)
    # The link counts as a worker's entry. On either side of a midnight they go in two sweeps.
    home.until(lambda: removed(home) == (2, 1, 1), "old logs are removed")
    assert not any(folder.exists() for folder in old)
    assert all(folder.is_dir() for folder in kept)
    assert canary.exists()
    assert not (old[0].parent / "link").is_symlink()
    assert not list(home.paths.rejected.iterdir())
    assert home.home.task("old")["status"] == "completed"  # type: ignore[index]
    gate.touch()
    home.until_ended("open")
    home.stop()
    problems = [p for p in check_home(RealDisk(), home.paths).problems if not p.note]
    assert [str(problem) for problem in problems] == []


def removed(home: LiveHome) -> tuple[int, ...]:
    """How many entries of workers, tasks and refused drops have gone by now."""
    events = home.events("logs_removed")
    return tuple(sum(event[name] for event in events) for name in ("workers", "tasks", "rejected"))


def test_each_day_of_the_journal_begins_with_the_state_and_the_past_is_told_from_it(
    days: Days,
) -> None:
    home = days.home
    home.run("first", "true")
    home.until_ended("first")
    moment = home.lines()[-1].at
    for number in range(3):
        days.later(20)
        home.run(f"day-{number}", "true")
        home.until_ended(f"day-{number}")
    segments = sorted(home.paths.journal.glob("*.jsonl"))
    assert len(segments) >= 3
    for segment in segments[1:]:
        first = json.loads(segment.read_bytes().splitlines()[0])
        assert [event["event"] for event in first["events"]] == ["day_opened"]
        assert first["events"][0]["state"]["seq"] == first["seq"] - 1
        assert first["format"] == 1
    assert list(state_at(RealDisk(), home.paths, moment).tasks) == ["first"]
    home.stop()
    home.paths.checkpoint.unlink()
    home.paths.previous_checkpoint.unlink()
    home.start()
    last = [line for line in home.logged() if "lines_replayed" in line][-1]
    assert last["lines_replayed"] < len(home.lines()) / 2, "only the newest day was read"
    home.until(lambda: [row["id"] for row in home.tasks()] == list(home.replay().tasks), "the same")


def test_ended_work_leaves_by_age_and_is_found_afterwards(
    make_home: MakeHome, tmp_path: Path
) -> None:
    settings = '[retention]\narchive_over = 500\narchive_after = "30h"\n'
    days = Days(make_home, tmp_path, settings)
    home = days.home
    home.run("early", "echo early", key="nightly")
    home.until_ended("early")
    days.later(20)
    home.run("later", "true")
    home.until_ended("later")
    assert days.archived() == set()
    days.later(20)
    home.until(lambda: "early" in days.archived(), "early has left")
    home.until(lambda: not home.task("early"), "and is not published any more")
    assert home.task("later")
    row = home.home.task("early")
    assert row is not None
    assert row["summary"] == "early"
    assert home.home.worker(row["workers"][0]) is not None
    home.run("again", "true", key="nightly")
    home.run("early", "true")
    home.until_taken("again.json")
    home.until(lambda: "early.json" in home.errors(), "an id is never used twice")
    assert not home.task("again"), "and neither is a key"


def test_what_is_too_many_leaves_eldest_first_over_restarts(
    make_home: MakeHome, tmp_path: Path
) -> None:
    days = Days(make_home, tmp_path, "[retention]\narchive_over = 5\n")
    home = days.home
    names = [f"job-{number:02d}" for number in range(24)]
    for batch in (names[:12], names[12:]):
        for name in batch:
            home.run(name, "true")
        home.until_taken(f"{batch[-1]}.json")
        home.until(lambda: len(home.tasks()) == 5, "five are left")
        home.kill()
        home.start()
    home.until(lambda: all(row.get("ended_at") for row in home.tasks()), "all have ended")
    ended = {row["id"]: row["ended_at"] for row in home.tasks()}
    assert all(home.home.task(name) is not None for name in names)
    gone = [home.home.task(name) for name in names if name not in ended]
    assert max(row["ended_at"] for row in gone if row) <= min(ended.values())
