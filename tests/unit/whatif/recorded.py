"""A world of the deciding code whose lines go into a home's journal, for reruns of its days."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cortex.model.paths import HomePaths
from cortex.store.disk import RealDisk
from cortex.store.journal import recover
from tests.unit.deciding import World


class RecordedWorld(World):
    """What it decides is written down when a test says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.paths = HomePaths(folder)
        self.paths.state.mkdir(parents=True)
        self.journal = recover(RealDisk(), self.paths.journal, ballast=self.paths.ballast).journal
        self._written = 0

    def write(self) -> None:
        """Writes the lines since the last time, as of now."""
        for entry in self.lines[self._written :]:
            moment = datetime.fromtimestamp(self.wall, UTC)
            self.journal.append(moment, entry.by, entry.why, entry.events)
        self.journal.commit()
        self._written = len(self.lines)

    def go_on(self, minute: int) -> None:
        """Decides and writes what there is to decide; then it is that minute after nine."""
        self.reconcile()
        self.admit()
        self.write()
        self.at(9, minute)
