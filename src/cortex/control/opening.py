"""Opening a home: lock, settings, journal, state. What must be true before the first turn.

The state is the newest checkpoint and the lines after it; published files are never read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cortex.control.home_lock import HomeLock
from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.store import checkpoint
from cortex.store.formats import refuse_newer_files
from cortex.store.history import published_later
from cortex.store.journal import Journal, recover
from cortex.store.journal_scan import opened_day
from cortex.store.replaying import replay, state_of

__all__ = ["Opened", "make_folders", "only_daemon", "open_state"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A recovered state and the journal that goes on from it; `notes` are for the log."""

    state: State
    journal: Journal
    notes: tuple[str, ...]
    replayed: int


@contextmanager
def only_daemon(paths: HomePaths) -> Iterator[HomeLock]:
    """Holds the home's lock; HomeError with the holder's pid where another daemon has it."""
    lock = HomeLock(paths)
    try:
        yield lock
    finally:
        lock.release()


def make_folders(paths: HomePaths) -> None:
    """Every folder that the daemon writes into, made where it is missing."""
    for folder in (*paths.own_folders, paths.worker_logs, paths.task_logs):
        folder.mkdir(parents=True, exist_ok=True)
    paths.state.chmod(0o700)


def open_state(disk: Disk, paths: HomePaths) -> Opened:
    """The state as the journal has it; raises the journal's errors, which say what to do.

    What a newer version wrote is refused before anything is changed.
    """
    refuse_newer_files(disk, paths)
    loaded = checkpoint.load(disk, paths.checkpoint, previous=paths.previous_checkpoint)
    state, after, writer = State(), None, None
    notes = list(loaded.notes)
    if loaded.checkpoint is not None:
        writer = loaded.checkpoint.written_by
        state = state_of(paths.checkpoint, loaded.checkpoint.state, writer)
        after = loaded.checkpoint.position
    elif (day := opened_day(disk, paths.journal)) is not None:
        writer = day.line.written_by
        state = state_of(paths.journal / day.position.segment, day.state, writer)
        replay(disk, paths.journal, state, [day.line], writer)
        after = day.position
    count = 0

    def take(lines: Iterator[Line]) -> None:
        nonlocal count
        count = replay(disk, paths.journal, state, lines, writer)

    recovered = recover(
        disk,
        paths.journal,
        ballast=paths.ballast,
        after=after,
        later_traces=lambda seq: published_later(disk, paths, seq),
        replay=take,
    )
    if recovered.torn is not None:
        notes.append(f"a torn line at the journal's end was set aside: {recovered.torn}")
    state.touched.clear()
    recovered.journal.ensure_ballast()
    return Opened(state, recovered.journal, tuple(notes), count)
