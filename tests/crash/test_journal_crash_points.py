"""A daemon's day on disk (claim, journal, publish, refuse, archive, checkpoint), crashed before,
in and after each of its disk calls, and done again: nothing is lost, nothing is done twice."""

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cortex.model.layout import encode_row, join
from cortex.model.paths import HomePaths
from cortex.store import checkpoint
from cortex.store.archive import Archive
from cortex.store.disk import RealDisk
from cortex.store.drop import Problem
from cortex.store.inbox import leftovers, scan
from cortex.store.journal import recover
from cortex.store.publish import Publisher
from cortex.store.rejecting import finish, reject, reject_file

DROPS = {
    "a.json": b'{"title": "a"}',
    "b.json": b'{"title": "b"}',
    "bad.json": b'{"title": }',
    "c.jsonl": b'{"title": "c"}\n',
}
_CHANGING = (
    *("create", "write", "write_at", "truncate", "fdatasync", "fsync_dir", "set_mtime"),
    *("rename", "rename_new", "exchange", "link", "unlink", "mkdir", "remove_all", "open_append"),
)


class Crash(BaseException):
    """The process is gone: no handler may catch it."""


class CrashingDisk(RealDisk):
    """Dies at its `at`-th changing call: before it, after it, or half-way through a write."""

    def __init__(self, at: int, when: str) -> None:
        super().__init__()
        self.at = at
        self.when = when
        self.count = 0


def _crashing(name: str) -> Callable[..., Any]:
    real = getattr(RealDisk, name)

    def call(self: CrashingDisk, *arguments: Any) -> Any:
        self.count += 1
        if self.count > self.at:
            raise Crash
        if self.count < self.at:
            return real(self, *arguments)
        if self.when == "half" and name == "write":
            real(self, arguments[0], arguments[1][: len(arguments[1]) // 2])
        elif self.when == "after":
            real(self, *arguments)
        raise Crash

    return call


for _name in _CHANGING:
    setattr(CrashingDisk, _name, _crashing(_name))


def live(disk: RealDisk, paths: HomePaths) -> None:
    """One life of a small daemon, from its start until all is done."""
    loaded = checkpoint.load(disk, paths.checkpoint, previous=paths.previous_checkpoint)
    saved = loaded.checkpoint
    receipts = dict(saved.state["receipts"]) if saved else {}
    found = recover(
        disk, paths.journal, ballast=paths.ballast, after=saved.position if saved else None
    )
    for line in found.lines:
        receipts.update(event for entry in line.events for event in entry["receipts"].items())
    journal = found.journal
    publisher = Publisher(disk, paths.out)
    for edit in publisher.leftovers([paths.task_queue]):
        reject_file(
            disk, paths, edit.kept, edit.document.name, Problem("edited"), "now", edit.kept.name
        )
    left = leftovers(disk, paths)
    number = max([0, *(int(key[:10]) for key in receipts), *(drop.number for drop in left)])
    claimed = scan(
        disk,
        paths,
        now_ns=time.time_ns() + 10**10,
        monotonic_s=0.0,
        at="now",
        next_number=number + 1,
        known={},
    )
    drops = left + claimed.drops
    for drop in drops:
        if drop.receipt not in receipts:
            receipts[drop.receipt] = "refused" if drop.problem else drop.name
            event = {"event": "taken", "receipts": {drop.receipt: receipts[drop.receipt]}}
            journal.append(datetime.now(UTC), "daemon", "dropped", [event])
    journal.commit()
    publish(publisher, paths, receipts, journal.seq)
    finish(disk, [drop for drop in drops if not drop.problem])
    reject(disk, paths, [(drop, drop.problem) for drop in drops if drop.problem], "now")
    archive = Archive(disk, paths.archive, None)
    archive.append("2025-11-01", [("task", name, {"id": name}) for name in receipts.values()])
    archive.close()
    state = {"receipts": receipts}
    checkpoint.save(
        disk, paths.checkpoint, journal.position, state, previous=paths.previous_checkpoint
    )
    journal.close()


def publish(publisher: Publisher, paths: HomePaths, receipts: dict[str, str], seq: int) -> None:
    rows = [encode_row({"receipt": key, "name": value}) for key, value in receipts.items()]
    result = publisher.publish(paths.task_queue, join({"journal_seq": seq}, {"tasks": rows}), seq)
    assert not result.edited


def prepared(root: Path) -> HomePaths:
    paths = HomePaths(root)
    paths.inbox.mkdir(parents=True)
    paths.state.mkdir()
    for name, data in DROPS.items():
        (paths.inbox / name).write_bytes(data)
    return paths


def check(paths: HomePaths) -> None:
    taken = json.loads(paths.task_queue.read_bytes())["tasks"]
    assert sorted(row["name"] for row in taken) == ["a.json", "b.json", "c.jsonl", "refused"]
    assert [path.name for path in paths.inbox.iterdir()] == [".intake"]
    assert list(paths.intake.iterdir()) == []
    assert sorted(path.name for path in paths.rejected.iterdir()) == [
        "bad.json",
        "bad.json.error.json",
    ]
    assert (paths.rejected / "bad.json").read_bytes() == DROPS["bad.json"]
    assert json.loads((paths.rejected / "bad.json.error.json").read_bytes())["line"] == 1
    archived = (paths.archive / "2025-11-01.jsonl").read_text().splitlines()
    assert len(archived) == 4
    assert {json.loads(line)["id"] for line in archived} == {row["name"] for row in taken}
    loaded = checkpoint.load(RealDisk(), paths.checkpoint, previous=paths.previous_checkpoint)
    assert loaded.checkpoint is not None
    assert loaded.notes == ()


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_crash_at_any_disk_call_loses_and_doubles_nothing(tmp_path: Path, when: str) -> None:
    at = 0
    crashed = True
    while crashed:
        at += 1
        paths = prepared(tmp_path / str(at))
        crashed = False
        with contextlib.suppress(Crash):
            crashed = True
            live(CrashingDisk(at, when), paths)
            crashed = False
        if paths.task_queue.exists():
            json.loads(paths.task_queue.read_bytes())
        live(RealDisk(), paths)
        check(paths)
    assert at > 40


def test_a_second_crash_in_the_recovery_changes_nothing(tmp_path: Path) -> None:
    for first in range(1, 60, 7):
        for second in range(1, 60, 7):
            paths = prepared(tmp_path / f"{first}-{second}")
            for at in (first, second):
                with contextlib.suppress(Crash):
                    live(CrashingDisk(at, "after"), paths)
            live(RealDisk(), paths)
            check(paths)
