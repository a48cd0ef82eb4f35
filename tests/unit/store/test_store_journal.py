"""The journal: what was written is read back, and damage is told apart from a torn end."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cortex.model.formats import JOURNAL as FORMAT
from cortex.model.journal_line import decode, encode, read_whole_lines
from cortex.store import journal_scan
from cortex.store.disk import RealDisk
from cortex.store.journal import Recovered, recover
from cortex.store.journal_errors import (
    JournalBroken,
    JournalDamaged,
    JournalFull,
    JournalTooNew,
)
from cortex.store.journal_scan import read_lines

from .failing_disk import FailingDisk

DAY = datetime(2025, 11, 1, 10, 15, 0, 123456, tzinfo=UTC)
NEXT_DAY = datetime(2025, 11, 2, 0, 0, 1, tzinfo=UTC)


def opened(folder: Path, disk: RealDisk | None = None, **options: Any) -> Recovered:
    return recover(disk or RealDisk(), folder / "journal", ballast=folder / "ballast", **options)


def write(folder: Path, *times: datetime, commit_each: bool = True) -> None:
    journal = opened(folder).journal
    for at in times:
        journal.append(at, "tester", "a reason", [{"event": "noted", "n": journal.seq + 1}])
        if commit_each:
            journal.commit()
    journal.commit()
    journal.close()


def seqs(found: Recovered) -> list[int]:
    found.journal.close()
    return [line.seq for line in found.lines]


def segment(folder: Path, day: str = "2025-11-01") -> Path:
    return folder / "journal" / f"{day}.jsonl"


def test_a_line_looks_as_the_format_says(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY)
    first, second = segment(tmp_path).read_bytes().splitlines()
    assert decode(first).format == FORMAT
    assert second.startswith(
        b'{"seq":2,"prev":"' + decode(first).crc.encode() + b'","synced":1,'
        b'"at":"2025-11-01T10:15:00.123Z","by":"tester","why":"a reason","events":[{"event":'
    )
    assert decode(second).format is None


def test_the_lines_of_one_turn_share_one_fdatasync(tmp_path: Path) -> None:
    disk = FailingDisk()
    journal = opened(tmp_path, disk).journal
    disk.calls.clear()
    for _ in range(50):
        journal.append(DAY, "tester", "", [])
    assert not segment(tmp_path).exists(), "nothing is written before the commit"
    journal.commit()
    assert disk.calls.count("fdatasync") == 1
    assert disk.calls.count("write") == 1
    assert disk.calls.count("fsync_dir") == 1, "the new segment's name is synced once"
    assert journal.position.seq == 50


def test_each_day_has_its_segment_and_the_chain_goes_on(tmp_path: Path) -> None:
    write(tmp_path, DAY, NEXT_DAY, NEXT_DAY, commit_each=False)
    assert len(segment(tmp_path).read_bytes().splitlines()) == 1
    lines, used = read_whole_lines(segment(tmp_path, "2025-11-02").read_bytes())
    assert [line.seq for line in lines] == [2, 3]
    assert used == segment(tmp_path, "2025-11-02").stat().st_size
    assert lines[0].prev == decode(segment(tmp_path).read_bytes()).crc
    assert lines[0].format == FORMAT
    assert seqs(opened(tmp_path)) == [1, 2, 3]


def test_time_never_goes_back_even_over_a_restart(tmp_path: Path) -> None:
    write(tmp_path, NEXT_DAY)
    write(tmp_path, DAY)
    lines = list(read_lines(RealDisk(), tmp_path / "journal"))
    assert [line.at for line in lines] == ["2025-11-02T00:00:01.000Z"] * 2
    assert not segment(tmp_path).exists()


def test_a_segment_opens_with_the_state_of_before_in_a_line_of_its_own(tmp_path: Path) -> None:
    journal = opened(tmp_path).journal
    journal.open_days_with(lambda: b'{"n":%d}' % journal.seq if journal.seq else None)
    for at in (DAY, DAY, NEXT_DAY, NEXT_DAY):
        journal.append(at, "tester", "", [{"event": "noted"}])
    journal.commit()
    journal.close()
    lines = list(read_lines(RealDisk(), tmp_path / "journal"))
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5]
    assert [line.events[0]["event"] for line in lines] == [
        "noted", "noted", "day_opened", "noted", "noted"
    ]  # fmt: skip
    assert lines[2].events[0]["state"] == {"n": 2}
    assert (lines[2].format, lines[3].format) == (FORMAT, None)
    assert journal_scan.opened_day(RealDisk(), tmp_path / "journal", lines[1].at) is None
    day = journal_scan.opened_day(RealDisk(), tmp_path / "journal")
    assert day is not None
    assert day.state == {"n": 2}
    assert seqs(opened(tmp_path, after=day.position)) == [4, 5]


def test_no_space_keeps_the_lines_and_a_retry_writes_them(tmp_path: Path) -> None:
    disk = FailingDisk()
    journal = opened(tmp_path, disk).journal
    journal.append(DAY, "tester", "", [])
    journal.commit()
    whole = segment(tmp_path).read_bytes()
    journal.append(DAY, "tester", "", [])
    disk.fail = {"write": errno.ENOSPC}
    disk.short_write = 20
    with pytest.raises(JournalFull, match="No space left"):
        journal.commit()
    assert segment(tmp_path).read_bytes() == whole, "cut back to the last whole line"
    assert journal.pending == 1
    assert journal.position.seq == 1
    disk.fail = {}
    journal.commit()
    assert (journal.pending, journal.position.seq) == (0, 2)
    assert seqs(opened(tmp_path)) == [1, 2]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EDQUOT])
def test_read_only_and_quota_pass_like_a_full_disk(tmp_path: Path, number: int) -> None:
    disk = FailingDisk()
    journal = opened(tmp_path, disk).journal
    journal.append(DAY, "tester", "", [])
    journal.commit()
    journal.append(DAY, "tester", "", [])
    disk.fail = {"write": number, "truncate": number}
    with pytest.raises(JournalFull) as full:
        journal.commit()
    assert full.value.errno == number
    disk.fail = {}
    journal.commit()
    assert seqs(opened(tmp_path)) == [1, 2]


def test_too_many_open_files_at_midnight_only_delays(tmp_path: Path) -> None:
    disk = FailingDisk()
    journal = opened(tmp_path, disk).journal
    journal.append(DAY, "tester", "", [])
    journal.append(NEXT_DAY, "tester", "", [])
    disk.fail = {"create": errno.EMFILE}
    with pytest.raises(JournalFull):
        journal.commit()
    disk.fail = {}
    journal.commit()
    assert seqs(opened(tmp_path)) == [1, 2]


@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync_dir"])
def test_an_io_error_is_final_for_this_life(tmp_path: Path, call: str) -> None:
    disk = FailingDisk()
    journal = opened(tmp_path, disk).journal
    journal.append(DAY, "tester", "", [])
    disk.fail = {call: errno.EIO}
    with pytest.raises(JournalBroken, match=r"2025-11-01\.jsonl"):
        journal.commit()
    disk.fail = {}
    with pytest.raises(JournalBroken):
        journal.commit()
    with pytest.raises(JournalBroken):
        journal.append(DAY, "tester", "", [])
    journal.close()
    again = opened(tmp_path)
    assert again.journal.seq in (0, 1)
    again.journal.close()


def test_a_start_makes_the_last_lines_durable_before_it_believes_them(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY)
    disk = FailingDisk()
    disk.fail = {"fdatasync": errno.EIO}
    with pytest.raises(JournalBroken, match="cannot be made durable"):
        opened(tmp_path, disk)
    disk.fail = {}
    before = segment(tmp_path).read_bytes()
    found = opened(tmp_path, disk)
    assert disk.calls.count("fdatasync") >= 1
    assert segment(tmp_path).read_bytes() == before
    assert seqs(found) == [1, 2]


def test_a_torn_tail_is_cut_and_kept(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY)
    with segment(tmp_path).open("ab") as file:
        file.write(b'{"seq":3,"prev":"00')
    found = opened(tmp_path)
    assert found.torn is not None
    assert found.torn.kept.read_bytes() == b'{"seq":3,"prev":"00'
    assert found.torn.kept.name == "2025-11-01.jsonl.torn"
    assert found.torn.line == 3
    assert seqs(found) == [1, 2]
    assert opened(tmp_path).torn is None


def test_a_torn_first_line_of_a_new_day_leaves_the_day_before(tmp_path: Path) -> None:
    write(tmp_path, DAY)
    segment(tmp_path, "2025-11-02").write_bytes(b'{"seq":2')
    found = opened(tmp_path)
    assert found.torn is not None
    found.journal.append(NEXT_DAY, "tester", "", [])
    found.journal.commit()
    assert seqs(found) == [1]
    assert seqs(opened(tmp_path)) == [1, 2]


def test_a_later_trace_forbids_to_cut(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY)
    data = segment(tmp_path).read_bytes()
    segment(tmp_path).write_bytes(data[:-10])
    asked = []

    def claim(seq: int) -> str | None:
        asked.append(seq)
        return "the claim of worker-scan-001 names seq 2" if seq <= 2 else None

    with pytest.raises(JournalDamaged, match=r"jsonl:2: .*worker-scan-001.*cortex fsck"):
        opened(tmp_path, later_traces=claim)
    assert asked == [2]
    assert segment(tmp_path).read_bytes() == data[:-10]


def test_a_journal_that_ends_early_is_damaged_when_a_trace_says_so(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY)
    data = segment(tmp_path).read_bytes()
    segment(tmp_path).write_bytes(data[: data.index(b"\n") + 1])
    with pytest.raises(JournalDamaged, match="ends before seq 2"):
        opened(tmp_path, later_traces=lambda seq: "published" if seq <= 2 else None)


def test_damage_in_the_middle_stops_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY, DAY, DAY)
    data = segment(tmp_path).read_bytes()
    place = data.index(b'"n":2')
    segment(tmp_path).write_bytes(data[:place] + b'"n":9' + data[place + 5 :])
    with pytest.raises(JournalDamaged, match=r"2025-11-01\.jsonl:2: .*seq 2 was durable"):
        opened(tmp_path)


def test_a_removed_line_in_the_middle_is_damage(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY, DAY, DAY)
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    segment(tmp_path).write_bytes(lines[0] + lines[2] + lines[3])
    with pytest.raises(JournalDamaged, match=r"jsonl:2: .*does not follow"):
        opened(tmp_path)


@pytest.mark.parametrize("missing", ["2025-11-01", "2025-11-02"])
def test_a_missing_segment_is_damage(tmp_path: Path, missing: str) -> None:
    write(tmp_path, DAY, NEXT_DAY, NEXT_DAY.replace(day=3))
    segment(tmp_path, missing).unlink()
    with pytest.raises(JournalDamaged):
        opened(tmp_path)


@pytest.mark.parametrize("missing", ["2025-11-01", "2025-11-02", "2025-11-03"])
def test_a_missing_segment_is_noticed_with_a_checkpoint_too(tmp_path: Path, missing: str) -> None:
    write(tmp_path, DAY, NEXT_DAY, NEXT_DAY.replace(day=3))
    found = opened(tmp_path)
    position = found.journal.position
    found.journal.close()
    segment(tmp_path, missing).unlink()
    with pytest.raises(JournalDamaged, match="missing"):
        opened(tmp_path, after=position)


def test_with_a_checkpoint_older_segments_are_not_read_whole(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY, DAY, NEXT_DAY)
    found = opened(tmp_path)
    position = found.journal.position
    found.journal.close()
    data = bytearray(segment(tmp_path).read_bytes())
    data[len(data) // 2] ^= 1
    segment(tmp_path).write_bytes(data)
    assert seqs(opened(tmp_path, after=position)) == []
    with pytest.raises(JournalDamaged):
        opened(tmp_path)


def test_a_checkpoint_past_the_journals_end_is_damage(tmp_path: Path) -> None:
    write(tmp_path, DAY, DAY)
    found = opened(tmp_path)
    position = found.journal.position
    found.journal.close()
    os.truncate(segment(tmp_path), segment(tmp_path).read_bytes().index(b"\n") + 1)
    with pytest.raises(JournalDamaged, match="the checkpoint was taken at seq 2"):
        opened(tmp_path, after=position)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    raw, _ = encode(
        seq=1, prev="00000000", synced=0, at="x", by="b", why="w", events=[], format_number=99
    )
    segment(tmp_path).parent.mkdir()
    segment(tmp_path).write_bytes(raw)
    with pytest.raises(JournalTooNew, match="format 99"):
        opened(tmp_path)
    assert segment(tmp_path).read_bytes() == raw


@pytest.mark.parametrize("deed", ["delete", "append", "replace"])
def test_a_segment_that_somebody_else_touched_is_not_written_on(tmp_path: Path, deed: str) -> None:
    journal = opened(tmp_path).journal
    journal.append(DAY, "tester", "", [])
    journal.commit()
    path = segment(tmp_path)
    if deed == "append":
        with path.open("ab") as file:
            file.write(b"hello\n")
    else:
        data = path.read_bytes()
        path.unlink()
        if deed == "replace":
            path.write_bytes(data)
    journal.append(DAY, "tester", "", [])
    with pytest.raises(JournalBroken):
        journal.commit()


def test_the_ballast_takes_space_and_gives_it_back(tmp_path: Path) -> None:
    journal = opened(tmp_path).journal
    journal.ensure_ballast(64 * 1024)
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 64 * 1024
    journal.ensure_ballast(64 * 1024)
    assert journal.release_ballast()
    assert not (tmp_path / "ballast").exists()
    assert not journal.release_ballast()


def test_a_reader_leaves_a_torn_tail_alone(tmp_path: Path) -> None:
    write(tmp_path, DAY)
    with segment(tmp_path).open("ab") as file:
        file.write(b"{")
    assert [line.seq for line in read_lines(RealDisk(), tmp_path / "journal")] == [1]
    assert segment(tmp_path).read_bytes().endswith(b"\n{")


def test_a_lone_surrogate_survives_the_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path).journal
    journal.append(DAY, "tester", "dropped caf\udce9.json", [])
    journal.commit()
    journal.close()
    assert segment(tmp_path).read_bytes().decode()
    assert next(opened(tmp_path).lines).why == "dropped caf\udce9.json"


def test_a_checkpoint_from_before_the_first_line_is_as_good_as_none(tmp_path: Path) -> None:
    found = opened(tmp_path)
    position = found.journal.position
    found.journal.close()
    write(tmp_path, DAY)
    assert seqs(opened(tmp_path, after=position)) == [1]


def test_of_a_large_segment_only_what_stands_near_the_checkpoint_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *[DAY] * 20)
    found = opened(tmp_path)
    position = found.journal.position
    found.journal.close()
    write(tmp_path, DAY, DAY)
    monkeypatch.setattr(journal_scan, "_VERIFIED_BYTES", 700)
    again = opened(tmp_path, after=position)
    assert seqs(again) == [21, 22]
    assert again.journal.position.offset == segment(tmp_path).stat().st_size
    again.journal.close()
    data = bytearray(segment(tmp_path).read_bytes())
    data[100] ^= 1
    segment(tmp_path).write_bytes(data)
    assert seqs(opened(tmp_path, after=position)) == [21, 22]
    data[position.offset - 300] ^= 1
    segment(tmp_path).write_bytes(data)
    number = data.count(b"\n", 0, position.offset - 300) + 1
    with pytest.raises(JournalDamaged, match=rf"jsonl:{number}: "):
        opened(tmp_path, after=position)
