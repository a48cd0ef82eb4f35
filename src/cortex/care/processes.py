"""Holds the processes of this machine against a home's state: locks, claims, records, orphans.

Read-only: nothing is ended here. What a sighting means is said in words, with what will come of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cortex.model.paths import HomePaths
from cortex.model.state import LIVE, State, Worker
from cortex.runtime.attempts import is_lock_held, look
from cortex.runtime.executor import Sighting
from cortex.runtime.processes import all_pids, boot_id, read_proc
from cortex.store.history import Problem

__all__ = ["check_processes", "orphans"]

_ENVIRON_BYTES_AT_MOST = 2 * 1024 * 1024
_NEXT = "The next daemon sees to it: cortexd --home {root}"


def check_processes(paths: HomePaths, state: State, *, serving: bool) -> list[Problem]:
    """What is wrong with the workers of a state as this machine has them now."""
    boot = boot_id()
    found = []
    for ident in state.live:
        worker = state.workers[ident]
        if worker.status != "approved":
            found += _check_live(paths, worker, boot, serving)
    found += _check_ended(paths, state)
    for pid, worker_id, command in orphans(paths, state.live):
        what = f"process {pid} ({command}) belongs to {worker_id}, which has ended"
        found.append(Problem(worker_id, what, f"End it: kill -9 {pid}"))
    return found


def _check_live(paths: HomePaths, worker: Worker, boot: str, serving: bool) -> list[Problem]:
    """Words about a worker that the journal calls live, where the machine says otherwise."""
    locks = f"{worker.runtime_dir or paths.attempts}/{worker.id}"
    seen = look(worker.id, locks, f"{paths.attempts}/{worker.id}", boot)
    if seen.exit is None and seen.lock_held and seen.shim_alive and worker.boot_id == boot:
        return []
    what, harmless = _told(worker, seen, boot)
    if serving:
        remedy = "The daemon looks each second; if it stays so, restart it and report it."
        return [Problem(worker.id, what, remedy)]
    return [Problem(worker.id, what, _NEXT.format(root=paths.root), note=harmless)]


def _told(worker: Worker, seen: Sighting, boot: str) -> tuple[str, bool]:
    if seen.exit is not None:
        how = f"exit {seen.exit.code}" if seen.exit.code is not None else "a signal"
        return f"has ended ({how}) at {seen.exit.ended_at}; nobody has collected it yet", True
    if worker.boot_id != boot:
        return f"is {worker.status} since an earlier boot, so nothing of it is alive", True
    if seen.lock_held:
        return "its shim is gone and something of it is alive: nobody keeps its timeout", False
    if seen.claim is None:
        return "was told to start, and no process has claimed it yet", True
    return "nothing of it is alive and it left no exit record: it counts as lost", True


def _check_ended(paths: HomePaths, state: State) -> list[Problem]:
    """Locks that are held although their worker is over."""
    folders = {paths.attempts}
    with contextlib.suppress(OSError):
        folders.add(Path((paths.state / "runtime-dir").read_text(encoding="utf-8").strip()))
    found = []
    for folder in sorted(folders):
        for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
            worker = state.workers.get(entry.name)
            if (worker is None or worker.status not in LIVE) and is_lock_held(str(entry)):
                what = f"has ended as the journal says, yet something holds {entry}/lock"
                remedy = f"See who: fuser -v {entry}/lock"
                found.append(Problem(entry.name, what, remedy))
    return found


def orphans(paths: HomePaths, live: dict[str, None]) -> Iterator[tuple[int, str, str]]:
    """(pid, worker id, command) of living processes of this home whose worker is not live.

    Known by their environment; other users' processes cannot be seen by an ordinary user.
    """
    inside = os.fsencode(f"CORTEX_WORKER_DIR={paths.root}/")
    for pid in all_pids():
        try:
            variables = read_proc(f"/proc/{pid}/environ", _ENVIRON_BYTES_AT_MOST).split(b"\0")
            if not any(variable.startswith(inside) for variable in variables):
                continue
            command = read_proc(f"/proc/{pid}/cmdline", 200).replace(b"\0", b" ").strip()
        except OSError:
            continue
        ident = next((v[17:] for v in variables if v.startswith(b"CORTEX_WORKER_ID=")), b"?")
        worker_id = ident.decode("utf-8", "replace")
        if worker_id not in live and command:
            yield pid, worker_id, command.decode("utf-8", "replace")[:60]
