"""The daemon that the quickstart starts for its own home, and how nothing of it is left behind.

A session ends what it started and nothing else: its tasks by a dropped request, its daemon by
SIGTERM. What is shown on the way is not here.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from cortex.home import Home, Outcome, Receipt
from cortex.model.errors import CortexError

__all__ = ["DROPS", "QuickstartError", "Session"]

Row = dict[str, Any]

#: What the files are called that a quickstart drops: by it their tasks are known.
DROPS = "quickstart-*.json"
_TICK_S = 0.5
_ACCEPT_S = 30.0
_CANCEL_S = 30.0
_STOP_S = 15.0
_TAIL_LINES = 20
_ENDED = frozenset({"completed", "failed", "cancelled"})


class QuickstartError(CortexError):
    """Something that ends the quickstart: what happened, and what to do next."""


class Session:
    """One daemon on one home, from `start` to `stop`."""

    def __init__(self, home: Home, log: Path) -> None:
        self.home = home
        self.log = log
        self._daemon: subprocess.Popen[bytes] | None = None
        self._receipt: Receipt | None = None

    @property
    def pid(self) -> int | None:
        """The daemon's process id."""
        return self._daemon.pid if self._daemon else None

    def start(self) -> None:
        """Starts cortexd; QuickstartError if another one serves this home or there is none."""
        serving = self.home.daemon()
        if serving.running:
            known = f"process {serving.pid}" if serving.pid else "another process"
            raise QuickstartError(
                f"{self.home.root} is served by a cortexd already ({known}), of a quickstart that "
                f"still runs or was killed; end it with `kill {serving.pid or 'PID'}`"
            )
        program = Path(sys.executable).with_name("cortexd")
        found = str(program) if program.exists() else shutil.which("cortexd")
        if found is None:
            raise QuickstartError(f"{program} is missing; run scripts/setup again")
        env = {name: value for name, value in os.environ.items() if name != "CORTEX_HOME"}
        env.setdefault("CORTEX_DAEMON_LOG_FORMAT", "console")
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is for the quickstart, which ends the daemon in order.
            self._daemon = subprocess.Popen(
                [found, "--home", str(self.home.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )

    def check(self) -> None:
        """QuickstartError with the end of the log if the daemon has ended."""
        if self._daemon is None or self._daemon.poll() is None:
            return
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]) or "  (nothing)"
        raise QuickstartError(
            f"cortexd ended with status {self._daemon.returncode}; the end of {self.log}:\n{tail}"
        )

    def clear(self) -> int:
        """Cancels what a killed quickstart left in the home; how many tasks that were."""
        if not any(row.get("status") not in _ENDED for row in self._tasks().values()):
            for file in self.home.paths.inbox.glob(DROPS):
                file.unlink(missing_ok=True)
            return 0
        return len(self.withdraw())

    def drop(self, file: Path) -> str:
        """Copies a task file into the inbox as `cp` would, and returns the id of its task.

        QuickstartError if it is refused, or not taken up within half a minute.
        """
        self._receipt = Receipt(file.name)
        shutil.copyfile(file, self.home.paths.inbox / file.name)
        outcome = self._outcome(self._receipt, _ACCEPT_S)
        if outcome is None:
            raise QuickstartError(
                f"cortexd did not take up {file.name} within {_ACCEPT_S:g} s; see {self.log}"
            )
        if outcome.rejection is not None:
            reason = outcome.rejection.get("reason", "no reason given")
            raise QuickstartError(f"{file} was refused: {reason}")
        return str(outcome.task_ids[0])

    def _outcome(self, receipt: Receipt, limit_s: float) -> Outcome | None:
        deadline = time.monotonic() + limit_s
        with closing(self._changes()) as changes:
            for _ in changes:
                self.check()
                found = self.home.find_submitted(receipt)
                if found is not None or time.monotonic() > deadline:
                    return found
        return None

    def _changes(self) -> Any:
        """As `Home.follow`. Close it: left to the garbage collector, its end would swallow the
        exception of a signal that arrives in it.
        """
        return self.home.follow(every_s=_TICK_S)

    def withdraw(self) -> list[str]:
        """Cancels what is open of the tasks that quickstarts dropped and of what followed from
        them, and waits until none of it runs. Returns the ids of the tasks that were open.

        That includes tasks of an earlier quickstart that was killed.
        """
        waiting = list(self.home.paths.inbox.glob(DROPS))
        for file in waiting:
            file.unlink(missing_ok=True)
        if self._ended():
            return []
        if self._receipt is not None and self._receipt.name not in {file.name for file in waiting}:
            self._outcome(self._receipt, _ACCEPT_S)
        tasks = self._tasks()
        open_ids = [ident for ident, row in tasks.items() if row.get("status") not in _ENDED]
        for ident in open_ids:
            if tasks[ident].get("parent") not in open_ids:
                self.home.submit(
                    {
                        "kind": "cancel",
                        "task_id": ident,
                        "cascade": True,
                        "reason": "the quickstart is over",
                    }
                )
        if not open_ids:
            return []
        deadline = time.monotonic() + _CANCEL_S
        with closing(self._changes()) as changes:
            for _ in changes:
                if self._is_quiet() or time.monotonic() > deadline or self._ended():
                    break
        return open_ids

    def _is_quiet(self) -> bool:
        """Whether all tasks of quickstarts have ended, and no worker of theirs lives."""
        mine = self._tasks()
        live = [row for row in self.home.workers() if _alive(row) and row.get("task_id") in mine]
        return not live and all(row.get("status") in _ENDED for row in mine.values())

    def _ended(self) -> bool:
        return self._daemon is None or self._daemon.poll() is not None

    def _tasks(self) -> dict[str, Row]:
        """The dropped tasks, their follow-ups, and the children of these, by id."""
        rows = {str(row.get("id")): row for row in self.home.tasks()}
        wanted = [ident for ident, row in rows.items() if _dropped_here(row)]
        for ident in wanted:  # grows while it is walked
            row = rows.get(ident, {})
            followers = [*row.get("follow_ups", []), *row.get("children", [])]
            wanted += [other for other in followers if other in rows and other not in wanted]
        return {ident: rows[ident] for ident in wanted}

    def stop(self) -> tuple[int | None, list[int]]:
        """Ends the daemon with SIGTERM and returns its exit status and the ids of processes of this
        session that still live; both are empty of news if all is well: `(0, [])`.
        """
        if self._daemon is None:
            return None, []
        family = _descendants(self._daemon.pid)
        if self._daemon.poll() is None:
            self._daemon.terminate()
        try:
            status = self._daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            status = self._daemon.wait()
        return status, _still_alive(family, 5.0)


def _dropped_here(row: Row) -> bool:
    return fnmatch.fnmatchcase(str(row.get("source") or ""), DROPS)


def _alive(row: Row) -> bool:
    return row.get("status") in ("approved", "spawning", "running")


def _descendants(pid: int) -> dict[int, str]:
    """All processes below `pid`, each with its start time, which tells it from a later namesake."""
    parents: dict[int, int] = {}
    starts: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat_fields(int(folder.name))
        if fields:
            parents[int(folder.name)] = int(fields[1])
            starts[int(folder.name)] = fields[19]
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {child: starts[child] for child in family - {pid}}


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc(5)); empty if there is no such process
    or only its exit status is left of it.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] == "Z" else fields


def _still_alive(family: dict[int, str], patience_s: float) -> list[int]:
    deadline = time.monotonic() + patience_s
    while True:
        left = [pid for pid, start in family.items() if _is(pid, start)]
        if not left or time.monotonic() > deadline:
            return sorted(left)
        _await_one(left, 0.2)


def _is(pid: int, start: str) -> bool:
    fields = _stat_fields(pid)
    return bool(fields) and fields[19] == start


def _await_one(pids: Iterable[int], timeout_s: float) -> None:
    """Returns when the first of these ends, or after the time."""
    import select

    poll = select.poll()
    descriptors = []
    for pid in pids:
        try:
            descriptors.append(os.pidfd_open(pid))
        except OSError:
            continue
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    if descriptors:
        poll.poll(timeout_s * 1000)
    for descriptor in descriptors:
        os.close(descriptor)
