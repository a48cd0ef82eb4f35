"""A small home with a real executor, for tests that drive real processes."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex.runtime.executor import ExitRecord, Launch, Limits, Report
from cortex.runtime.local import LocalExecutor
from cortex.runtime.processes import boot_id, stat_or_none
from cortex.runtime.shim_tree import children_of

DEADLINE_S = 30.0


class ShimHome:
    """One home, one executor; every worker's launch is made from a shell script.

    With containment "none" the pids that workers see are those of this machine.
    """

    def __init__(self, path: Path, containment: str = "auto") -> None:
        self.path = path
        self.containment = containment
        self.state_dir = path / ".state"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.executor = LocalExecutor(self.state_dir, containment=containment)
        self.reports: list[Report] = []

    def restart(self) -> None:
        """Another daemon on the same home."""
        self.executor.close()
        self.executor = LocalExecutor(self.state_dir, containment=self.containment)

    def close(self) -> None:
        """End what is left of its workers, and the nursery."""
        for folder in (self.state_dir / "attempts").glob("*"):
            self.executor.hunt(folder.name, str(folder))
        self.executor.close()

    def worker_dir(self, worker_id: str) -> Path:
        return self.path / "agents/logs/workers/2026-01-01" / worker_id

    def attempt_dir(self, worker_id: str) -> str:
        return str(self.state_dir / "attempts" / worker_id)

    def launch(self, worker_id: str, script: str | None = None, **changes: Any) -> Launch:
        folder = str(self.worker_dir(worker_id))
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": f"{folder}/home",
            "CORTEX_WORKER_ID": worker_id,
            "CORTEX_WORKER_DIR": folder,
            "CORTEX_RESULTS": f"{folder}/results.json",
        }
        values: dict[str, Any] = {
            "worker_id": worker_id,
            "nonce": 1,
            "attempt_dir": self.attempt_dir(worker_id),
            "lock_dir": self.attempt_dir(worker_id),
            "worker_dir": folder,
            "spec": {"worker_id": worker_id, "task_id": "task-001"},
            "spec_path": str(self.path / "worker-specs" / f"{worker_id}.json"),
            "argv": ("/bin/sh", "-c", script or "true"),
            "env": env,
            "cwd": None,
            "timeout_s": 60.0,
            "grace_s": 0.3,
            "log_limit_bytes": 1 << 20,
            "limits": Limits(),
            "title": "a test",
            "boot_id": boot_id(),
        }
        return Launch(**{**values, **changes})

    def start(self, worker_id: str, script: str | None = None, **changes: Any) -> None:
        self.executor.start([self.launch(worker_id, script, **changes)])

    def run(self, worker_id: str, script: str | None = None, **changes: Any) -> ExitRecord:
        """Start one worker and wait for its end."""
        self.start(worker_id, script, **changes)
        return self.wait_exit(worker_id)

    def run_past_timeout(self, script: str, ready: Path, **changes: Any) -> tuple[str, ExitRecord]:
        """Id and end of a worker that made the file `ready` and met its timeout then; one that met
        it before, on a busy machine, is tried again with a longer one.
        """
        for number, timeout_s in enumerate((0.3, 3.0, 20.0)):
            worker_id = f"worker-cmd-{number + 1:03d}"
            record = self.run(worker_id, script, timeout_s=timeout_s, **changes)
            if ready.exists():
                return worker_id, record
        raise AssertionError(f"never ready; {self._nursery_log()}")

    def stop_nursery(self) -> int:
        """Stops the nursery as it is now, by SIGSTOP; its pid."""
        pid = self.executor.nursery_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        self.until(lambda: (stat := stat_or_none(pid)) and stat.state == "T", "it runs on")
        return pid

    def look(self, worker_id: str) -> Any:
        folder = self.attempt_dir(worker_id)
        return self.executor.look(worker_id, folder, folder)

    def wait_exit(self, worker_id: str) -> ExitRecord:
        """Its exit record, once the lock is free too."""

        def ended() -> ExitRecord | None:
            sighting = self.look(worker_id)
            return None if sighting.lock_held else sighting.exit

        return self.until(ended, f"{worker_id} did not end")

    def wait_file(self, path: Path) -> str:
        """The text of a file, once it ends with a newline."""

        def whole() -> str | None:
            text = path.read_text() if path.exists() else ""
            return text if text.endswith("\n") else None

        return self.until(whole, f"{path} was not written")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a true value, taking in reports meanwhile."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            is_last = time.monotonic() > deadline_s
            self.reports += self.executor.poll()
            value = condition()
            if value:
                return value
            if is_last:
                raise AssertionError(f"{what}; reports: {self.reports}; {self._nursery_log()}")
            select.select(self.executor.filenos(), [], [], 0.02)

    def no_shim_is_busy(self) -> bool:
        """True once the nursery waits, and every shim of it for an order.

        The nursery is looked at first and last: what it has handed on meanwhile is work again.
        """
        nursery = self.executor.nursery_pid
        if nursery is None or not waits_in(nursery, _POLL):
            return False
        shims = children_of(str(nursery))
        idle = all(waits_in(pid, _RECV, or_gone=True) for pid in shims)
        return idle and waits_in(nursery, _POLL) and children_of(str(nursery)) == shims

    def log(self, worker_id: str) -> str:
        return (self.worker_dir(worker_id) / "log.md").read_text()

    def _nursery_log(self) -> str:
        path = self.state_dir / "nursery.log"
        return path.read_text() if path.exists() else "no nursery.log"


#: System calls in which a process waits, by their numbers on x86-64 and on ARM.
_POLL = ("7", "73")  # poll, ppoll
_RECV = ("45", "207")  # recvfrom
SLEEP = ("230", "115")  # clock_nanosleep


def waits_in(pid: int, calls: tuple[str, str], *, or_gone: bool = False) -> bool:
    """Whether a process waits in one of these system calls (/proc/PID/syscall, proc(5))."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] in calls
    except OSError:
        return or_gone


def is_running(pid: int) -> bool:
    stat = stat_or_none(pid)
    return stat is not None and stat.state not in "ZX"


def usable_python() -> str | None:
    """An interpreter that an ordinary user may run."""
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin")):
        if candidate is None:
            continue
        real = Path(candidate).resolve()
        if all(parent.stat().st_mode & 0o001 for parent in [real, *real.parents]):
            return candidate
    return None
