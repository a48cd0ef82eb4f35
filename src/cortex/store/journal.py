"""The journal: the one truth. Lines are appended to day segments and made durable together.

`recover` reads what the last life left, cuts a torn tail and makes sure that every line that is
believed is really on the disk; `Journal` appends. What events mean is not known here.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex.model.failpoints import failpoint
from cortex.model.formats import JOURNAL
from cortex.model.journal_line import FIRST_PREV, Line, encode
from cortex.model.seams import Disk
from cortex.store.disk import write_all
from cortex.store.journal_errors import JournalBroken, JournalFull, is_passing
from cortex.store.journal_scan import (
    JournalPosition,
    LaterTraces,
    Scan,
    raise_if_damaged,
    read_from,
    scan,
)

__all__ = ["Journal", "Recovered", "Torn", "recover"]

BALLAST_BYTES = 1024 * 1024
_NO_TIME = "0000-00-00T00:00:00.000Z"

# Asked for the state as of the line before, as JSON, when a new segment begins: its first line
# holds it, so that a day can be replayed from its own segment. None: there is nothing before.
SegmentOpening = Callable[[], bytes | None]
_OPENING = "the day begins with the state as of the line before"


@dataclass(frozen=True, slots=True)
class Torn:
    """A tail that never was durable: where it was cut, why, and where its bytes are kept."""

    segment: str
    line: int
    reason: str
    kept: Path


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` gives: the journal to append to, the lines after the checkpoint (decoded
    as they are asked for), and the torn tail if one was cut."""

    journal: "Journal"
    lines: Iterator[Line]
    torn: Torn | None


@dataclass(slots=True)
class _Segment:
    """The segment that is open for appending; `durable_name` once its folder was synced."""

    name: str
    handle: int
    size: int
    durable_name: bool


def recover(
    disk: Disk,
    folder: Path,
    *,
    ballast: Path,
    after: JournalPosition | None = None,
    later_traces: LaterTraces | None = None,
    replay: Callable[[Iterator[Line]], None] | None = None,
) -> Recovered:
    """Opens the journal in `folder`, which is made if it is missing.

    `after` is the checkpoint's position: only its segment and later ones are read. A bad line is
    cut off and kept as SEGMENT.torn when nothing shows that it ever was durable. Lines after the
    last known durable one are written once more and synced before they are believed: after a
    failed fsync the page cache may show what the disk never got (PostgreSQL's fsync errors, 2018).

    `replay` is given the lines after the checkpoint before anything is changed: what it raises
    leaves the journal as it was found.

    Raises JournalDamaged (durable lines are gone), JournalTooNew, JournalFull or JournalBroken.
    """
    disk.mkdir(folder)
    found = scan(disk, folder, after, later_traces)
    raise_if_damaged(found)
    if replay is not None:
        replay(found.lines(disk))
    try:
        torn = _cut_torn_tail(disk, found)
        _write_tail_again(disk, found)
    except OSError as error:
        if is_passing(error):
            raise JournalFull(folder, error) from error
        raise JournalBroken(f"{folder}: the journal cannot be made durable: {error}") from error
    journal = Journal(disk, folder, ballast=ballast, found=found)
    return Recovered(journal, found.lines(disk), torn)


def _cut_torn_tail(disk: Disk, found: Scan) -> Torn | None:
    fault = found.fault
    if fault is None:
        return None
    path = found.folder / fault.segment
    kept = _free_name(disk, found.folder, f"{fault.segment}.torn")
    _write_whole(disk, kept, disk.read(path)[fault.offset :])
    # A segment after a torn line holds nothing that was durable either; it is set aside whole.
    index = found.segments.index(fault.segment)
    for later in found.segments[index + 1 :]:
        aside = _free_name(disk, found.folder, f"{later}.torn")
        disk.rename(found.folder / later, aside)
    del found.segments[index + 1 :]
    disk.fsync_dir(found.folder)
    handle = disk.open_update(path)
    try:
        disk.truncate(handle, fault.offset)
        disk.fdatasync(handle)
    finally:
        disk.close(handle)
    return Torn(fault.segment, fault.line, fault.reason, kept)


def _write_tail_again(disk: Disk, found: Scan) -> None:
    """The same bytes in the same place: the pages become dirty, and the sync is a true one."""
    end = found.end
    if end is None or end.offset == 0:
        return
    path = found.folder / end.segment
    data = read_from(disk, path, found.unsynced_from, end.offset - found.unsynced_from)
    handle = disk.open_update(path)
    try:
        done = 0
        while done < len(data):
            done += disk.write_at(handle, data[done:], found.unsynced_from + done)
        failpoint("recovery.before_sync")
        disk.fdatasync(handle)
    finally:
        disk.close(handle)
    disk.fsync_dir(found.folder)


def _free_name(disk: Disk, folder: Path, name: str) -> Path:
    taken = set(disk.listdir(folder))
    number = 1
    candidate = name
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number}"
    return folder / candidate


def _write_whole(disk: Disk, path: Path, data: bytes) -> None:
    handle = disk.create(path)
    try:
        write_all(disk, handle, data)
        disk.fdatasync(handle)
    finally:
        disk.close(handle)


class Journal:
    """Appends to the journal; made by `recover`. For one thread.

    `append` only buffers. Nothing may act on a line, answer for it or publish it before the
    `commit` that covers it has returned.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        *,
        ballast: Path,
        found: Scan,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._ballast = ballast
        self._opening: SegmentOpening | None = None
        self._durable = found.end or JournalPosition(0, FIRST_PREV, "", 0)
        self._seq = self._durable.seq
        self._crc = self._durable.crc
        self._last_at = found.last_line.at if found.last_line else _NO_TIME
        self._segment: _Segment | None = None
        self._next_segment = self._durable.segment if self._durable.offset else ""
        self._pending: list[tuple[str, int, str, bytes]] = []
        self._broken: str | None = None
        # The first line of this life says which version goes on from here.
        self._introduced = False

    @property
    def seq(self) -> int:
        """The last seq that was given out, durable or not."""
        return self._seq

    @property
    def position(self) -> JournalPosition:
        """The end of the last durable line; what a checkpoint taken now must hold."""
        return self._durable

    @property
    def pending(self) -> int:
        """How many lines wait for `commit`."""
        return len(self._pending)

    @property
    def last_at(self) -> str:
        """The `at` of the newest line; times in the journal never go back before it."""
        return self._last_at

    def open_days_with(self, opening: SegmentOpening) -> None:
        """From now on each new segment begins with the state that `opening` gives."""
        self._opening = opening

    def append(self, at: datetime, by: str, why: str, events: list[dict[str, Any]]) -> int:
        """Buffers one line and returns its seq. ValueError if an event can't be JSON."""
        self._raise_if_broken()
        stamp = max(_stamp(at), self._last_at)
        if f"{stamp[:10]}.jsonl" != self._next_segment and self._opening is not None:
            state = self._opening()
            if state is not None:
                opened = b'[{"event":"day_opened","state":%b}]' % state
                self._append(stamp, "daemon", _OPENING, opened)
        return self._append(stamp, by, why, events)

    def _append(self, stamp: str, by: str, why: str, events: list[dict[str, Any]] | bytes) -> int:
        segment = f"{stamp[:10]}.jsonl"
        is_first = segment != self._next_segment
        data, crc = encode(
            seq=self._seq + 1,
            prev=self._crc,
            synced=self._durable.seq,
            at=stamp,
            by=by,
            why=why,
            events=events,
            format_number=JOURNAL if is_first or not self._introduced else None,
        )
        self._seq += 1
        self._crc = crc
        self._last_at = stamp
        self._next_segment = segment
        self._introduced = True
        self._pending.append((segment, self._seq, crc, data))
        return self._seq

    def commit(self) -> None:
        """Makes all buffered lines durable with one write and one fdatasync a segment.

        Raises JournalFull when the disk takes nothing for now: the lines stay buffered. Raises
        JournalBroken when it can't be known what is on the disk; the process must exit then.
        """
        self._raise_if_broken()
        while self._pending:
            name = self._pending[0][0]
            count = sum(1 for entry in self._pending if entry[0] == name)
            group = self._pending[:count]
            size = self._write(name, b"".join(entry[3] for entry in group))
            _, seq, crc, _ = group[-1]
            self._durable = JournalPosition(seq, crc, name, size)
            del self._pending[:count]

    def ensure_ballast(self, size_bytes: int = BALLAST_BYTES) -> bool:
        """Takes the space that `release_ballast` gives back; False when there is none."""
        with contextlib.suppress(FileNotFoundError):
            if self._disk.stat(self._ballast).size >= size_bytes:
                return True
        self.release_ballast()
        try:
            handle = self._disk.create(self._ballast)
        except OSError:
            return False
        try:
            self._disk.allocate(handle, size_bytes)
        except OSError:
            self.release_ballast()
            return False
        finally:
            self._disk.close(handle)
        return True

    def release_ballast(self) -> bool:
        """Deletes the ballast file, so that ends and returned tokens can still be written.
        False when it was gone already."""
        try:
            self._disk.unlink(self._ballast)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Closes the file; what is still buffered is not written."""
        if self._segment is not None:
            self._disk.close(self._segment.handle)
            self._segment = None

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise JournalBroken(self._broken)

    def _break(self, path: Path, what: str) -> JournalBroken:
        self._broken = f"{path}: {what}. The daemon stops; start it again to check the journal."
        return JournalBroken(self._broken)

    def _write(self, name: str, data: bytes) -> int:
        """Appends to the segment and syncs; returns its size then."""
        path = self._folder / name
        try:
            segment = self._open(name)
        except FileNotFoundError as error:
            raise self._break(path, "the journal's folder or segment is gone") from error
        except OSError as error:
            raise JournalFull(path, error) from error
        self._check_untouched(path, segment)
        failpoint("journal.before_write")
        try:
            write_all(self._disk, segment.handle, data)
        except OSError as error:
            self._cut_back(path, segment, error)
        failpoint("journal.before_sync")
        try:
            self._disk.fdatasync(segment.handle)
            if not segment.durable_name:
                self._disk.fsync_dir(self._folder)
        except OSError as error:
            raise self._break(path, f"making lines durable failed: {error}") from error
        failpoint("journal.after_sync")
        segment.durable_name = True
        segment.size += len(data)
        return segment.size

    def _open(self, name: str) -> _Segment:
        if self._segment is not None and self._segment.name == name:
            return self._segment
        path = self._folder / name
        if name == self._durable.segment:
            handle = self._disk.open_append(path)
            # An empty one was made by a life that ended before its first line was durable.
            durable = self._durable.offset > 0
            opened = _Segment(name, handle, self._durable.offset, durable_name=durable)
        else:
            handle = self._create(path)
            failpoint("journal.new_segment")
            opened = _Segment(name, handle, 0, durable_name=False)
        self.close()
        self._segment = opened
        return opened

    def _create(self, path: Path) -> int:
        try:
            return self._disk.create(path)
        except FileExistsError:
            # An empty one is left when a crash came between its creation and its first line.
            return self._disk.open_append(path)

    def _check_untouched(self, path: Path, segment: _Segment) -> None:
        """A deleted or foreign-written segment would swallow lines without any error."""
        try:
            named = self._disk.stat(path)
        except OSError as error:
            raise self._break(path, f"the segment is gone while in use: {error}") from error
        if named.inode != self._disk.fstat(segment.handle).inode or named.size != segment.size:
            raise self._break(path, "somebody else replaced the segment or wrote into it")

    def _cut_back(self, path: Path, segment: _Segment, error: OSError) -> None:
        if not is_passing(error):
            raise self._break(path, f"writing failed: {error}") from error
        try:
            self._disk.truncate(segment.handle, segment.size)
        except OSError as second:
            # Read-only from the first byte on: nothing went in, so nothing is to be cut.
            if self._disk.fstat(segment.handle).size != segment.size:
                raise self._break(path, f"cutting back failed: {second}") from second
        raise JournalFull(path, error) from error


def _stamp(at: datetime) -> str:
    moment = at.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
