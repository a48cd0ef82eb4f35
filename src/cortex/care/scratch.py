"""A scratch home with a daemon of its own, for trying things that nobody does to a real one.

The daemon and all that it starts belong to whoever made the scratch home, and end with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cortex.home.create import create_home
from cortex.model.paths import HomePaths
from cortex.runtime.processes import all_pids, read_proc
from cortex.store.disk import RealDisk
from cortex.store.publish import Publisher

__all__ = ["Scratch"]

_LOOK_S = 0.02
_STOP_S = 10.0
_ENVIRON_BYTES_AT_MOST = 2 * 1024 * 1024


class Scratch:
    """One scratch home. `settings` is the text of its cortex.toml, `log` where its daemons say
    what they do (None: in the home)."""

    def __init__(self, root: Path, settings: str, log: Path | None = None) -> None:
        self.root = create_home(root).root.resolve()
        self.paths = HomePaths(self.root)
        self.paths.settings.write_text(settings, encoding="utf-8")
        self.deaths: list[str] = []
        self.log = log or self.root / "cortexd.log"
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts a daemon and waits for nothing."""
        clean = {name: value for name, value in os.environ.items() if name[:7] != "CORTEX_"}
        command = [sys.executable, "-m", "cortex.serving", "--home", str(self.root)]
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean
            )

    @property
    def runs(self) -> bool:
        """Whether the daemon lives; one that died by itself is put down in `deaths`."""
        daemon = self._daemon
        if daemon is None:
            return False
        if daemon.poll() is None:
            return True
        self._daemon = None
        last = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        self.deaths.append(f"exit {daemon.returncode}: {''.join(last)[:300]}")
        return False

    def published(self) -> bool:
        """Whether the daemon that was started last has published."""
        daemon = self._daemon
        if not self.runs or daemon is None:
            return False
        try:
            about = json.loads(self.paths.task_queue.read_bytes())["daemon"]
            return bool(about["pid"] == daemon.pid and about["status"] == "running")
        except (OSError, ValueError, KeyError):
            return False

    def serves(self) -> bool:
        """Whether it has published, and nobody edited that since."""
        publisher = Publisher(RealDisk(), self.paths.out)
        return self.published() and publisher.untouched(self.paths.task_queue)

    def kill(self) -> None:
        """kill -9 of the daemon, at whatever it is doing."""
        if self.runs and self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def stop(self) -> None:
        """SIGTERM, as an operator would."""
        if not self.runs or self._daemon is None:
            return
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.deaths.append(f"it did not leave within {_STOP_S:.0f} s of SIGTERM")
            self._daemon.kill()
            self._daemon.wait()
        self._daemon = None

    def drop(self, payload: dict[str, object]) -> None:
        """Puts a task file into the inbox whole, as `mv` does."""
        name = f"{payload['id']}.json"
        hidden = self.paths.inbox / f".{name}.tmp"
        hidden.write_text(json.dumps(payload), encoding="utf-8")
        hidden.rename(self.paths.inbox / name)

    def edit_title(self, ident: str, title: str) -> bool:
        """Gives a task another title in task-queue.json, as an editor saves; False if it is not
        there."""
        path = self.paths.task_queue
        try:
            queue = json.loads(path.read_bytes())
            row = next(row for row in queue["tasks"] if row["id"] == ident)
        except (OSError, ValueError, KeyError, StopIteration):
            return False
        row["title"] = title
        draft = path.with_name(".edited.tmp")
        draft.write_text(json.dumps(queue, indent=2), encoding="utf-8")
        draft.rename(path)
        return True

    def rows(self) -> list[dict[str, object]]:
        """The published tasks; none where the file is not there or somebody's edit."""
        try:
            rows = json.loads(self.paths.task_queue.read_bytes())["tasks"]
        except (OSError, ValueError, KeyError):
            return []
        return [row for row in rows if isinstance(row, dict)]

    def is_idle(self) -> bool:
        """Whether nothing waits, lives or is still to be cleared away, as published."""
        try:
            pool = json.loads(self.paths.worker_pool.read_bytes())
            waits = pool["active_workers"] or pool["queued_workers"]
        except (OSError, ValueError, KeyError):
            return False
        return not waits and not any(self.paths.attempts.iterdir())

    def until(self, condition: Callable[[], object], deadline: float) -> bool:
        """Whether the condition came true before the deadline (monotonic seconds)."""
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def close(self) -> None:
        """Ends the daemon and every process that it left."""
        self.stop()
        for pid in self._own():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if self._daemon is not None:
            self._daemon.wait(_STOP_S)

    def _own(self) -> list[int]:
        """Processes that have this home in their environment or command line."""
        mark = os.fsencode(f"{self.root}/")
        found = []
        for pid in all_pids():
            if pid == os.getpid():
                continue
            try:
                environ = read_proc(f"/proc/{pid}/environ", _ENVIRON_BYTES_AT_MOST)
                command = read_proc(f"/proc/{pid}/cmdline", 65536)
            except OSError:
                continue
            inside = b"CORTEX_WORKER_DIR=" + mark in environ
            if inside or (b"cortex" in command and mark in command):
                found.append(pid)
        return found
