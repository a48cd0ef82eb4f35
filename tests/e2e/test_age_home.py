"""A home that ran thousands of tasks: it starts at once, its hot files are small, all is found.

What is expected is a tenth of each deadline; `bench/age` measures a home of 100,000 tasks.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cortex.testing.aged import grow
from live_home import BIN, LiveHome, MakeHome

TASKS = 10_000
DAYS = 20
#: Of one command; how much a start reads is what tells whether it grows with history.
LIMIT_S = 30.0
HOT_BYTES = {
    "task-queue.json": 2_000_000,
    "worker-pool.json": 1_000_000,
    "token-budget.json": 10_000,
    "handoffs.json": 10_000,
    "schedules.json": 10_000,
}
CHECKPOINT_BYTES = 3_000_000
#: What the daemon may read until it serves; 10 MB are its own program.
LINES_REPLAYED = 200
READ_BYTES = 28_000_000


@pytest.fixture
def aged(make_home: MakeHome) -> LiveHome:
    home = make_home(settings="[retention]\nretention_days = 365\n")
    grow(home.paths, TASKS, over=timedelta(days=DAYS), logs=lambda number: number % 100 == 0)
    return home


def said(home: LiveHome, *arguments: str) -> str:
    """What a command printed, within the limit."""
    argv = [str(BIN / "cortex"), *arguments, "--home", str(home.root)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_home_of_many_tasks_starts_at_once_and_everything_is_found(
    aged: LiveHome, tmp_path: Path
) -> None:
    aged.start()
    assert_little_was_read(aged)
    old = TASKS // 3 // 100 * 100
    ident = f"task-{old}"
    for argv, word in (
        (("get", ident), "completed"),
        (("describe", ident), f"worker-cmd-{old}"),
        (("why", ident), "completed: all steps are done"),
        (("logs", ident), f"echo {old}"),
        (("events", ident), "accepted"),
        (("get", f"worker-cmd-{old}", "-o", "json"), ident),
        (("replay", "--at", moment(DAYS / 2), "--to", str(tmp_path / "then")), "journal line"),
    ):
        assert word in said(aged, *argv), argv
    aged.run("new", "true")
    aged.until_ended("new")
    aged.kill()
    aged.start()
    assert_little_was_read(aged)
    aged.stop()
    sizes = {path.name: path.stat().st_size for path in aged.paths.documents}
    assert all(size < HOT_BYTES[name] for name, size in sizes.items()), sizes
    assert aged.paths.checkpoint.stat().st_size < CHECKPOINT_BYTES


def assert_little_was_read(home: LiveHome) -> None:
    """As the daemon tells of its start, and as the kernel counts it: neither depends on load."""
    assert home.daemon is not None
    *_, replayed = (row["lines_replayed"] for row in home.logged() if "lines_replayed" in row)
    counters = Path(f"/proc/{home.daemon.pid}/io").read_text()
    read_bytes = int(counters.removeprefix("rchar: ").partition("\n")[0])
    assert replayed < LINES_REPLAYED, replayed
    assert read_bytes < READ_BYTES, read_bytes
    journal_bytes = sum(path.stat().st_size for path in home.paths.journal.iterdir())
    assert journal_bytes / 2 > READ_BYTES, "so reading all of it could not pass"


def moment(days_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
