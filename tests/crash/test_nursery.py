"""The nursery and the claims, with real processes that die at the worst moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shim_home import ShimHome, is_running, usable_python

from cortex.runtime.executor import Exited, StartFailed
from cortex.runtime.processes import Stat

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ShimHome]:
    home = ShimHome(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def plain_home(tmp_path: Path) -> Iterator[ShimHome]:
    """One whose workers are held together by their shim alone."""
    home = ShimHome(tmp_path / "plain-home", "none")
    yield home
    home.close()


def nursery_pid(home: ShimHome) -> int:
    pid = home.executor.nursery_pid
    assert pid is not None
    return pid


def test_many_workers_run_once_each(home: ShimHome) -> None:
    ran = home.path / "ran"
    names = [f"worker-cmd-{number:03d}" for number in range(40)]
    home.executor.start([home.launch(name, f"echo {name} >> {ran}") for name in names])
    for name in names:
        assert home.wait_exit(name).code == 0
    assert sorted(ran.read_text().split()) == names


def test_the_same_start_twice_runs_once(home: ShimHome) -> None:
    ran = home.path / "ran"
    launch = home.launch("worker-cmd-001", f"echo x >> {ran}; sleep 0.2")
    home.executor.start([launch, launch])
    home.executor.start([launch])
    home.wait_exit("worker-cmd-001")
    home.until(home.no_shim_is_busy, "shims stay")
    assert ran.read_text() == "x\n"


def test_a_claim_that_the_daemon_won_keeps_every_shim_from_running(home: ShimHome) -> None:
    folder = home.attempt_dir("worker-cmd-001")
    assert home.executor.claim("worker-cmd-001", folder, 1)
    assert not home.executor.claim("worker-cmd-001", folder, 1)
    ran = home.path / "ran"
    home.start("worker-cmd-001", f"echo first >> {ran}")
    home.until(home.no_shim_is_busy, "shims stay")
    assert home.look("worker-cmd-001").claim["by"] == "daemon"
    record = home.run("worker-cmd-001", f"echo second >> {ran}", nonce=2)
    assert (ran.read_text(), record.nonce) == ("second\n", 2)


def test_a_late_shim_cannot_start_what_was_given_up_and_forgotten(home: ShimHome) -> None:
    home.run("worker-cmd-001", "true")  # the nursery is up
    folder = home.attempt_dir("worker-cmd-002")
    ran = home.path / "ran"
    pid = home.stop_nursery()
    try:
        home.start("worker-cmd-002", f"echo x >> {ran}")
        assert home.executor.claim("worker-cmd-002", folder, 1)
        home.executor.forget(folder)
    finally:
        os.kill(pid, signal.SIGCONT)
    home.run("worker-cmd-003", "true")
    home.until(home.no_shim_is_busy, "shims stay")
    assert not ran.exists()
    assert not home.worker_dir("worker-cmd-002").exists()


def test_a_shim_that_claimed_cannot_be_claimed_from(home: ShimHome) -> None:
    home.start("worker-cmd-001", "sleep 300")
    home.until(lambda: home.look("worker-cmd-001").claim, "no claim")
    assert not home.executor.claim("worker-cmd-001", home.attempt_dir("worker-cmd-001"), 1)
    assert home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
    assert home.wait_exit("worker-cmd-001").cause == "stop"


def test_workers_outlive_a_killed_nursery_and_the_next_start_brings_another(
    home: ShimHome,
) -> None:
    go = home.path / "go"
    home.start("worker-cmd-001", f"while ! [ -e {go} ]; do sleep 0.02; done; exit 6")
    home.until(lambda: home.look("worker-cmd-001").claim, "no claim")
    first = nursery_pid(home)
    os.kill(first, signal.SIGKILL)
    home.until(lambda: home.executor.nursery_pid is None, "the end was not noticed")
    assert home.look("worker-cmd-001").shim_alive
    assert home.run("worker-cmd-002", "exit 7").code == 7
    assert nursery_pid(home) != first
    go.touch()
    assert home.wait_exit("worker-cmd-001").code == 6


def test_launches_that_a_dying_nursery_never_answered_are_reported(home: ShimHome) -> None:
    home.run("worker-cmd-001", "true")
    pid = home.stop_nursery()
    home.start("worker-cmd-002", "true")
    os.kill(pid, signal.SIGKILL)

    def lost() -> dict[str, str]:
        # The first may be among them: it may have ended before the nursery answered for it.
        return {r.worker_id: r.error for r in home.reports if isinstance(r, StartFailed)}

    home.until(lambda: "worker-cmd-002" in lost(), "no report")
    assert lost()["worker-cmd-002"] == "NURSERY_GONE"
    assert home.run("worker-cmd-002", "exit 2").code == 2


def test_the_nursery_holds_nothing_of_the_daemon_and_has_a_session_of_its_own(
    home: ShimHome,
) -> None:
    secret = home.path / "secret"
    secret.write_text("x")
    descriptor = os.open(secret, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        home.run("worker-cmd-001", "true")
    finally:
        os.close(descriptor)
    pid = nursery_pid(home)
    home.until(home.no_shim_is_busy, "it forks")
    held = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    assert str(secret) not in held
    assert Stat(pid).session == pid


def test_the_nursery_ends_with_its_daemon_and_workers_do_not(tmp_path: Path) -> None:
    path = tmp_path / "home"
    ready, go = tmp_path / "ready", tmp_path / "go"
    script = f"echo $PPID > {ready}; while ! [ -e {go} ]; do sleep 0.02; done; exit 8"
    code = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from shim_home import ShimHome
home = ShimHome(Path({str(path)!r}))
home.start("worker-cmd-001", {script!r})
home.wait_file(Path({str(ready)!r}))
print(home.executor.nursery_pid, flush=True)
os.kill(os.getpid(), 9)
"""
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    daemon = subprocess.run(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, timeout=60
    )
    assert daemon.returncode == -signal.SIGKILL
    nursery = int(daemon.stdout)
    home = ShimHome(path)
    home.until(lambda: not is_running(nursery), "the nursery outlives its daemon")
    assert home.look("worker-cmd-001").shim_alive
    go.touch()
    # The shim of the daemon that died wakes the one that lives now.
    home.until(lambda: Exited("worker-cmd-001") in home.reports, "no hint from an older shim")
    assert home.wait_exit("worker-cmd-001").code == 8
    home.executor.close()


def test_an_end_while_no_daemon_ran_is_taken_up(home: ShimHome) -> None:
    go = home.path / "go"
    home.start("worker-cmd-001", f"while ! [ -e {go} ]; do sleep 0.02; done; exit 9")
    home.until(lambda: home.look("worker-cmd-001").claim, "no claim")
    home.executor.close()
    go.touch()
    home.restart()
    assert home.wait_exit("worker-cmd-001").code == 9


def test_a_timeout_is_kept_while_no_daemon_runs(home: ShimHome) -> None:
    home.start("worker-cmd-001", "sleep 300", timeout_s=0.5)
    home.until(lambda: home.look("worker-cmd-001").claim, "no claim")
    home.restart()
    assert home.wait_exit("worker-cmd-001").cause == "timeout"


def test_hints_arrive_at_a_home_with_a_very_long_path(tmp_path: Path) -> None:
    home = ShimHome(tmp_path / ("d" * 100) / ("e" * 100))
    home.run("worker-cmd-001", "true")
    home.until(lambda: Exited("worker-cmd-001") in home.reports, "no hint")
    home.executor.close()


def test_a_forgotten_attempt_leaves_no_lock_and_no_claim(home: ShimHome) -> None:
    home.run("worker-cmd-001", "true")
    folder = Path(home.attempt_dir("worker-cmd-001"))
    home.executor.forget(str(folder))
    assert [entry.name for entry in folder.iterdir()] == ["exit.json"]
    aside = home.path / "run" / "worker-cmd-002"
    home.start("worker-cmd-002", "true", lock_dir=str(aside))
    home.until(
        lambda: (
            home.executor.look(
                "worker-cmd-002", str(aside), home.attempt_dir("worker-cmd-002")
            ).exit
        ),
        "no end",
    )
    home.executor.forget(str(aside))
    assert not aside.exists()


@contextmanager
def stranger(**changes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that belongs to nobody here; ended whatever the test found."""
    with subprocess.Popen(["sleep", "300"], **changes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_stranger_with_the_pid_of_a_dead_shim_is_never_signalled(home: ShimHome) -> None:
    ready = home.path / "ready"
    home.start("worker-cmd-001", f"echo up > {ready}; while :; do sleep 300; done")
    home.wait_file(ready)
    claim = home.look("worker-cmd-001").claim
    path = Path(home.attempt_dir("worker-cmd-001")) / "claim.1"
    with stranger() as other:
        earlier = Stat(other.pid).start_ticks - 1
        path.write_text(json.dumps({**claim, "pid": other.pid, "start_ticks": earlier}))
        assert not home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
        assert home.executor.hunt("worker-cmd-001") >= 1
        assert other.poll() is None


def test_a_free_shim_serves_the_next_worker_and_no_late_signal_reaches_that(
    home: ShimHome,
) -> None:
    home.run("worker-cmd-001", "exit 0")
    first = home.look("worker-cmd-001").claim
    home.until(home.no_shim_is_busy, "the shim is not free")
    home.start("worker-cmd-002", "sleep 300")
    home.until(lambda: home.look("worker-cmd-002").claim, "no claim")
    assert home.look("worker-cmd-002").claim["pid"] == first["pid"]
    # A stop of the first worker that was on its way while the shim took the second.
    Path(home.attempt_dir("worker-cmd-001"), "stop").touch()
    os.kill(first["pid"], signal.SIGTERM)
    assert not home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
    signals = Path(f"/proc/{first['pid']}/status")
    home.until(lambda: "ShdPnd:\t0000000000000000" in signals.read_text(), "signal pending")
    assert home.look("worker-cmd-002").shim_alive
    assert home.executor.stop("worker-cmd-002", home.attempt_dir("worker-cmd-002"))
    assert home.wait_exit("worker-cmd-002").cause == "stop"


def test_idle_shims_end_with_the_nursery(home: ShimHome) -> None:
    home.run("worker-cmd-001", "exit 0")
    shim = home.look("worker-cmd-001").claim["pid"]
    home.until(home.no_shim_is_busy, "the shim is not free")
    home.restart()
    home.until(lambda: not is_running(shim), "the shim stays")


def test_a_hunt_spares_the_same_worker_id_of_another_home(home: ShimHome) -> None:
    env = {"CORTEX_WORKER_ID": "worker-cmd-001", "CORTEX_WORKER_DIR": "/elsewhere/worker-cmd-001"}
    with stranger(env=env) as other:
        assert home.executor.hunt("worker-cmd-001") == 0
        assert other.poll() is None


def leave_alone(home: ShimHome) -> None:
    """Ends a worker's shim and what would end all that the shim held together: its nursery."""
    nursery = nursery_pid(home)
    os.kill(nursery, signal.SIGKILL)
    home.until(lambda: not is_running(nursery), "the nursery is gone")
    os.kill(home.look("worker-cmd-001").claim["pid"], signal.SIGKILL)


def test_a_hunt_finds_by_its_lock_what_has_no_environment(plain_home: ShimHome) -> None:
    pid_file = plain_home.path / "pid"
    inner = f"echo $$ > {pid_file}; exec sleep 300"
    script = f"(setsid env -i /bin/sh -c '{inner}' &) ; sleep 300"
    plain_home.start("worker-cmd-001", script)
    pid = int(plain_home.wait_file(pid_file))
    leave_alone(plain_home)
    folder = plain_home.attempt_dir("worker-cmd-001")
    # What is met first takes its group along, so that how many are counted is chance.
    assert plain_home.executor.hunt("worker-cmd-001", folder) >= 1
    plain_home.until(lambda: not is_running(pid), "it lives")
    plain_home.until(lambda: not plain_home.look("worker-cmd-001").lock_held, "its lock is held")


def test_a_hunt_ends_the_session_of_what_it_finds(plain_home: ShimHome) -> None:
    pid_file = plain_home.path / "pid"
    # No environment and no lock, yet in the session of one that has both.
    inner = f"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; echo $$ > {pid_file}; exec sleep 300"
    plain_home.start("worker-cmd-001", f"env -i /bin/sh -c '{inner}' & wait")
    pid = int(plain_home.wait_file(pid_file))
    leave_alone(plain_home)
    assert plain_home.executor.hunt("worker-cmd-001") >= 2
    plain_home.until(lambda: not is_running(pid), "it lives")


FORK_FAILS = f"""
import resource, sys
from pathlib import Path
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(SOURCE)!r}]
from shim_home import ShimHome
from cortex.runtime.executor import StartFailed
home = ShimHome(Path(sys.argv[1]) / "home")
home.start("worker-cmd-001", "sleep 300")
home.until(lambda: home.look("worker-cmd-001").claim, "no claim")
nursery = home.executor.nursery_pid
_, hard = resource.prlimit(nursery, resource.RLIMIT_NPROC)
resource.prlimit(nursery, resource.RLIMIT_NPROC, (0, hard))
home.start("worker-cmd-002", "exit 2")
home.until(lambda: [r for r in home.reports if isinstance(r, StartFailed)], "no report")
report = [r for r in home.reports if isinstance(r, StartFailed)][0]
assert (report.worker_id, report.error) == ("worker-cmd-002", "EAGAIN"), report
assert home.look("worker-cmd-002").claim is None
resource.prlimit(nursery, resource.RLIMIT_NPROC, (hard, hard))
assert home.run("worker-cmd-002", "exit 2").code == 2
home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
assert home.wait_exit("worker-cmd-001").cause == "stop"
home.executor.close()
print("passed")
"""


def test_a_failing_fork_is_reported_and_the_nursery_goes_on() -> None:
    python = usable_python()
    if python is None:
        pytest.skip("no interpreter that an ordinary user may run")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [python, "-c", FORK_FAILS, folder],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            **user,
        )
    assert done.stdout == "passed\n", done.stderr


DISK_FULL = f"""
import errno, os, sys
from pathlib import Path
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(SOURCE)!r}]
from shim_home import SLEEP, ShimHome, waits_in
from cortex.runtime.executor import StartFailed
disk = Path(sys.argv[1])
home = ShimHome(disk / "home")
go, balloon = Path(sys.argv[2]) / "go", disk / "balloon"

def fill():
    for number in range(1000):
        try:
            (disk / f"small-{{number}}").touch()
        except OSError:
            break  # no room for a folder either
    with balloon.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as problem:
            assert problem.errno == errno.ENOSPC

ready = go.with_name("ready")
wait = f"while ! [ -e {{go}} ]; do sleep 0.02; done"
home.start("worker-cmd-001", f"echo up > {{ready}}; {{wait}}; exit 5")
home.wait_file(ready)
balloon.touch()
fill()
home.start("worker-cmd-002", "exit 6")
home.until(lambda: [r for r in home.reports if isinstance(r, StartFailed)], "no report")
report = [r for r in home.reports if isinstance(r, StartFailed)][0]
assert (report.worker_id, report.error) == ("worker-cmd-002", "ENOSPC"), report
aside = str(go.parent / "run" / "worker-cmd-003")
home.start("worker-cmd-003", "exit 7", lock_dir=aside)
home.until(lambda: home.executor.look("worker-cmd-003", aside, aside).claim, "no claim")
late = home.executor.look("worker-cmd-003", aside, aside).claim["pid"]
home.until(lambda: waits_in(late, SLEEP), "it had to start before it tries to tell")
go.touch()
shim = home.look("worker-cmd-001").claim["pid"]
home.until(lambda: not Path(f"/proc/{{shim}}/task/{{shim}}/children").read_text(), "goes on")
home.until(lambda: waits_in(shim, SLEEP), "its record finds room")
assert home.look("worker-cmd-001").lock_held
assert home.look("worker-cmd-001").exit is None
for path in [balloon, *disk.glob("small-*")]:
    path.unlink()
assert home.wait_exit("worker-cmd-001").code == 5
record = home.wait_exit("worker-cmd-003")
assert (record.spawn_error["error"], record.retryable) == ("ENOSPC", True), record
assert home.run("worker-cmd-002", "exit 6").code == 6
home.executor.close()
print("passed")
"""


def test_a_full_disk_delays_records_and_loses_none(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    own = [] if os.geteuid() == 0 else ["-Ur"]
    mount = f'mount -t tmpfs -o size=256k,nr_inodes=300 none {disk} && exec "$@"'
    unshare = ["unshare", *own, "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace here")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", DISK_FULL, disk, tmp_path],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert done.stdout == "passed\n", done.stderr
