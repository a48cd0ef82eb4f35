"""Replays journal lines onto a state, and says clearly why one cannot be.

A line may tell of something that a newer version knows: then that version is named, and nothing is
changed. Where the lines come from and what is done with the state is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cortex.decide.evolve import UnknownEventError, evolve
from cortex.decide.lifecycle import InvalidTransitionError
from cortex.model.formats import WRITER
from cortex.model.journal_line import Line
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.store.journal_errors import JournalDamaged, JournalUnknown

__all__ = ["place_of", "replay", "state_of"]


def state_of(place: Path, data: Mapping[str, Any], writer: str | None) -> State:
    """The state that a checkpoint holds. JournalUnknown where a newer version wrote more into it
    than this one knows.
    """
    try:
        return State.from_json(dict(data))
    except (TypeError, KeyError, AttributeError) as error:
        raise JournalUnknown(str(place), f"its state has {_field(error)}", writer) from error


def replay(
    disk: Disk, folder: Path, state: State, lines: Iterable[Line], writer: str | None = None
) -> int:
    """Evolves the state by every line; how many there were.

    `writer` is who wrote the lines until one says otherwise. Raises JournalUnknown for what another
    version wrote and this one does not know, and JournalDamaged for a line that cannot follow from
    those before it.
    """
    count = 0
    for line in lines:
        writer = line.written_by or writer
        try:
            evolve(state, line.seq, line.at, line.events)
        except (InvalidTransitionError, KeyError, TypeError) as error:
            raise _explained(disk, folder, line, writer, error) from error
        count += 1
    return count


def _explained(
    disk: Disk, folder: Path, line: Line, writer: str | None, error: Exception
) -> JournalUnknown | JournalDamaged:
    path, number = place_of(disk, folder, line.seq)
    place = f"{path}:{number}"
    if isinstance(error, UnknownEventError):
        return JournalUnknown(place, f"the event {error.name!r}", writer)
    if isinstance(error, TypeError) or writer not in (None, WRITER):
        return JournalUnknown(place, _field(error), writer)
    return JournalDamaged(path, number, f"the line cannot follow from those before it: {error}")


def _field(error: Exception) -> str:
    """The part of an error that names what is too much or too little."""
    text = str(error).rpartition("argument ")[2]
    return f"something ({text})" if text else f"something ({error!r})"


def place_of(disk: Disk, folder: Path, seq: int) -> tuple[Path, int]:
    """The segment and the line in it, counted from 1, that has this seq; line 0 if none has."""
    start = b'{"seq":%d,' % seq
    name = ""
    for name in sorted(name for name in disk.listdir(folder) if name.endswith(".jsonl")):
        data = disk.read(folder / name)
        place = 0 if data.startswith(start) else data.find(b"\n" + start) + 1
        if place or data.startswith(start):
            return folder / name, data.count(b"\n", 0, place) + 1
    return folder / name, 0
