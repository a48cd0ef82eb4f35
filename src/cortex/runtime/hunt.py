"""Ending what is left of a worker whose shim is gone, and never a stranger.

A process belongs to the worker if it is in the control group that the claim names, if its
environment says so, if it holds the worker's lock open, or if it shares the session or group of one
that does. A shim that was PID 1 of a namespace takes all of that along. Slow (it reads all of
/proc): for an effect thread. Whether to hunt is decided elsewhere.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortex.runtime.processes import (
    Stat,
    all_pids,
    read_proc,
    signal_exactly,
    stat_or_none,
)
from cortex.runtime.shim_groups import end_all, is_ours

__all__ = ["hunt"]

_BOUND_S = 5.0
_SIGNAL_ARRIVES_S = 0.2
_PAUSE_S = 0.01
#: A process has no environment and no open files to be read while it is in the middle of an exec.
_EMPTY_LOOKS = 2
_ENVIRON_BYTES_AT_MOST = 2 * 1024 * 1024


def hunt(
    worker_id: str, home: str, lock_path: str | None, claim: Mapping[str, Any] | None = None
) -> int:
    """SIGKILL whatever still belongs to the worker of this home; how many processes that were.

    Repeats until nothing is found, for at most 5 s: a tree may fork while it is read. Worker ids
    are unique within one home only, so the environment's CORTEX_WORKER_DIR must lie in `home`.
    `claim` is a shim's claim of this boot and this pid namespace.
    """
    ended = _hunt_marked(worker_id, home, lock_path)
    if claim is not None and _is_shim_gone(claim):
        ended += end_all([folder for folder in claim.get("cgroups", ()) if is_ours(folder)])
    return ended


def _is_shim_gone(claim: Mapping[str, Any]) -> bool:
    """Whether the claim's shim has ended, and with it its namespace, which takes a moment.

    One that lives on serves another worker by now, and its group is that one's.
    """
    started_s = time.monotonic()
    while (stat := stat_or_none(claim["pid"])) is not None:
        if stat.start_ticks != claim["start_ticks"] or stat.state in "ZX":
            return True
        bound_s = _BOUND_S if stat.is_exiting else _SIGNAL_ARRIVES_S
        if time.monotonic() - started_s >= bound_s:
            return False
        time.sleep(_PAUSE_S)
    return True


def _hunt_marked(worker_id: str, home: str, lock_path: str | None) -> int:
    ended: set[tuple[int, int]] = set()
    deadline_s = time.monotonic() + _BOUND_S
    looks_left = _EMPTY_LOOKS
    while looks_left and time.monotonic() < deadline_s:
        found = _belonging(worker_id, home, lock_path)
        looks_left = _EMPTY_LOOKS if found else looks_left - 1
        for process in found:
            if signal_exactly(process.pid, process.start_ticks, signal.SIGKILL):
                ended.add((process.pid, process.start_ticks))
        time.sleep(_PAUSE_S)
    return len(ended)


def _belonging(worker_id: str, home: str, lock_path: str | None) -> list[Stat]:
    """Every living process of the worker, but never this one or those above it."""
    spared = _own_line()
    living = [stat for pid in all_pids() if (stat := stat_or_none(pid)) is not None]
    living = [stat for stat in living if stat.state not in "ZX" and stat.pid not in spared]
    marked = [
        stat
        for stat in living
        if _says_so(stat.pid, worker_id, home)
        or (lock_path is not None and _holds(stat.pid, lock_path))
    ]
    sessions = {stat.session for stat in marked} - _sessions_of(spared)
    groups = {stat.group for stat in marked} - _groups_of(spared)
    seen = {stat.pid for stat in marked}
    return marked + [
        stat
        for stat in living
        if stat.pid not in seen and (stat.session in sessions or stat.group in groups)
    ]


def _says_so(pid: int, worker_id: str, home: str) -> bool:
    try:
        variables = read_proc(f"/proc/{pid}/environ", _ENVIRON_BYTES_AT_MOST).split(b"\0")
    except OSError:
        return False  # gone, or another user's
    if f"CORTEX_WORKER_ID={worker_id}".encode() not in variables:
        return False
    inside = os.fsencode(f"CORTEX_WORKER_DIR={home}/")
    return any(variable.startswith(inside) for variable in variables)


def _holds(pid: int, lock_path: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(str(entry.readlink()) == lock_path for entry in folder.iterdir())
    except OSError:
        return False


def _own_line() -> set[int]:
    """This process and its ancestors."""
    line = set()
    stat = stat_or_none("self")
    while stat is not None and stat.pid not in line:
        line.add(stat.pid)
        stat = stat_or_none(stat.parent) if stat.parent else None
    return line | {1}


def _sessions_of(pids: set[int]) -> set[int]:
    return {stat.session for pid in pids if (stat := stat_or_none(pid)) is not None}


def _groups_of(pids: set[int]) -> set[int]:
    return {stat.group for pid in pids if (stat := stat_or_none(pid)) is not None}
