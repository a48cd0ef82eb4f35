"""The state as of one journal line, and the lines after it: what an edit of an old version needs.

Begins at the newest checkpoint that is old enough, else at the journal's first line. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterator

from cortex.decide.evolve import evolve
from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.store import checkpoint
from cortex.store.journal_scan import JournalPosition, read_lines

__all__ = ["rewind"]


def rewind(disk: Disk, paths: HomePaths, seq: int) -> tuple[State, Iterator[Line]]:
    """(state after line `seq`, the lines after that). Where the journal ends before, its end.

    Raises JournalDamaged and OSError as reading the journal does.
    """
    state, after = _nearest(disk, paths, seq)
    lines = read_lines(disk, paths.journal, after)
    while state.seq < seq:
        line = next(lines, None)
        if line is None:
            break
        evolve(state, line.seq, line.at, line.events)
    state.touched.clear()
    return state, lines


def _nearest(disk: Disk, paths: HomePaths, seq: int) -> tuple[State, JournalPosition | None]:
    """The newest checkpoint at or before a line, as (state, its place); an empty state else."""
    for path in (paths.checkpoint, paths.previous_checkpoint):
        loaded = checkpoint.load(disk, path, previous=paths.previous_checkpoint).checkpoint
        if loaded is not None and loaded.position.seq <= seq:
            return State.from_json(dict(loaded.state)), loaded.position
    return State(), None
