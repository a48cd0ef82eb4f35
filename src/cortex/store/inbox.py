"""Finds dropped files, claims those that are complete, and reads them.

Runs in an effect thread: values in, values out. A file is claimed by a rename into
`inbox/.intake/NUMBER-NAME`, and the folders are synced before the claims are given out, so that
no drop can turn up twice under two receipts. What a drop asks for is not judged here.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.model.paths import DOCUMENT_NAMES, HomePaths
from cortex.model.seams import Disk, FileStat
from cortex.store.disk import write_all
from cortex.store.drop import (
    MAX_DROP_BYTES,
    Drop,
    Problem,
    content_hash,
    intake_name,
    is_left_alone,
    quoted,
    read_payloads,
    short_name,
    split_intake_name,
)
from cortex.store.rejecting import ERROR_ENDING, error_document

__all__ = ["Known", "ScanResult", "Seen", "leftovers", "scan"]

SETTLED_S = 1.0
_LISTS_OF_DOCUMENTS = (
    "tasks",
    "active_workers",
    "completed_workers",
    "failed_workers",
    "handoffs",
    "escalations",
    "scheduled_workers",
)


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
    are sentences about what the system refused; such files stay where they are.
    """

    next_number: int
    drops: list[Drop] = field(default_factory=list)
    known: dict[str, Seen] = field(default_factory=dict)
    look_again_s: float | None = None
    faults: list[str] = field(default_factory=list)


def scan(
    disk: Disk,
    paths: HomePaths,
    *,
    now_ns: int,
    monotonic_s: float,
    at: str,
    next_number: int,
    known: Known,
    limit: int = 500,
) -> ScanResult:
    """Claims at most `limit` files of `coordination/inbox/` and `coordination/*.json`.

    `now_ns` is wall time and only compared with files' own times; `at` stands in notes. `known`
    is the last scan's. Folders that are missing are made again.
    """
    work = _Scan(disk, paths, now_ns, monotonic_s, at, known, ScanResult(next_number))
    for folder in (paths.inbox, paths.intake):
        disk.mkdir(folder)
    try:
        _look_through(work, limit)
    except (_StopScan, OSError) as stop:
        # What is claimed already is given out in any case: nobody else would find it.
        work.found.faults.append(str(stop))
        work.wait(SETTLED_S)
    work.sync_folders()
    return work.found


def leftovers(disk: Disk, paths: HomePaths) -> list[Drop]:
    """What the last life had claimed and not finished, in the order of its claims. The journal
    tells by the receipt which of them are accepted already."""
    try:
        names = disk.listdir(paths.intake)
    except FileNotFoundError:
        return []
    found = []
    for name in sorted(names):
        parts = split_intake_name(name)
        if parts is not None:
            found.append(_read_claimed(disk, paths.intake / name, *parts))
    return found


_Examine = Callable[["_Scan", Path, str], None]


class _StopScan(Exception):  # noqa: N818 - ends a scan early; not an error of the caller's
    """The system refuses what every further file would need too."""


def _look_through(work: "_Scan", limit: int) -> None:
    for name in sorted(work.disk.listdir(work.paths.inbox)):
        if not is_left_alone(name):
            work.look(work.paths.inbox / name, name, _examine_in_inbox, limit)
    try:
        names = set(work.disk.listdir(work.paths.coordination))
    except FileNotFoundError:
        return
    for name in sorted(names):
        if _may_be_straight_drop(name):
            noted = f"{name}{ERROR_ENDING}" in names
            work.look(
                work.paths.coordination / name,
                name,
                _examine_noted if noted else _examine_straight,
                limit,
            )


def _may_be_straight_drop(name: str) -> bool:
    return (
        name.endswith(".json")
        and not name.endswith(ERROR_ENDING)
        and name not in DOCUMENT_NAMES
        and not is_left_alone(name)
    )


@dataclass(slots=True)
class _Scan:
    """One scan under way."""

    disk: Disk
    paths: HomePaths
    now_ns: int
    monotonic_s: float
    at: str
    known: Known
    found: ScanResult
    claimed_from: set[Path] = field(default_factory=set)

    def look(self, path: Path, name: str, examine: _Examine, limit: int) -> None:
        key = str(path)
        if len(self.found.drops) >= limit:
            self.found.look_again_s = 0.0
            if key in self.known:
                self.found.known[key] = self.known[key]
            return
        try:
            examine(self, path, name)
        except FileNotFoundError:
            return  # gone or renamed since the listing
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS, errno.EDQUOT):
                raise _StopScan(f"{quoted(key)}: not taken up for now: {error.strerror}") from error
            self.found.faults.append(f"{quoted(key)}: not taken up: {error.strerror}")
            self.wait(SETTLED_S)

    def wait(self, seconds: float) -> None:
        """A look is due again after so long, or sooner."""
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
        number = self.found.next_number
        target = self.paths.intake / intake_name(number, name)
        self.disk.rename_new(path, target)
        self.found.next_number += 1
        self.found.known.pop(str(path), None)
        self.claimed_from.add(path.parent)
        return number, target

    def give(self, drop: Drop) -> None:
        self.found.drops.append(drop)

    def sync_folders(self) -> None:
        """A power cut must not undo a claim whose receipt the journal holds: the file would come
        back under its first name and be accepted a second time."""
        if not self.claimed_from:
            return
        for folder in (self.paths.intake, *sorted(self.claimed_from)):
            try:
                self.disk.fsync_dir(folder)
            except OSError as error:
                self.found.faults.append(f"{folder}: claims may not be durable: {error.strerror}")


def _examine_in_inbox(work: _Scan, path: Path, name: str) -> None:
    stat = work.disk.stat(path)
    if stat.kind != "file":
        _claim_oddity(work, path, name, stat)
        return
    try:
        handle = work.disk.open_read(path)
    except PermissionError:
        if work.has_rested(path, stat):
            _claim_unread(work, path, name, stat, _unreadable())
        return
    try:
        _examine_open(work, path, name, handle)
    finally:
        work.disk.close(handle)


def _examine_noted(work: _Scan, path: Path, name: str) -> None:
    """A file beside a note about it is looked at again only once it has changed after the note."""
    note = work.disk.stat(path.with_name(name + ERROR_ENDING))
    if work.disk.stat(path).ctime_ns > note.mtime_ns:
        _examine_straight(work, path, name)


def _examine_straight(work: _Scan, path: Path, name: str) -> None:
    """A file right in coordination/: a stranger's until it has been quiet for a second."""
    stat = work.disk.stat(path)
    if stat.kind == "file" and not work.has_rested(path, stat):
        return
    if stat.kind == "file" and stat.size <= MAX_DROP_BYTES and _is_document(work, path, name):
        _leave_note(work, path, name)
        return
    _examine_in_inbox(work, path, name)


def _examine_open(work: _Scan, path: Path, name: str, handle: int) -> None:
    stat = work.disk.fstat(handle)
    if stat.kind != "file":
        work.wait(SETTLED_S)  # exchanged for something else since the look at its name
        return
    rest_s = work.rest_s(path, stat)
    writer = work.disk.has_writer(handle)
    if writer or (writer is None and rest_s > 0):
        work.wait(SETTLED_S)
        return
    if stat.size > MAX_DROP_BYTES:
        _claim_unread(work, path, name, stat, _too_large(stat.size))
        return
    data = work.disk.read_at(handle, MAX_DROP_BYTES + 1, 0)
    content = read_payloads(name, data)
    if isinstance(content, Problem) and rest_s > 0:
        work.wait(rest_s)
        return  # half-written, perhaps by one who opens and closes it again and again
    if _is_old_note(name, content):
        return
    number, target = work.claim(path, name)
    if _is_what_was_read(work.disk, handle, target, stat, has_leases=writer is not None):
        work.give(_drop(number, name, target, data, content))
        return
    try:
        work.disk.rename_new(target, path)
        work.wait(0.05)
    except FileExistsError:
        # Its place is taken by a newer file, so this one is as complete as it will ever be.
        work.give(_read_claimed(work.disk, target, number, name))


def _is_what_was_read(
    disk: Disk, handle: int, target: Path, stat: FileStat, *, has_leases: bool
) -> bool:
    """After the rename nobody can open the file by its old name: no writer now is none for ever."""
    named = disk.stat(target)
    if named.version != stat.version or disk.fstat(handle).version != stat.version:
        return False
    return not (has_leases and disk.has_writer(handle))


def _is_old_note(name: str, content: Any) -> bool:
    """A reason that came back from rejected/ together with its file is no task."""
    if not name.endswith(ERROR_ENDING) or isinstance(content, Problem):
        return False
    payload: dict[str, Any] = content[0][0]
    return {"file", "reason", "receipt"} <= payload.keys()


def _claim_oddity(work: _Scan, path: Path, name: str, stat: FileStat) -> None:
    if stat.kind == "folder" and not work.has_rested(path, stat):
        return
    problem = Problem(
        f"a {stat.kind} was dropped; it was neither opened nor followed",
        hint="drop a regular file that holds JSON, YAML or JSON Lines",
    )
    _claim_unread(work, path, name, stat, problem)


def _claim_unread(work: _Scan, path: Path, name: str, stat: FileStat, problem: Problem) -> None:
    number, target = work.claim(path, name)
    work.give(_unread(number, name, target, stat.size, problem))


def _unreadable() -> Problem:
    return Problem("the daemon may not read this file", hint="chmod a+r it, then drop it again")


def _too_large(size: int) -> Problem:
    return Problem(
        f"the file has {size} bytes; a drop may have {MAX_DROP_BYTES}",
        hint="split it, or put the large part into a file that the task names",
    )


def _unread(number: int, name: str, target: Path, size: int, problem: Problem) -> Drop:
    return Drop(number, name, quoted(target.name), target, None, (), problem, "", size)


def _drop(number: int, name: str, target: Path, data: bytes, content: Any) -> Drop:
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


def _read_claimed(disk: Disk, target: Path, number: int, name: str) -> Drop:
    stat = disk.stat(target)
    if stat.kind != "file":
        return _unread(number, name, target, stat.size, Problem(f"a {stat.kind} was dropped"))
    if stat.size > MAX_DROP_BYTES:
        return _unread(number, name, target, stat.size, _too_large(stat.size))
    try:
        data = disk.read(target)
    except PermissionError:
        return _unread(number, name, target, stat.size, _unreadable())
    return _drop(number, name, target, data, read_payloads(name, data))


def _is_document(work: _Scan, path: Path, name: str) -> bool:
    """Whether the file looks like one of the published documents, or a copy of one."""
    try:
        content = read_payloads(name, work.disk.read(path))
    except PermissionError:
        return False
    if isinstance(content, Problem):
        return False
    value = content[0][0]
    if any(isinstance(value.get(key), list) for key in _LISTS_OF_DOCUMENTS):
        return True
    return "masters" in value and "worker_pool" in value


def _leave_note(work: _Scan, path: Path, name: str) -> None:
    problem = Problem(
        "this looks like a document of Cortex, not like a task; it was left alone",
        hint="edit the document of that kind in place, or drop single tasks into inbox/",
    )
    note = path.with_name(short_name(name, 255 - len(ERROR_ENDING)) + ERROR_ENDING)
    draft = path.with_name(".note.tmp")
    work.disk.remove_all([draft])
    handle = work.disk.create(draft)
    try:
        write_all(
            work.disk, handle, error_document(name, problem, work.at, f"left-alone-{quoted(name)}")
        )
    finally:
        work.disk.close(handle)
    work.disk.rename(draft, note)
