"""kill -9 of the daemon at random moments: the same work, done once, and exact books."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from live_home import LiveHome, MakeHome, end_process, pid_and_start

KILLS = 50
#: So many of them while the workers are held at a gate, the rest while they end and are gathered.
KILLS_BEFORE_THE_GATE = 30
SETTINGS = "[workers]\nbackoff = 0.05\ngrace = 0.5\n[spawn]\nclaim_timeout = 3\n"
VULNERABLE = "import subprocess\n\n\ndef run(c):\n    return subprocess.call(c, shell=True)\n"

#: Runs at the start of each tools worker: leaves a mark, and waits for the gate.
AT_START = """
import os, sys, time
if sys.orig_argv[1:3] == ["-m", "cortex.worker.tools"]:
    folder = os.path.dirname(__file__)
    with open(f"{folder}/starts", "a") as file:
        file.write(os.environ["CORTEX_WORKER_ID"] + "\\n")
    while not os.path.exists(f"{folder}/gate"):
        time.sleep(0.02)
"""


@pytest.fixture
def chance() -> random.Random:
    """Chance whose seed stands in the log of a test that fails."""
    seed = int.from_bytes(os.urandom(4))
    logging.getLogger("tests").warning("seed %d", seed)
    return random.Random(seed)


def live_until_killed(home: LiveHome, seconds: float) -> None:
    """Lets the daemon live for so long, and kills it."""
    assert home.daemon is not None
    try:
        code = home.daemon.wait(seconds)
    except subprocess.TimeoutExpired:
        home.kill()
        return
    raise AssertionError(f"cortexd ended by itself with {code}: {home.log()}")


def restart(home: LiveHome) -> None:
    """Starts the next daemon and waits for nothing."""
    assert home.daemon is None
    home.daemon = home.popen()


@pytest.fixture
def repositories(tmp_path: Path) -> list[Path]:
    made = []
    for name in ("click", "filelock", "packaging"):
        found = find_spec(name)
        assert found is not None and found.origin is not None
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(Path(found.origin).parent, tmp_path / name, ignore=ignore)
        made.append(tmp_path / name)
    (made[0] / "planted.py").write_text(VULNERABLE)
    return made


def scan_job(repositories: list[Path], gates: Path) -> dict[str, Any]:
    return {
        "title": "Fleet scan",
        "type": "security-scan",
        "scope": {"repositories": [str(path) for path in repositories]},
        "env": {"PYTHONPATH": str(gates)},
    }


def make_gates(folder: Path, *, is_open: bool) -> Path:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AT_START)
    if is_open:
        (folder / "gate").touch()
    return folder


def findings_of(home: LiveHome) -> list[dict[str, Any]]:
    path = home.report_of("task-001") / "findings.json"
    found: list[dict[str, Any]] = json.loads(path.read_bytes())["findings"]
    return found


def processes_of(home: LiveHome) -> dict[str, tuple[int, int] | None]:
    """Worker → its process and when that began."""
    rows = {row["worker_id"]: int(row["session_id"].split(":")[-1]) for row in home.running()}
    return {ident: pid_and_start(pid) for ident, pid in rows.items()}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_fifty_kills_during_the_main_job_give_the_same_report_and_no_second_start(
    make_home: MakeHome, repositories: list[Path], tmp_path: Path, chance: random.Random
) -> None:
    calm = make_home("calm", settings=SETTINGS)
    calm.start()
    calm.drop(scan_job(repositories, make_gates(tmp_path / "open", is_open=True)))
    assert calm.until_ended("task-001", limit_s=60)[0]["status"] == "completed"
    calm.stop()

    home = make_home("home", settings=SETTINGS)
    gates = make_gates(tmp_path / "gates", is_open=False)
    home.start()
    with home.watch() as watcher:
        home.drop(scan_job(repositories, gates))
        known: dict[str, tuple[int, int] | None] = {}
        for _ in range(KILLS_BEFORE_THE_GATE):
            live_until_killed(home, chance.uniform(0.0, 1.0))
            known |= {k: v for k, v in processes_of(home).items() if k not in known}
            assert processes_of(home).items() <= known.items(), "pid or start time changed"
            restart(home)
        home.until(lambda: len(home.running()) == 3, "three workers run")
        known |= {k: v for k, v in processes_of(home).items() if k not in known}
        assert processes_of(home) == known
        assert None not in known.values()
        (gates / "gate").touch()
        for _ in range(KILLS - KILLS_BEFORE_THE_GATE):
            live_until_killed(home, chance.uniform(0.3, 1.1))
            restart(home)
        (row,) = home.until_ended("task-001", limit_s=60)
        assert row["status"] == "completed", row
        home.assert_books()
    assert watcher.faults == []
    assert watcher.looks > KILLS
    assert findings_of(home) == findings_of(calm)
    starts = (gates / "starts").read_text().split()
    assert sorted(starts) == ["worker-scan-001", "worker-scan-002", "worker-scan-003"]
    ran = {e["worker_id"]: e["pid"] for e in home.events("worker_running")}
    assert ran == {ident: process[0] for ident, process in known.items() if process}
    home.assert_started_once()
    assert len(home.read("handoffs")["handoffs"]) == 1
    assert home.worker_processes() == []
    home.assert_replay_is_published()


def commands(folder: Path) -> dict[str, dict[str, Any]]:
    """Tasks that are short, long, failing, and failing at first; each start leaves a mark."""
    mark = f"echo $CORTEX_WORKER_ID >> {folder}/starts; "
    jobs: dict[str, dict[str, Any]] = {}
    for n in range(12):
        jobs[f"quick-{n}"] = {"command": mark + "true"}
        jobs[f"long-{n}"] = {"command": mark + f"sleep {0.2 * n}"}
        jobs[f"bad-{n}"] = {"command": mark + "exit 4", "retries": 0}
    for n in range(4):
        again = f"echo x >> {folder}/tries-{n}; test $(wc -l < {folder}/tries-{n}) -ge 3"
        jobs[f"again-{n}"] = {"command": mark + again, "retries": 5, "token_budget": 100}
    return jobs


def check_commands(home: LiveHome, folder: Path) -> None:
    jobs = commands(folder)
    rows = home.until_ended(*jobs, limit_s=60)
    for row in rows:
        failed = row["id"].startswith("bad")
        assert row["status"] == ("failed" if failed else "completed"), row
    for n in range(4):
        assert (folder / f"tries-{n}").read_text() == "x\n" * 3
    starts = (folder / "starts").read_text().split()
    assert len(starts) == len(set(starts)) == len(jobs) + 8
    assert len(home.events("task_accepted")) == len(jobs)
    home.assert_started_once()
    home.assert_books()
    home.assert_replay_is_published()
    assert home.worker_processes() == []


@pytest.mark.timeout(120)
def test_eight_kills_over_commands_that_succeed_fail_and_retry(
    make_home: MakeHome, tmp_path: Path, chance: random.Random
) -> None:
    home = make_home(settings=SETTINGS)
    home.start()
    with home.watch() as watcher:
        for number, (ident, job) in enumerate(commands(tmp_path).items()):
            home.drop({"id": ident, **job}, f"{ident}.json")
            if number % 5 == 4:
                live_until_killed(home, chance.uniform(0.0, 1.2))
                restart(home)
        check_commands(home, tmp_path)
    assert watcher.faults == []
    home.assert_replay_is_published()


@pytest.mark.timeout(120)
def test_eight_stops_at_random_moments_lose_nothing_either(
    make_home: MakeHome, tmp_path: Path, chance: random.Random
) -> None:
    home = make_home(settings=SETTINGS)
    home.start()
    for number, (ident, job) in enumerate(commands(tmp_path).items()):
        home.drop({"id": ident, **job}, f"{ident}.json")
        if number % 5 == 4:
            home.until(home.serves, "serves")
            try:
                assert home.daemon is not None
                home.daemon.wait(chance.uniform(0.0, 0.3))
            except subprocess.TimeoutExpired:
                home.stop()
            restart(home)
    check_commands(home, tmp_path)


def test_the_nursery_that_is_killed_costs_no_task(
    make_home: MakeHome, tmp_path: Path, chance: random.Random
) -> None:
    home = make_home(settings=SETTINGS + "[limits]\ntools = 3\n")
    home.start()
    assert home.daemon is not None
    for ident, job in commands(tmp_path).items():
        home.drop({"id": ident, **job}, f"{ident}.json")
    killed: set[int] = set()

    def next_one() -> bool:
        """Whether there is another nursery, or none is needed any more."""
        is_over = len(home.events("task_ended")) == len(commands(tmp_path))
        return is_over or not killed.issuperset(home.nurseries())

    for _ in range(5):
        home.until(next_one, "a nursery")
        with contextlib.suppress(subprocess.TimeoutExpired):
            home.daemon.wait(chance.uniform(0.0, 0.3))
        for pid in home.nurseries():
            end_process(pid)
            killed.add(pid)
    assert killed
    check_commands(home, tmp_path)


def test_kills_while_three_hundred_drops_are_taken_in_lose_and_double_none(
    make_home: MakeHome, chance: random.Random
) -> None:
    home = make_home(settings=SETTINGS + "[limits]\ntools = 50\n")
    good, bad = [f"g{n}" for n in range(200)], [f"b{n}.json" for n in range(100)]
    for ident in good:
        home.drop({"id": ident, "type": "nobody-takes-it", "title": ident}, f"{ident}.json")
    for name in bad:
        (home.paths.inbox / name).write_text('{"title": ')
    for _ in range(6):
        restart(home)
        live_until_killed(home, chance.uniform(0.3, 0.7))
    restart(home)
    home.until(lambda: len(home.tasks()) == len(good), "all good ones are tasks")
    home.until(lambda: len(home.errors()) == len(bad), "all bad ones are refused")
    home.until(lambda: not any(home.paths.intake.iterdir()), "nothing is left claimed")
    assert len(home.events("task_accepted")) == len(good)
    assert len(home.events("drop_rejected")) == len(bad)
    for name in bad:
        assert (home.paths.rejected / name).read_text() == '{"title": '


def test_a_worker_whose_end_and_whose_shims_end_came_without_a_daemon_is_lost_and_retried(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=SETTINGS)
    home.start()
    first = f"if mkdir {tmp_path}/once; then sleep 600; fi"
    home.run("hit", first, retries=1, token_budget=300)
    shim = int(home.until_running("hit")["session_id"].rpartition(":")[2])
    home.kill()
    os.kill(shim, signal.SIGKILL)  # first: it would write how its program ended
    home.until(lambda: pid_and_start(shim) is None, "the shim is gone")
    for pid in home.worker_processes():
        end_process(pid)
    home.until(lambda: not home.processes(), "all are gone")
    home.start()
    (row,) = home.until_ended("hit")
    assert row["status"] == "completed"
    (lost,) = home.workers("failed")
    assert lost["status"] == "lost"
    assert lost["tokens_used"] == 300, "what it used is unknown: all of it"
    home.assert_books()
