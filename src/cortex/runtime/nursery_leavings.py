"""What is left of shims that have ended: their control groups, and what a killed one let go.

The nursery is a subreaper above its shims, so it inherits what a killed one held together.
Loaded in every shim, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal

from cortex.runtime.processes import signal_exactly, stat_or_none
from cortex.runtime.shim_groups import remove
from cortex.runtime.shim_tree import children_of

_TRIES_AT_MOST = 50


class Leavings:
    """Of one nursery; `tidy` it about ten times a second while `are_left`."""

    def __init__(self) -> None:
        self._shims: list[tuple[int, int, list[str]]] = []
        self._found_orphans = False

    @property
    def are_left(self) -> bool:
        """Whether there may be something to tidy."""
        return bool(self._shims) or self._found_orphans

    def add(self, pid: int, folders: list[str]) -> None:
        """A shim has let go of its line, and ends or has ended; `folders` were its groups."""
        self._shims.append((0, pid, folders))

    def tidy(self, shims: set[int]) -> None:
        """Remove groups, and end every child that is neither one of `shims` nor about to end.

        A group that stays, because somebody lives in it, is for a hunt and the next sweep.
        """
        self._shims = [
            (tries + 1, pid, folders)
            for tries, pid, folders in self._shims
            if tries < _TRIES_AT_MOST and not (_is_gone(pid) and remove(folders))
        ]
        ending = {pid for _tries, pid, _folders in self._shims}
        orphans = [pid for pid in children_of("self") if pid not in shims | ending]
        for pid in orphans:
            _end(pid)
        self._found_orphans = bool(orphans)


def _is_gone(pid: int) -> bool:
    stat = stat_or_none(pid)
    return stat is None or stat.parent != os.getpid() or stat.state in "ZX"


def _end(pid: int) -> None:
    stat = stat_or_none(pid)
    if stat is not None and stat.parent == os.getpid():
        signal_exactly(pid, stat.start_ticks, signal.SIGKILL)
