"""Death at every named point around commit, publish, claim, fork and collect, one at a time: the
next daemon finishes everything, once.

The points are found in the source (`failpoint("…")`), so a new one cannot be forgotten here.
"""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cortex.model.failpoints import VARIABLE
from cortex.store.disk import RealDisk
from cortex.store.history import check_home
from cortex.store.journal import recover
from live_home import STOPPED_S, LiveHome, MakeHome

SOURCE = Path(__file__).parents[2] / "src" / "cortex"
SETTINGS = """
[daemon]
resync = 0.2
runtime_dir = "{run}"
[workers]
backoff = 0.05
grace = 0.3
[spawn]
claim_timeout = 0.5
[retention]
archive_after = 0
"""
#: What must have happened before a point can be reached at all.
FIRST = {"give_up.claimed": "shim.before_claim"}
BAD = {
    "torn.json": b'{"title": ',
    "nobody.json": b'{"kind": "cancel", "task_id": "nobody"}',
}


def points() -> list[str]:
    """Every failpoint that the source names."""
    found: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                (name,) = node.args
                assert isinstance(name, ast.Constant) and isinstance(name.value, str), path
                found.append(name.value)
    assert len(found) == len(set(found)), "a failpoint's name stands for one place"
    return found


POINTS = points()
OF_OTHERS = [name for name in POINTS if name.split(".")[0] in ("nursery", "shim")]
#: tests/crash/test_edit_points.py edits files, and dies there.
OF_EDITS = [name for name in POINTS if name.split(".")[0] == "edit"]
#: tests/e2e/test_branches.py has a worker that hands over a branch, and dies there.
OF_BRANCHES = [name for name in POINTS if name.split(".")[0] == "branches"]
OF_THE_DAEMON = [name for name in POINTS if name not in (*OF_OTHERS, *OF_EDITS, *OF_BRANCHES)]


class Work:
    """What is dropped into the home, and what must have become of it in the end."""

    def __init__(self, home: LiveHome, folder: Path) -> None:
        self.home = home
        self.starts = folder / "starts"
        mark = f"echo $CORTEX_WORKER_ID >> {self.starts}; "
        self.jobs: dict[str, dict[str, Any]] = {
            f"ok-{n}": {"command": mark + "true", "retries": 3} for n in range(3)
        }
        self.jobs["bad"] = {"command": mark + "exit 3", "retries": 1, "token_budget": 40}
        steps = [
            {"name": "one", "command": mark + "true", "retries": 3, "token_budget": 60},
            {"name": "two", "command": mark + "true", "retries": 3, "needs": ["one"]},
        ]
        self.jobs["plan"] = {"title": "two steps", "workers": steps}

    def drop(self) -> None:
        for ident, job in self.jobs.items():
            self.home.drop({"id": ident, **job}, f"{ident}.json")
        for name, data in BAD.items():
            self.home.drop(data, name)

    def is_over(self) -> bool:
        """All have ended, are cleaned up and archived, and the inbox is empty."""
        home = self.home
        archived = {ident for event in home.events("archived") for ident in event["tasks"]}
        gone = len(home.events("worker_cleaned")) == len(home.events("worker_requested"))
        drops = [*home.paths.inbox.glob("[!.]*"), *home.paths.intake.glob("*")]
        return archived == set(self.jobs) and gone and not drops and len(home.errors()) == len(BAD)

    def check(self) -> None:
        home = self.home
        ends = Counter((e["task_id"], e["status"]) for e in home.events("task_ended"))
        wanted = {ident: "failed" if ident == "bad" else "completed" for ident in self.jobs}
        assert ends == Counter(dict.fromkeys(wanted.items(), 1))
        assert len(home.events("task_accepted")) == len(self.jobs)
        assert len(home.events("drop_rejected")) == len(BAD)
        for name, data in BAD.items():
            assert (home.paths.rejected / name).read_bytes() == data
        starts = self.starts.read_text().split()
        assert len(starts) == len(set(starts)), "a program was started twice"
        home.assert_started_once()
        rows = [
            json.loads(line)
            for path in home.paths.archive.glob("*.jsonl")
            for line in path.read_text().splitlines()
        ]
        counts = Counter((row["kind"], row["id"]) for row in rows)
        assert set(counts.values()) == {1}, "something was archived twice"
        assert {ident for kind, ident in counts if kind == "task"} == set(self.jobs)
        budget = home.replay().budget
        assert budget.pool_allocated == 0
        home.until(lambda: not home.worker_processes(), "no process is left")


def with_yesterday(home: LiveHome) -> None:
    """A first line of yesterday, so that today's first line begins a new segment."""
    found = recover(RealDisk(), home.paths.journal, ballast=home.paths.ballast)
    event = {"event": "daemon_stopped", "workers": 0}
    found.journal.append(datetime.now(UTC) - timedelta(days=1), "daemon", "told to stop", [event])
    found.journal.commit()
    found.journal.close()


def armed(folder: Path, name: str, nth: int) -> tuple[Path, str]:
    """The mark of the point, and what arms it with whatever must happen before it."""
    mark = folder / f"died-at-{name}"
    wishes = [f"{name}:{nth}:{mark}"]
    if name in FIRST:
        wishes.append(f"{FIRST[name]}:1:{folder}/died-first")
    return mark, ",".join(wishes)


def run_until_death(home: LiveHome, work: Work, mark: Path) -> None:
    """Runs until somebody died at the point, or stops a daemon that nobody died in."""
    assert home.daemon is not None
    daemon = home.daemon

    def is_far_enough() -> bool:
        assert daemon.poll() in (None, -signal.SIGKILL), home.log()
        # The mark has its maker's pid in it a moment after it is there.
        return (mark.exists() and mark.stat().st_size > 0) or work.is_over()

    home.until(is_far_enough, "somebody dies, or all is over")
    if not mark.exists():  # some points are reached on the way out only
        daemon.terminate()
        daemon.wait(STOPPED_S)


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("name", OF_THE_DAEMON)
def test_a_daemon_that_dies_at_any_named_point_loses_and_doubles_nothing(
    make_home: MakeHome, tmp_path: Path, name: str, nth: int
) -> None:
    mark, wish = armed(tmp_path, name, nth)
    home = make_home(settings=SETTINGS.format(run=tmp_path / "run"))
    with_yesterday(home)
    work = Work(home, tmp_path)
    work.drop()
    home.env[VARIABLE] = wish
    home.daemon = home.popen()
    run_until_death(home, work, mark)
    assert mark.exists() or nth > 1, f"nothing came by {name}"
    if mark.exists():
        assert home.daemon.wait(STOPPED_S) == -signal.SIGKILL
        assert int(mark.read_text()) == home.daemon.pid
    finish(home, work)


@pytest.mark.slow
@pytest.mark.parametrize("daemon", ["lives", "dies too"])
@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_nursery_or_shim_that_dies_at_any_named_point_costs_an_attempt_at_most(
    make_home: MakeHome, tmp_path: Path, name: str, daemon: str
) -> None:
    mark, wish = armed(tmp_path, name, 1)
    home = make_home(settings=SETTINGS.format(run=tmp_path / "run"))
    work = Work(home, tmp_path)
    home.env[VARIABLE] = wish
    home.start()
    work.drop()
    run_until_death(home, work, mark)
    assert mark.exists(), f"nothing came by {name}"
    assert home.daemon is not None and int(mark.read_text()) != home.daemon.pid
    if daemon == "dies too":
        home.kill()
    finish(home, work)


def finish(home: LiveHome, work: Work) -> None:
    """The rest of the work without any failpoint, and what must be true of it then."""
    home.env.pop(VARIABLE)
    if home.daemon is None or home.daemon.poll() is not None:
        home.daemon = home.popen()
    home.until(work.is_over, "all has ended", 60)
    home.until(home.serves, "serves")
    work.check()
    home.stop()
    problems = check_home(RealDisk(), home.paths).problems
    assert [problem for problem in problems if not getattr(problem, "note", False)] == []


def test_the_points_surround_what_must_not_be_done_by_halves() -> None:
    areas = Counter(name.split(".")[0] for name in POINTS)
    wanted = "journal turn publish drop reject start nursery shim collect report archive checkpoint"
    assert set(wanted.split()) <= set(areas)
    assert len(POINTS) >= 38


def test_a_failpoint_that_nobody_asked_for_does_nothing_and_one_that_did_kills_once(
    tmp_path: Path,
) -> None:
    code = "from cortex.model.failpoints import failpoint\nfor n in range(3): failpoint('here')"
    python = [sys.executable, "-c", code]
    mark = tmp_path / "mark"
    environment = {VARIABLE: f"here:2:{mark}"}
    assert subprocess.run(python, env={}, timeout=30).returncode == 0
    assert subprocess.run(python, env=environment, timeout=30).returncode == -signal.SIGKILL
    assert subprocess.run(python, env=environment, timeout=30).returncode == 0
