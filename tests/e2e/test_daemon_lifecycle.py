"""Stopping, restarting, ending, retrying, pausing: what a real daemon does to running work."""

from __future__ import annotations

import signal
from pathlib import Path

from live_home import LiveHome, MakeHome, mentioning, pid_and_start

SLEEPS = ("main", "stubborn", "stray")
TREE = (
    "(trap '' TERM; exec -a {folder}/stubborn sleep 600) & "
    "setsid env -i /bin/bash -c 'exec -a {folder}/stray sleep 600' & "
    "exec -a {folder}/main sleep 600"
)


def tree(folder: Path) -> list[str]:
    """A program with a child that ignores TERM, and one in a session of its own with no
    environment."""
    return ["/bin/bash", "-c", TREE.format(folder=folder)]


def all_run(folder: Path) -> bool:
    """Whether nothing but the tree's three sleeping processes runs."""
    found = [mentioning(folder / name) for name in SLEEPS]
    return all(len(pids) == 1 for pids in found)


def test_a_stop_under_load_is_quick_and_the_next_daemon_collects_the_true_ends(
    live: LiveHome, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"until test -e {gate}; do sleep 0.02; done; "
    commands = {"ok": "echo fine", "seven": "echo bad luck; exit 7", "shot": "kill -9 $$"}
    for ident, command in commands.items():
        live.run(ident, wait + command, retries=0)
    for n in range(60):
        live.run(f"load-{n}", "true")
    for ident in commands:
        live.until_running(ident)
    pids = {row["task_id"]: int(row["session_id"].rpartition(":")[2]) for row in live.running()}
    before = {ident: pid_and_start(pids[ident]) for ident in commands}
    live.stop()
    assert live.read("task-queue")["daemon"]["status"] == "stopped"
    assert {ident: pid_and_start(pids[ident]) for ident in commands} == before, "workers live on"
    live.start()
    live.until(lambda: len(live.running()) >= 3, "adopted")
    assert {ident: pid_and_start(pids[ident]) for ident in commands} == before
    gate.touch()
    rows = live.until_ended(*commands, limit_s=40)
    assert [row["status"] for row in rows] == ["completed", "failed", "failed"]
    failed = {row["task_id"]: row for row in live.workers("failed")}
    assert failed["seven"]["exit_code"] == 7
    assert failed["shot"]["exit_signal"] == signal.SIGKILL
    live.until_ended(*(f"load-{n}" for n in range(60)), limit_s=40)
    live.assert_started_once()
    live.assert_books()
    live.assert_replay_is_published()


def test_a_worker_that_ends_while_no_daemon_runs_keeps_its_exit_status(
    live: LiveHome, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    live.run("away", f"until test -e {gate}; do sleep 0.02; done; exit 5", retries=0)
    row = live.until_running("away")
    pid = int(row["session_id"].rpartition(":")[2])
    live.kill()
    gate.touch()
    live.until(lambda: pid_and_start(pid) is None, "the worker ends alone")
    live.start()
    (task,) = live.until_ended("away")
    assert task["status"] == "failed"
    assert live.workers("failed")[0]["exit_code"] == 5
    live.assert_started_once()


def test_locks_and_specs_of_ended_workers_are_cleared_away(live: LiveHome) -> None:
    live.run("done", "true")
    live.until_ended("done")
    live.until(lambda: live.events("worker_cleaned"), "cleaned up")
    record = live.paths.state / "runtime-dir"
    locks = Path(record.read_text().strip()) if record.exists() else live.paths.attempts
    assert not list(locks.rglob("lock"))
    assert list(live.paths.worker_specs.iterdir()) == []
    assert (live.folder_of("worker-cmd-001") / "spec.json").exists()


def test_a_timeout_is_kept_while_no_daemon_runs(live: LiveHome) -> None:
    live.run("late", "sleep 600", timeout="2s", retries=0)
    # Of the journal: the published row may be over before anybody has looked.
    (ran,) = live.until(lambda: live.events("worker_running"), "it runs")
    pid = int(ran["pid"])
    live.kill()
    live.until(
        lambda: pid_and_start(pid) is None and not live.worker_processes(), "ended by its shim"
    )
    live.start()
    live.until_ended("late")
    assert live.workers("failed")[0]["status"] == "timeout"


def test_a_second_daemon_leaves_at_once_and_names_the_first(live: LiveHome) -> None:
    second = live.popen()
    assert second.wait(20) != 0  # two seconds are promised
    assert live.daemon is not None
    assert f"pid {live.daemon.pid}" in live.log()
    live.run("after", "true")
    assert live.until_ended("after")[0]["status"] == "completed"


def test_two_daemons_started_in_the_same_instant_leave_one(make_home: MakeHome) -> None:
    home = make_home()
    pair = [home.popen(), home.popen()]
    home.until(lambda: any(p.poll() is not None for p in pair), "one leaves")
    left = [p for p in pair if p.poll() is None]
    assert len(left) == 1
    home.daemon = left[0]
    home.until(home.serves, "the other one serves")


def test_a_draining_daemon_starts_nothing_new_and_leaves_when_the_last_worker_ends(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home()
    home.start("--drain")
    gate = tmp_path / "gate"
    home.run("last", f"until test -e {gate}; do sleep 0.02; done")
    home.until_running("last")
    assert home.daemon is not None
    home.daemon.send_signal(signal.SIGTERM)
    home.until(lambda: "draining" in home.log(), "it says that it drains")
    home.run("later", "true")
    home.until_taken("later.json")
    gate.touch()
    assert home.daemon.wait(15) == 0
    home.daemon = None
    assert home.task("last")["status"] == "completed"
    assert not home.events("worker_spawning", worker_id="worker-cmd-002")
    home.start()
    assert home.until_ended("later")[0]["status"] == "completed"


def test_a_timeout_ends_the_whole_tree(live: LiveHome, tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    live.drop({"id": "tree", "command": tree(folder), "timeout": "4s", "retries": 0})
    live.until(lambda: all_run(folder), "all three run")
    (row,) = live.until_ended("tree")
    assert row["status"] == "failed"
    assert live.workers("failed")[0]["status"] == "timeout"
    live.until(lambda: not mentioning(folder), "the whole tree is gone")


def test_a_cancel_ends_the_whole_tree_of_a_running_task(live: LiveHome, tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    live.drop({"id": "tree", "command": tree(folder)})
    live.until(lambda: all_run(folder), "all three run")
    live.drop({"kind": "cancel", "task_id": "tree", "reason": "not needed"})
    (row,) = live.until_ended("tree")
    assert (row["status"], row["reason"]) == ("cancelled", "not needed")
    live.until(lambda: not mentioning(folder), "the whole tree is gone")
    live.until(lambda: live.workers("failed"), "its worker is recorded")
    assert live.workers("failed")[0]["status"] == "cancelled"
    live.assert_books()


def test_a_cancel_reaches_a_worker_without_waiting_for_the_next_look(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings="[daemon]\nresync = 60\n")
    home.start()
    home.run("long", "sleep 600")
    home.until_running("long")
    home.drop({"kind": "cancel", "task_id": "long"})
    assert home.until_ended("long")[0]["status"] == "cancelled"


def test_a_child_that_outlives_its_program_is_ended_with_it(live: LiveHome, tmp_path: Path) -> None:
    stray = tmp_path / "stray"
    start = f"setsid env -i /bin/sh -c 'echo up > {stray}; sleep 600' & "
    live.run("parent", start + f"until test -s {stray}; do sleep 0.02; done")
    (row,) = live.until_ended("parent")
    assert row["status"] == "completed"
    assert stray.exists()
    live.until(lambda: not mentioning(stray), "the stray child is gone")


def test_a_queued_task_is_cancelled_without_ever_starting(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings="[limits]\ntools = 1\n")
    home.start()
    gate = tmp_path / "gate"
    home.run("holder", f"until test -e {gate}; do sleep 0.02; done")
    home.until_running("holder")
    home.run("queued", "true")
    home.until(lambda: home.workers("queued"), "it waits")
    home.drop({"kind": "cancel", "task_id": "queued"})
    assert home.until_ended("queued")[0]["status"] == "cancelled"
    gate.touch()
    home.until_ended("holder")
    assert len(home.events("worker_spawning")) == 1


def test_a_cancel_of_a_finished_task_is_refused_with_what_to_do(live: LiveHome) -> None:
    live.run("done", "true")
    live.until_ended("done")
    name = live.drop({"kind": "cancel", "task_id": "done"})
    error = live.until(lambda: live.errors().get(name), "refused") or {}
    assert error["field"] == "task_id"
    assert "completed" in error["reason"]
    assert error["hint"]
    assert live.task("done")["status"] == "completed"


def test_a_failed_attempt_is_tried_again_after_a_growing_wait(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings="[workers]\nbackoff = 0.4\n")
    home.start()
    count = f"echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) -ge 3"
    home.run("third", count, retries=5)
    (row,) = home.until_ended("third")
    assert row["status"] == "completed"
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    rows = sorted(home.workers("completed", "failed"), key=lambda row: row["worker_id"])
    assert [row.get("retry_of") for row in rows] == [None, "worker-cmd-001", "worker-cmd-002"]
    moments = {}
    for line in home.lines():
        for event in line.events:
            if event["event"] in ("worker_ended", "worker_requested"):
                ident = event.get("worker_id") or event["worker"]["id"]
                moments[event["event"], ident] = _seconds(line.at)
    for number, least in ((1, 0.2), (2, 0.4)):
        ended = moments["worker_ended", f"worker-cmd-00{number}"]
        asked = moments["worker_requested", f"worker-cmd-00{number + 1}"]
        assert asked - ended >= least - 0.01


def _seconds(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def test_retries_end_and_the_reason_names_step_attempts_and_last_words(live: LiveHome) -> None:
    live.run("never", "echo the disk is on fire; exit 9", retries=2)
    (row,) = live.until_ended("never")
    assert row["status"] == "failed"
    assert "3 attempts" in row["reason"]
    assert "the disk is on fire" in row["reason"]
    assert len(live.events("worker_spawning")) == 3


def test_a_program_that_is_not_there_fails_at_once_and_for_good(live: LiveHome) -> None:
    live.drop({"id": "typo", "command": ["no-such-program-anywhere"], "retries": 5})
    (row,) = live.until_ended("typo")
    assert row["status"] == "failed"
    assert "no-such-program-anywhere" in row["reason"]
    assert len(live.events("worker_spawning")) == 1


def test_a_retried_task_keeps_its_finished_steps(live: LiveHome, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    steps = [
        {"name": "done", "command": f"echo x >> {tmp_path}/done"},
        {"name": "flaky", "needs": ["done"], "command": f"test -e {flag}", "retries": 0},
    ]
    live.drop({"id": "two", "title": "two steps", "workers": steps})
    assert live.until_ended("two")[0]["status"] == "failed"
    flag.touch()
    live.drop({"kind": "retry", "task_id": "two"})
    live.until(lambda: live.task("two")["status"] == "completed", "completed in its second run")
    assert (tmp_path / "done").read_text() == "x\n"
    assert live.task("two")["run"] == 2
    assert len(live.events("worker_spawning")) == 3


def test_a_paused_fleet_starts_nothing_until_it_is_resumed_even_over_a_restart(
    live: LiveHome,
) -> None:
    live.drop({"kind": "pause"})
    live.until(lambda: live.read("task-queue")["daemon"].get("paused"), "says that it is paused")
    live.run("waits", "true")
    live.until(lambda: live.workers("queued"), "its worker waits")
    live.kill()
    live.start()
    live.until(lambda: live.read("task-queue")["daemon"].get("paused"), "is still paused")
    assert not live.events("worker_spawning")
    live.drop({"kind": "resume"})
    assert live.until_ended("waits")[0]["status"] == "completed"


def test_the_queued_workers_of_a_paused_task_do_not_start(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings="[limits]\ntools = 1\n")
    home.start()
    gate = tmp_path / "gate"
    home.run("holder", f"until test -e {gate}; do sleep 0.02; done")
    home.until_running("holder")
    home.run("held", "true")
    home.until(lambda: home.workers("queued"), "it waits")
    home.drop({"kind": "pause", "task_id": "held"})
    home.until(lambda: home.task("held").get("status") == "paused", "paused")
    gate.touch()
    home.until_ended("holder")
    home.run("another", "true")
    home.until_ended("another")
    assert home.task("held")["status"] == "paused"
    assert not [w for w in home.workers("active", "completed") if w["task_id"] == "held"]
    home.drop({"kind": "resume", "task_id": "held"})
    assert home.until_ended("held")[0]["status"] == "completed"


def test_a_paused_task_lets_its_running_worker_finish_and_starts_no_next_one(
    live: LiveHome, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    steps = [
        {"name": "one", "command": f"until test -e {gate}; do sleep 0.02; done"},
        {"name": "two", "needs": ["one"], "command": "true"},
    ]
    live.drop({"id": "held", "title": "held", "workers": steps})
    live.until_running("held")
    live.drop({"kind": "pause", "task_id": "held"})
    live.until(lambda: live.task("held")["status"] == "paused", "paused")
    gate.touch()
    live.until(lambda: live.workers("completed"), "its first step is done")
    live.run("another", "true")
    live.until_ended("another")
    assert (
        len([e for e in live.events("worker_requested") if e["worker"]["task_id"] == "held"]) == 1
    )
    live.drop({"kind": "resume", "task_id": "held"})
    assert live.until_ended("held")[0]["status"] == "completed"


def test_a_stopped_daemon_that_goes_on_later_fails_nobody(live: LiveHome, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    later = tmp_path / "later"
    live.run("calm", f"sleep 2; touch {later}; until test -e {gate}; do sleep 0.02; done")
    live.until_running("calm")
    assert live.daemon is not None
    live.daemon.send_signal(signal.SIGSTOP)
    live.until(later.exists, "two seconds have passed")
    live.daemon.send_signal(signal.SIGCONT)
    gate.touch()
    assert live.until_ended("calm", limit_s=90)[0]["status"] == "completed"


def test_a_daemon_at_rest_has_published_up_to_the_journals_last_line(live: LiveHome) -> None:
    live.run("once", "true")
    live.until_ended("once")
    live.drop(b'{"kind": "cancel", "task_id": "once"}')
    live.until(live.errors, "the refusal")
    refused = live.lines()[-1].seq
    live.until(
        lambda: live.read("task-queue")["journal_seq"] >= refused, "the last line is shown", 50
    )
