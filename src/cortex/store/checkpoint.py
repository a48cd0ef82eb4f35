"""The checkpoint: the state as of one journal line, so that recovery need not read all lines.

Written atomically, the one before kept. It is never trusted over the journal: recovery checks
that the journal holds its line. What the state means is not known here.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.model.failpoints import failpoint
from cortex.model.formats import CHECKPOINT, WRITER, FormatTooNew, refuse_newer
from cortex.model.seams import Disk
from cortex.store.disk import write_all
from cortex.store.journal_scan import JournalPosition

__all__ = ["Checkpoint", "CheckpointTooNew", "LoadedCheckpoint", "load", "save"]

_TAIL_LENGTH = len(b',"crc":"00000000"}\n')


#: The format stands first, so that it can be read whatever a newer version put after it.
_HEAD_BYTES = 200
CheckpointTooNew = FormatTooNew


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state and the place in the journal that it stands for."""

    position: JournalPosition
    state: Mapping[str, Any]
    written_by: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """The newest checkpoint that is whole, or None; `notes` tell of those that were not."""

    checkpoint: Checkpoint | None
    notes: tuple[str, ...] = ()


def save(
    disk: Disk,
    path: Path,
    position: JournalPosition,
    state: Mapping[str, Any] | bytes,
    *,
    previous: Path,
) -> None:
    """Writes the checkpoint durably; `state` may come as JSON bytes that are encoded already.

    OSError when the disk takes nothing: the checkpoint of before stays in place then.
    """
    data = _encode(position, state)
    draft = path.with_name(f".{path.name}.tmp")
    disk.remove_all([draft])
    handle = disk.create(draft)
    try:
        write_all(disk, handle, data)
        disk.fdatasync(handle)
    except OSError:
        disk.remove_all([draft])
        raise
    finally:
        disk.close(handle)
    failpoint("checkpoint.written")
    _keep_previous(disk, path, previous)
    failpoint("checkpoint.before_rename")
    disk.rename(draft, path)
    failpoint("checkpoint.renamed")
    disk.fsync_dir(path.parent)


def load(disk: Disk, path: Path, *, previous: Path) -> LoadedCheckpoint:
    """The newest whole checkpoint. Raises CheckpointTooNew for a newer release's."""
    notes: list[str] = []
    for candidate in (path, previous):
        try:
            checkpoint = _decode(candidate, disk.read(candidate))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            notes.append(f"{candidate}: damaged and not used: {error}")
            continue
        return LoadedCheckpoint(checkpoint, tuple(notes))
    return LoadedCheckpoint(None, tuple(notes))


def _encode(position: JournalPosition, state: Mapping[str, Any] | bytes) -> bytes:
    if not isinstance(state, bytes):
        state = _encode_state(state)
    head = (
        f'{{"format":{CHECKPOINT},"written_by":"{WRITER}",'
        f'"seq":{position.seq},"journal_crc":"{position.crc}",'
        f'"segment":"{position.segment}","offset":{position.offset},"state":'
    )
    body = head.encode() + state
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def _encode_state(state: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(
            state, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
    except UnicodeEncodeError:
        return json.dumps(state, separators=(",", ":"), allow_nan=False).encode()


def _decode(path: Path, data: bytes) -> Checkpoint:
    refuse_newer(path, data[:_HEAD_BYTES], CHECKPOINT)
    body = data[:-_TAIL_LENGTH]
    if data[len(body) :] != b',"crc":"%08x"}\n' % zlib.crc32(body):
        raise ValueError("cut off, or its bytes do not match its crc")
    fields = json.loads(data)
    position = JournalPosition(
        fields["seq"], fields["journal_crc"], fields["segment"], fields["offset"]
    )
    return Checkpoint(position, fields["state"], fields.get("written_by"))


def _keep_previous(disk: Disk, path: Path, previous: Path) -> None:
    spare = path.with_name(f".{path.name}.old")
    disk.remove_all([spare])
    try:
        disk.link(path, spare)
    except FileNotFoundError:
        return
    disk.rename(spare, previous)
    # rename does nothing when both are links to one file, which leaves the spare name behind
    disk.remove_all([spare])
