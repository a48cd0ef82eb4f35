"""What an attempt leaves in the daemon's reach: lock, claim and exit record; and sealed results.

Lock and claim mean something within one boot; the exit record outlives it. Reading them back is
the daemon's side (attempts.py).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from contextlib import suppress

from cortex.runtime.shim_log import timestamp

try:  # hashlib would pull OpenSSL into every shim
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cortex.runtime.shim_cage import Cage
    from cortex.runtime.shim_order import Order

HASHED_BYTES_AT_MOST = 64 * 1024 * 1024
SEALED_FILES_AT_MOST = 512
_SEALED_DEPTH_AT_MOST = 8
_RECORD_RETRIES_S = 900.0

# The machine was short of something; the same program may start later.
RETRYABLE = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EROFS,
    }
)


class Lock:
    """The liveness lock, held twice: by the shim, and by the program and all that it starts.

    The two descriptions are separate, so a program that unlocks its own does not free the
    shim's; both are shared locks, because who may run is decided by the claim alone.
    """

    def __init__(self, lock_dir: str) -> None:
        """Take it; raises FileNotFoundError if the attempt was forgotten meanwhile."""
        path = f"{lock_dir}/lock"
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        self._own = os.open(path, flags)
        self.for_program = os.open(path, flags)
        fcntl.flock(self._own, fcntl.LOCK_SH)
        fcntl.flock(self.for_program, fcntl.LOCK_SH)

    def is_forgotten(self) -> bool:
        """True once the daemon removed the lock file: this attempt is over."""
        return os.fstat(self._own).st_nlink == 0

    def leave_to_program(self) -> None:
        """Close the copy that the program now has."""
        os.close(self.for_program)
        self.for_program = -1

    def free(self) -> None:
        """Let go of what this process holds of it."""
        os.close(self._own)
        if self.for_program >= 0:
            os.close(self.for_program)


def win_claim(order: Order, lock: Lock, cage: Cage) -> bool:
    """Link a complete claim into place; False: somebody has it, or the attempt is over."""
    me = cage.outside.stat
    claim = {
        "by": "shim",
        "worker_id": order.worker_id,
        "nonce": order.nonce,
        "pid": me.pid,
        "start_ticks": me.start_ticks,
        "boot_id": order.boot_id,
        "pid_namespace": cage.outside.pid_namespace,
        "at": timestamp(),
        **cage.claim(),
    }
    # A stale claim of an attempt that was forgotten in between must not count: the daemon
    # removes the lock first and the claims after it.
    return link_claim(order.lock_dir, claim) and not lock.is_forgotten()


def link_claim(lock_dir: str, claim: dict[str, Any]) -> bool:
    """Win claim.N by link(2) of a complete file; False if it exists already."""
    target = f"{lock_dir}/claim.{claim['nonce']}"
    draft = f"{target}.{claim['by']}.{claim['pid']}"
    try:
        write_file(draft, json.dumps(claim).encode())
        os.link(draft, target)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft)
    return True


def ask_to_stop(lock_dir: str) -> None:
    """Put the stop file beside the lock; the SIGTERM after it makes the shim look. OSError."""
    write_file(f"{lock_dir}/stop", b"")


def is_stop_asked(lock_dir: str) -> bool:
    """True if the daemon asked for the end of this very attempt."""
    return os.path.exists(f"{lock_dir}/stop")


def write_file(path: str, data: bytes) -> None:
    """Write a whole new file; raises OSError, and FileExistsError never."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o644)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def write_exit_record(attempt_dir: str, record: dict[str, Any]) -> bool:
    """Put exit.json into place whole; False if the disk refused for a quarter of an hour.

    Everything has ended by now, and the truth about it must not be lost to a full disk.
    """
    data = json.dumps(record).encode() + b"\n"
    draft = f"{attempt_dir}/exit.json.tmp"
    deadline_s = time.monotonic() + _RECORD_RETRIES_S
    pause_s = 0.05
    while True:
        try:
            write_file(draft, data)
            os.rename(draft, f"{attempt_dir}/exit.json")
            return True
        except OSError as problem:
            if time.monotonic() > deadline_s:
                return False
            if problem.errno == errno.ENOENT:
                # Somebody removed it by hand, or a full disk had no room for it before.
                with suppress(OSError):
                    os.makedirs(attempt_dir, exist_ok=True)
        time.sleep(pause_s)
        pause_s = min(1.0, pause_s * 2)


def seal_results(worker_dir: str) -> dict[str, Any] | None:
    """Bring results.json and artifacts/ to the disk; {"sha256", "size"} of results.json or None.

    The record that will say "it ended" must never be on disk before what it speaks of. Too big
    or unsyncable results have sha256 None and a `problem`.
    """
    sealed = _seal_artifacts(f"{worker_dir}/artifacts", 0, SEALED_FILES_AT_MOST)
    results = _seal_results_file(f"{worker_dir}/results.json")
    if results is not None or sealed < SEALED_FILES_AT_MOST:
        _sync(worker_dir, os.O_DIRECTORY)
    return results


def _seal_results_file(path: str) -> dict[str, Any] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        size = 0
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        size = status.st_size
        if size > HASHED_BYTES_AT_MOST:
            return {"sha256": None, "size": size, "problem": "too large"}
        os.fsync(descriptor)
        return {"sha256": _hash(descriptor), "size": size}
    except OSError as problem:
        return {"sha256": None, "size": size, "problem": os.strerror(problem.errno or 0)}
    finally:
        os.close(descriptor)


def _hash(descriptor: int) -> str:
    digest = sha256()
    left = HASHED_BYTES_AT_MOST
    while left > 0 and (chunk := os.read(descriptor, 1 << 18)):
        digest.update(chunk)
        left -= len(chunk)
    return str(digest.hexdigest())


def _seal_artifacts(folder: str, depth: int, room: int) -> int:
    """Sync regular files below `folder`, links not followed; how much of `room` is left."""
    try:
        entries = os.scandir(folder)
    except OSError:
        return room
    before = room
    with entries:
        for entry in entries:
            if room <= 0:
                break
            if entry.is_file(follow_symlinks=False):
                _sync(entry.path, os.O_NONBLOCK)
                room -= 1
            elif depth < _SEALED_DEPTH_AT_MOST and entry.is_dir(follow_symlinks=False):
                room = _seal_artifacts(entry.path, depth + 1, room - 1)
    if room < before:
        _sync(folder, os.O_DIRECTORY)
    return room


def _sync(path: str, flags: int) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
