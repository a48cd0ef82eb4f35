"""The lock that lets one daemon at a time serve a home, and what to do when its file is removed.

A lock lives in a file's inode. Whoever removes the file lets a second daemon lock another one of
the same name, so the name is looked at now and then, and locked again before anybody else does.
"""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from cortex.model.errors import HomeError
from cortex.model.paths import HomePaths

__all__ = ["HomeLock"]

#: A client that only asks whether a daemon runs holds the lock for an instant.
LOCK_WAIT_S = 0.3


class HomeLock:
    """Holds the home's lock from its making to `release`."""

    def __init__(self, paths: HomePaths) -> None:
        """HomeError with the holder's pid where another daemon has it."""
        self._paths = paths
        self._locks: list[FileLock] = []
        self._take()

    def still_held(self) -> bool:
        """Whether it has been held all along; False: its file was removed, and it was taken anew.

        HomeError where another daemon was quicker: this one has to leave.
        """
        if self._seen == _identity(self._paths.lock):
            return True
        self._paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take()
        return False

    def release(self) -> None:
        """Lets the next daemon in."""
        if self._seen == _identity(self._paths.lock):  # else the pid is another daemon's
            self._paths.pid.unlink(missing_ok=True)
        for lock in self._locks:
            lock.release()

    def _take(self) -> None:
        lock = FileLock(self._paths.lock, timeout=LOCK_WAIT_S, is_singleton=False)
        try:
            lock.acquire(poll_interval=0.02)
        except Timeout:
            raise HomeError(
                f"{self._paths.root}: a cortexd is running here already, pid {self._holder()}"
            ) from None
        self._locks.append(lock)
        self._seen = _identity(self._paths.lock)
        draft = self._paths.pid.with_name(".pid.tmp")
        draft.write_text(f"{os.getpid()}\n", encoding="ascii")
        draft.replace(self._paths.pid)

    def _holder(self) -> str:
        try:
            return self._paths.pid.read_text(encoding="ascii").strip()
        except OSError:
            return "unknown"


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
