"""The daemon as an ordinary user, in a home that is his."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cortex
from live_home import LiveHome

USER = 65534
IS_ROOT = os.geteuid() == 0
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
ENV = {"PYTHONPATH": ":".join([str(Path(cortex.__file__).parents[1]), *sys.path])}


def interpreter() -> str | None:
    """One that the user may start, directly and from a program of his: an interpreter under
    /root is nobody else's.
    """
    for python in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        loads = f"{python} -c 'import cortex.serving'"
        tried = subprocess.run(
            [*(AS_USER if IS_ROOT else []), "/bin/sh", "-c", loads],
            env=os.environ | ENV,
            capture_output=True,
        )
        if tried.returncode == 0:
            return python
    return None


@pytest.fixture
def own_home() -> Iterator[LiveHome]:
    """A home of nobody's, where root runs the tests; else simply one's own."""
    python = interpreter()
    if python is None:
        pytest.skip("no interpreter that an ordinary user may start")
    folder = Path(tempfile.mkdtemp(prefix="cortex-user-"))
    folder.chmod(0o755)
    program = [*(AS_USER if IS_ROOT else []), python, "-m", "cortex.serving"]
    home = LiveHome(folder / "home", "[workers]\nbackoff = 0.1\n", program, ENV)
    if IS_ROOT:
        for path in [home.root, *home.root.rglob("*")]:
            os.chown(path, USER, USER)
    yield home
    home.close()
    shutil.rmtree(folder)


def test_a_daemon_of_an_ordinary_user_runs_ends_and_adopts_work(own_home: LiveHome) -> None:
    own_home.start()
    assert own_home.daemon is not None
    status = Path(f"/proc/{own_home.daemon.pid}/status").read_text()
    assert status.partition("\nUid:")[2].split()[0] != "0"
    gate = own_home.root / "gate"
    own_home.run("who", "id -u")
    assert own_home.until_ended("who")[0]["status"] == "completed"
    uid = (own_home.folder_of("worker-cmd-001") / "log.md").read_text()
    assert str(USER if IS_ROOT else os.geteuid()) in uid
    own_home.run("wait", f"until test -e {gate}; do sleep 0.02; done; exit 3", retries=0)
    own_home.until_running("wait")
    own_home.kill()
    own_home.start()
    gate.touch()
    own_home.until_ended("wait")
    assert own_home.workers("failed")[0]["exit_code"] == 3
    own_home.run("tree", "setsid sleep 600 & sleep 600", timeout="1s", retries=0)
    own_home.until_ended("tree")
    own_home.until(lambda: not own_home.worker_processes(), "nothing is left", 10)
    own_home.assert_books()
