"""One scan of the inbox under way: which files have rested, the claims, and reading what is
claimed. Which files are looked at, and what is done with each kind, is `store.inbox`'s.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.model.failpoints import failpoint
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk, FileStat
from cortex.store.drop import (
    MAX_DROP_BYTES,
    Drop,
    Problem,
    content_hash,
    intake_name,
    quoted,
    read_payloads,
)

__all__ = [
    "SETTLED_S",
    "Known",
    "ScanResult",
    "ScanUnderWay",
    "Seen",
    "StopScan",
    "drop_of",
    "is_what_was_read",
    "read_claimed",
    "too_large",
    "unread_drop",
    "unreadable",
]

SETTLED_S = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that waits: what it looked like, and since when (monotonic) it has looked so."""

    version: tuple[int, int, int, int]
    since_s: float


Known = Mapping[str, Seen]


@dataclass(slots=True)
class ScanResult:
    """What a scan claimed, and what the next one must be told.

    `look_again_s` is None when nothing waits, 0.0 when more was ready than the limit. `faults`
    are sentences about what the system refused; such files stay where they are. `stranded` are
    numbers of files that were claimed and could not be read: they may lie in `.intake/`.
    `waiting` has the files that were left where they are, each with its size.
    """

    next_number: int
    drops: list[Drop] = field(default_factory=list)
    known: dict[str, Seen] = field(default_factory=dict)
    look_again_s: float | None = None
    faults: list[str] = field(default_factory=list)
    stranded: set[int] = field(default_factory=set)
    waiting: dict[str, int] = field(default_factory=dict)


Examine = Callable[["ScanUnderWay", Path, str], None]


class StopScan(Exception):  # noqa: N818 - ends a scan early; not an error of the caller's
    """The system refuses what every further file would need too."""


@dataclass(slots=True)
class ScanUnderWay:
    """What a scan was told, and what it has found so far."""

    disk: Disk
    paths: HomePaths
    now_ns: int
    monotonic_s: float
    at: str
    known: Known
    found: ScanResult
    claimed_from: set[Path] = field(default_factory=set)
    _waits: bool = False

    def look(self, path: Path, name: str, examine: Examine, limit: int) -> None:
        """Examines one file; a fault of it is noted and stops no other."""
        key = str(path)
        if len(self.found.drops) >= limit:
            self.found.look_again_s = 0.0
            if key in self.known:
                self.found.known[key] = self.known[key]
            return
        self._waits = False
        try:
            examine(self, path, name)
            if self._waits:
                self.found.waiting[quoted(name)] = self.disk.stat(path).size
        except FileNotFoundError:
            return  # gone or renamed since the listing
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS, errno.EDQUOT):
                raise StopScan(f"{quoted(key)}: not taken up for now: {error.strerror}") from error
            self.found.faults.append(f"{quoted(key)}: not taken up: {error.strerror}")
            self.wait(SETTLED_S)

    def wait(self, seconds: float) -> None:
        """A look is due again after so long, or sooner."""
        self._waits = True
        due = self.found.look_again_s
        self.found.look_again_s = seconds if due is None else min(due, seconds)

    def rest_s(self, path: Path, stat: FileStat) -> float:
        """How long the file must yet stay as it is to count as unchanged for a second: by its own
        times or by our looks, whichever is quicker. 0.0 when it has.

        ctime, because cp -p and the like set mtime to what they please.
        """
        age_s = (self.now_ns - stat.ctime_ns) / 1e9
        if age_s >= SETTLED_S:
            return 0.0
        seen = self.known.get(str(path))
        if seen is None or seen.version != stat.version:
            seen = Seen(stat.version, self.monotonic_s)
        self.found.known[str(path)] = seen
        rest_s = SETTLED_S - max(age_s, self.monotonic_s - seen.since_s)
        return 0.0 if rest_s <= 0 else max(rest_s, 0.05)

    def has_rested(self, path: Path, stat: FileStat) -> bool:
        """Whether it has been unchanged for a second; if not, a look is due when it will."""
        rest_s = self.rest_s(path, stat)
        if rest_s > 0:
            self.wait(rest_s)
        return rest_s == 0.0

    def claim(self, path: Path, name: str) -> tuple[int, Path]:
        """Takes the file into `.intake/`: its number, and where it lies now."""
        number = self.found.next_number
        self.found.next_number += 1
        target = self.paths.intake / intake_name(number, name)
        self.found.stranded.add(number)
        self.disk.rename_new(path, target)
        failpoint("drop.claimed")
        self.found.known.pop(str(path), None)
        self.claimed_from.add(path.parent)
        return number, target

    def give(self, drop: Drop) -> None:
        """Adds a claimed drop to what the scan found."""
        self.found.stranded.discard(drop.number)
        self.found.drops.append(drop)

    def put_back(self, number: int, path: Path, target: Path) -> None:
        """Undoes a claim; FileExistsError where a newer file has the name."""
        self.disk.rename_new(target, path)
        self.found.stranded.discard(number)

    def sync_folders(self) -> None:
        """A power cut must not undo a claim whose receipt the journal holds: the file would come
        back under its first name and be accepted a second time. Where that cannot be had the
        claims are stranded, and wait for it in `.intake/`."""
        if not self.claimed_from:
            return
        for folder in (self.paths.intake, *sorted(self.claimed_from)):
            try:
                self.disk.fsync_dir(folder)
            except OSError as error:
                self.found.faults.append(f"{folder}: claims wait: {error.strerror}")
                self.found.stranded.update(drop.number for drop in self.found.drops)
                self.found.drops.clear()
                return


def is_what_was_read(
    disk: Disk, handle: int, target: Path, stat: FileStat, *, has_leases: bool
) -> bool:
    """After the rename nobody can open the file by its old name: no writer now is none for ever."""
    named = disk.stat(target)
    if named.version != stat.version or disk.fstat(handle).version != stat.version:
        return False
    return not (has_leases and disk.has_writer(handle))


def unreadable() -> Problem:
    """For a file that only others may read."""
    return Problem("the daemon may not read this file", hint="chmod a+r it, then drop it again")


def too_large(size: int) -> Problem:
    """For a file above the limit, which is not even read."""
    return Problem(
        f"the file has {size} bytes; a drop may have {MAX_DROP_BYTES}",
        hint="split it, or put the large part into a file that the task names",
    )


def unread_drop(number: int, name: str, target: Path, size: int, problem: Problem) -> Drop:
    """A claimed drop whose content nobody looked at."""
    return Drop(number, name, quoted(target.name), target, None, (), problem, "", size)


def drop_of(number: int, name: str, target: Path, data: bytes, content: Any) -> Drop:
    """A claimed drop with its content, or with what is wrong with it."""
    problem = content if isinstance(content, Problem) else None
    payloads, lines = (None, ()) if problem else content
    return Drop(
        number,
        name,
        quoted(target.name),
        target,
        payloads,
        lines,
        problem,
        content_hash(data),
        len(data),
    )


def read_claimed(disk: Disk, target: Path, number: int, name: str) -> Drop:
    """Reads a file that lies in `.intake/` already."""
    stat = disk.stat(target)
    if stat.kind != "file":
        return unread_drop(number, name, target, stat.size, Problem(f"a {stat.kind} was dropped"))
    if stat.size > MAX_DROP_BYTES:
        return unread_drop(number, name, target, stat.size, too_large(stat.size))
    try:
        data = disk.read(target)
    except PermissionError:
        return unread_drop(number, name, target, stat.size, unreadable())
    return drop_of(number, name, target, data, read_payloads(name, data))
