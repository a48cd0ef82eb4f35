"""Reads the journal as its audience: whole lines in order, past or as they come.

What is damaged or not whole yet is passed over; judging the journal is the daemon's and fsck's
business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cortex.model.journal_line import BadLine, Line, decode

__all__ = ["JournalReader", "ids_of", "lines_of"]

_SEQ = re.compile(rb'\{"seq":(\d+),')
_CHUNK_BYTES = 1 << 20


def lines_of(
    folder: Path, *, since_seq: int = 0, since_at: str = "", mentioning: Sequence[str] = ()
) -> Iterator[Line]:
    """The lines after `since_seq` and at or after `since_at` (RFC 3339 UTC), oldest first.

    With `mentioning`, only lines in whose bytes one of these words stands.
    """
    reader = JournalReader(folder, since_seq=since_seq, since_at=since_at, mentioning=mentioning)
    yield from reader.read()


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
        self._words = [word.encode() for word in mentioning]
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
            (seq, path)
            for path in self._folder.glob("*.jsonl")
            if path.stem[:10] >= self._since_at[:10] and (seq := _first_seq(path)) is not None
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
            if file.seek(0, 2) < self._offset:
                self._offset = 0
            file.seek(self._offset)
            while lines := file.readlines(_CHUNK_BYTES):
                for raw in lines:
                    if not raw.endswith(b"\n"):
                        return
                    self._offset += len(raw)
                    line = self._wanted(raw)
                    if line is not None:
                        self._last_seq = line.seq
                        yield line

    def _wanted(self, raw: bytes) -> Line | None:
        if self._words and not any(word in raw for word in self._words):
            return None
        try:
            line = decode(raw)
        except BadLine:
            return None
        return line if line.seq > self._last_seq and line.at >= self._since_at else None


def _first_seq(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            match = _SEQ.match(file.read(40))
    except OSError:
        return None
    return int(match[1]) if match else None


def ids_of(line: Line) -> set[str]:
    """The tasks, workers, handoffs and escalations that a line speaks of."""
    found: set[str] = set()
    for event in line.events:
        for name in ("task_id", "worker_id", "handoff_id", "escalation_id", "retry_of"):
            found.add(str(event.get(name)))
        for name in ("task", "worker", "handoff", "escalation"):
            record = event.get(name)
            if isinstance(record, dict):
                found.update(str(record.get(key)) for key in ("id", "task_id", "retry_of"))
        for name in ("tasks", "workers", "handoffs"):
            if isinstance(event.get(name), list):
                found.update(str(item) for item in event[name])
    return found - {"None"}
