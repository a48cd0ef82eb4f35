"""One drain through the real program: a fresh home, its cortexd, N dropped files, all completed.

The end is read from the journal, where it is durable. The home is removed afterwards.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cpu_account import CpuAccount

from cortex.home import create_home
from cortex.model.paths import HomePaths

__all__ = ["Idle", "Run", "drain_cortex"]

_LOOK_S = 0.02
_STALL_S = 60.0
_IDLE_S = 5.0
_SETTLE_S = 60.0
#: Processor time in one second below which a daemon counts as idle.
_QUIET_NS = 10_000_000
_QUIET_IN_A_ROW_S = 3


@dataclass(frozen=True, slots=True)
class Idle:
    """What an idle daemon costs, its nursery included. `settled_s`: how long after the last task it
    had nothing more to do, None if it was busy for a minute still.
    """

    settled_s: float | None
    seconds: float
    wakeups_per_s: float
    cpu_ms_per_s: float
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Run:
    """One drain. `cpu_s` is that of all its processes, None where it cannot be measured."""

    number: int
    seconds: float
    cpu_s: float | None
    start_s: float = 0.0
    idle: Idle | None = None

    @property
    def speed(self) -> float:
        """Jobs a second."""
        return self.number / self.seconds

    @classmethod
    def of(cls, number: int, account: CpuAccount, drain: Callable[[], None]) -> Run:
        """Times a drain of so many jobs, with what the account says before and after it."""
        cpu_s = account.used_s()
        begin = time.perf_counter()
        drain()
        seconds = time.perf_counter() - begin
        after_s = account.used_s()
        known = after_s is not None and cpu_s is not None
        return cls(number, seconds, after_s - cpu_s if known else None)


def drain_cortex(number: int, folder: Path, parallel: int, *, watch_idle: bool = False) -> Run:
    """Drains `number` tasks; raises RuntimeError with the log's end if the daemon dies, stalls, or
    ends a task in any other way than completed.
    """
    home = folder / "home"
    paths = HomePaths(create_home(home).root)
    paths.settings.write_text(f"[limits]\ntools = {parallel}\n")
    # Written beforehand and moved in at once: the drain is timed, not this script's writing.
    waiting = _write_drops(folder, number)
    log = folder / "cortexd.log"
    with CpuAccount() as account, log.open("wb") as output:
        begin = time.perf_counter()
        argv = [str(Path(sys.executable).with_name("cortexd")), "--home", str(home)]
        daemon = subprocess.Popen(account.command(argv), stdout=output, stderr=output)
        try:
            _await(daemon, log, paths.task_queue.exists, "to start")
            start_s = time.perf_counter() - begin
            run = Run.of(number, account, lambda: _drain(daemon, log, paths, waiting, number))
            idle = _watch_idle(daemon.pid) if watch_idle else None
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    shutil.rmtree(home)
    return replace(run, start_s=start_s, idle=idle)


def _write_drops(folder: Path, number: int) -> Path:
    waiting = folder / "drops"
    waiting.mkdir()
    text = json.dumps({"command": ["true"]})
    for place in range(number):
        (waiting / f"task-{place:06d}.json").write_text(text)
    return waiting


def _drain(
    daemon: subprocess.Popen[bytes], log: Path, paths: HomePaths, waiting: Path, number: int
) -> None:
    for file in sorted(waiting.iterdir()):
        file.rename(paths.inbox / file.name)
    waiting.rmdir()
    ends = _Ends(paths)
    _await(daemon, log, lambda: ends.count() >= number, f"to complete {number} tasks", ends.count)
    if ends.failed:
        raise RuntimeError(f"{ends.failed} of {number} tasks did not complete; see {log}")


class _Ends:
    """Counts the tasks that have ended, by reading what the journal has grown."""

    def __init__(self, paths: HomePaths) -> None:
        self._folder = paths.journal
        self._read: dict[Path, int] = {}
        self._ended = 0
        self.failed = 0

    def count(self) -> int:
        """Ended tasks so far."""
        for segment in self._folder.glob("*.jsonl"):
            with segment.open("rb") as file:
                file.seek(self._read.get(segment, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[segment] = self._read.get(segment, 0) + len(whole)
            ended = whole.count(b'"event":"task_ended"')
            self._ended += ended
            if ended:
                self.failed += _failed(whole)
        return self._ended


def _failed(lines: bytes) -> int:
    return sum(
        event.get("status") != "completed"
        for line in lines.splitlines()
        if b'"event":"task_ended"' in line and b'"status":"failed"' in line
        for event in json.loads(line)["events"]
        if event["event"] == "task_ended"
    )


def _await(
    daemon: subprocess.Popen[bytes],
    log: Path,
    done: Callable[[], bool],
    what: str,
    progress: Callable[[], int] | None = None,
) -> None:
    moved, last = time.monotonic(), 0
    while not done():
        if daemon.poll() is not None or time.monotonic() - moved > _STALL_S:
            state = "ended" if daemon.poll() is not None else "made no progress"
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"cortexd {state} when it was {what}:\n{tail}")
        if progress is not None and progress() != last:
            moved, last = time.monotonic(), progress()
        time.sleep(_LOOK_S)


# --- idle


def _watch_idle(pid: int) -> Idle:
    """Waits until what follows a drain (archiving, removing folders) is over, then looks twice."""
    family = [pid, *_children(pid)]
    settled_s = _settle(family)
    switches, cpu_ns, begin = _switches(family), _cpu_ns(family), time.monotonic()
    time.sleep(_IDLE_S)
    seconds = time.monotonic() - begin
    return Idle(
        settled_s,
        seconds,
        (_switches(family) - switches) / seconds,
        (_cpu_ns(family) - cpu_ns) / 1e6 / seconds,
        _resident_kb(pid) / 1024,
    )


def _settle(family: list[int]) -> float | None:
    """Seconds until the first of three quiet seconds in a row; None if there were none."""
    begin = time.monotonic()
    quiet_s = 0
    while time.monotonic() - begin < _SETTLE_S:
        cpu_ns = _cpu_ns(family)
        time.sleep(1.0)
        quiet_s = quiet_s + 1 if _cpu_ns(family) - cpu_ns < _QUIET_NS else 0
        if quiet_s == _QUIET_IN_A_ROW_S:
            return time.monotonic() - begin - quiet_s
    return None


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _switches(pids: list[int]) -> int:
    """Times that any thread was given the processor after it had waited or was interrupted."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if "ctxt_switches" in line
    )


def _cpu_ns(pids: list[int]) -> int:
    return sum(
        int(schedstat.read_text().split()[0])
        for pid in pids
        for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
