"""A copy of a home, served beside the original while its workers run, touches none of them."""

from __future__ import annotations

import shutil
import signal
from typing import Any

import pytest

from live_home import LiveHome


def make_copy(original: LiveHome, copy: LiveHome) -> None:
    """Copies a home while its daemon stands still: files that come and go cannot be copied."""
    assert original.daemon is not None
    original.daemon.send_signal(signal.SIGSTOP)
    try:
        shutil.rmtree(copy.root)
        gone = shutil.ignore_patterns("*.sock", "lock", "pid", "gate")
        shutil.copytree(original.root, copy.root, ignore=gone)
    finally:
        original.daemon.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("where", ["auto", "home"])
def test_a_copy_leaves_the_originals_workers_alone(make_home: Any, where: str) -> None:
    settings = f'[daemon]\nruntime_dir = "{where}"\n[workers]\nbackoff = 0.1\n'
    original = make_home("original", settings=settings)
    original.start()
    gate = original.root / "gate"
    original.run("long", f"until [ -e {gate} ]; do sleep 0.02; done", retries=0)
    original.run("short", "true")
    running = original.until_running("long")
    original.until_ended("short")
    copy = make_home("copy", settings=settings)
    make_copy(original, copy)
    copy.start()
    (row,) = copy.until_ended("long")
    assert row["status"] == "failed"
    assert [
        end["status"] for end in copy.events("worker_ended", worker_id=running["worker_id"])
    ] == ["lost"]
    copy.run("more", "true")
    copy.until_ended("more")
    copy.stop()
    assert original.until_running("long") == running
    gate.touch()
    (row,) = original.until_ended("long")
    assert row["status"] == "completed", row
    assert len(original.events("worker_running", worker_id=running["worker_id"])) == 1
    original.until_idle()
    original.assert_books()


def test_a_copy_takes_a_folder_of_locks_of_its_own(make_home: Any) -> None:
    original = make_home("original")
    original.start()
    copy = make_home("copy")
    make_copy(original, copy)
    copy.start()
    for home in (original, copy):
        home.run("job", "true")
        home.until_ended("job")
    records = [home.paths.state / "runtime-dir" for home in (original, copy)]
    if all(record.exists() for record in records):  # an ordinary user's locks lie in the home
        assert records[0].read_text() != records[1].read_text()
    assert isinstance(original, LiveHome)
