"""The daemon watches itself: what hangs or fails is said once, with its cause, until it is over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex.store.disk import RealDisk
from live_home import BIN, LiveHome, MakeHome

#: Impatient, so that a test need not be patient.
QUICK = "[daemon]\nstuck_after = 0.5\nresync = 0.2\n[spawn]\nclaim_timeout = 2\n"
WATCHDOG_S = 2.0
#: Of a daemon that is to blame no slow disk of a busy machine for what a stop did.
PATIENCE_S = 3.0


class Manager:
    """A service manager that listens, and keeps what it hears."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """Everything that was ever said."""
        while True:
            try:
                self.heard.append(self._socket.recv(8192).decode())
            except BlockingIOError:
                return self.heard

    def was_told(self, words: str) -> bool:
        """Whether a line of status had these words."""
        return any(s.startswith("STATUS=") and words in s for s in self.listen())

    def beats(self) -> int:
        """How often the watchdog was fed."""
        return self.listen().count("WATCHDOG=1")

    def close(self) -> None:
        self._socket.close()


def service(folder: Path) -> dict[str, str]:
    """The environment that the manager in this folder gives to its service."""
    return {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path, make_home: MakeHome, manager: Manager) -> LiveHome:
    """A home whose daemon is a service of that manager."""
    made = make_home(settings=QUICK, env=service(tmp_path))
    made.start()
    return made


def about(home: LiveHome) -> dict[str, Any]:
    """The head of task-queue.json."""
    told: dict[str, Any] = home.read("task-queue")["daemon"]
    return told


def conditions(home: LiveHome) -> set[str]:
    return {row["name"] for row in about(home).get("conditions", [])}


def cause(home: LiveHome, name: str) -> str:
    """Why this condition stands; "" where it does not."""
    rows = about(home).get("conditions", [])
    return "".join(row["cause"] for row in rows if row["name"] == name)


def until_over(home: LiveHome, name: str, word: str = "") -> None:
    """This began with `word` in its cause no more than once, and is over; and all is well again.
    To such an impatient daemon a busy machine itself does what a condition tells of.
    """
    until_well_after(home, name)
    began = home.events("condition_began", condition=name)
    assert len([event for event in began if word in event["cause"]]) <= 1, began


def until_well_after(home: LiveHome, name: str) -> None:
    """This is over, and all is well again."""
    home.until(lambda: home.events("condition_ended", condition=name), f"{name} is over")
    home.until(lambda: is_well(home), "all is well")


def is_well(home: LiveHome) -> bool:
    told = about(home)
    return told["status"] == "running" and "cause" not in told


def status(home: LiveHome) -> tuple[int, dict[str, Any]]:
    """Exit status and answer of `cortex status`."""
    ran = subprocess.run(
        [BIN / "cortex", "status", "-o", "json", "--home", home.root], capture_output=True
    )
    return ran.returncode, json.loads(ran.stdout)


def test_ready_is_said_after_the_first_publication_and_stopping_at_the_end(
    home: LiveHome, manager: Manager
) -> None:
    home.until(lambda: "READY=1" in manager.listen(), "it is ready")
    assert home.serves()
    home.until(lambda: manager.beats() > 2, "the watchdog is fed")
    home.until(lambda: manager.was_told("STATUS=0 workers, 0 waiting, 0 open tasks"), "its state")
    home.stop()
    assert manager.listen()[-1] == "STOPPING=1"
    assert manager.heard.count("READY=1") == 1


def test_a_nursery_that_hangs_is_said_and_replaced(
    make_home: MakeHome, manager: Manager, tmp_path: Path
) -> None:
    patient = QUICK.replace("claim_timeout = 2", "claim_timeout = 10")
    home = make_home(settings=patient, env=service(tmp_path))
    home.start()
    home.run("one", "true")
    home.until_ended("one")
    (nursery,) = home.until(home.nurseries, "the nursery")
    os.kill(nursery, signal.SIGSTOP)
    home.run("two", "true")

    def is_told() -> bool:
        told = about(home)
        names = {row["name"] for row in told.get("conditions", [])}
        return told["status"] == "degraded" and "starts_failing" in names

    home.until(is_told, "starts fail")
    home.until(lambda: manager.was_told("degraded"), "the manager is told")
    code, told = status(home)
    # A busy machine may take longer for a command than the daemon for a new nursery.
    assert (code, told["status"]) == (1, "degraded") or "starts_failing" not in conditions(home)
    assert all(row["remedy"] and row["since"] for row in told.get("conditions", []))
    for command in (["get", "tasks"], ["describe", "two"]):
        ran = subprocess.run(
            [BIN / "cortex", *command, "--home", home.root], capture_output=True, text=True
        )
        assert "degraded for" in ran.stderr or "starts_failing" not in conditions(home)
    (row,) = home.until_ended("two")
    assert row["status"] == "completed"
    assert len(home.workers("completed", "failed")) == 2, "no retry was spent"
    until_over(home, "starts_failing")
    home.until(lambda: status(home)[0] == 0, "all is well")
    assert nursery not in home.nurseries()


def test_an_effect_that_hangs_starves_the_watchdog_until_it_comes_back(
    make_home: MakeHome, manager: Manager, tmp_path: Path
) -> None:
    """The archive's file is a FIFO: whoever opens it waits for a reader, as for a dead server."""
    home = make_home(settings=QUICK + "[retention]\narchive_over = 0\n", env=service(tmp_path))
    home.start()
    fifo = home.paths.archive / f"{time.strftime('%Y-%m-%d', time.gmtime())}.jsonl"
    os.mkfifo(fifo)
    gate = tmp_path / "gate"
    home.run("two", f"until test -e {gate}; do sleep 0.02; done")
    home.until_running("two")
    home.run("one", "true")
    home.until(lambda: "archive" in cause(home, "effect_stuck"), "the effect is stuck")
    home.until(lambda: "open_append" in home.log(), "where it is stuck is told")
    home.until(lambda: manager.was_told("archive"), "the manager is told")
    fed, lines = manager.beats(), len(home.lines())
    gate.touch()  # everything else goes on, and no watchdog is fed by that
    home.until(lambda: home.task("two").get("status") == "completed", "the fleet goes on")
    assert len(home.lines()) > lines
    assert manager.beats() == fed
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fifo.unlink()  # or the next try would hang in it again
    try:
        home.until(lambda: manager.beats() > fed, "the watchdog is fed again")
    finally:
        os.close(reader)
    until_over(home, "effect_stuck", "archive")


def test_a_daemon_in_which_something_hangs_still_leaves_at_once(
    make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(settings=QUICK + "[retention]\narchive_over = 0\n")
    home.start()
    os.mkfifo(home.paths.archive / f"{time.strftime('%Y-%m-%d', time.gmtime())}.jsonl")
    home.run("one", "true")
    home.until(lambda: "archive" in cause(home, "effect_stuck"), "the effect is stuck")
    home.stop()
    assert about(home)["status"] == "stopped"
    assert "conditions" not in about(home)


#: A turn that waits for a writer of the FIFO that its first argument names, once it is there.
STALLING = """
import os, sys
from cortex import daemon, serving
fifo, look = sys.argv.pop(1), daemon.Daemon._look_at_all
def look_at_a_hanging_disk(self):
    if os.path.exists(fifo):
        open(fifo).read()
    look(self)
daemon.Daemon._look_at_all = look_at_a_hanging_disk
sys.exit(serving.main())
"""


def test_a_loop_that_stalls_is_logged_while_it_does_and_feeds_no_watchdog(
    make_home: MakeHome, manager: Manager, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    home = make_home(
        settings=QUICK.replace("resync", "stall_after = 0.3\nresync"),
        program=(sys.executable, "-c", STALLING, str(fifo)),
        env=service(tmp_path),
    )
    home.start()
    home.until(lambda: manager.beats() > 2, "the watchdog is fed")
    os.mkfifo(fifo)
    home.until(lambda: "look_at_a_hanging_disk" in home.log(), "it is logged, with where it is")
    assert "a turn of the loop does not end" in home.log()
    fed = manager.beats()
    home.drop({"command": "true", "id": "waits"})
    status(home)  # takes a while
    assert manager.beats() == fed
    with fifo.open("w"):
        fifo.unlink()
    home.until(lambda: manager.beats() > fed, "the watchdog is fed again")
    home.until_ended("waits")
    until_well_after(home, "loop_stalled")


def test_without_file_events_it_says_so_and_finds_drops_all_the_same(make_home: MakeHome) -> None:
    """A user namespace of its own may have no inotify instance."""
    inside = ("unshare", "--user", "--map-root-user")
    limit = "echo 0 > /proc/sys/user/max_inotify_instances"
    if subprocess.run([*inside, "sh", "-c", limit], capture_output=True).returncode:
        pytest.skip("no user namespace to be had here")
    start = (*inside, "sh", "-c", f'{limit} && exec "$0" "$@"', str(BIN / "cortexd"))
    home = make_home(settings=QUICK, program=start)
    home.start()
    home.until(lambda: "file_events_missing" in conditions(home), "it is told")
    home.until(lambda: is_well(home), "it is no degradation")
    home.run("one", "true")
    home.until_ended("one")


def test_files_that_cannot_be_published_are_said_where_it_can_be(
    home: LiveHome, manager: Manager
) -> None:
    out, aside = home.paths.out, home.paths.out.with_name("aside")
    aside.touch()
    RealDisk().exchange(out, aside)  # at once, for the daemon makes a missing folder again
    try:
        home.run("one", "true")
        home.until(
            lambda: home.events("condition_began", condition="publish_failing"), "it is journaled"
        )
        home.until(lambda: manager.was_told("cannot be written"), "the manager is told")
        fed = manager.beats()
        home.until(lambda: manager.beats() > fed, "this is no hang")
    finally:
        RealDisk().exchange(out, aside)
    home.until_ended("one")
    until_well_after(home, "publish_failing")


def test_a_drop_that_somebody_keeps_open_is_said_and_taken_up_later(home: LiveHome) -> None:
    path = home.paths.inbox / "open.json"
    with path.open("w") as file:
        file.write('{"id": "late", "command": "true"}')
        file.flush()
        home.until(lambda: "open.json" in cause(home, "drops_stuck"), "it is said")
    home.until_ended("late")
    until_over(home, "drops_stuck", "open.json")


def test_a_definition_that_cannot_be_used_is_a_note_and_no_degradation(home: LiveHome) -> None:
    broken = home.root / "agents/masters/broken.md"
    broken.write_text("---\nname: 7\n---\n")
    home.until(lambda: "definitions_unusable" in conditions(home), "it is told")
    home.until(lambda: is_well(home), "it is no degradation")
    home.until(lambda: status(home)[0] == 0, "nor for the command")
    broken.unlink()
    until_over(home, "definitions_unusable")


def test_a_daemon_that_stood_still_blames_nobody_for_it(make_home: MakeHome) -> None:
    home = make_home(settings=QUICK.replace("stuck_after = 0.5", f"stuck_after = {PATIENCE_S}"))
    home.start()
    assert home.daemon is not None
    home.run("one", "sleep 600")
    home.until_running("one")
    home.until(lambda: is_well(home), "all is well")
    home.daemon.send_signal(signal.SIGSTOP)
    code, told = home.until(
        lambda: found if (found := status(home))[1]["seen"] else None, "it is seen from outside"
    )
    assert code == 1
    assert "stopped" in told["cause"]
    lines = len(home.lines())
    stopped = time.monotonic()
    home.until(lambda: time.monotonic() > stopped + 1.5 * PATIENCE_S, "longer than it is patient")
    home.daemon.send_signal(signal.SIGCONT)
    home.run("two", "true")
    home.until_ended("two")
    began = [event for line in home.lines()[lines:] for event in line.events
             if event["event"] == "condition_began"]  # fmt: skip
    assert [event["condition"] for event in began if event["condition"] != "loop_stalled"] == []


def test_a_stopped_daemon_and_none_at_all_are_not_well(make_home: MakeHome) -> None:
    home = make_home()
    assert status(home) == (1, status(home)[1])
    assert status(home)[1]["status"] == "unknown"
    home.start()
    assert status(home)[0] == 0
    home.stop()
    assert status(home)[1]["status"] == "stopped"
