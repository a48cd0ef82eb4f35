"""Reads the journal as its audience: whole lines in order, past or as they come.

What is damaged or not whole yet is passed over; judging the journal is the daemon's and fsck's
business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cortex.model.journal_line import BadLine, Line, decode, opens_a_day

__all__ = ["JournalReader", "ids_of", "last_lines", "lines_of"]

_SEQ = re.compile(rb'\{"seq":(\d+),')
_AT = re.compile(rb'"at":"([^"]+)"')
_CHUNK_BYTES = 1 << 20
# Seq, prev, synced and at stand in the first bytes of every line.
_HEAD_BYTES = 120


def lines_of(
    folder: Path, *, since_seq: int = 0, since_at: str = "", mentioning: Sequence[str] = ()
) -> Iterator[Line]:
    """The lines after `since_seq` and at or after `since_at` (RFC 3339 UTC), oldest first.

    With `mentioning`, only lines in whose bytes one of these words stands.
    """
    reader = JournalReader(folder, since_seq=since_seq, since_at=since_at, mentioning=mentioning)
    yield from reader.read()


def last_lines(folder: Path, count: int) -> list[Line]:
    """The last `count` lines, oldest first, without reading what lies before them."""
    found: list[Line] = []
    for _, segment in sorted(_starts(folder), reverse=True):
        for raw in _lines_backwards(segment):
            if len(found) >= count:
                return found[::-1]
            try:
                found.append(decode(raw))
            except BadLine:
                continue
    return found[::-1]


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, last one first."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        end, rest = file.seek(0, 2), b""
        while end > 0:
            start = max(0, end - _CHUNK_BYTES // 16)
            file.seek(start)
            rest = file.read(end - start) + rest
            end = start
            first, *lines = rest.split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest = first
        if rest:
            yield rest


def _starts(folder: Path) -> list[tuple[int, Path]]:
    """Each segment with the seq of its first line."""
    return [(seq, path) for path in folder.glob("*.jsonl") if (seq := _first_seq(path)) is not None]


class JournalReader:
    """Remembers how far a journal was read, so that each `read` gives what has come since."""

    def __init__(
        self,
        folder: Path,
        *,
        since_seq: int = 0,
        since_at: str = "",
        mentioning: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._last_seq = since_seq
        self._since_at = since_at
        self._words = [word.encode("utf-8", "surrogateescape") for word in mentioning]
        self._segment: Path | None = None
        self._offset = 0

    def read(self) -> Iterator[Line]:
        """The lines that are whole now and were not given before."""
        for segment in self._segments():
            if segment != self._segment:
                self._segment, self._offset = segment, 0
            yield from self._read_segment(segment)

    def _segments(self) -> list[Path]:
        """The segments that may hold new lines, in the order of their seqs."""
        starts = sorted(
            start for start in _starts(self._folder) if start[1].stem[:10] >= self._since_at[:10]
        )
        if self._segment is not None:
            known = [path for _, path in starts]
            return known[known.index(self._segment) :] if self._segment in known else known
        past = sum(1 for seq, _ in starts[1:] if seq <= self._last_seq + 1)
        return [path for _, path in starts[past:]]

    def _read_segment(self, path: Path) -> Iterator[Line]:
        try:
            file = path.open("rb")
        except OSError:
            return
        with file:
            size = file.seek(0, 2)
            if size < self._offset:
                self._offset = 0
            if self._offset == 0 and path.stem[:10] == self._since_at[:10]:
                self._offset = _place_of_time(file, size, self._since_at)
            file.seek(self._offset)
            while data := file.read(_CHUNK_BYTES):
                data += file.readline()
                whole = data.rfind(b"\n") + 1
                # Most of a long journal speaks of others: a look at the bytes passes it over.
                if not self._words or any(word in data for word in self._words):
                    yield from self._lines(data[:whole])
                else:
                    self._offset += whole
                if whole < len(data):
                    return

    def _lines(self, data: bytes) -> Iterator[Line]:
        for raw in data.splitlines(keepends=True):
            self._offset += len(raw)
            line = self._wanted(raw)
            if line is not None:
                self._last_seq = line.seq
                yield line

    def _wanted(self, raw: bytes) -> Line | None:
        if self._words and (opens_a_day(raw) or not any(word in raw for word in self._words)):
            return None
        seq = _SEQ.match(raw)
        if seq is None or int(seq[1]) <= self._last_seq:
            return None
        at = _AT.search(raw, 0, _HEAD_BYTES)
        if at is not None and at[1].decode("ascii", "replace") < self._since_at:
            return None
        try:
            return decode(raw)
        except BadLine:
            return None

    def widen(self, words: Iterable[str]) -> None:
        """From now on also lines in which one of these words stands."""
        self._words += [word.encode() for word in words]


def _place_of_time(file: BinaryIO, size: int, at: str) -> int:
    """The offset of a whole line before which every line is older than `at`; times never go back.

    It need not be the last such line.
    """
    low, high = 0, size
    while high - low > _CHUNK_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        skipped = len(file.readline())
        found = _AT.search(file.read(_HEAD_BYTES))
        if found is None or found[1].decode("ascii", "replace") >= at:
            high = middle
        else:
            low = middle + skipped
    return low


def _first_seq(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            match = _SEQ.match(file.read(40))
    except OSError:
        return None
    return int(match[1]) if match else None


_RECORDS = ("task", "worker", "handoff", "escalation", "approval", "schedule")
_ID_FIELDS = (*(f"{name}_id" for name in _RECORDS), "retry_of", "preempted_by")


def ids_of(line: Line) -> set[str]:
    """The tasks, workers, handoffs, escalations, approvals and schedules that a line speaks of."""
    found: set[str] = set()
    for event in line.events:
        for name in _ID_FIELDS:
            found.add(str(event.get(name)))
        if event.get("event") == "definition_changed":
            found.add(str(event.get("name")))
        for name in _RECORDS:
            record = event.get(name)
            if isinstance(record, dict):
                found.update(str(record.get(key)) for key in ("id", "task_id", "retry_of"))
        for name in ("tasks", "workers", "handoffs"):
            if isinstance(event.get(name), list):
                found.update(str(item) for item in event[name])
    return found - {"None"}
