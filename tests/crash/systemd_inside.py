"""What runs inside a booted systemd: installs the service for a home, and drives it through every
way in which a service can stop. A unit of the container starts it; `test_systemd` reads its report.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex.home.service_unit import unit_name
from live_home import BIN, LiveHome, pid_and_start

GATE = Path("/run/gate")
USER = 1000
WORKERS = ("first", "second", "third")
#: Short, so that a missed watchdog is soon noticed; a busy machine may miss it for some seconds.
DROP_IN = "[Service]\nWatchdogSec=10\nRestartSec=100ms\n"


class Service:
    """The unit of one home, and its workers."""

    def __init__(self, home: LiveHome) -> None:
        self.home = home
        self.name = unit_name(home.root)
        self.begun: dict[str, tuple[int, int]] = {}

    def systemctl(self, *arguments: str) -> str:
        """What systemctl says; AssertionError where it fails."""
        return ran("systemctl", *arguments, self.name)

    def shows(self, name: str) -> str:
        """One property of the unit."""
        return self.systemctl("show", "--property", name, "--value").strip()

    def pid(self) -> int:
        return int(self.shows("MainPID"))

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return self.home.until(condition, f"{what}\n{self.told()}")

    def told(self) -> str:
        return ran("journalctl", "--no-pager", "-n", "400", "-u", self.name)

    def processes(self) -> dict[str, tuple[int, int]]:
        """The first process of each worker that lives, with its start time."""
        found = {}
        for row in self.home.running():
            pid = int(str(row["session_id"]).rpartition(":")[2])
            alive = pid_and_start(pid)
            if alive is not None:
                found[str(row["task_id"])] = alive
        return found

    def assert_same_workers(self, when: str) -> None:
        """Every worker is the process that it was, and was started once."""
        for ident, (pid, start) in self.begun.items():
            assert pid_and_start(pid) == (pid, start), f"{when}: {ident} has gone\n{self.told()}"
        self.home.assert_started_once()

    def assert_adopted(self, when: str) -> None:
        """Another daemon serves, and shows them all as running."""
        self.until(lambda: self.shows("ActiveState") == "active", f"{when}: it is ready")
        assert self.home.read("task-queue")["daemon"]["pid"] == self.pid(), when
        self.until(lambda: self.processes() == self.begun, f"{when}: all are adopted")
        self.assert_same_workers(when)


def ran(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def cortex(home: LiveHome, *arguments: str) -> str:
    return ran(str(BIN / "cortex"), *arguments, "--home", str(home.root))


def install(service: Service) -> None:
    """The user's command writes, enables and starts the unit; then it is ready."""
    drop_in(service.name, DROP_IN)
    cortex(service.home, "service", "install")
    # Type=notify: the command above came back only when the daemon was ready.
    about = service.home.read("task-queue")["daemon"]
    assert (about["pid"], about["status"]) == (service.pid(), "running")
    assert service.shows("Type") == "notify"
    assert service.shows("UnitFileState") == "enabled"
    service.until(lambda: "0 workers" in service.shows("StatusText"), "a line of status")
    assert "active (running)" in cortex(service.home, "service", "status")
    locks = Path((service.home.paths.state / "runtime-dir").read_text().strip())
    assert locks.is_relative_to("/run/cortexd"), locks


def start_workers(service: Service) -> None:
    for ident in WORKERS:
        service.home.run(ident, f"until test -e {GATE}; do sleep 0.05; done")
    service.until(lambda: len(service.processes()) == len(WORKERS), "all run")
    service.begun = service.processes()
    service.until(lambda: "3 workers" in service.shows("StatusText"), "the status counts them")


def stop_and_start(service: Service) -> None:
    service.systemctl("stop")
    assert service.shows("ActiveState") == "inactive"
    assert service.home.read("task-queue")["daemon"]["status"] == "stopped"
    service.assert_same_workers("after stop")
    service.systemctl("start")
    service.assert_adopted("after start")


def restart(service: Service) -> None:
    before = service.pid()
    service.systemctl("restart")
    assert service.pid() != before
    service.assert_adopted("after restart")


def kill(service: Service) -> None:
    before, restarts = service.pid(), int(service.shows("NRestarts"))
    os.kill(before, signal.SIGKILL)
    service.until(lambda: service.pid() not in (0, before), "started again")
    assert int(service.shows("NRestarts")) == restarts + 1
    service.assert_adopted("after kill -9")


def miss_the_watchdog(service: Service) -> None:
    """A stopped daemon feeds no watchdog: SIGABRT, its stacks in the log, and a new one."""
    before, restarts = service.pid(), int(service.shows("NRestarts"))
    os.kill(before, signal.SIGSTOP)
    service.until(lambda: service.pid() not in (0, before), "the watchdog was missed")
    assert int(service.shows("NRestarts")) == restarts + 1
    service.assert_adopted("after a missed watchdog")
    told = service.told()
    assert "Watchdog timeout" in told, told
    assert "Fatal Python error: Aborted" in told, told


def end(service: Service) -> None:
    """What ran through all of that ends once, well, and leaves no process."""
    GATE.touch()
    rows = service.home.until_ended(*WORKERS)
    assert {row["status"] for row in rows} == {"completed"}
    service.home.assert_started_once()
    service.home.assert_books()
    service.home.assert_replay_is_published()
    group = Path("/sys/fs/cgroup/systemd" if Path("/sys/fs/cgroup/systemd").is_dir() else
                 "/sys/fs/cgroup")  # fmt: skip
    group /= service.shows("ControlGroup").lstrip("/")

    def only_ours() -> bool:
        pids = {
            int(pid) for path in group.rglob("cgroup.procs") for pid in path.read_text().split()
        }
        return all(b"CORTEX_WORKER_ID" not in environment(pid) for pid in pids)

    service.until(only_ours, "no process of a worker is left")


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def uninstall(service: Service) -> None:
    cortex(service.home, "service", "uninstall")
    assert not Path("/etc/systemd/system", service.name).exists()
    assert not service.home.home.daemon().running
    cortex(service.home, "fsck")


def as_a_user(service: Service) -> None:
    """The same in a user's own service manager, without root's rights."""
    work = service.home.root.parent
    Path("/root").chmod(0o755)  # the interpreter may lie below it
    with Path("/etc/passwd").open("a") as users:
        users.write(f"fleet:x:{USER}:{USER}::{work}/fleet:/bin/sh\n")
    # Neither pam.d nor a logind that could be asked: what they would do is done here.
    drop_in(f"user@{USER}.service", "[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=%t/user/%i\n")
    drop_in(f"user-runtime-dir@{USER}.service", "[Service]\nExecStart=\nExecStart=true\n")
    runtime = Path("/run/user", str(USER))
    runtime.mkdir(parents=True, mode=0o700)
    os.chown(runtime, USER, USER)
    ran("systemctl", "daemon-reload")
    home = LiveHome(work / "fleet" / "home")
    for path in [work / "fleet", *(work / "fleet").rglob("*")]:
        os.chown(path, USER, USER)
    try:
        ran("systemctl", "start", f"user@{USER}.service")
    except AssertionError as error:
        raise AssertionError(ran("journalctl", "--no-pager", "-n", "40")) from error
    said = of_user(work, str(BIN / "cortex"), "service", "install", "--user", "--home", home.root)
    assert "enable-linger fleet" in said
    name = unit_name(home.root)
    state = ("systemctl", "--user", "is-active", name)
    assert "active" in of_user(work, *state)
    locks = (home.paths.state / "runtime-dir").read_text()
    assert locks.startswith(f"/run/user/{USER}/cortexd/"), locks
    assert home.paths.pid.stat().st_uid == USER
    gate = Path("/run/gate-of-the-user")
    task = {"id": "mine", "command": f"until test -e {gate}; do sleep 0.05; done"}
    hidden = home.paths.inbox / ".mine.json"
    hidden.write_text(json.dumps(task))
    os.chown(hidden, USER, USER)
    hidden.rename(home.paths.inbox / "mine.json")
    before = home.until_running("mine")["session_id"]
    of_user(work, "systemctl", "--user", "restart", name)
    assert home.until_running("mine")["session_id"] == before
    gate.touch()
    (row,) = home.until_ended("mine")
    assert row["status"] == "completed"
    home.assert_started_once()
    of_user(work, str(BIN / "cortex"), "service", "uninstall", "--user", "--home", home.root)
    assert not home.home.daemon().running


def drop_in(unit: str, text: str) -> None:
    folder = Path("/etc/systemd/system", f"{unit}.d")
    folder.mkdir(parents=True)
    (folder / "of-the-test.conf").write_text(text)


def of_user(work: Path, *command: object) -> str:
    """What a command of that user says, on both streams; AssertionError where it fails."""
    drop = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--")
    done = subprocess.run(
        [*drop, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"HOME": f"{work}/fleet", "XDG_RUNTIME_DIR": f"/run/user/{USER}",
                          "USER": "fleet", "LOGNAME": "fleet"},
    )  # fmt: skip
    told = done.stdout + done.stderr
    if done.returncode:
        told += ran("journalctl", "--no-pager", "-n", "60")
    assert done.returncode == 0, f"{command}: {done.returncode}: {told}"
    return told


def main(work: Path) -> dict[str, Any]:
    """Every step with the seconds that it took; the first that fails ends it."""
    service = Service(LiveHome(work / "home-of-1"))
    took: dict[str, Any] = {}
    steps = (install, start_workers, stop_and_start, restart, kill, miss_the_watchdog, end)
    for step in (*steps, uninstall, as_a_user):
        began = time.monotonic()
        try:
            step(service)
        except BaseException:
            return {"failed": step.__name__, "error": traceback.format_exc(), "took_s": took}
        took[step.__name__] = round(time.monotonic() - began, 2)
    return {"took_s": took}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    report = {
        "canary": Path(sys.argv[2]).exists(),
        "machine": Path("/etc/machine-id").read_text(),
        "can_write_usr": os.access("/usr", os.W_OK),
    }
    for place in ("/tmp", "/etc", "/run", "/var"):
        Path(place, "canary-of-the-container").touch()
    report |= main(folder)
    (folder / "report.tmp").write_text(json.dumps(report))
    (folder / "report.tmp").rename(folder / "report.json")
