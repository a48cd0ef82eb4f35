"""The daemon's view of one attempt's files: its claims, its liveness lock, its exit record.

Reads and wins claims; what a sighting means for the worker is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

from cortex.model.failpoints import failpoint
from cortex.model.formats import EXIT_RECORD, FormatTooNew
from cortex.runtime.executor import ExitRecord, Sighting
from cortex.runtime.processes import Stat, is_alive, pid_namespace
from cortex.runtime.shim_log import timestamp
from cortex.runtime.shim_record import link_claim

__all__ = ["allow_start", "claim_for_daemon", "forget", "look", "read_claim", "read_exit_record"]

_RECORD_BYTES_AT_MOST = 256 * 1024
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def allow_start(lock_dir: str) -> None:
    """Create the lock file; a shim that finds none does not run. Raises OSError.

    Only the daemon creates it, so a shim that was late by hours cannot start an attempt that
    was given up and forgotten.
    """
    path = f"{lock_dir}/lock"
    flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        Path(lock_dir).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    os.close(descriptor)


def look(worker_id: str, lock_dir: str, attempt_dir: str, boot_id: str) -> Sighting:
    """One attempt as it is now.

    The order matters. A claim seen before a free lock means that the shim ended, since it locks
    before it claims; an exit record is read after the lock, since it is written before the
    lock is freed. In another order a living or a well-ended worker could look lost.
    """
    claim = read_claim(worker_id, lock_dir)
    held = is_lock_held(lock_dir)
    record = read_exit_record(worker_id, attempt_dir)
    shim_alive = held and claim is not None and _is_shim_alive(claim, boot_id)
    return Sighting(claim=claim, lock_held=held, exit=record, shim_alive=shim_alive)


def read_claim(worker_id: str, lock_dir: str) -> dict[str, Any] | None:
    """The claim with the highest number, or None."""
    try:
        names = os.listdir(lock_dir)  # noqa: PTH208
    except OSError:
        return None
    # A start that the machine had no room for is given up and not counted: there is no last number.
    endings = [name.removeprefix("claim.") for name in names if name.startswith("claim.")]
    for nonce in sorted((int(ending) for ending in endings if ending.isdecimal()), reverse=True):
        claim = _read_document(f"{lock_dir}/claim.{nonce}", worker_id)
        if claim is not None and claim.get("nonce") == nonce:
            return claim
    return None


def claim_for_daemon(worker_id: str, lock_dir: str, nonce: int, boot_id: str) -> bool:
    """Win claim `nonce` by link(2); False if somebody has it. Raises OSError."""
    Path(lock_dir).mkdir(parents=True, exist_ok=True)
    me = Stat("self")
    claim = {
        "by": "daemon",
        "worker_id": worker_id,
        "nonce": nonce,
        # Effect threads may try at once, and each needs a draft of its own.
        "pid": me.pid,
        "thread": threading.get_ident(),
        "start_ticks": me.start_ticks,
        "boot_id": boot_id,
        "pid_namespace": pid_namespace(),
        "at": timestamp(),
    }
    won = link_claim(lock_dir, claim)
    failpoint("give_up.claimed")
    return won


def read_exit_record(worker_id: str, attempt_dir: str) -> ExitRecord | None:
    """The attempt's exit record; None if there is none, or none that is whole.

    Raises FormatTooNew where a newer version's shim wrote it.
    """
    document = _read_document(f"{attempt_dir}/exit.json", worker_id)
    if document is None:
        return None
    if document.get("format", 1) > EXIT_RECORD:
        raise FormatTooNew(f"{attempt_dir}/exit.json", document["format"], EXIT_RECORD)
    try:
        known = ExitRecord.__dataclass_fields__.keys() & document.keys()
        return ExitRecord(**{name: document[name] for name in known})
    except TypeError:  # a field is missing
        return None


def forget(lock_dir: str, keep_folder: bool) -> None:
    """Remove the lock first, then the claims: a late shim that wins one sees the lock gone."""
    folder = Path(lock_dir)
    (folder / "lock").unlink(missing_ok=True)
    failpoint("forget.lock_gone")
    for rest in [*folder.glob("claim.*"), folder / "stop"]:
        rest.unlink(missing_ok=True)
    if not keep_folder:
        with contextlib.suppress(OSError):  # not empty or gone: no shim can start there
            folder.rmdir()


def is_lock_held(lock_dir: str) -> bool:
    """True if a shim or something of its worker's tree may be alive."""
    try:
        descriptor = os.open(f"{lock_dir}/lock", _READ_FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_shim_alive(claim: dict[str, Any], boot_id: str) -> bool:
    if claim.get("by") != "shim" or claim.get("boot_id") != boot_id:
        return False
    pid, start_ticks = claim.get("pid"), claim.get("start_ticks")
    return isinstance(pid, int) and isinstance(start_ticks, int) and is_alive(pid, start_ticks)


def _read_document(path: str, worker_id: str) -> dict[str, Any] | None:
    """A small JSON object about this worker, or None; never blocks, follows no link."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = os.read(descriptor, _RECORD_BYTES_AT_MOST)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None  # torn by a power cut: as good as none
    if not isinstance(document, dict) or document.get("worker_id") != worker_id:
        return None
    return document
