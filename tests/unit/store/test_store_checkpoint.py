"""Checkpoints: the newest whole one is loaded, and none of a newer format is guessed at."""

import errno
import json
from pathlib import Path

import pytest

from cortex.store.checkpoint import CheckpointTooNew, LoadedCheckpoint, load, save
from cortex.store.disk import RealDisk
from cortex.store.journal_scan import JournalPosition

from .failing_disk import FailingDisk


def position(seq: int) -> JournalPosition:
    return JournalPosition(seq, f"{seq:08x}", "2025-11-01.jsonl", 100 * seq)


def store(folder: Path, seq: int, disk: RealDisk | None = None) -> None:
    state = {"tasks": {"task-001": {"title": "caf\udce9 ü"}}, "n": seq}
    save(
        disk or RealDisk(),
        folder / "checkpoint.json",
        position(seq),
        state,
        previous=folder / "previous.json",
    )


def loaded(folder: Path) -> LoadedCheckpoint:
    return load(RealDisk(), folder / "checkpoint.json", previous=folder / "previous.json")


def seq_of(found: LoadedCheckpoint) -> int:
    assert found.checkpoint is not None
    assert found.checkpoint.state["n"] == found.checkpoint.position.seq
    return found.checkpoint.position.seq


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert loaded(tmp_path) == LoadedCheckpoint(None)
    store(tmp_path, 7)
    found = loaded(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.position == position(7)
    assert found.checkpoint.state["tasks"] == {"task-001": {"title": "caf\udce9 ü"}}
    assert json.loads((tmp_path / "checkpoint.json").read_bytes())["format"] == 1


def test_an_encoded_state_is_taken_as_it_is(tmp_path: Path) -> None:
    save(
        RealDisk(),
        tmp_path / "checkpoint.json",
        position(3),
        b'{"n":3}',
        previous=tmp_path / "previous.json",
    )
    assert seq_of(loaded(tmp_path)) == 3


@pytest.mark.parametrize("harm", [b"", b"{", None])
def test_a_damaged_one_gives_way_to_the_previous(tmp_path: Path, harm: bytes | None) -> None:
    for seq in (1, 2, 3):
        store(tmp_path, seq)
    path = tmp_path / "checkpoint.json"
    path.write_bytes(harm if harm is not None else path.read_bytes().replace(b'"n":3', b'"n":4'))
    found = loaded(tmp_path)
    assert seq_of(found) == 2
    assert "checkpoint.json: damaged" in found.notes[0]


def test_a_newer_format_is_refused_and_not_replaced_by_the_previous(tmp_path: Path) -> None:
    store(tmp_path, 1)
    store(tmp_path, 2)
    (tmp_path / "checkpoint.json").write_bytes(b'{"format":12,"whatever":[]}')
    with pytest.raises(CheckpointTooNew, match="format 12"):
        loaded(tmp_path)


@pytest.mark.parametrize("call", ["create", "write", "fdatasync"])
def test_a_full_disk_leaves_the_last_one_in_place(tmp_path: Path, call: str) -> None:
    disk = FailingDisk()
    store(tmp_path, 1, disk)
    disk.fail = {call: errno.ENOSPC}
    with pytest.raises(OSError, match="No space"):
        store(tmp_path, 2, disk)
    assert seq_of(loaded(tmp_path)) == 1
    disk.fail = {}
    store(tmp_path, 3, disk)
    assert seq_of(loaded(tmp_path)) == 3
