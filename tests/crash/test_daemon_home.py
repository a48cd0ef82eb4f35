"""Parts of a home that somebody removes, mounts away or forbids while a daemon works in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from live_home import LiveHome, MakeHome
from namespaces import mount_namespace, scenario_program

SETTINGS = "[daemon]\nresync = 0.3\n[workers]\nbackoff = 0.1\ngrace = 0.5\nretries = 1\n"


class Open:
    """A home with ended work, and a worker that waits at a gate."""

    def __init__(self, home: LiveHome, gate: Path) -> None:
        self.home = home
        self.gate = gate
        home.start()
        home.run("done", "true")
        home.until_ended("done")
        wait = f"until test -e {gate}; do sleep 0.02; done"
        home.run("open", wait, token_budget=300, retries=0)
        home.until_running("open")
        home.until(lambda: home.workers("completed"), "the first one is listed")

    @property
    def worker(self) -> str:
        return str(self.home.running("open")[0]["worker_id"])

    def goes_on(self, *ends: str) -> None:
        """Good and bad drops are taken, the waiting worker ends in one of these ways, the books
        are exact, and the next daemon finds all as it was left."""
        home = self.home
        home.run("after", "echo well")
        home.drop(b'{"title": ', "after-bad.json")
        assert home.until_ended("after")[0]["status"] == "completed"
        home.until(lambda: home.errors().get("after-bad.json"), "the bad one lies in rejected/")
        self.gate.touch()
        assert home.until_ended("open")[0]["status"] in ends
        self.is_sound()
        home.stop()
        home.start()
        home.run("again", "true")
        assert home.until_ended("again")[0]["status"] == "completed"
        self.is_sound()

    def is_sound(self) -> None:
        home = self.home
        home.assert_started_once()
        home.assert_books()
        home.assert_replay_is_published()
        home.until(lambda: not home.worker_processes(), "no process is left")
        assert "Traceback" not in home.log()


@pytest.fixture
def opened(make_home: MakeHome, tmp_path: Path) -> Open:
    return Open(make_home(settings=SETTINGS), tmp_path / "gate")


def remove(home: LiveHome, folder: Path) -> None:
    """As `rm -rf` does it, again where the daemon was just at work in the folder."""

    def is_removed() -> bool:
        try:
            shutil.rmtree(folder)
        except OSError:
            return not folder.exists()
        return True

    home.until(is_removed, f"{folder} is removed")


FOLDERS = [
    *("coordination/inbox", "coordination/inbox/.intake", "coordination/rejected"),
    *("coordination/archive", "worker-specs", ".state/attempts", ".state/out", "schemas"),
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_that_is_removed_is_made_again_and_nothing_is_lost(
    opened: Open, folder: str
) -> None:
    remove(opened.home, opened.home.root / folder)
    opened.home.until(opened.home.paths.inbox.exists, "people can drop files again")
    opened.goes_on("completed")


@pytest.mark.parametrize("which", ["its worker's", "all of today's", "all logs"])
def test_a_running_workers_folder_that_is_removed_costs_its_results_at_most(
    opened: Open, which: str
) -> None:
    paths = opened.home.paths
    own = opened.home.folder_of(opened.worker)
    folders = {"its worker's": own, "all of today's": own.parent, "all logs": paths.logs}
    remove(opened.home, folders[which])
    opened.goes_on("completed", "failed")


FILES = ["checkpoint.json", "ballast", "archive.db", "pid", "runtime-dir", "nursery.log", "wake"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_daemons_own_that_is_removed_is_not_missed(opened: Open, name: str) -> None:
    (opened.home.paths.state / name).unlink(missing_ok=True)
    opened.goes_on("completed")


def test_a_spec_that_is_removed_changes_nothing(opened: Open) -> None:
    (opened.home.paths.worker_specs / f"{opened.worker}.json").unlink()
    opened.goes_on("completed")


def test_a_whole_state_folder_that_is_removed_costs_no_work(opened: Open) -> None:
    remove(opened.home, opened.home.paths.state)
    home = opened.home
    home.run("after", "true")
    assert home.until_ended("after")[0]["status"] == "completed"
    opened.gate.touch()
    assert home.until_ended("open")[0]["status"] == "completed"
    home.kill()
    home.start()
    home.run("again", "true")
    assert home.until_ended("again")[0]["status"] == "completed"
    opened.is_sound()


def is_stopped(home: LiveHome) -> bool:
    """Whether every thread of the daemon stands still."""
    assert home.daemon is not None
    threads = Path(f"/proc/{home.daemon.pid}/task").glob("*/stat")
    return all(path.read_text().rpartition(")")[2].split()[0] == "T" for path in threads)


@pytest.mark.parametrize("how", ["removed", "renamed", "written into", "emptied"])
def test_a_journal_that_is_touched_while_it_is_written_stops_the_daemon_and_no_worker(
    opened: Open, how: str
) -> None:
    home = opened.home
    assert home.daemon is not None
    # It writes no line between what is read here and what is done to the file.
    home.daemon.send_signal(signal.SIGSTOP)
    home.until(lambda: is_stopped(home), "it stands still")
    (segment,) = home.paths.journal.glob("*.jsonl")
    before = segment.read_bytes()
    aside = segment.with_name("aside")
    if how == "removed":
        segment.unlink()
    elif how == "renamed":
        segment.rename(aside)
    else:
        os.truncate(segment, 0)
        segment.write_bytes(before + b"hello\n" if how == "written into" else b"")
    home.daemon.send_signal(signal.SIGCONT)
    home.run("after", "true")
    assert home.daemon.wait(30) > 0
    assert str(segment) in home.log()
    assert home.worker_processes(), "its worker lives on"
    aside.unlink(missing_ok=True)
    segment.write_bytes(before)
    home.daemon = None
    home.start()
    opened.gate.touch()
    rows = home.until_ended("after", "open")
    assert {row["status"] for row in rows} == {"completed"}
    opened.is_sound()


def test_two_daemons_whose_lock_file_was_removed_leave_one_and_start_nothing_twice(
    opened: Open, tmp_path: Path
) -> None:
    home = opened.home
    first = home.daemon
    assert first is not None
    home.paths.lock.unlink()
    second = home.popen()
    marks = tmp_path / "marks"
    for number in range(10):
        home.run(f"job-{number}", f"echo $CORTEX_WORKER_ID >> {marks}")
    pair = (first, second)
    home.until(lambda: any(one.poll() is not None for one in pair), "one leaves")
    assert any(one.poll() is None for one in pair), home.log()
    home.daemon = first if first.poll() is None else second
    home.until_ended(*(f"job-{number}" for number in range(10)))
    opened.gate.touch()
    assert home.until_ended("open")[0]["status"] == "completed"
    starts = marks.read_text().split()
    assert len(starts) == len(set(starts)) == 10
    opened.is_sound()


def test_a_removed_lock_is_taken_anew_before_a_second_daemon_can(opened: Open) -> None:
    home = opened.home
    assert home.daemon is not None
    home.paths.lock.unlink()
    home.until(lambda: "taken anew" in home.log(), "the daemon notices")
    assert home.popen().wait(30) > 0
    assert f"pid {home.daemon.pid}" in home.log()
    opened.goes_on("completed")


# --- no file events


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_without_file_events_drops_and_edits_are_found_by_looking_and_that_is_said(
    make_home: MakeHome, limit: str
) -> None:
    script = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    alone = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespace can be made here, as in a chroot")
    cortexd = str(Path(sys.executable).parent / "cortexd")
    home = make_home(settings=SETTINGS, program=(*alone, cortexd))
    home.start()
    assert "no file events" in home.log()
    for number in range(3):
        home.run(f"found-{number}", "true")
        assert home.until_ended(f"found-{number}")[0]["status"] == "completed"
    home.paths.task_queue.write_text("no JSON")
    home.until(lambda: home.errors().get("task-queue.json"), "the edit is found")
    home.assert_books()
    home.stop()


# --- read-only


def read_only(folder: Path) -> None:
    """The home is mounted read-only over itself and later let go, while a worker runs."""
    home = LiveHome(folder / "home", SETTINGS)
    gate = folder / "gate"
    try:
        at_work = Open(home, gate)
        said = len(home.log())
        subprocess.run(["mount", "--bind", home.root, home.root], check=True)
        # Refused as busy while the daemon is in the middle of a file there.
        remount = ["mount", "-o", "remount,bind,ro", home.root]
        home.until(lambda: subprocess.run(remount).returncode == 0, "it is read-only")
        started = len(home.events("worker_running"))
        home.until(lambda: "ead-only" in home.log()[said:], "it says so")
        cannot_start(home, folder / "log")
        gate.touch()
        home.until(lambda: not home.worker_processes(), "its worker ends as it would")
        assert len(home.events("worker_running")) == started
        let_go = ["umount", home.root]
        home.until(lambda: subprocess.run(let_go).returncode == 0, "it is let go")
        at_work.goes_on("completed", "failed")
        home.stop()
    finally:
        gate.touch()
        home.close()


def test_a_home_that_is_read_only_for_a_while_starts_nothing_says_so_and_goes_on(
    tmp_path: Path,
) -> None:
    in_namespace(tmp_path, "read_only")


def test_a_home_that_is_read_only_from_the_start_is_refused_with_its_path(tmp_path: Path) -> None:
    in_namespace(tmp_path, "read_only_from_the_start")


def read_only_from_the_start(folder: Path) -> None:
    home = LiveHome(folder / "home", SETTINGS)
    subprocess.run(["mount", "--bind", home.root, home.root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", home.root], check=True)
    cannot_start(home, folder / "log")


def cannot_start(home: LiveHome, log: Path) -> None:
    """Another daemon leaves at once and says why."""
    with log.open("wb") as file:
        command = [*home.program, "--home", str(home.root)]
        assert subprocess.Popen(command, stdout=file, stderr=file).wait(30) > 0
    said = log.read_text()
    assert str(home.root) in said and "ead-only" in said, said
    assert "Traceback" not in said


def in_namespace(folder: Path, scenario: str) -> None:
    """Runs a scenario of this file where it may mount what it likes."""
    code = scenario_program(__file__, scenario, folder)
    ran = subprocess.run(
        [*mount_namespace(), sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-6000:]


# --- time and load


def test_a_daemon_that_stood_still_past_three_heartbeats_grants_a_full_one_more(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=SETTINGS)
    (home.paths.prompts / "beating-worker.md").write_text(
        "---\nname: beating-worker\ndescription: Says that it lives.\nheartbeats: true\n"
        "heartbeat_interval: 1500ms\n---\nLive.\n"
    )
    home.start()
    stop, quiet = tmp_path / "stop", tmp_path / "quiet"
    beat = 'until test -e {}; do touch "$CORTEX_HEARTBEAT"; sleep 0.1; done; '
    beats = beat.format(stop)
    # This one falls silent while the daemon stands still, and speaks again when it goes on.
    pauses = beat.format(quiet) + f"until test -e {stop}; do sleep 0.05; done; "
    step: dict[str, Any] = {"worker_type": "beating", "retries": 0}
    home.drop({"id": "a", "workers": [{**step, "name": "a", "command": beats}]})
    home.drop(
        {"id": "b", "workers": [{**step, "name": "b", "command": pauses + beat.format(stop)}]}
    )
    home.until(lambda: len(home.running()) == 2, "both run")
    assert home.daemon is not None
    home.daemon.send_signal(signal.SIGSTOP)
    quiet.touch()
    subprocess.run(["sleep", "7"], check=True)  # four intervals that nobody read
    home.daemon.send_signal(signal.SIGCONT)
    stop.touch()
    rows = home.until_ended("a", "b")
    assert [row["status"] for row in rows] == ["completed"] * 2, rows


@pytest.mark.slow
def test_fifty_running_tasks_are_adopted_after_a_kill_and_end_once(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=SETTINGS + "[limits]\ntools = 50\n")
    home.start()
    gate, marks = tmp_path / "gate", tmp_path / "marks"
    command = f"echo $CORTEX_WORKER_ID >> {marks}; until test -e {gate}; do sleep 0.1; done"
    idents = [home.run(f"job-{n}", command, token_budget=100) for n in range(50)]
    home.until(lambda: len(home.running()) == 50, "fifty run", 60)
    known = {row["worker_id"]: row["session_id"] for row in home.running()}
    for _ in range(3):
        home.kill()
        home.start()
        home.until(lambda: len(home.running()) == 50, "fifty are adopted")
        assert {row["worker_id"]: row["session_id"] for row in home.running()} == known
    home.kill()
    gate.touch()
    home.until(lambda: not home.worker_processes(), "all end while no daemon runs")
    home.start()
    assert {row["status"] for row in home.until_ended(*idents)} == {"completed"}
    assert sorted(marks.read_text().split()) == sorted(known)
    home.assert_started_once()
    assert home.assert_books()["worker_pool"]["spent"] == 0


@pytest.mark.timeout(240)
def test_a_daemon_under_load_leaves_when_it_is_asked_and_the_next_one_goes_on(
    make_home: MakeHome,
) -> None:
    home = make_home(settings=SETTINGS)
    home.start()
    idents = [home.run(f"job-{n}", "true") for n in range(300)]
    for ended in (20, 80, 140, 200):
        home.until(lambda ended=ended: len(home.events("worker_ended")) >= ended, "in the middle")
        home.stop()
        home.start()
    assert {row["status"] for row in home.until_ended(*idents, limit_s=100)} == {"completed"}
    home.assert_started_once()
    home.assert_books()
