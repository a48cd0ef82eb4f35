"""Reads and verifies the journal's segments without changing them.

Every line is checked by its crc and its place in the chain; what is found bad is judged torn (a
write that never was durable) or damaged. Cutting, rewriting and appending are `store.journal`'s.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.model.formats import JOURNAL, format_of
from cortex.model.journal_line import FIRST_PREV, BadLine, Line, check, decode, opens_a_day
from cortex.model.seams import Disk
from cortex.store.journal_errors import JournalDamaged, JournalTooNew

__all__ = [
    "Fault",
    "JournalPosition",
    "LaterTraces",
    "OpenedDay",
    "Scan",
    "opened_day",
    "raise_if_damaged",
    "read_lines",
    "scan",
]

_SEGMENT_NAME = re.compile(r"\d{4}-\d\d-\d\d\.jsonl")
#: Of a checkpoint's segment, so much before its place is verified again with each start. Of what is
#: older the state holds nothing any more; `cortex fsck` reads all of it.
_VERIFIED_BYTES = 8 * 1024 * 1024
#: What stands before a line's events: its place, its time and its reason.
_HEAD_BYTES = 4096
_PREV_BYTES = 64
_END_LENGTH = len(b'"crc":"00000000"}\n')

# Told the first seq that the journal lost, answers with a sentence about anything that proves
# that it was durable (a claim, an exit record, a published journal_seq), or None.
LaterTraces = Callable[[int], str | None]


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """The end of one line: its seq and crc, its segment, and the offset after its newline."""

    seq: int
    crc: str
    segment: str
    offset: int


@dataclass(frozen=True, slots=True)
class Fault:
    """The first bad line. `evidence` says why it must have been durable; None: a torn tail."""

    segment: str
    line: int
    offset: int
    seq: int
    reason: str
    evidence: str | None


@dataclass(slots=True)
class Scan:
    """What the segments hold after the position that was asked for."""

    folder: Path
    segments: list[str] = field(default_factory=list)
    # (segment, from, to): where the whole lines after the position lie
    spans: list[tuple[str, int, int]] = field(default_factory=list)
    end: JournalPosition | None = None
    last_line: Line | None = None
    # offset of the first line in the last segment that was not yet known durable when the
    # journal's last line was written
    unsynced_from: int = 0
    fault: Fault | None = None

    def lines(self, disk: Disk) -> Iterator[Line]:
        """Decodes the lines after the position, in order, reading one segment at a time."""
        for segment, start, end in self.spans:
            path = self.folder / segment
            data = read_from(disk, path, start, end - start)
            offset = 0
            while offset < len(data):
                stop = data.index(b"\n", offset)
                try:
                    yield decode(data[offset:stop])
                except BadLine as error:
                    number = lines_before(disk, path, start + offset) + 1
                    raise JournalDamaged(path, number, str(error)) from None
                offset = stop + 1


def read_from(disk: Disk, path: Path, offset: int, size: int | None = None) -> bytes:
    """The file's bytes from an offset on, all of them or so many."""
    if offset == 0 and size is None:
        return disk.read(path)
    handle = disk.open_read(path)
    try:
        whole = disk.fstat(handle).size - offset if size is None else size
        data = b""
        while len(data) < whole:
            chunk = disk.read_at(handle, whole - len(data), offset + len(data))
            if not chunk:
                break
            data += chunk
    finally:
        disk.close(handle)
    return data


def lines_before(disk: Disk, path: Path, offset: int) -> int:
    """How many lines of a segment end before an offset."""
    return read_from(disk, path, 0, offset).count(b"\n")


@dataclass(frozen=True, slots=True)
class OpenedDay:
    """The line that begins a day: it holds the state as of the line before it."""

    position: JournalPosition
    line: Line

    @property
    def state(self) -> dict[str, Any]:
        """The state, as a checkpoint has it."""
        state: dict[str, Any] = self.line.events[0]["state"]
        return state


def opened_day(disk: Disk, folder: Path, at: str | None = None) -> OpenedDay | None:
    """The youngest line that begins a day with the state of before, not younger than `at`."""
    names = sorted((name for name in _names(disk, folder) if _is_segment(name)), reverse=True)
    for name in names:
        if at is not None and name[:10] > at[:10]:
            continue
        path = folder / name
        head = read_from(disk, path, 0, _HEAD_BYTES)
        if not opens_a_day(head):
            continue
        raw = _first_line(disk, path)
        try:
            line = decode(raw)
        except BadLine:
            continue
        if at is None or line.at <= at:
            position = JournalPosition(line.seq, line.crc, name, len(raw) + 1)
            return OpenedDay(position, line)
    return None


def _first_line(disk: Disk, path: Path) -> bytes:
    size = 1 << 20
    while True:
        data = read_from(disk, path, 0, size)
        end = data.find(b"\n")
        if end >= 0 or len(data) < size:
            return data[:end] if end >= 0 else data
        size *= 8


def read_lines(disk: Disk, folder: Path, after: JournalPosition | None = None) -> Iterator[Line]:
    """All whole lines, for those who only look (fsck, replay, whatif). Raises JournalDamaged
    before the first line is given; a torn tail is left out without a word."""
    found = scan(disk, folder, after)
    raise_if_damaged(found)
    return found.lines(disk)


def raise_if_damaged(found: Scan) -> None:
    """JournalDamaged if the scan's fault hit lines that had been durable."""
    fault = found.fault
    if fault is not None and fault.evidence is not None:
        raise JournalDamaged(
            found.folder / fault.segment, fault.line or None, f"{fault.reason}; {fault.evidence}"
        )


def scan(
    disk: Disk,
    folder: Path,
    after: JournalPosition | None = None,
    later_traces: LaterTraces | None = None,
    last_day: str | None = None,
) -> Scan:
    """Verifies the segments from the position's on, and that no older one is missing.

    `last_day` (YYYY-MM-DD) leaves later segments out: for those who look at the past.

    Raises JournalDamaged when a segment is missing and JournalTooNew for a newer format; a bad
    line is reported as `fault`.
    """
    if after is not None and after.seq == 0:
        after = None  # taken before the first line
    names = sorted(name for name in _names(disk, folder) if _is_segment(name))
    if last_day is not None:
        names = [name for name in names if name[:10] <= last_day]
    found = Scan(folder, names)
    first = _first_to_read(found, after)
    crc = _check_older(disk, found, first)
    reader = _Reader(disk, found, after, crc)
    for index in range(first, len(found.segments)):
        if not reader.read(index):
            break
    reader.finish(later_traces)
    return found


def _names(disk: Disk, folder: Path) -> list[str]:
    try:
        return disk.listdir(folder)
    except FileNotFoundError:
        return []


def _is_segment(name: str) -> bool:
    return _SEGMENT_NAME.fullmatch(name) is not None


def _first_to_read(found: Scan, after: JournalPosition | None) -> int:
    if after is None:
        return 0
    if after.segment not in found.segments:
        raise JournalDamaged(
            found.folder / after.segment,
            None,
            f"this segment is missing, though the checkpoint (seq {after.seq}) continues it",
        )
    return found.segments.index(after.segment)


def _check_older(disk: Disk, found: Scan, first: int) -> str:
    """Looks only at both ends of the older segments; returns the crc that the chain goes on from.

    The first segment of a journal begins with seq 1, so a missing one shows as a gap.
    """
    crc = FIRST_PREV
    for name in found.segments[:first]:
        path = found.folder / name
        handle = disk.open_read(path)
        try:
            start = disk.read_at(handle, 64, 0)
            size = disk.fstat(handle).size
            end = disk.read_at(handle, _END_LENGTH, max(0, size - _END_LENGTH))
        finally:
            disk.close(handle)
        if size == 0:
            continue
        if b'"prev":"%b"' % crc.encode() not in start:
            raise JournalDamaged(path, 1, "a segment before this one is missing or cut short")
        crc = end[7:15].decode("ascii", "replace")
    return crc


class _Reader:
    """Walks the segments line by line and keeps what the scan needs to know at its end."""

    def __init__(self, disk: Disk, found: Scan, after: JournalPosition | None, crc: str) -> None:
        self._disk = disk
        self._found = found
        self._after = after
        self._crc = crc
        self._seq: int | None = None if after else 0
        self._last_raw = b""
        self._offsets: list[int] = []
        self._fault: tuple[int, int, int, str] | None = None

    def read(self, index: int) -> bool:
        """Verifies one segment; False when it has a bad line, so that nothing follows it."""
        name = self._found.segments[index]
        path = self._found.folder / name
        base = self._base(path)
        data = read_from(self._disk, path, base)
        self._check_format(path, read_from(self._disk, path, 0, _HEAD_BYTES) if base else data)
        self._offsets = []
        offset = self._walk(index, data, base)
        if self._after is not None:
            self._check_position(path, offset)
        start = self._after.offset if self._after and self._after.segment == name else 0
        if start < offset:
            self._found.spans.append((name, start, offset))
        if offset or self._found.end is None:
            self._found.end = JournalPosition(self._seq or 0, self._crc, name, offset)
        return self._fault is None

    def _base(self, path: Path) -> int:
        """Where reading begins: a line's start, far enough before the checkpoint's place."""
        after = self._after
        if after is None or path.name != after.segment or after.offset <= _VERIFIED_BYTES:
            return 0
        near = after.offset - _VERIFIED_BYTES
        found = read_from(self._disk, path, near, _VERIFIED_BYTES).find(b"\n")
        if found < 0 or near + found + 1 >= after.offset:
            return 0
        base = near + found + 1
        head = read_from(self._disk, path, base, _PREV_BYTES)
        start = head.find(b'"prev":"') + 8
        self._crc = head[start : start + 8].decode("ascii", "replace")
        return base

    def _walk(self, index: int, data: bytes, base: int) -> int:
        """The offset after the last good line; sets the fault when bytes are left over."""
        offset = 0
        after = self._after
        while offset < len(data):
            end = data.find(b"\n", offset)
            raw = data[offset:end] if end >= 0 else data[offset:]
            reason = self._bad(raw, whole=end >= 0)
            if reason is not None:
                path = self._found.folder / self._found.segments[index]
                before = lines_before(self._disk, path, base) if base else 0
                number = before + len(self._offsets) + 1
                self._fault = (index, number, base + offset, reason)
                break
            self._offsets.append(base + offset)
            self._last_raw = raw
            offset = end + 1
            if after is not None and after.offset == base + offset and after.seq == self._seq:
                self._passed = after.crc == self._crc
        return base + offset

    _passed = False

    def _bad(self, raw: bytes, *, whole: bool) -> str | None:
        if not whole:
            return "the last line is cut off"
        try:
            head = check(raw)
        except BadLine as error:
            return str(error)
        if head.prev != self._crc:
            return f"the line (seq {head.seq}) does not follow the one before it"
        if self._seq is not None and head.seq != self._seq + 1:
            return f"seq {head.seq} follows seq {self._seq}"
        self._seq = head.seq
        self._crc = head.crc
        return None

    def _check_position(self, path: Path, offset: int) -> None:
        """The checkpoint's place must be in its segment, byte for byte: the journal is truth."""
        after = self._after
        if after is None or path.name != after.segment or self._passed:
            return
        where = self._fault[1] if self._fault else lines_before(self._disk, path, offset)
        reason = self._fault[3] if self._fault else f"the segment ends at byte {offset}"
        raise JournalDamaged(
            path, where or None, f"{reason}, but the checkpoint was taken at seq {after.seq}"
        )

    def _check_format(self, path: Path, data: bytes) -> None:
        """A newer format may have lines of any shape: it is looked for before they are judged."""
        head = data[:_HEAD_BYTES].partition(b"\n")[0].partition(b',"events":')[0]
        number, writer = format_of(head)
        if number > JOURNAL:
            raise JournalTooNew(path, number, JOURNAL, writer)

    def finish(self, later_traces: LaterTraces | None) -> None:
        found = self._found
        if self._last_raw:
            found.last_line = decode(self._last_raw)
            ahead = (self._seq or 0) - found.last_line.synced
            count = len(self._offsets)
            if count:
                found.unsynced_from = self._offsets[max(0, count - ahead)] if ahead > 0 else 0
        lost = (self._seq or 0) + 1
        trace = later_traces(lost) if later_traces is not None else None
        if self._fault is not None:
            index, line, offset, reason = self._fault
            evidence = self._durable_after(index, offset, lost) or trace
            found.fault = Fault(found.segments[index], line, offset, lost, reason, evidence)
        elif trace is not None:
            name = found.segments[-1] if found.segments else "."
            line = len(self._offsets)
            found.fault = Fault(name, line, 0, lost, f"the journal ends before seq {lost}", trace)

    def _durable_after(self, index: int, offset: int, lost: int) -> str | None:
        """A later valid line whose `synced` covers the lost one proves that it was durable."""
        for later in range(index, len(self._found.segments)):
            name = self._found.segments[later]
            data = self._disk.read(self._found.folder / name)
            for raw in data[offset if later == index else 0 :].split(b"\n"):
                try:
                    line = decode(raw)
                except BadLine:
                    continue
                if line.synced >= lost:
                    return f"seq {lost} was durable, as seq {line.seq} in {name} shows"
        return None
