"""Removes what is older than `retention_days`: dated folders of logs, and refused drops.

Works below folders that are given, entry by entry, and follows no link: a link in the place of an
entry goes itself, a link in the place of a day is left alone. What must stay is named by the
caller; what is due when is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex.model.seams import Disk

__all__ = ["Removed", "clear_attempts", "remove_days", "remove_rejected", "stale_attempts"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_REASON = ".error.json"


@dataclass(frozen=True, slots=True)
class Removed:
    """How many entries went, and whether more are due that the limit left for the next time."""

    count: int
    more: bool


def remove_days(folder: Path, before: str, keep: Collection[str], limit: int) -> Removed:
    """Removes the entries of days before `before` (YYYY-MM-DD), at most `limit`, and empty days.

    `keep` are entries `DAY/NAME` that stay. OSError if the folder cannot be read; an entry that
    cannot be removed is passed over, and tried again with the next sweep.
    """
    count = 0
    try:
        days = sorted(day for day in os.listdir(folder) if _DAY.fullmatch(day) and day < before)  # noqa: PTH208
    except FileNotFoundError:
        return Removed(0, False)
    for day in days:
        with _open_folder(folder / day) as handle:
            if handle is None:
                continue
            for name in sorted(os.listdir(handle)):  # noqa: PTH208
                if f"{day}/{name}" in keep:
                    continue
                if count == limit:
                    return Removed(count, True)
                count += _remove(name, handle)
        with contextlib.suppress(OSError):
            (folder / day).rmdir()
    return Removed(count, False)


@contextlib.contextmanager
def _open_folder(path: Path) -> Iterator[int | None]:
    """The folder's descriptor; None where there is none, or a link in its place."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(path, flags)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _remove(name: str, folder: int) -> bool:
    """Removes one entry; rmtree with a descriptor follows no link on its way down."""
    try:
        try:
            os.unlink(name, dir_fd=folder)
        except (IsADirectoryError, PermissionError):
            shutil.rmtree(name, dir_fd=folder)
    except OSError:
        return False
    return True


def remove_rejected(disk: Disk, folder: Path, before_ns: int, limit: int) -> Removed:
    """Removes refused drops whose reason was written before an instant, with their reasons.

    The drop goes first: without it, the reason is found again. A drop without a reason stays.
    """
    try:
        names = disk.listdir(folder)
    except FileNotFoundError:
        return Removed(0, False)
    count = 0
    for name in sorted(name for name in names if name.endswith(_REASON)):
        reason, drop = folder / name, folder / name.removesuffix(_REASON)
        try:
            stat = disk.stat(reason)
            if stat.kind != "file" or stat.mtime_ns >= before_ns:
                continue
            if count == limit:
                return Removed(count, True)
            if drop.name in names and disk.stat(drop).kind == "folder":
                shutil.rmtree(drop)
            disk.remove_all([drop])
            disk.remove_all([reason])
        except OSError:
            continue
        count += 1
    return Removed(count, False)


def stale_attempts(*folders: Path) -> list[str]:
    """The names of workers that have files in these folders, whoever they are."""
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            found.update(name.removesuffix(".json") for name in os.listdir(folder))  # noqa: PTH208
    return sorted(found)


def clear_attempts(
    attempts: Path, specs: Path, names: Collection[str], forget: Callable[[str], None]
) -> None:
    """Removes exit records and live specs of workers that are over; twice is no harm."""
    for name in names:
        forget(f"{attempts}/{name}")
        for path in (attempts / name / "exit.json", specs / f"{name}.json"):
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):
            (attempts / name).rmdir()
