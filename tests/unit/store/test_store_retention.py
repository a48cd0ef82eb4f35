"""Old entries go, few at a time, and nothing that a link points to goes with them."""

from __future__ import annotations

import fcntl
import os
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from cortex.control.context import Context
from cortex.control.engine import Engine
from cortex.control.opening import make_folders, open_state
from cortex.control.sweeping import Sweeping
from cortex.decide.catalog import Catalog
from cortex.home.journal import lines_of
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.store.disk import RealDisk
from cortex.store.retention import remove_days, remove_mirrors, remove_rejected
from cortex.testing import FakeClock, FakeExecutor, FakeMachine
from privileges import passes_without
from tests.unit.inline_effects import InlineEffects


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "log.md").touch()


def test_entries_go_by_the_day_they_lie_in_up_to_the_limit(tmp_path: Path) -> None:
    make(tmp_path, "2025-10-01/a", "2025-10-01/b", "2025-10-02/c", "2025-10-03/d", "notes/x")
    first = remove_days(tmp_path, "2025-10-03", {"2025-10-01/b"}, 1)
    assert (first.count, first.more) == (1, True)
    second = remove_days(tmp_path, "2025-10-03", {"2025-10-01/b"}, 5)
    assert (second.count, second.more) == (1, False)
    kept = ["2025-10-01/b", "2025-10-03/d", "notes/x"]
    assert {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*.md")} == set(kept)
    assert not (tmp_path / "2025-10-02").exists()


def test_folders_that_nobody_may_write_to_go_too(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As those of Go's modules, which `go clean` alone removes."""
    if not passes_without(request.node.nodeid, "dac_override", "dac_read_search"):
        return
    make(tmp_path, "2025-10-01/worker/home/go/pkg/mod")
    for folder in sorted((tmp_path / "2025-10-01").rglob("*/"), reverse=True):
        if folder.is_dir():
            folder.chmod(0o555)
    assert remove_days(tmp_path, "2025-10-03", (), 5).count == 1
    assert not (tmp_path / "2025-10-01").exists()


def test_mirrors_go_that_nobody_used_for_long_and_none_that_somebody_uses(tmp_path: Path) -> None:
    for name in ("old-1", "used-2", "young-3", "written-4"):
        make(tmp_path, f"{name}.git")
        for suffix in ("lock", "use"):
            (tmp_path / f"{name}.{suffix}").touch()
            if name != "young-3":
                os.utime(tmp_path / f"{name}.{suffix}", (1000, 1000))
    make(tmp_path, ".old-1.git.damaged", ".used-2.git.new")
    os.utime(tmp_path / ".old-1.git.damaged", (1000, 1000))
    with (tmp_path / "used-2.use").open() as used, (tmp_path / "written-4.lock").open() as written:
        fcntl.flock(used, fcntl.LOCK_SH)
        fcntl.flock(written, fcntl.LOCK_EX)
        gone = remove_mirrors(tmp_path, 2_000 * 10**9, 10)
    assert (gone.count, gone.more) == (1, False)
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert left == [".used-2.git.new", "used-2.git", "written-4.git", "young-3.git"]
    assert not list(tmp_path.glob("old-1.*"))
    assert remove_mirrors(tmp_path, 2_000 * 10**9, 1).more


def test_links_are_not_followed_wherever_they_stand(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    make(outside, "2025-10-01", "inner")
    before = entries(outside)
    logs = tmp_path / "logs"
    make(logs, "2025-10-01/worker")
    (logs / "2025-10-01" / "link").symlink_to(outside)
    (logs / "2025-10-01" / "worker" / "artifacts").symlink_to(outside)
    (logs / "2025-10-02").symlink_to(outside)
    os.mkfifo(logs / "2025-10-01" / "pipe")
    assert remove_days(logs, "2025-11-01", (), 100).count == 3
    assert entries(outside) == before
    assert entries(logs) == ["2025-10-02"]


def test_a_refused_drop_goes_with_its_reason_and_one_without_a_reason_stays(
    tmp_path: Path,
) -> None:
    for name in ("old.json", "old.json.error.json", "new.json", "new.json.error.json", "bare.json"):
        (tmp_path / name).touch()
    make(tmp_path, "folder.json")
    (tmp_path / "folder.json.error.json").touch()
    for name in ("old.json.error.json", "folder.json.error.json", "bare.json"):
        os.utime(tmp_path / name, (1000, 1000))
    gone = remove_rejected(RealDisk(), tmp_path, 2000 * 10**9, 10)
    assert (gone.count, gone.more) == (2, False)
    assert entries(tmp_path) == ["bare.json", "new.json", "new.json.error.json"]


class Swept:
    """A sweeping daemon's part on a fake clock."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.paths, self.clock = HomePaths(root), clock
        make_folders(self.paths)
        opened = open_state(RealDisk(), self.paths)
        engine = Engine(opened.state, opened.journal, clock)
        effects = InlineEffects(lambda then: then())
        log = structlog.get_logger()
        context = Context(engine, effects, self.paths, Settings(), Catalog(), log)
        machine = FakeMachine(clock, RealDisk(), seed=1)  # type: ignore[arg-type]
        self.engine = engine
        self.sweeping = Sweeping(context, FakeExecutor(machine), RealDisk())

    def turn(self, hours: float = 0.0) -> None:
        self.clock.advance(hours * 3600)
        self.sweeping.turn(self.engine.now())
        self.engine.commit()

    def removed(self) -> list[dict[str, object]]:
        lines = lines_of(self.paths.journal)
        return [e for line in lines for e in line.events if e["event"] == "logs_removed"]


def test_a_sweep_takes_what_is_due_in_bounded_steps_and_tells_once(tmp_path: Path) -> None:
    clock = FakeClock()
    swept = Swept(tmp_path, clock)
    day = (clock.now() - timedelta(days=31)).strftime("%Y-%m-%d")
    edge = (clock.now() - timedelta(days=30)).strftime("%Y-%m-%d")
    make(swept.paths.worker_logs, *(f"{day}/w{n}" for n in range(450)), f"{edge}/w")
    swept.turn()
    assert len(list(swept.paths.worker_logs.glob(f"{day}/*"))) == 250
    swept.turn()
    swept.turn()
    assert entries(swept.paths.worker_logs) == [edge, f"{edge}/w", f"{edge}/w/log.md"]
    (told,) = swept.removed()
    assert (told["workers"], told["until"]) == (450, edge)
    swept.turn(hours=0.5)
    swept.turn(hours=24)
    assert entries(swept.paths.worker_logs) == []
    assert len(swept.removed()) == 2


def test_a_clock_that_jumped_is_believed_after_an_hour(tmp_path: Path) -> None:
    clock = FakeClock()
    swept = Swept(tmp_path, clock)
    today = clock.now().strftime("%Y-%m-%d")
    make(swept.paths.worker_logs, f"{today}/w")
    swept.turn()
    clock.jump_wall(365 * 86_400.0)
    swept.turn()
    swept.turn(hours=0.9)
    assert (swept.paths.worker_logs / today / "w").exists()
    clock.jump_wall(-365 * 86_400.0)
    swept.turn(hours=2)
    swept.turn(hours=2)
    assert (swept.paths.worker_logs / today / "w").exists(), "it was set right again"
    clock.jump_wall(365 * 86_400.0)
    swept.turn()
    swept.turn(hours=1.1)
    assert not (swept.paths.worker_logs / today).exists()


def test_a_home_that_slept_for_long_waits_an_hour_too(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Swept(tmp_path, clock)
    event = {"event": "daemon_stopped", "workers": 0}
    first.engine.journal.append(clock.now(), "daemon", "told to stop", [event])
    first.engine.commit()
    today = clock.now().strftime("%Y-%m-%d")
    make(first.paths.worker_logs, f"{today}/w")
    clock.advance(90 * 86_400.0)
    again = Swept(tmp_path, clock)
    again.turn()
    assert (again.paths.worker_logs / today / "w").exists()
    again.turn(hours=1.1)
    assert not (again.paths.worker_logs / today).exists()
