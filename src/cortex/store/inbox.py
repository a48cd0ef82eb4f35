"""Finds dropped files, claims those that are complete, and reads them.

Runs in an effect thread: values in, values out. A file is claimed by a rename into
`inbox/.intake/NUMBER-NAME`, and the folders are synced before the claims are given out, so that
no drop can turn up twice under two receipts. What a drop asks for is not judged here.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cortex.model.failpoints import failpoint
from cortex.model.paths import DOCUMENT_NAMES, HomePaths
from cortex.model.seams import Disk, FileStat
from cortex.store.claiming import (
    SETTLED_S,
    Known,
    ScanResult,
    ScanUnderWay,
    Seen,
    StopScan,
    drop_of,
    is_what_was_read,
    read_claimed,
    too_large,
    unread_drop,
    unreadable,
)
from cortex.store.disk import write_all
from cortex.store.drop import (
    MAX_DROP_BYTES,
    Drop,
    Problem,
    is_left_alone,
    quoted,
    read_payloads,
    short_name,
    split_intake_name,
)
from cortex.store.rejecting import ERROR_ENDING, error_document

__all__ = ["Known", "ScanResult", "Seen", "leftovers", "scan"]

_LISTS_OF_DOCUMENTS = (
    "tasks",
    "active_workers",
    "completed_workers",
    "failed_workers",
    "handoffs",
    "escalations",
    "scheduled_workers",
)


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
    work = ScanUnderWay(disk, paths, now_ns, monotonic_s, at, known, ScanResult(next_number))
    for folder in (paths.inbox, paths.intake):
        disk.mkdir(folder)
    try:
        _look_through(work, limit)
    except (StopScan, OSError) as stop:
        # What is claimed already is given out in any case: nobody else would find it.
        work.found.faults.append(str(stop))
        work.wait(SETTLED_S)
    work.sync_folders()
    failpoint("drop.claims_synced")
    return work.found


def leftovers(disk: Disk, paths: HomePaths) -> list[Drop]:
    """What the last life had claimed and not finished, in the order of its claims. The journal
    tells by the receipt which of them are accepted already. OSError where that can't be said."""
    try:
        names = disk.listdir(paths.intake)
    except FileNotFoundError:
        return []
    if names:
        # The last life may have ended between a claim and its sync; see `sync_folders`.
        for folder in (paths.intake, paths.inbox, paths.coordination):
            disk.fsync_dir(folder)
    found = []
    for name in sorted(names):
        parts = split_intake_name(name)
        if parts is not None:
            found.append(read_claimed(disk, paths.intake / name, *parts))
    return found


def _look_through(work: ScanUnderWay, limit: int) -> None:
    for name in _by_arrival(work, work.paths.inbox, work.disk.listdir(work.paths.inbox)):
        if not is_left_alone(name):
            work.look(work.paths.inbox / name, name, _examine_in_inbox, limit)
    try:
        names = set(work.disk.listdir(work.paths.coordination))
    except FileNotFoundError:
        return
    straight = [name for name in names if _may_be_straight_drop(name)]
    for name in _by_arrival(work, work.paths.coordination, straight):
        noted = _note_name(name) in names
        work.look(
            work.paths.coordination / name,
            name,
            _examine_noted if noted else _examine_straight,
            limit,
        )


def _by_arrival(work: ScanUnderWay, folder: Path, names: Iterable[str]) -> list[str]:
    """The names as they came (ctime: a copy's last write, a move's rename), so that a cancel
    dropped after its task is read after it."""
    arrived = []
    for name in names:
        with contextlib.suppress(OSError):
            arrived.append((work.disk.stat(folder / name).ctime_ns, name))
    return [name for _, name in sorted(arrived)]


def _may_be_straight_drop(name: str) -> bool:
    return (
        name.endswith(".json")
        and not name.endswith(ERROR_ENDING)
        and name not in DOCUMENT_NAMES
        and not is_left_alone(name)
    )


def _note_name(name: str) -> str:
    return short_name(name, 255 - len(ERROR_ENDING)) + ERROR_ENDING


def _examine_in_inbox(work: ScanUnderWay, path: Path, name: str) -> None:
    stat = work.disk.stat(path)
    if stat.kind != "file":
        _claim_oddity(work, path, name, stat)
        return
    try:
        handle = work.disk.open_read(path)
    except PermissionError:
        if work.has_rested(path, stat):
            _claim_unread(work, path, name, stat, unreadable())
        return
    try:
        _examine_open(work, path, name, handle)
    finally:
        work.disk.close(handle)


def _examine_noted(work: ScanUnderWay, path: Path, name: str) -> None:
    """A file beside a note about it is looked at again only once it has changed after the note."""
    note = work.disk.stat(path.with_name(_note_name(name)))
    if work.disk.stat(path).ctime_ns > note.mtime_ns:
        _examine_straight(work, path, name)


def _examine_straight(work: ScanUnderWay, path: Path, name: str) -> None:
    """A file right in coordination/: a stranger's until it has been quiet for a second."""
    stat = work.disk.stat(path)
    if stat.kind == "file" and not work.has_rested(path, stat):
        return
    if stat.kind == "file" and stat.size <= MAX_DROP_BYTES and _is_document(work, path, name):
        _leave_note(work, path, name)
        return
    _examine_in_inbox(work, path, name)


def _examine_open(work: ScanUnderWay, path: Path, name: str, handle: int) -> None:
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
        _claim_unread(work, path, name, stat, too_large(stat.size))
        return
    data = work.disk.read_at(handle, MAX_DROP_BYTES + 1, 0)
    content = read_payloads(name, data)
    if isinstance(content, Problem) and rest_s > 0:
        work.wait(rest_s)
        return  # half-written, perhaps by one who opens and closes it again and again
    if _is_old_note(name, content):
        return
    number, target = work.claim(path, name)
    if is_what_was_read(work.disk, handle, target, stat, has_leases=writer is not None):
        work.give(drop_of(number, name, target, data, content))
        return
    try:
        work.put_back(number, path, target)
        work.wait(0.05)
    except FileExistsError:
        # Its place is taken by a newer file, so this one is as complete as it will ever be.
        work.give(read_claimed(work.disk, target, number, name))


def _is_old_note(name: str, content: Any) -> bool:
    """A reason that came back from rejected/ together with its file is no task."""
    if not name.endswith(ERROR_ENDING) or isinstance(content, Problem):
        return False
    payload: dict[str, Any] = content[0][0]
    return {"file", "reason", "receipt"} <= payload.keys()


def _claim_oddity(work: ScanUnderWay, path: Path, name: str, stat: FileStat) -> None:
    if stat.kind == "folder" and not work.has_rested(path, stat):
        return
    problem = Problem(
        f"a {stat.kind} was dropped; it was neither opened nor followed",
        hint="drop a regular file that holds JSON, YAML or JSON Lines",
    )
    _claim_unread(work, path, name, stat, problem)


def _claim_unread(
    work: ScanUnderWay, path: Path, name: str, stat: FileStat, problem: Problem
) -> None:
    number, target = work.claim(path, name)
    work.give(unread_drop(number, name, target, stat.size, problem))


def _is_document(work: ScanUnderWay, path: Path, name: str) -> bool:
    """Whether the file looks like one of the published documents, or a copy of one."""
    try:
        content = read_payloads(name, work.disk.read(path))
    except PermissionError:
        return False
    if isinstance(content, Problem):
        return False
    value = content[0][0]
    if "kind" in value:
        return False  # a request says of itself what it is; one to edit has a document's list
    if any(isinstance(value.get(key), list) for key in _LISTS_OF_DOCUMENTS):
        return True
    return "masters" in value and "worker_pool" in value


def _leave_note(work: ScanUnderWay, path: Path, name: str) -> None:
    problem = Problem(
        "this looks like a document of Cortex, not like a task; it was left alone",
        hint="edit the document of that kind in place, or drop single tasks into inbox/",
    )
    note = path.with_name(_note_name(name))
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
