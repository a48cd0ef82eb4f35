"""A disk that takes writes and fails to keep them: an ext4 file system on a loop device whose own
room runs out, so that syncing the journal gives EIO. The daemon must end, and the next one must
not believe what only the page cache shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from live_home import LiveHome
from namespaces import mount_namespace, scenario_program

SETTINGS = '[daemon]\nruntime_dir = "{run}"\n[workers]\nbackoff = 0.1\n[limits]\ntools = 1\n'
TASKS = 60
#: Mounts a small tmpfs, an image of a file system in it, and that; then runs the scenario.
PREPARE = (
    'cd "$1" && mkdir room disk && mount -t tmpfs -o size=16m none room && truncate -s 64m room/img'
    " && mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 room/img"
    ' && mount -o loop,errors=continue room/img disk && cd / && shift && exec "$@"'
)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue


def scenario(folder: Path) -> None:
    home = LiveHome(folder / "disk" / "home", SETTINGS.format(run=folder / "run"))
    balloon, marks = folder / "room" / "balloon", folder / "marks"
    first, gate = folder / "first", folder / "gate"
    try:
        home.start()
        home.drop({"kind": "pause"}, "pause.json")
        # The first one ends at once; the others when the journal cannot be synced any more.
        wait = f"mkdir {first} || until test -e {gate}; do sleep 0.02; done"
        command = f"echo $CORTEX_WORKER_ID >> {marks}; {wait}"
        title = "a title that makes long lines " * 12
        idents = [home.run(f"job-{n}", command, title=title) for n in range(TASKS)]
        home.until(lambda: len(home.workers("queued")) == TASKS, "all wait")
        home.drop({"kind": "resume"}, "resume.json")
        home.until(lambda: home.workers("completed"), "the first one has ended")
        os.sync()
        fill(balloon)
        gate.touch()
        assert home.daemon is not None
        assert home.daemon.wait(60) > 0
        assert str(home.paths.journal) in home.log(), home.log()
        assert "Traceback" not in home.log()
        home.daemon = None
        balloon.unlink()
        home.start()
        rows = home.until_ended(*idents, limit_s=60)
        assert {row["status"] for row in rows} == {"completed"}
        starts = marks.read_text().split()
        assert len(starts) == len(set(starts)), "a program was started twice"
        home.assert_started_once()
        home.assert_books()
        home.assert_replay_is_published()
        home.stop()
    finally:
        balloon.unlink(missing_ok=True)
        home.close()


def test_a_journal_that_cannot_be_synced_ends_the_daemon_and_the_next_one_goes_on(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a block device, and this user is not root")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed: apt-get install e2fsprogs")
    code = scenario_program(__file__, "scenario", tmp_path)
    ran = subprocess.run(
        [*mount_namespace(), "sh", "-c", PREPARE, "sh", tmp_path, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ran.returncode == 0, ran.stderr[-6000:]
