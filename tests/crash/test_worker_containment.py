"""What holds a worker's processes together, each way that this machine allows, and its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from shim_home import ShimHome, usable_python

from cortex.runtime.containment import Means, probe
from cortex.runtime.executor import Limits
from cortex.runtime.processes import all_pids, read_proc, stat_or_none
from cortex.runtime.shim_groups import end_all, find_place, remove

MEANS = probe()
GONE_WITHIN_S = 30.0


@pytest.fixture(params=["namespace", "cgroup"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShimHome]:
    """A home whose workers are contained in one of the ways from which nothing escapes."""
    if request.param == "namespace" and not MEANS.namespace:
        pytest.skip(f"no pid namespace here: {MEANS.namespace_problem}")
    if request.param == "cgroup" and not MEANS.cgroups:
        pytest.skip("no control group may be made here")
    home = ShimHome(tmp_path / "home", request.param)
    yield home
    home.close()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[ShimHome]:
    """A home whose workers have a pid namespace each."""
    if not MEANS.namespace:
        pytest.skip(f"no pid namespace here: {MEANS.namespace_problem}")
    home = ShimHome(tmp_path / "home", "namespace")
    yield home
    home.close()


def escape(mark: str, ready: Path) -> str:
    """A shell script that starts what no environment, session, group or open file betrays.

    `mark` stands in the escaped process's command line, for the test alone.
    """
    shut = " ".join(f"{number}>&-" for number in range(3, 10))
    inner = f'exec {shut}; echo up > {ready}; exec {sys.executable} -I -S -c "{NAP}" {mark}'
    return f"(cd /; setsid env -i setsid /bin/sh -c '{inner}' >/dev/null 2>&1 &) &"


NAP = "import os, time; os.closerange(3, 99); time.sleep(300)"


def alive(mark: str) -> list[int]:
    """Living processes whose command line has the mark as its last word."""
    found = []
    for pid in all_pids():
        stat = stat_or_none(pid)
        if stat is None or stat.state in "ZX":
            continue
        try:
            words = read_proc(f"/proc/{pid}/cmdline").split(b"\0")
        except OSError:
            continue
        if mark.encode() in words[1:] and not any(b"setsid" in word for word in words):
            found.append(pid)
    return found


@pytest.fixture
def mark() -> str:
    return f"mark-{uuid.uuid4().hex}"


def test_an_escaped_process_is_gone_with_its_worker(home: ShimHome, mark: str) -> None:
    ready = home.path / "ready"
    script = f"{escape(mark, ready)}\nwhile ! [ -s {ready} ]; do sleep 0.01; done; exit 3"
    record = home.run("worker-cmd-001", script)
    assert (record.code, record.left_descendants) == (3, 0)
    assert record.ended_descendants >= 1
    assert alive(mark) == []


def test_an_escaped_process_is_gone_after_its_shim_was_killed(home: ShimHome, mark: str) -> None:
    ready = home.path / "ready"
    home.start("worker-cmd-001", f"{escape(mark, ready)}\nsleep 300")
    home.wait_file(ready)
    home.until(lambda: alive(mark), "it does not live")
    claim = home.look("worker-cmd-001").claim
    assert claim["contained"] == home.containment
    os.kill(claim["pid"], signal.SIGKILL)
    home.until(lambda: not home.look("worker-cmd-001").shim_alive, "the shim lives")
    home.executor.hunt("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
    home.until(lambda: not alive(mark), "it lives")
    home.until(lambda: not home.look("worker-cmd-001").lock_held, "its lock is held")


def test_an_escaped_process_is_gone_at_the_timeout(home: ShimHome, mark: str) -> None:
    ready = home.path / "ready"
    script = f"trap '' TERM; {escape(mark, ready)}\nsleep 300; sleep 300"
    _, record = home.run_past_timeout(script, ready)
    assert (record.cause, record.left_descendants) == ("timeout", 0)
    assert alive(mark) == []


def test_a_hunt_after_the_end_spares_the_worker_that_its_shim_serves_now(home: ShimHome) -> None:
    home.run("worker-cmd-001", "exit 0")
    first = home.look("worker-cmd-001").claim
    home.until(home.no_shim_is_busy, "the shim is not free")
    home.start("worker-cmd-002", "sleep 300")
    home.until(lambda: home.look("worker-cmd-002").claim, "no claim")
    assert home.look("worker-cmd-002").claim["pid"] == first["pid"]
    assert home.executor.hunt("worker-cmd-001", home.attempt_dir("worker-cmd-001")) == 0
    assert home.look("worker-cmd-002").shim_alive
    assert home.executor.stop("worker-cmd-002", home.attempt_dir("worker-cmd-002"))
    assert home.wait_exit("worker-cmd-002").cause == "stop"


def test_no_group_is_left_when_its_shim_has_gone(home: ShimHome) -> None:
    limits = Limits(processes=50)
    home.run("worker-cmd-001", "exit 0", limits=limits)
    groups = [Path(folder) for folder in home.look("worker-cmd-001").claim["cgroups"]]
    assert groups or not MEANS.cgroups
    os.kill(home.look("worker-cmd-001").claim["pid"], signal.SIGKILL)
    home.until(lambda: not any(group.exists() for group in groups), "groups are left")


def test_a_worker_sees_its_own_processes_and_nobody_elses(apart: ShimHome) -> None:
    script = "ls /proc | grep -c '^[0-9]'; readlink /proc/self/exe; kill -0 $PPID && echo $PPID"
    record = apart.run("worker-cmd-001", script)
    count, program, parent = record.tail.splitlines()
    assert int(count) <= 5
    assert "proc" not in program
    assert parent == "1"


def test_files_look_as_they_do_outside(apart: ShimHome) -> None:
    record = apart.run("worker-cmd-001", "id -u; id -g; touch mine; stat -c %u:%g mine")
    uid, gid = os.geteuid(), os.getegid()
    assert record.tail.split() == [str(uid), str(gid), f"{uid}:{gid}"]
    mine = (apart.worker_dir("worker-cmd-001") / "mine").stat()
    assert (mine.st_uid, mine.st_gid) == (uid, gid)


def test_no_worker_can_end_its_shim_its_nursery_or_its_daemon(apart: ShimHome) -> None:
    """The shim is PID 1 of the worker's world, and everybody else is not in it."""
    daemon, nursery = os.getpid(), apart.executor.nursery_pid or 1
    others = f"{daemon} {nursery}"
    script = f"kill -9 $PPID 1 -1 {others}; kill -STOP 1; kill -TERM 1; sleep 0.1; exit 6"
    record = apart.run("worker-cmd-001", f"trap '' TERM; {script}")
    assert (record.code, record.cause) == (6, None)


def test_the_machine_sees_a_contained_worker_under_the_pid_of_its_claim(apart: ShimHome) -> None:
    ready = apart.path / "ready"
    apart.start("worker-cmd-001", f"echo up > {ready}; sleep 300")
    apart.wait_file(ready)
    claim = apart.look("worker-cmd-001").claim
    status = Path(f"/proc/{claim['pid']}/status").read_text()
    assert "Name:\tcortex-shim" in status
    assert "NStgid" not in status or status.split("NStgid:")[1].split("\n")[0].split()[-1] == "1"
    os.kill(claim["pid"], signal.SIGTERM)  # what a person may try; nobody asked to stop
    assert apart.executor.stop("worker-cmd-001", apart.attempt_dir("worker-cmd-001"))
    assert apart.wait_exit("worker-cmd-001").cause == "stop"


def test_a_shim_whose_proc_a_worker_took_away_serves_no_other(apart: ShimHome) -> None:
    taken = apart.run("worker-cmd-001", "umount -l /proc").code == 0
    assert taken == (os.geteuid() == 0), "an ordinary user may not"
    first = apart.look("worker-cmd-001").claim["pid"]
    apart.until(apart.no_shim_is_busy, "it is neither free nor gone")
    assert apart.run("worker-cmd-002", "test $(readlink /proc/self) -lt 50").code == 0
    assert (apart.look("worker-cmd-002").claim["pid"] != first) == taken
    assert Path("/proc/self").exists()


def test_shims_end_with_their_nursery_and_busy_ones_do_not(apart: ShimHome) -> None:
    go = apart.path / "go"
    apart.start("worker-cmd-001", f"while ! [ -e {go} ]; do sleep 0.02; done; exit 8")
    apart.until(lambda: apart.look("worker-cmd-001").claim, "no claim")
    os.kill(apart.executor.nursery_pid or 0, signal.SIGKILL)
    apart.until(lambda: apart.executor.nursery_pid is None, "the nursery lives")
    assert apart.look("worker-cmd-001").shim_alive
    go.touch()
    assert apart.wait_exit("worker-cmd-001").code == 8


BOMB = """
import os, sys, time
made = 0
for _ in range(50):
    try:
        if os.fork() == 0:
            time.sleep(300)
    except OSError:
        break
    made += 1
print(made, flush=True)
time.sleep(float(sys.argv[1]))
"""


def test_the_processes_limit_is_each_workers_own(apart: ShimHome) -> None:
    if MEANS.limits_processes == "nothing":
        pytest.skip("root without a pids group: no limit of processes binds")
    argv = (sys.executable, "-I", "-S", "-c", BOMB, "0.5")
    for ident in ("worker-cmd-001", "worker-cmd-002"):
        apart.start(ident, argv=argv, limits=Limits(processes=20))
    for ident in ("worker-cmd-001", "worker-cmd-002"):
        record = apart.wait_exit(ident)
        assert record.code == 0
        assert record.tail == "19\n"
        assert record.left_descendants == 0
    # A warm shim's next worker is not held to the last one's limit.
    record = apart.run("worker-cmd-003", argv=(*argv[:-1], "0"))
    assert record.tail == "50\n"


def test_a_memory_limit_ends_the_worker_and_not_its_shim(home: ShimHome) -> None:
    if MEANS.limits_memory != "cgroup":
        pytest.skip("no memory group here: the address space is limited instead")
    code = "x = [bytearray(1 << 20) for _ in range(400)]"
    argv = (sys.executable, "-I", "-S", "-c", code)
    record = home.run("worker-cmd-001", argv=argv, limits=Limits(memory_bytes=100 << 20))
    assert (record.code, record.signal) == (None, signal.SIGKILL)
    assert "limit: memory of 104857600 bytes" in home.log("worker-cmd-001")
    assert home.run("worker-cmd-002", argv=argv, limits=Limits(memory_bytes=900 << 20)).code == 0


def test_the_machine_can_be_asked_what_it_allows_without_a_trace() -> None:
    before = {pid for pid in all_pids() if stat_or_none(pid)}
    means = probe()
    assert means == MEANS
    assert means.automatic in ("namespace", "cgroup", "none")
    assert all(sentence.endswith(".") for sentence in means.sentences())
    mine = [pid for pid in set(all_pids()) - before if _parent(pid) == os.getpid()]
    assert mine == []


@pytest.mark.parametrize("automatic", ["namespace", "cgroup", "none"])
def test_the_case_that_is_left_open_is_told_where_it_is_and_nowhere_else(
    automatic: Literal["namespace", "cgroup", "none"],
) -> None:
    is_namespace = automatic == "namespace"
    problem = "" if is_namespace else "unshare: not permitted"
    means = Means(automatic, is_namespace, False, problem, (), "rlimit", "rlimit")
    told = " ".join(means.sentences())
    assert (
        ("One case is left open" in told) == (automatic == "none") == (not means.leaves_no_orphans)
    )
    assert ("No pid namespace can be had: unshare: not permitted." in told) == (not is_namespace)


def _parent(pid: int) -> int | None:
    stat = stat_or_none(pid)
    return stat.parent if stat else None


def test_no_group_is_left_when_daemon_and_nursery_have_gone(home: ShimHome) -> None:
    go = home.path / "go"
    wait = f"while ! [ -e {go} ]; do sleep 0.02; done"
    home.run("worker-cmd-001", "exit 0", limits=Limits(processes=50))
    home.start("worker-cmd-002", wait, limits=Limits(processes=50))
    home.start("worker-cmd-003", wait, limits=Limits(processes=50))
    idents = ["worker-cmd-001", "worker-cmd-002", "worker-cmd-003"]
    claims = [home.until(lambda n=n: home.look(n).claim, f"no claim of {n}") for n in idents]
    groups = [Path(folder) for claim in claims for folder in claim["cgroups"]]
    assert groups or not MEANS.cgroups
    home.executor.close()
    go.touch()
    home.restart()
    home.until(lambda: not any(group.exists() for group in groups), "groups are left")


DELEGATED = f"""
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{str(Path(__file__).parent)!r}, *{sys.path!r}]
from shim_home import ShimHome, usable_python
from cortex.runtime.executor import Limits
home = ShimHome(Path(sys.argv[1]) / "home", "cgroup")
record = home.run("worker-cmd-001", "sleep 300 & exit 3", limits=Limits(processes=20))
assert (record.code, record.ended_descendants) == (3, 1), record
home.start("worker-cmd-002", "sleep 300")
claim = home.until(lambda: home.look("worker-cmd-002").claim, "no claim")
(group,) = claim["cgroups"]
assert group.startswith(sys.argv[2] + "/cortex-"), group
os.kill(claim["pid"], signal.SIGKILL)
home.until(lambda: not home.look("worker-cmd-002").shim_alive, "the shim lives")
home.executor.hunt("worker-cmd-002", home.attempt_dir("worker-cmd-002"))
home.until(lambda: not Path(group).exists(), "the group is left")
home.executor.close()
print("passed")
"""


def test_an_ordinary_user_may_make_groups_where_the_system_left_one_to_him() -> None:
    """As systemd does it: the group is his and has a mark, and the daemon a subgroup in it."""
    unified = find_place().unified
    python = usable_python()
    if os.geteuid() != 0 or unified is None or python is None:
        pytest.skip("takes root, cgroup v2, and an interpreter that an ordinary user may run")
    folder = Path(unified) / f"test-{uuid.uuid4().hex}"
    own = folder / "daemon"
    own.mkdir(parents=True)
    os.setxattr(folder, "user.delegate", b"1")
    try:
        with tempfile.TemporaryDirectory() as work:
            for path in (work, folder, folder / "cgroup.procs", own, own / "cgroup.procs"):
                os.chown(path, 65534, 65534)
            user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            enter = ["sh", "-c", f'echo $$ > {own}/cgroup.procs && exec "$@"', "sh", *user]
            done = subprocess.run(
                [*enter, python, "-c", DELEGATED, work, str(folder)],
                capture_output=True,
                text=True,
                timeout=60,
                cwd=work,
            )
        assert done.stdout == "passed\n", done.stderr
    finally:
        # Of the shims that nobody needs any more some may be on their way out.
        deadline_s = time.monotonic() + GONE_WITHIN_S
        while not remove([*map(str, folder.glob("*/")), str(folder)]):
            end_all([str(own)])
            assert time.monotonic() < deadline_s, f"{folder} is left"
            time.sleep(0.01)  # between two looks


REFUSED = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(Path(__file__).parent)!r}, *{sys.path!r}]
from shim_home import ShimHome
from cortex.care.machine import containment
from cortex.runtime.containment import probe
from cortex.runtime.executor import StartFailed
means = probe()
assert means.automatic == "none" or sys.argv[2] == "groups", means
assert not means.namespace and means.automatic != "namespace", means
assert "No space left" in means.namespace_problem, means
(said,) = [finding for finding in containment() if finding.name == "containment"]
assert said.level == "warn" and means.namespace_problem in said.remedy, said
assert ("One case is left open" in said.remedy) == (means.automatic == "none"), said
home = ShimHome(Path(sys.argv[1]) / "home")
assert home.run("worker-cmd-001", "exit 3").code == 3
assert home.look("worker-cmd-001").claim["contained"] == means.automatic
home.executor.close()
strict = ShimHome(Path(sys.argv[1]) / "strict", "namespace")
strict.start("worker-cmd-001", "exit 3")
strict.until(lambda: [r for r in strict.reports if isinstance(r, StartFailed)], "no report")
(report,) = [r for r in strict.reports if isinstance(r, StartFailed)]
assert (report.error, strict.look("worker-cmd-001").claim) == ("ENOSPC", None), report
strict.executor.close()
print("passed")
"""


@pytest.mark.parametrize("left", ["groups", "nothing"])
def test_where_namespaces_are_refused_auto_takes_the_next_best_and_the_doctor_says_what_is_open(
    tmp_path: Path, left: str
) -> None:
    """With nothing left, the one case that no shim and no nursery can help is stated."""
    hide = "mount -t tmpfs none /sys/fs/cgroup && " if left == "nothing" else ""
    narrow = f'{hide}echo 0 > /proc/sys/user/max_pid_namespaces && exec "$@"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", narrow, "sh"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespace here in which pid namespaces could be refused")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", REFUSED, tmp_path, left],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "passed\n", done.stderr
