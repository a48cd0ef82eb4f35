"""Starts for which the machine has no descriptors or processes, and pids that strangers got."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex.runtime.shim_groups import find_place, remove
from live_home import LiveHome, MakeHome

PROGRAM = (sys.executable, "-m", "cortex.serving")
SETTINGS = "[workers]\nbackoff = 0.1\ngrace = 0.3\n[limits]\ntools = 200\n"
DESCRIPTORS = 64
MEASURED_S = 4.0


def gated(home: LiveHome, folder: Path, number: int) -> list[str]:
    """Drops tasks that leave a mark and wait for the gate; their ids."""
    mark = f"echo $CORTEX_WORKER_ID >> {folder}/starts"
    command = f"{mark}; until test -e {folder}/gate; do sleep 0.2; done"
    return [home.run(f"job-{n}", command, retries=0, token_budget=100) for n in range(number)]


def alone(home: LiveHome, folder: Path, ident: str) -> str:
    """Drops a gated task of one process, whom no other's start takes a child away; its id."""
    code = (
        "import os, time\n"
        f"with open('{folder}/starts', 'a') as starts:\n"
        "    print(os.environ['CORTEX_WORKER_ID'], file=starts)\n"
        f"while not os.path.exists('{folder}/gate'): time.sleep(0.2)\n"
    )
    command = [sys.executable, "-S", "-c", code]
    home.drop({"id": ident, "command": command, "retries": 0, "token_budget": 100})
    return ident


def check_all_ran_once(home: LiveHome, folder: Path, idents: list[str]) -> None:
    """Every task completed by one attempt, and no shortage was counted as a retry."""
    for row in home.until_ended(*idents, limit_s=90):
        assert row["status"] == "completed", row
        assert len(row["workers"]) == 1, row
    starts = (folder / "starts").read_text().split()
    assert sorted(starts) == sorted(row["worker_id"] for row in home.workers("completed"))
    assert home.workers("failed") == []
    home.assert_started_once()
    home.assert_books()


def is_short(home: LiveHome) -> bool:
    """Whether some run while others went back into the queue with their tokens."""
    queued_again = home.events("tokens_returned")
    pool = home.read("token-budget")["worker_pool"]
    running = sum(row["token_budget"] for row in home.running())
    return bool(queued_again and running and pool["allocated_to_workers"] == running)


def cpu_s(pids: list[int]) -> float:
    """CPU time of these processes so far; none of one that has ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_starts_wait_where_descriptors_are_short_and_nothing_spins(
    make_home: MakeHome, tmp_path: Path
) -> None:
    limited = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *PROGRAM)
    home = make_home(settings=SETTINGS, program=limited)
    home.start()
    assert home.daemon is not None
    idents = gated(home, tmp_path, DESCRIPTORS + 16)
    home.until(lambda: is_short(home), "some run and others wait", 60)
    pids = [home.daemon.pid, *home.nurseries()]
    began, before_s = time.monotonic(), cpu_s(pids)
    home.until(lambda: time.monotonic() - began > MEASURED_S, "it was measured")
    share = (cpu_s(pids) - before_s) / (time.monotonic() - began)
    assert share < 0.2
    (tmp_path / "gate").touch()
    check_all_ran_once(home, tmp_path, idents)


class Narrow:
    """Room for so many more processes around a daemon that is told so later."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._before: tuple[int, tuple[int, int]] | None = None

    def program(self) -> tuple[str, ...]:
        """What starts the daemon where it can be narrowed."""
        if self._folder is None:
            return PROGRAM
        enter = f'echo $$ > {self._folder}/cgroup.procs && exec "$@"'
        return ("/bin/sh", "-c", enter, "sh", *PROGRAM)

    def narrow(self, home: LiveHome, room: int) -> None:
        assert home.daemon is not None
        if self._folder is not None:
            now = int((self._folder / "pids.current").read_text())
            (self._folder / "pids.max").write_text(str(now + room))
            return
        (nursery,) = home.nurseries()
        self._before = (nursery, resource.prlimit(nursery, resource.RLIMIT_NPROC))
        resource.prlimit(nursery, resource.RLIMIT_NPROC, (0, self._before[1][1]))

    def widen(self) -> None:
        if self._folder is not None:
            (self._folder / "pids.max").write_text("max")
        elif self._before is not None:
            resource.prlimit(self._before[0], resource.RLIMIT_NPROC, self._before[1])


@pytest.fixture
def narrow() -> Iterator[Narrow]:
    """A pids group for root, whom no rlimit binds; the rlimit for anybody else."""
    if os.geteuid() != 0:
        yield Narrow(None)
        return
    place = find_place()
    if place.pids is None:
        pytest.skip("no pids group may be made here")
    folder = Path(place.pids) / f"test-{os.getpid()}"
    folder.mkdir()
    yield Narrow(folder)
    deadline_s = time.monotonic() + 10
    while not remove([str(folder)]):
        assert time.monotonic() < deadline_s, f"{folder} is left"


def test_a_start_without_room_for_processes_goes_back_to_the_queue_with_its_tokens(
    narrow: Narrow, make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=SETTINGS, program=narrow.program())
    home.start()
    home.run("first", f"until test -e {tmp_path}/gate; do sleep 0.2; done", token_budget=100)
    home.until_running("first")
    narrow.narrow(home, 7)
    try:
        idents = [alone(home, tmp_path, f"job-{n}") for n in range(12)]
        home.until(lambda: is_short(home), "it is short", 30)
    finally:
        narrow.widen()
    (tmp_path / "gate").touch()
    home.until_ended("first")
    for row in home.until_ended(*idents, limit_s=90):
        assert (row["status"], len(row["workers"])) == ("completed", 1), row
    assert home.workers("failed") == []
    starts = (tmp_path / "starts").read_text().split()
    assert len(starts) == len(set(starts)) == len(idents)
    home.assert_started_once()
    home.assert_books()


STRANGER = """
import contextlib, os, signal, subprocess, sys
from pathlib import Path
sys.path[:0] = {path!r}
from live_home import LiveHome, end_process, pid_and_start
home = LiveHome(Path(sys.argv[1]), {settings!r}, {program!r})
home.start()
home.run("hit", "mkdir " + sys.argv[1] + "-once && sleep 600; exit 0", retries=1)
shim = int(home.until_running("hit")["session_id"].rpartition(":")[2])
home.kill()
os.kill(shim, signal.SIGKILL)
home.until(lambda: pid_and_start(shim) is None, "the shim is gone")
for pid in home.worker_processes():
    end_process(pid)

def stranger():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # this is PID 1 here
            pass
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(shim - 1))
    process = subprocess.Popen(["sleep", "600"])
    if process.pid == shim:
        return process
    process.kill()
    process.wait()

other = home.until(stranger, "a stranger has the pid of the shim")
home.start()
(row,) = home.until_ended("hit")
assert row["status"] == "completed", row
assert [row["status"] for row in home.workers("failed")] == ["lost"]
assert other.poll() is None, "the stranger was ended"
home.assert_started_once()
home.assert_books()
other.kill()
other.wait()
home.close()
print("passed")
"""


@pytest.mark.parametrize("containment", ["auto", "none"])
def test_a_stranger_that_got_a_workers_pid_while_no_daemon_ran_is_never_signalled(
    tmp_path: Path, containment: str
) -> None:
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare = ["unshare", *own, "--pid", "--fork", "--mount-proc"]
    last_pid = "echo 100 > /proc/sys/kernel/ns_last_pid"
    if subprocess.run([*unshare, "sh", "-c", last_pid], capture_output=True).returncode != 0:
        pytest.skip("no pid namespace whose pids can be chosen")
    settings = f"[workers]\nbackoff = 0.1\ncontainment = '{containment}'\n"
    path = [str(Path(__file__).parents[1]), *sys.path]
    code = STRANGER.format(path=path, settings=settings, program=PROGRAM)
    done = subprocess.run(
        [*unshare, sys.executable, "-c", code, str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "passed\n", done.stderr
