"""Looks whether the published files are as they were published, and says which to restore.

An editor that writes in place is given a second before its half-written file is replaced; what it
writes after that goes into a file of `.state/out/` and is found by the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cortex.control.context import Context
from cortex.model.seams import Disk
from cortex.store.edits import is_document
from cortex.store.publish import LateEdit, Publisher

__all__ = ["Lookout"]

#: So long a file may be half-written, or missing, before it is restored.
PATIENCE_S = {"unfinished": 1.0, "missing": 0.2}
AGAIN_S = 0.1


class Lookout:
    """`restore` is called with each document that is to be published again, `take` with edits
    that came late. All looks go through the lane of publishing, one after the other."""

    def __init__(
        self,
        context: Context,
        disk: Disk,
        publisher: Publisher,
        restore: Callable[[Path], None],
        take: Callable[[list[LateEdit]], None],
    ) -> None:
        self._context = context
        self._disk = disk
        self._publisher = publisher
        self._restore = restore
        self._take = take
        self._under_way = False
        self._due: float | None = None
        self._unsettled: dict[Path, float] = {}

    def holds(self, path: Path) -> bool:
        """Whether somebody is about to write this document, so that it is not replaced now."""
        return path in self._unsettled

    def look(self) -> None:
        """Something may have been edited."""
        self._due = 0.0

    def next_due(self) -> float | None:
        """Monotonic instant of the next look, where one is wanted."""
        return None if self._under_way else self._due

    def turn(self) -> None:
        """Starts a look if one is due."""
        clock = self._context.engine.clock.monotonic()
        if self._under_way or self._due is None or clock < self._due:
            return
        self._under_way, self._due = True, None
        disk, publisher, paths = self._disk, self._publisher, self._context.paths.documents
        self._context.effects.run(
            "publish", lambda: _look(disk, publisher, paths, clock), self._looked
        )

    def _looked(self, outcome: Any) -> None:
        self._under_way = False
        if isinstance(outcome, Exception):
            self._context.log.warning("published files could not be read", error=str(outcome))
            return
        found, late = outcome
        clock = self._context.engine.clock.monotonic()
        for path, what in found.items():
            patience_s = PATIENCE_S.get(what)
            if patience_s is not None:
                since = self._unsettled.setdefault(path, clock)
                if clock - since < patience_s:
                    self._due = clock + AGAIN_S if self._due is None else self._due
                    continue
            self._unsettled.pop(path, None)
            if what != "ours":
                self._restore(path)
        self._take(late)


def _look(
    disk: Disk, publisher: Publisher, paths: Sequence[Path], clock: float
) -> tuple[dict[Path, str], list[LateEdit]]:
    """What lies in each document's place, and edits that came late."""
    found: dict[Path, str] = {
        path: publisher.look(path, lambda path, stat: is_document(disk, path, stat))
        for path in paths
    }
    return found, publisher.sweep(clock)
