"""Who is this process? Identity by pid, start time and boot, and signals that hit nobody else.

Shared by the daemon and the shim, so it imports next to nothing. It knows no attempt.
"""

# ruff: noqa: PTH116, PTH208
# Loaded in every shim, for whom pathlib would be memory to copy at each fork.

from __future__ import annotations

import os
import signal

_START_TICKS_FIELD = 22
_SESSION_FIELD = 6
_FLAGS_FIELD = 9
_PF_EXITING = 0x4  # <linux/sched.h>


def read_proc(path: str, size: int = 65536) -> bytes:
    """The first `size` bytes of a file under /proc; raises OSError if the process is gone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def write_proc(path: str, text: str) -> None:
    """One write(2) of ASCII text to a file of the kernel's, which must exist; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """The kernel's id of this boot (random(4))."""
    return read_proc("/proc/sys/kernel/random/boot_id").decode("ascii").strip()


def pid_namespace() -> int:
    """The inode of this process's pid namespace: a pid means something only within it."""
    return os.stat("/proc/self/ns/pid").st_ino


class Stat:
    """The fields of /proc/PID/stat that tell one process from another (proc(5))."""

    __slots__ = ("group", "is_exiting", "parent", "pid", "session", "start_ticks", "state")

    def __init__(self, pid: int | str) -> None:
        """Read it; raises OSError if there is no such process."""
        raw = read_proc(f"/proc/{pid}/stat", 4096)
        # The command name stands in parentheses and may itself hold blanks and parentheses.
        fields = raw[raw.rindex(b")") + 2 :].split()
        self.pid = int(raw[: raw.index(b" ")])
        self.state = fields[0].decode("ascii")
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[_SESSION_FIELD - 3])
        self.is_exiting = bool(int(fields[_FLAGS_FIELD - 3]) & _PF_EXITING)
        self.start_ticks = int(fields[_START_TICKS_FIELD - 3])


def stat_or_none(pid: int | str) -> Stat | None:
    """The process's stat, or None if it is gone."""
    try:
        return Stat(pid)
    except (OSError, ValueError):
        return None


def is_alive(pid: int, start_ticks: int) -> bool:
    """True if that very process still runs (a zombie does not)."""
    stat = stat_or_none(pid)
    return stat is not None and stat.start_ticks == start_ticks and stat.state not in "ZX"


def signal_exactly(pid: int, start_ticks: int, number: int) -> bool:
    """Signal the process only if its start time matches; False if it is gone or a stranger.

    The pidfd is opened first and the start time read after it: the descriptor stays with one
    process, so a pid that is used again in between is never hit (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not is_alive(pid, start_ticks):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def all_pids() -> list[int]:
    """Every process id that /proc shows now."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
