"""The whole of `cortex fsck`: every check of a home in one go, and the repair behind a lock.

The checks themselves are `store.history`'s, `store.leftovers`' and `care.processes`'.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from cortex.care.processes import check_processes
from cortex.control.opening import only_daemon
from cortex.home.liveness import daemon_of
from cortex.model.errors import CortexError, HomeError
from cortex.model.paths import HomePaths
from cortex.model.seams import StrPath
from cortex.runtime.attempts import is_lock_held
from cortex.store.disk import RealDisk
from cortex.store.history import Checked, check_home, state_at
from cortex.store.leftovers import check_archive, check_leftovers, check_rejected
from cortex.store.repair import Repair, Repaired

__all__ = ["Examined", "examine", "repair"]

#: A daemon at work is given this long to see what we saw before it counts as a problem.
_SETTLE_S = 1.5


@dataclass(frozen=True, slots=True)
class Examined:
    """What `examine` found, and how much it looked at."""

    checked: Checked
    serving: bool
    rejected: int
    archived: int


def examine(paths: HomePaths) -> Examined:
    """Everything that can be checked, without changing anything."""
    return _examine(paths, serving=daemon_of(paths).running)


class _LookingDisk(RealDisk):
    """The real disk without the folders that its users make where they are missing."""

    def mkdir(self, path: StrPath) -> None:
        """Makes none."""


def _examine(paths: HomePaths, *, serving: bool) -> Examined:
    disk = _LookingDisk()
    checked = check_home(disk, paths, serving=serving)
    rejected = check_rejected(paths, checked)
    check_leftovers(paths, checked.state, checked, serving=serving)
    # What something still holds is no leftover, whatever the journal says.
    checked.problems = [
        problem
        for problem in checked.problems
        if problem.repair != "aside" or not is_lock_held(problem.place)
    ]
    archived = check_archive(paths, checked)
    if not checked.damaged:
        _check_processes(paths, checked, serving)
    return Examined(checked, serving, rejected, archived)


def _check_processes(paths: HomePaths, checked: Checked, serving: bool) -> None:
    found = check_processes(paths, checked.state, serving=serving)
    if found and serving:
        # Workers start and end while we look: only what stays so is a problem.
        time.sleep(_SETTLE_S)
        try:
            again = check_processes(paths, state_at(RealDisk(), paths), serving=serving)
        except CortexError:
            again = []
        places = {problem.place for problem in again}
        found = [problem for problem in found if problem.place in places]
    checked.problems += found


def repair(paths: HomePaths) -> Repaired:
    """Checks and repairs with the home's lock held. HomeError while a daemon runs."""
    daemon = daemon_of(paths)
    if daemon.running:
        who = f"pid {daemon.pid}" if daemon.pid else "pid unknown"
        raise HomeError(
            f"{paths.root}: a daemon runs ({who}), and repairing beside it is not safe. Stop it "
            f"first (kill {daemon.pid or 'PID'}); workers live on. Nothing was changed."
        )
    paths.state.mkdir(exist_ok=True)
    with only_daemon(paths):
        checked = _examine(paths, serving=False).checked
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return Repair(RealDisk(), paths, stamp).run(checked)
