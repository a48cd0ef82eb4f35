"""Laws of the journal: what was synced is never lost, what is not whole is never believed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.model import journal_line
from cortex.store.disk import RealDisk
from cortex.store.journal import Journal, recover
from cortex.store.journal_errors import JournalDamaged

_START = datetime(2025, 11, 1, 23, 59, 59, tzinfo=UTC)
_TEXT = st.text(max_size=30)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_EVENTS = st.lists(st.dictionaries(_TEXT, _JSON, max_size=4), max_size=3)
# Sizes of commits: how many lines share each fdatasync.
_BATCHES = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _write(folder: Path, batches: list[int]) -> list[int]:
    """A journal over two days; returns the seq after each commit."""
    journal = _open(folder).journal
    ends = []
    for batch in batches:
        for _ in range(batch):
            at = _START + timedelta(milliseconds=400 * journal.seq)
            journal.append(at, "test", "because", [{"event": "counted", "n": journal.seq}])
        journal.commit()
        ends.append(journal.seq)
    journal.close()
    return ends


def _open(folder: Path, **options: Any) -> Any:
    return recover(RealDisk(), folder / "journal", ballast=folder / "ballast", **options)


def _segments(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.jsonl"))


@given(
    seq=st.integers(1, 10**12),
    prev=st.integers(0, 2**32 - 1),
    synced=st.integers(0, 10**12),
    by=_TEXT,
    why=_TEXT,
    events=_EVENTS,
)
def test_a_line_decodes_to_what_was_encoded(
    seq: int, prev: int, synced: int, by: str, why: str, events: list[dict[str, Any]]
) -> None:
    raw, crc = journal_line.encode(
        seq=seq,
        prev=f"{prev:08x}",
        synced=synced,
        at="2025-11-01T10:15:00.123Z",
        by=by,
        why=why,
        events=events,
    )
    line = journal_line.decode(raw)
    assert raw.count(b"\n") == 1
    assert (line.seq, line.prev, line.synced, line.crc) == (seq, f"{prev:08x}", synced, crc)
    assert (line.by, line.why, line.events) == (by, why, events)
    assert journal_line.check(raw[:-1]) == journal_line.Head(seq, f"{prev:08x}", crc)


@given(events=_EVENTS, place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(events: list[dict[str, Any]], place: int, flip: int) -> None:
    raw, _ = journal_line.encode(
        seq=1, prev=journal_line.FIRST_PREV, synced=0, at="x", by="b", why="w", events=events
    )
    place %= len(raw) - 1
    bad = raw[:place] + bytes([raw[place] ^ flip]) + raw[place + 1 :]
    with pytest.raises(journal_line.BadLine):
        journal_line.decode(bad)


@given(events=_EVENTS, cut=st.integers(1, 10**6))
def test_a_cut_line_is_noticed(events: list[dict[str, Any]], cut: int) -> None:
    raw, _ = journal_line.encode(
        seq=1, prev=journal_line.FIRST_PREV, synced=0, at="x", by="b", why="w", events=events
    )
    with pytest.raises(journal_line.BadLine):
        journal_line.decode(raw[: -1 - cut % (len(raw) - 1) - 1])


@settings(max_examples=60, deadline=None)
@given(batches=_BATCHES, cut=st.integers(0, 10**6))
def test_cut_anywhere_after_the_last_but_one_commit_all_synced_lines_stay(
    batches: list[int], cut: int
) -> None:
    with _folder() as folder:
        ends = _write(folder, [*batches, 3])
        synced, last = ends[-2], _segments(folder)[-1]
        data = last.read_bytes()
        keep = _offset_after(data, synced)
        last.write_bytes(data[: keep + cut % (len(data) - keep + 1)])
        opened = _open(folder)
        seqs = [line.seq for line in opened.lines]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= synced
        assert opened.journal.seq == len(seqs)
        # What was cut off is kept, and the journal goes on from there.
        assert opened.journal.append(_START, "test", "goes on", []) == len(seqs) + 1
        opened.journal.commit()
        opened.journal.close()
        assert [line.seq for line in _open(folder).lines] == list(range(1, len(seqs) + 2))


@settings(max_examples=60, deadline=None)
@given(batches=_BATCHES, place=st.integers(0, 10**6))
def test_a_flipped_byte_is_never_believed(batches: list[int], place: int) -> None:
    with _folder() as folder:
        ends = _write(folder, [*batches, 2])
        files = _segments(folder)
        victim = files[place % len(files)]
        data = bytearray(victim.read_bytes())
        data[place % len(data)] ^= 0x41
        victim.write_bytes(data)
        try:
            opened = _open(folder)
        except JournalDamaged as damaged:
            assert damaged.path == victim
            assert victim.read_bytes() == data, "a damaged journal is left as it was found"
            return
        seqs = [line.seq for line in opened.lines]
        opened.journal.close()
        # Only lines of the last commit can be taken for torn.
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= ends[-2]


@settings(max_examples=40, deadline=None)
@given(batches=_BATCHES, at_commit=st.integers(0, 10))
def test_after_a_checkpoint_exactly_the_later_lines_come(
    batches: list[int], at_commit: int
) -> None:
    with _folder() as folder:
        journal: Journal = _open(folder).journal
        positions = [journal.position]
        for batch in batches:
            for _ in range(batch):
                at = _START + timedelta(milliseconds=400 * journal.seq)
                journal.append(at, "test", "because", [])
            journal.commit()
            positions.append(journal.position)
        journal.close()
        position = positions[1:][at_commit % len(batches)]
        opened = _open(folder, after=position)
        opened.journal.close()
        assert [line.seq for line in opened.lines] == list(
            range(position.seq + 1, sum(batches) + 1)
        )


def _offset_after(data: bytes, synced: int) -> int:
    """Where the lines up to the synced one end in this segment."""
    offset = 0
    for raw in data.splitlines(keepends=True):
        if journal_line.decode(raw).seq > synced:
            break
        offset += len(raw)
    return offset
