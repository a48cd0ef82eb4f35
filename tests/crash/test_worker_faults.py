"""What a worker can do to itself, to its shim and to the daemon: a real daemon sees it through."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex.runtime.containment import probe
from live_home import LiveHome, MakeHome, mentioning, pid_and_start

MEANS = probe()
GONE_WITHIN_S = 30.0
PROGRAM = (sys.executable, "-m", "cortex.serving")
SETTINGS = "[workers]\nbackoff = 0.1\ngrace = 0.3\n"
WAYS = ["auto", "cgroup", "none"]
NAP = "import os, time; os.closerange(0, 99); time.sleep(600)"


def serving(make_home: MakeHome, containment: str = "auto", more: str = "") -> LiveHome:
    """A home whose daemon serves, with this containment."""
    if containment == "cgroup" and not MEANS.cgroups:
        pytest.skip("no control group may be made here")
    settings = f"{SETTINGS}containment = '{containment}'\n{more}"
    home = make_home(settings=settings, program=PROGRAM)
    home.start()
    return home


def escape(mark: Path) -> str:
    """A script that starts what no environment, session, group, parent or open file betrays.

    The mark, which does not exist, is in the escaped process's command line for the test alone.
    """
    python = f'{sys.executable} -I -S -c "{NAP}" {mark}'
    return f"(cd /; setsid env -i setsid /bin/sh -c '{python} & {python}' & )& "


def shim_of(home: LiveHome, task: str) -> int:
    """The process that the published row names."""
    return int(home.until_running(task)["session_id"].rpartition(":")[2])


def until_gone(home: LiveHome, mark: Path) -> None:
    home.until(lambda: not mentioning(mark), "nothing of the worker is left", GONE_WITHIN_S)


@pytest.mark.parametrize("containment", WAYS)
def test_what_left_session_group_and_environment_is_gone_after_its_worker(
    make_home: MakeHome, tmp_path: Path, containment: str
) -> None:
    home, mark = serving(make_home, containment), tmp_path / "mark"
    # The class keeps grep from finding itself; a slim machine has no pgrep.
    says = f"grep -las '{str(mark)[:-1]}[{str(mark)[-1]}]' /proc/[0-9]*/cmdline"
    until = f"until [ $({says} | wc -l) -ge 2 ]; do sleep 0.05; done"
    (tmp_path / "job.sh").write_text(f"{escape(mark)}{until}")
    home.run("parent", f"/bin/sh {tmp_path}/job.sh")
    (row,) = home.until_ended("parent")
    assert row["status"] == "completed", row
    until_gone(home, mark)
    home.assert_books()


@pytest.mark.parametrize("containment", WAYS)
def test_what_left_everything_is_gone_also_where_its_shim_was_killed(
    make_home: MakeHome, tmp_path: Path, containment: str
) -> None:
    home, mark = serving(make_home, containment), tmp_path / "mark"
    home.run("parent", f"{escape(mark)} sleep 600", retries=0)
    shim = shim_of(home, "parent")
    home.until(lambda: len(mentioning(mark)) >= 2, "the escaped run")
    os.kill(shim, signal.SIGKILL)
    home.until_ended("parent")
    assert home.workers("failed")[0]["status"] == "lost"
    until_gone(home, mark)
    home.until(lambda: not home.worker_processes(), "nothing of it is left")
    home.assert_books()


@pytest.mark.parametrize("containment", ["auto", "cgroup"])
def test_what_left_everything_is_gone_after_its_shim_was_killed_while_no_daemon_ran(
    make_home: MakeHome, tmp_path: Path, containment: str
) -> None:
    home, mark = serving(make_home, containment), tmp_path / "mark"
    if not MEANS.leaves_no_orphans:
        pytest.skip("; ".join(MEANS.sentences()))
    once = f"mkdir {tmp_path}/once && {{ {escape(mark)} sleep 600; }}; true"
    home.run("parent", once, retries=1)
    shim = shim_of(home, "parent")
    home.until(lambda: len(mentioning(mark)) >= 2, "the escaped run")
    home.kill()
    os.kill(shim, signal.SIGKILL)
    home.until(lambda: pid_and_start(shim) is None, "the shim is gone")
    home.start()
    assert home.until_ended("parent")[0]["status"] == "completed"
    until_gone(home, mark)
    assert [row["status"] for row in home.workers("failed")] == ["lost"]
    home.assert_started_once()
    home.assert_books()


def test_a_worker_that_kills_its_shim_is_lost_once_and_leaves_nothing(make_home: MakeHome) -> None:
    home = serving(make_home, "none")
    home.run("rude", "kill -9 $PPID; sleep 600", retries=0)
    home.until_ended("rude")
    assert home.workers("failed")[0]["status"] == "lost"
    home.until(lambda: not home.worker_processes(), "nothing of it is left")
    home.assert_started_once()
    home.assert_books()


def test_a_worker_that_kills_nursery_and_daemon_ends_once_all_the_same(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = serving(make_home, "none")
    assert home.daemon is not None
    daemon = home.daemon.pid
    killed = tmp_path / "killed"
    rude = f"kill -9 $(pgrep -P {daemon} -f nursery) {daemon}; echo x >> {killed}; exit 4"
    home.run("rude", rude, retries=0)
    home.until(killed.exists, "it did so")
    home.daemon.wait(30)
    assert home.daemon.returncode == -signal.SIGKILL
    home.daemon = None
    home.start()
    home.run("after", "true")
    rude_row, after = home.until_ended("rude", "after")
    assert (rude_row["status"], after["status"]) == ("failed", "completed")
    assert home.workers("failed")[0]["exit_code"] == 4
    assert killed.read_text() == "x\n"
    home.assert_started_once()
    home.assert_books()


def test_a_contained_worker_reaches_neither_shim_nor_nursery_nor_daemon(
    make_home: MakeHome,
) -> None:
    if not MEANS.namespace:
        pytest.skip(f"no pid namespace here: {MEANS.namespace_problem}")
    home = serving(make_home)
    assert home.daemon is not None
    daemon = home.daemon.pid
    home.run("rude", f"trap '' TERM; kill -9 $PPID 1 -1 {daemon}; kill -STOP 1; exit 4", retries=0)
    (row,) = home.until_ended("rude")
    assert row["status"] == "failed"
    assert home.workers("failed")[0]["exit_code"] == 4
    assert home.daemon.poll() is None
    home.assert_books()


BOMB = """
import os, time
for _ in range(50):
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    except OSError:
        break
time.sleep(600)
"""


@pytest.mark.parametrize("limit", [0, 20])
def test_a_fork_bomb_is_ended_and_other_tasks_go_on(
    make_home: MakeHome, tmp_path: Path, limit: int
) -> None:
    home = serving(make_home, more=f"process_limit = {limit}\n")
    bomb = tmp_path / "bomb.py"
    bomb.write_text(BOMB)
    home.drop(
        {"id": "bomb", "command": [sys.executable, "-I", str(bomb)], "timeout": "9s", "retries": 0}
    )
    home.until_running("bomb")
    least = 51 if limit == 0 else 15
    home.until(lambda: len(mentioning(bomb)) >= least, "the bomb went off")
    if limit and MEANS.limits_processes != "nothing":
        assert len(mentioning(bomb)) <= limit
    for number in range(5):
        home.run(f"other-{number}", "true")
    for row in home.until_ended(*(f"other-{number}" for number in range(5))):
        assert row["status"] == "completed", row
    home.until_ended("bomb")
    assert home.workers("failed")[0]["status"] == "timeout"
    until_gone(home, bomb)
    home.assert_books()


@pytest.mark.parametrize("containment", ["auto", "none"])
def test_who_stops_itself_or_closes_its_output_and_hangs_is_ended_by_the_timeout(
    make_home: MakeHome, containment: str
) -> None:
    home = serving(make_home, containment)
    home.run("stopped", "kill -STOP $$; sleep 600", timeout="1s", retries=0)
    home.run("silent", "exec sleep 600 <&- >&- 2>&-", timeout="1s", retries=0)
    for row in home.until_ended("stopped", "silent"):
        assert row["status"] == "failed", row
    assert [row["status"] for row in home.workers("failed")] == ["timeout", "timeout"]
    home.until(lambda: not home.worker_processes(), "nothing of them is left", GONE_WITHIN_S)
    home.assert_books()


def reporting(tokens: str) -> str:
    said = f'{{"status": "completed", "summary": "s", "tokens_used": {tokens}}}'
    return f"echo '{said}' > $CORTEX_RESULTS"


def test_impossible_tokens_in_results_never_reach_the_books(make_home: MakeHome) -> None:
    home = serving(make_home)
    wrong = {"negative": "-5", "nan": "NaN", "text": '"many"', "float": "1e18", "endless": "1e999"}
    for ident, tokens in wrong.items():
        home.run(ident, reporting(tokens), retries=0, token_budget=300)
    home.run("enormous", reporting("1" + 18 * "0"), retries=0, token_budget=300)
    for row in home.until_ended(*wrong, "enormous"):
        assert row["status"] == "failed", row
        assert row["id"] == "enormous" or "tokens_used" in row["reason"] or "JSON" in row["reason"]
    ended = {row["task_id"]: row for row in home.workers("failed")}
    assert ended["enormous"]["status"] == "budget_exhausted"
    assert ended["enormous"]["tokens_used"] == 300
    assert all(row["tokens_used"] <= 300 for row in ended.values())
    home.assert_books()


@pytest.mark.parametrize("tokens", ["-5", "NaN", "1" + 18 * "0", '"many"', "true"])
def test_impossible_tokens_in_a_heartbeat_show_at_most_the_budget(
    make_home: MakeHome, tmp_path: Path, tokens: str
) -> None:
    home = serving(make_home)
    beat = f'echo \'{{"tokens_used": {tokens}, "message": "said"}}\' > $CORTEX_HEARTBEAT'
    home.run("odd", f"{beat}; until test -e {tmp_path}/go; do sleep 0.05; done", token_budget=300)
    home.until(
        lambda: home.until_running("odd").get("last_heartbeat"), "the heartbeat was taken in"
    )
    (row,) = home.running("odd")
    assert 0 <= row["tokens_used"] <= 300
    (tmp_path / "go").touch()
    assert home.until_ended("odd")[0]["status"] == "completed"
    home.assert_books()


HEARTBEATING = """---
name: beating-worker
description: Promises heartbeats.
heartbeats: true
heartbeat_interval: 1500ms
---
Live.
"""


def step(command: str) -> list[dict[str, Any]]:
    return [{"name": "one", "worker_type": "beating", "command": command, "retries": 0}]


def test_heartbeats_count_when_they_arrive_whatever_date_or_kind_of_file_they_have(
    make_home: MakeHome,
) -> None:
    home = make_home(settings=f"{SETTINGS}[limits]\ntools = 5\n", program=PROGRAM)
    (home.paths.prompts / "beating-worker.md").write_text(HEARTBEATING)
    home.start()
    future = "touch -d 2099-01-01 $CORTEX_HEARTBEAT; sleep 600"
    past = (
        "for n in $(seq 40); do touch -d 1999-01-0$((n % 9 + 1)) $CORTEX_HEARTBEAT; sleep 0.2; done"
    )
    commands = {
        "future": future,
        "fifo": "mkfifo $CORTEX_HEARTBEAT; sleep 600",
        "link": "ln -s /dev/zero $CORTEX_HEARTBEAT; sleep 600",
        "none": "sleep 600",
        "past": past,
    }
    for ident, command in commands.items():
        home.drop({"id": ident, "workers": step(command)}, f"{ident}.json")
    rows = {row["id"]: row for row in home.until_ended(*commands, limit_s=100)}
    assert rows.pop("past")["status"] == "completed"
    for row in rows.values():
        assert row["status"] == "failed", row
        assert "no heartbeat for" in row["reason"]
    home.assert_books()


def test_a_worker_that_wrecks_its_folder_and_the_published_files_is_one_more_outcome(
    make_home: MakeHome,
) -> None:
    home = serving(make_home)
    coordination = home.paths.coordination
    wreck = (
        f"rm -rf $CORTEX_WORKER_DIR; echo '{{}}' > {coordination}/token-budget.json; "
        f"rm {coordination}/worker-pool.json; echo '[' > {coordination}/task-queue.json; exit 5"
    )
    home.run("rude", wreck, retries=0)
    home.run("after", "true")
    home.until(lambda: home.events("task_ended", task_id="rude"), "it ended")
    home.until(lambda: home.errors().get("task-queue.json"), "the edit is refused")

    def whole() -> bool:
        try:
            return all(home.read(path.stem) for path in home.paths.documents)
        except ValueError:
            return False

    home.until(whole, "the published files are whole again", GONE_WITHIN_S)
    rude, after = home.until_ended("rude", "after")
    assert (rude["status"], after["status"]) == ("failed", "completed")
    assert home.workers("failed")[0]["exit_code"] == 5
    home.assert_books()


def test_a_flood_of_output_is_cut_and_neither_daemon_nor_shim_grows(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = serving(make_home)
    assert home.daemon is not None
    before_kb = memory_kb(home.daemon.pid, "VmRSS")
    flooded, gate = tmp_path / "flooded", tmp_path / "gate"
    wait = f"touch {flooded}; until test -e {gate}; do sleep 0.05; done"
    home.run("flood", f"head -c 100000000 /dev/zero | tr '\\0' 'x'; {wait}")
    shim = shim_of(home, "flood")
    home.until(flooded.exists, "the shim has taken all but what is in the pipe")
    peak_kb = memory_kb(shim, "VmHWM")
    gate.touch()
    assert home.until_ended("flood")[0]["status"] == "completed"
    text = (home.folder_of("worker-cmd-001") / "log.md").read_bytes()
    assert len(text) < 66 << 20
    assert b"log cut: 100000000 bytes came" in text[-500:]
    assert 0 < peak_kb < 64 << 10
    assert memory_kb(home.daemon.pid, "VmHWM") < before_kb + (64 << 10)


def memory_kb(pid: int, field: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition(f"{field}:")[2].split()[0]) if f"{field}:" in status else 0
