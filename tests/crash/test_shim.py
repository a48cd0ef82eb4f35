"""The shim, driven through the executor with real programs."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shim_home import ShimHome, is_running

from cortex.runtime.executor import Claimed, Exited, Limits
from privileges import without


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


def test_an_ordinary_run_leaves_record_log_spec_and_no_process(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "echo hello; echo oops >&2; exit 3")
    assert (record.code, record.signal, record.cause) == (3, None, None)
    assert record.tail == "hello\noops\n"
    assert record.log_bytes == 11
    log = home.log("worker-cmd-001")
    assert "# worker-cmd-001: a test" in log
    assert "~~~~~~~~text\nhello\noops\n~~~~~~~~" in log
    assert "exit status: 3" in log
    spec = {"worker_id": "worker-cmd-001", "task_id": "task-001"}
    assert json.loads((home.worker_dir("worker-cmd-001") / "spec.json").read_text()) == spec
    assert json.loads((home.path / "worker-specs/worker-cmd-001.json").read_text()) == spec
    assert (home.worker_dir("worker-cmd-001") / "artifacts").is_dir()


def test_both_hints_arrive_and_name_the_claim(home: ShimHome) -> None:
    home.run("worker-cmd-001", "exit 0")
    home.until(lambda: any(isinstance(r, Exited) for r in home.reports), "no exited hint")
    claimed = next(report for report in home.reports if isinstance(report, Claimed))
    claim = home.look("worker-cmd-001").claim
    assert (claimed.pid, claimed.start_ticks) == (claim["pid"], claim["start_ticks"])


def test_a_program_ended_by_a_signal_says_which(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "kill -SEGV $$")
    assert (record.code, record.signal, record.cause) == (None, signal.SIGSEGV, None)
    assert "SIGSEGV" in home.log("worker-cmd-001")


def test_a_missing_program_is_a_permanent_spawn_error(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", argv=("no-such-program", "x"))
    assert record.spawn_error is not None
    assert record.spawn_error["error"] == "ENOENT"
    assert record.spawn_error["path"] == "no-such-program"
    assert not record.retryable
    assert record.code is None
    assert "not started: no-such-program" in home.log("worker-cmd-001")


def test_a_file_that_may_not_be_run_is_a_permanent_spawn_error(home: ShimHome) -> None:
    script = home.path / "script"
    script.write_text("#!/bin/sh\n")
    record = home.run("worker-cmd-001", argv=(str(script),))
    assert record.spawn_error is not None
    assert (record.spawn_error["error"], record.retryable) == ("EACCES", False)


def test_a_missing_working_folder_is_said_with_its_path(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "true", cwd=str(home.path / "nowhere"))
    assert record.spawn_error is not None
    assert record.spawn_error["path"] == str(home.path / "nowhere")


def test_the_program_is_looked_up_in_its_own_path(home: ShimHome) -> None:
    folder = home.path / "bin"
    folder.mkdir()
    (folder / "mine").write_text("#!/bin/sh\necho found\n")
    (folder / "mine").chmod(0o755)
    record = home.run("worker-cmd-001", argv=("mine",), env={"PATH": f"/nowhere:{folder}"})
    assert record.tail == "found\n"


def test_the_program_gets_the_given_environment_and_nothing_else(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", argv=("/usr/bin/env",), env={"A": "1", "B": "two words"})
    assert sorted(record.tail.splitlines()) == ["A=1", "B=two words"]


def test_the_program_holds_only_its_stdio_and_the_lock(home: ShimHome) -> None:
    code = (
        "import os\n"
        "for n in os.listdir('/proc/self/fd'):\n"
        "    try: print(n, os.readlink('/proc/self/fd/' + n))\n"
        "    except OSError: pass\n"
    )
    record = home.run("worker-cmd-001", argv=(sys.executable, "-I", "-S", "-c", code))
    held = {}
    for line in record.tail.splitlines():
        number, target = line.split(" ", 1)
        held[int(number)] = target
    assert held.pop(0).endswith("/dev/null")  # seen from outside of a chroot, where there is one
    assert held.pop(1) == held.pop(2)
    assert [Path(target).name for target in held.values()] == ["lock"]


def test_signals_are_at_their_defaults_in_the_program(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "grep -E 'Sig(Blk|Ign)' /proc/self/status")
    masks = [int(line.split()[1], 16) for line in record.tail.splitlines()]
    reserved = 0b11 << 31  # signals 32 and 33 are the C library's own
    assert [mask & ~reserved for mask in masks] == [0, 0]


def test_a_timeout_ends_a_tree_that_ignores_term(home: ShimHome) -> None:
    ready = home.path / "ready"
    script = f"trap '' TERM; (touch {ready}; while :; do sleep 1; done) & wait; wait"
    worker_id, record = home.run_past_timeout(script, ready)
    assert (record.cause, record.signal) == ("timeout", signal.SIGKILL)
    assert record.left_descendants == 0
    assert home.executor.hunt(worker_id) == 0
    assert "limit: timeout of" in home.log(worker_id)


def test_a_timeout_is_polite_first(home: ShimHome) -> None:
    ready = home.path / "ready"
    script = f"trap 'echo concluding; exit 9' TERM; touch {ready}; while :; do sleep 0.05; done"
    _, record = home.run_past_timeout(script, ready, grace_s=10.0)
    assert (record.cause, record.code) == ("timeout", 9)
    assert record.tail.endswith("concluding\n")


def test_a_program_that_stops_itself_is_ended_by_the_timeout(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "kill -STOP $$", timeout_s=0.3)
    assert record.cause == "timeout"


def test_a_program_that_closes_its_stdio_and_hangs_is_ended_by_the_timeout(
    home: ShimHome,
) -> None:
    record = home.run("worker-cmd-001", "exec sleep 300 <&- >&- 2>&-", timeout_s=0.3)
    assert record.cause == "timeout"


def test_a_daemonised_child_without_environment_is_gone_after_its_worker(
    plain_home: ShimHome,
) -> None:
    pid_file = plain_home.path / "pid"
    inner = f"echo $$ > {pid_file}; exec sleep 300"
    script = f"""(setsid env -i /bin/sh -c '{inner}' >/dev/null 2>&1 &)
    while ! [ -s {pid_file} ]; do sleep 0.01; done; exit 0"""
    record = plain_home.run("worker-cmd-001", script)
    assert (record.code, record.cause) == (0, None)
    assert record.ended_descendants == 1
    assert not is_running(int(pid_file.read_text()))


def test_a_descendant_that_keeps_the_output_open_does_not_hold_the_end_up(
    home: ShimHome,
) -> None:
    record = home.run("worker-cmd-001", "sleep 300 & echo done")
    assert (record.tail, record.cause) == ("done\n", None)
    assert (record.ended_descendants, record.left_descendants) == (1, 0)


def test_what_ends_by_itself_right_after_the_program_may_finish(home: ShimHome) -> None:
    # It has 0.2 s, which on a busy machine are over before it comes to run; hence ten tries.
    script = "(sleep 0.05; echo late) & exit 0"
    records = (home.run(f"worker-cmd-{number:03d}", script) for number in range(1, 11))
    assert any((record.tail, record.ended_descendants) == ("late\n", 0) for record in records)


def test_orphans_are_reaped_while_the_program_runs(home: ShimHome) -> None:
    ready, go = home.path / "ready", home.path / "go"
    script = f"""for i in 1 2 3 4 5 6 7 8; do (true & ) ; done
    echo up > {ready}; while ! [ -e {go} ]; do sleep 0.02; done"""
    home.start("worker-cmd-001", script)
    home.wait_file(ready)
    pid = home.look("worker-cmd-001").claim["pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children")
    home.until(lambda: len(children.read_text().split()) == 1, "zombies are left")
    go.touch()
    assert home.wait_exit("worker-cmd-001").code == 0


def test_a_fork_bomb_is_ended_with_its_worker(home: ShimHome) -> None:
    code = (
        "import os, time\n"
        "for _ in range(5):\n"
        "    os.fork()\n"
        "    os.setsid() if os.getpid() != os.getsid(0) and os.getpgid(0) != os.getpid() else 0\n"
        "time.sleep(300)\n"
    )
    argv = (sys.executable, "-I", "-S", "-c", code)
    record = home.run("worker-cmd-001", argv=argv, timeout_s=1.0)
    assert record.cause == "timeout"
    assert record.left_descendants == 0
    assert home.executor.hunt("worker-cmd-001") == 0


def test_a_stop_request_is_relayed_and_named(home: ShimHome) -> None:
    ready = home.path / "ready"
    script = f"""trap 'echo "{{}}" > $CORTEX_RESULTS; exit 7' TERM
    echo up > {ready}; while :; do sleep 0.05; done"""
    home.start("worker-cmd-001", script, grace_s=10.0)
    home.wait_file(ready)
    assert home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
    record = home.wait_exit("worker-cmd-001")
    assert (record.cause, record.code) == ("stop", 7)
    assert record.results is not None
    assert record.results["size"] == 3


def test_a_stop_after_the_end_changes_nothing(home: ShimHome) -> None:
    home.run("worker-cmd-001", "exit 0")
    assert not home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
    record = home.wait_exit("worker-cmd-001")
    assert (record.cause, record.code) == (None, 0)


def test_an_output_of_64_mb_is_cut_with_a_note(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "yes 0123456789 | head -c 67108864", log_limit_bytes=8192)
    assert (record.log_bytes, record.log_cut, record.code) == (67108864, True, 0)
    assert len(record.tail) <= 2048
    log = home.log("worker-cmd-001")
    assert len(log) < 8192 + 2000
    assert "log cut: 67108864 bytes came, kept 8192" in log


def test_terminal_escapes_and_false_fences_are_neutralised(home: ShimHome) -> None:
    code = (
        r"""printf '\033[31mred\033[0m \r over\007\n~~~~~~~'; sleep 0.1; printf '~~\n- exit 0\n'"""
    )
    record = home.run("worker-cmd-001", code)
    log = home.log("worker-cmd-001")
    assert "\x1b" not in log
    assert "\r" not in log
    assert "\u241b[31mred" in log
    assert log.count("~~~~~~~~") == 2
    assert "\x1b" not in record.tail


def test_results_are_sealed_with_their_hash(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", 'printf \'{"status": "completed"}\' > $CORTEX_RESULTS')
    data = b'{"status": "completed"}'
    assert record.results == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


@pytest.mark.parametrize(
    "script",
    [
        "mkfifo $CORTEX_RESULTS",
        "mkdir $CORTEX_RESULTS",
        "ln -s /etc/passwd $CORTEX_RESULTS",
        "mkfifo artifacts/pipe; ln -s / artifacts/root",
    ],
)
def test_odd_results_never_hold_the_shim_up(home: ShimHome, script: str) -> None:
    record = home.run("worker-cmd-001", script)
    assert (record.code, record.results) == (0, None)


def test_a_huge_sparse_results_file_is_not_read(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "truncate -s 1G $CORTEX_RESULTS")
    assert record.results == {"sha256": None, "size": 1 << 30, "problem": "too large"}


def test_a_worker_that_deletes_its_folder_still_has_an_outcome(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "rm -rf $CORTEX_WORKER_DIR; exit 4")
    assert record.code == 4


def test_a_removed_attempt_folder_comes_back_for_the_record(home: ShimHome) -> None:
    folder = home.attempt_dir("worker-cmd-001")
    home.start("worker-cmd-001", f"rm -rf {folder}; exit 4")
    path = Path(folder) / "exit.json"
    home.until(path.exists, "no exit record")
    assert json.loads(path.read_text())["code"] == 4


def test_a_worker_that_kills_its_shim_is_seen_and_hunted(plain_home: ShimHome) -> None:
    ready, go = plain_home.path / "ready", plain_home.path / "go"
    wait = f"while ! [ -e {go} ]; do sleep 0.02; done"
    script = f"{wait}; kill -9 $PPID; echo $$ > {ready}; while :; do sleep 300; done"
    plain_home.start("worker-cmd-001", script)
    plain_home.until(lambda: plain_home.look("worker-cmd-001").claim, "no claim")
    plain_home.stop_nursery()  # it would end what it inherits
    go.touch()
    pid = int(plain_home.wait_file(ready))
    plain_home.until(lambda: not plain_home.look("worker-cmd-001").shim_alive, "the shim lives")
    sighting = plain_home.look("worker-cmd-001")
    assert (sighting.lock_held, sighting.exit) == (True, None)
    assert plain_home.executor.hunt("worker-cmd-001") >= 1
    plain_home.until(lambda: not is_running(pid), "it lives")
    plain_home.until(lambda: not plain_home.look("worker-cmd-001").lock_held, "its lock is held")


def test_a_program_cannot_free_the_shims_lock(home: ShimHome) -> None:
    ready = home.path / "ready"
    code = (
        "import fcntl, os, pathlib, signal\n"
        "for n in os.listdir('/proc/self/fd'):\n"
        "    try: fcntl.flock(int(n), fcntl.LOCK_UN)\n"
        "    except OSError: pass\n"
        "os.closerange(3, 100)\n"
        f"pathlib.Path({str(ready)!r}).write_text('up\\n')\n"
        "signal.pause()\n"
    )
    home.start("worker-cmd-001", argv=(sys.executable, "-I", "-S", "-c", code))
    home.wait_file(ready)
    assert home.look("worker-cmd-001").lock_held
    home.executor.stop("worker-cmd-001", home.attempt_dir("worker-cmd-001"))
    assert home.wait_exit("worker-cmd-001").cause == "stop"


def test_memory_and_file_size_are_limited(plain_home: ShimHome) -> None:
    code = "import sys\ntry: bytearray(1 << 30)\nexcept MemoryError: sys.exit(5)"
    argv = (sys.executable, "-I", "-S", "-c", code)
    limits = Limits(memory_bytes=256 << 20, file_bytes=1 << 20)
    assert plain_home.run("worker-cmd-001", argv=argv, limits=limits).code == 5
    script = "head -c 4194304 /dev/zero > big"
    record = plain_home.run("worker-cmd-002", script, limits=limits)
    assert record.code not in (0, None) or record.signal == signal.SIGXFSZ
    assert (plain_home.worker_dir("worker-cmd-002") / "big").stat().st_size == 1 << 20


def test_cpu_time_is_limited(home: ShimHome) -> None:
    record = home.run("worker-cmd-001", "while :; do :; done", limits=Limits(cpu_s=1))
    assert record.signal in (signal.SIGXCPU, signal.SIGKILL)
    assert record.cpu_s < 5


def test_a_program_cannot_raise_its_limits(home: ShimHome) -> None:
    code = (
        "import resource, sys\n"
        "try: resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))\n"
        "except ValueError: sys.exit(5)"
    )
    argv = (*without("sys_resource"), sys.executable, "-I", "-S", "-c", code)
    assert home.run("worker-cmd-001", argv=argv, limits=Limits(file_bytes=1 << 20)).code == 5


def test_the_processes_limit_is_set_in_the_program(home: ShimHome) -> None:
    script = "grep 'Max processes' /proc/self/limits"
    record = home.run("worker-cmd-001", script, limits=Limits(processes=100))
    assert 100 <= int(record.tail.split()[2]) < 100_000
