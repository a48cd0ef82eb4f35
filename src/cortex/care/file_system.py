"""What the file system under a folder can do, tried out in a small folder that goes away again.

Each trick that the daemon relies on is tried for real: settings and names of file systems lie.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from cortex.care.finding import Finding
from cortex.store.disk import RealDisk

__all__ = ["file_system", "kind_of"]

_SECTION = "file system"
_SYNCS = 5
_SLOW_SYNC_S = 0.05
_LITTLE_BYTES = 64 * 1024 * 1024
_SCARCE_BYTES = 1024**3
#: Locks, leases and events of these are another machine's business.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs"}


def kind_of(path: Path) -> str:
    """The type of the file system that a path lies on, as mountinfo has it (proc(5))."""
    wanted = os.path.realpath(path)
    best, kind = "", "unknown"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in lines:
        fields, _, rest = line.partition(" - ")
        place = fields.split()[4].replace("\\040", " ")
        inside = wanted == place or wanted.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, rest.split()[0]
    return kind


def file_system(folder: Path) -> Iterator[Finding]:
    """Findings about the file system of an existing folder."""
    yield _kind(folder)
    yield _space(folder)
    try:
        trial = Path(tempfile.mkdtemp(prefix=".doctor-", dir=folder))
    except OSError as error:
        remedy = "Make the home writable for the user that runs cortexd."
        what = f"{folder} cannot be written: {error.strerror}"
        yield Finding(_SECTION, "writable", what, "problem", remedy)
        return
    try:
        yield _exchange(trial)
        yield _links(trial)
        yield _locks(trial)
        yield _leases(trial)
        yield _syncs(trial)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _kind(folder: Path) -> Finding:
    kind = kind_of(folder)
    if kind in _NETWORK or kind.startswith("fuse"):
        remedy = (
            "Keep the home on a local disk: others may hold its locks, and no event tells of drops "
            "from another machine (they are found by looking, within two seconds)."
        )
        return Finding(_SECTION, "type", f"{kind}, a network or user-space one", "warn", remedy)
    if kind == "tmpfs":
        remedy = "A home here is gone after a restart of the machine; keep it on a disk."
        return Finding(_SECTION, "type", "tmpfs", "warn", remedy)
    return Finding(_SECTION, "type", kind)


def _space(folder: Path) -> Finding:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    total = max(1, status.f_blocks * status.f_frsize)
    told = f"{_size(free)} free of {_size(total)}"
    if status.f_files and status.f_favail < 1000:
        remedy = "Delete small files: each task makes about ten."
        return Finding(_SECTION, "space", f"{status.f_favail} inodes left", "problem", remedy)
    if free < _LITTLE_BYTES:
        remedy = "Free some: when nothing is left, nothing new is started."
        return Finding(_SECTION, "space", told, "problem", remedy)
    if free < _SCARCE_BYTES:
        remedy = "It is little for logs and reports; lower retention.retention_days or free some."
        return Finding(_SECTION, "space", told, "warn", remedy)
    return Finding(_SECTION, "space", told)


def _size(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _exchange(trial: Path) -> Finding:
    one, other = trial / "one", trial / "other"
    one.write_text("1", encoding="ascii")
    other.write_text("2", encoding="ascii")
    try:
        RealDisk().exchange(one, other)
    except OSError as error:
        remedy = (
            "Files are published by compare and rename then: an edit that lands in between is "
            "lost. Use ext4, xfs, btrfs or tmpfs, or edit through the inbox only."
        )
        what = f"RENAME_EXCHANGE fails ({error.strerror})"
        return Finding(_SECTION, "exchange", what, "warn", remedy)
    swapped = one.read_text(encoding="ascii") == "2"
    return Finding(_SECTION, "exchange", "names can be swapped", "ok" if swapped else "problem")


def _links(trial: Path) -> Finding:
    """Claims are won by linking a complete file: whoever comes second is refused."""
    source, target = trial / "draft", trial / "claim"
    source.write_text("x", encoding="ascii")
    try:
        target.hardlink_to(source)
        try:
            target.hardlink_to(source)
        except FileExistsError:
            pass
        else:
            remedy = "Two daemons could start one attempt here; choose another file system."
            return Finding(_SECTION, "links", "a second link is not refused", "problem", remedy)
    except OSError as error:
        remedy = "Claims need hard links. Set daemon.runtime_dir to a folder on a local disk."
        what = f"no hard links ({error.strerror})"
        return Finding(_SECTION, "links", what, "problem", remedy)
    try:
        os.close(os.open(trial, os.O_TMPFILE | os.O_WRONLY, 0o600))
        unnamed = "and unnamed files"
    except OSError:
        unnamed = "no unnamed files (O_TMPFILE), which is fine"
    return Finding(_SECTION, "links", f"hard links {unnamed}")


def _locks(trial: Path) -> Finding:
    """flock(2) between two openings of one file, as between two daemons."""
    path = trial / "lock"
    first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Finding(_SECTION, "locks", "flock keeps a second one out")
        what = "flock does not keep a second one out"
    except OSError as error:
        what = f"no flock ({error.strerror})"
    finally:
        os.close(first)
        os.close(second)
    remedy = "Two daemons could serve this home at once; move it to a local disk."
    return Finding(_SECTION, "locks", what, "problem", remedy)


def _leases(trial: Path) -> Finding:
    """A read lease tells whether a drop is still being written."""
    path = trial / "lease"
    path.write_text("x", encoding="ascii")
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        remedy = "Drops are taken once they were unchanged for a second; nothing else changes."
        return Finding(_SECTION, "leases", f"none ({error.strerror})", "warn", remedy)
    finally:
        os.close(handle)
    return Finding(_SECTION, "leases", "a finished drop is seen at once")


def _syncs(trial: Path) -> Finding:
    handle = os.open(trial / "sync", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    times = []
    try:
        for _ in range(_SYNCS):
            os.write(handle, b"x" * 512)
            began = time.perf_counter()
            os.fdatasync(handle)
            times.append(time.perf_counter() - began)
    finally:
        os.close(handle)
    took = median(times)
    told = f"fdatasync takes {took * 1000:.2f} ms"
    if took > _SLOW_SYNC_S:
        remedy = "Each turn of the daemon waits for one; a faster disk makes everything quicker."
        return Finding(_SECTION, "sync", told, "warn", remedy)
    return Finding(_SECTION, "sync", told)
