"""Removes what is older than `retention_days`: dated logs, refused drops, unused mirrors.

Works below folders that are given, entry by entry, and follows no link: a link in the place of an
entry goes itself, a link in the place of a day is left alone. What must stay is named by the
caller; what is due when is not decided here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex.model.seams import Disk

__all__ = [
    "Removed",
    "clear_attempts",
    "remove_days",
    "remove_mirrors",
    "remove_rejected",
    "stale_attempts",
]

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
            _remove_tree(name, folder)
    except OSError:
        return False
    return True


def _remove_tree(name: str, folder: int) -> None:
    try:
        shutil.rmtree(name, dir_fd=folder)
    except PermissionError:
        # Go's modules lie in folders that not even their owner may write to, and others may too.
        for _, _, _, handle in os.fwalk(name, dir_fd=folder):
            os.fchmod(handle, 0o700)
        shutil.rmtree(name, dir_fd=folder)


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


def remove_mirrors(folder: Path, before_ns: int, limit: int) -> Removed:
    """Removes mirrors that nobody has used since an instant, and ones that were put aside damaged.

    One that somebody uses or writes to is passed over: workers and the program that keeps branches
    hold locks (flock) on `NAME.use` and `NAME.lock` beside `NAME.git`.
    """
    count = 0
    for name in sorted({path.stem for path in folder.glob("*.lock")}):
        files = folder / f"{name}.lock", folder / f"{name}.use"
        if any(_mtime_ns(path) >= before_ns for path in files):
            continue
        if count == limit:
            return Removed(count, True)
        with contextlib.ExitStack() as held:
            if all(held.enter_context(_locked(path)) for path in files):
                shutil.rmtree(folder / f"{name}.git", ignore_errors=True)
                for path in files:
                    path.unlink(missing_ok=True)
                count += 1
    for path in (*folder.glob(".*.damaged"), *folder.glob(".*.new")):
        if _mtime_ns(path) < before_ns:
            shutil.rmtree(path, ignore_errors=True)
    return Removed(count, False)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether nobody else has this lock, for as long as it is held here."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _mtime_ns(path: Path) -> int:
    """0 for a file that is not there."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


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
