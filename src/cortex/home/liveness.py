"""Whether a daemon serves a home: its lock is the truth, its pid file only a name for it.

The lock is tried shared and released at once; nothing is written.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass

from cortex.model.paths import HomePaths

__all__ = ["Daemon", "daemon_of"]


@dataclass(frozen=True, slots=True)
class Daemon:
    """What is known from outside: whether one runs, and its pid where it could be read."""

    running: bool
    pid: int | None = None


def daemon_of(paths: HomePaths) -> Daemon:
    """The daemon that holds the home's lock (flock(2)), or one with `running` False."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Daemon(running=False)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return Daemon(running=True, pid=_pid(paths))
    finally:
        os.close(descriptor)
    return Daemon(running=False)


def _pid(paths: HomePaths) -> int | None:
    try:
        return int(paths.pid.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
