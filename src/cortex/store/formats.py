"""Looks whether a newer version has written into a home, before anything in it is touched.

The journal and the checkpoint look after themselves; here are the files beside them. A file that a
person edited says nothing about versions and is passed over.
"""

from __future__ import annotations

import os
from pathlib import Path

from cortex.model.formats import ARCHIVE, DOCUMENT, EXIT_RECORD, FormatTooNew, refuse_newer
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.store.publish import Publisher

__all__ = ["refuse_newer_files"]

_HEAD_BYTES = 4096
_TAIL_BYTES = 1 << 20


def refuse_newer_files(disk: Disk, paths: HomePaths) -> None:
    """FormatTooNew for a published file, an archive or an exit record of a newer format."""
    _documents(disk, paths)
    _archive(disk, paths.archive)
    _exit_records(paths.attempts)


def _documents(disk: Disk, paths: HomePaths) -> None:
    publisher = Publisher(disk, paths.out)
    for path in paths.documents:
        try:
            head = _start(disk, path)
            refuse_newer(path, head, DOCUMENT)
        except FormatTooNew:
            if publisher.untouched(path):
                raise
        except OSError:
            continue


def _start(disk: Disk, path: Path) -> bytes:
    handle = disk.open_read(path)
    try:
        return disk.read_at(handle, _HEAD_BYTES, 0)
    finally:
        disk.close(handle)


def _archive(disk: Disk, folder: Path) -> None:
    """The newest line of the newest file; entries begin with their format."""
    try:
        names = sorted(name for name in disk.listdir(folder) if name.endswith(".jsonl"))
        if not names:
            return
        path = folder / names[-1]
        handle = disk.open_read(path)
        try:
            size = disk.fstat(handle).size
            tail = disk.read_at(handle, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        finally:
            disk.close(handle)
    except OSError:
        return
    last = tail[: tail.rfind(b"\n")].rpartition(b"\n")[2]
    refuse_newer(path, last[:40], ARCHIVE)


def _exit_records(attempts: Path) -> None:
    try:
        names = os.listdir(attempts)  # noqa: PTH208
    except OSError:
        return
    for name in names:
        path = attempts / name / "exit.json"
        try:
            with open(path, "rb", opener=_plainly) as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            continue
        refuse_newer(path, head, EXIT_RECORD)


def _plainly(path: str, flags: int) -> int:
    """Follows no link and waits for no FIFO."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
