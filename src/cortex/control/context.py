"""What every controller gets: the engine, the seams, and the things that change while it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from cortex.control.effects import Effects
from cortex.control.engine import Engine
from cortex.decide.catalog import Catalog
from cortex.decide.project import Vitals
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.model.state import State

__all__ = ["Context"]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(slots=True)
class Context:
    """Shared by the controllers of one daemon; all of them run in its control thread.

    `held_until` is a monotonic instant before which the machine is too short of something to start.
    `catalog` and `settings` are replaced whole when their files change. `vitals` holds what live
    workers last said. `full` carries the journal's error while the disk takes nothing: nothing new
    is started then, and before `inbox_seen`: a cancel or pause that waits there goes first.
    `anothers_dirs` are folders of locks that belong to the home of which this one is a copy: its
    workers are neither looked for nor ended here. `upkeep` has a sentence for each piece of upkeep
    that failed at its last try.
    """

    engine: Engine
    effects: Effects
    paths: HomePaths
    settings: Settings
    catalog: Catalog
    log: Any
    vitals: dict[str, Vitals] = field(default_factory=dict)
    cores: int = field(default_factory=_cores)
    full: str | None = None
    told_to_drain: bool = False
    inbox_seen: bool = False
    anothers_dirs: frozenset[str] = frozenset()
    held_until: float = 0.0
    again: list[tuple[tuple[str, str], float]] = field(default_factory=list)
    upkeep: dict[str, str] = field(default_factory=dict)

    @property
    def draining(self) -> bool:
        """Whether nothing new starts because the daemon leaves once the running workers ended."""
        return self.told_to_drain or self.state.draining

    @property
    def starts_nothing(self) -> bool:
        """Whether new work waits for now, whatever slots and tokens there are."""
        waits = self.engine.clock.monotonic() < self.held_until
        return waits or self.draining or self.full is not None or not self.inbox_seen

    @property
    def state(self) -> State:
        """The state; changed by `engine.apply` alone."""
        return self.engine.state

    def hold_starts(self, seconds: float) -> None:
        """Starts nothing for a while: a machine short of processes or space needs no more."""
        self.held_until = max(self.held_until, self.engine.clock.monotonic() + seconds)

    def kept_up(self, what: str, outcome: Any) -> bool:
        """Whether a piece of upkeep went well; a failure of it is told until its next success."""
        if isinstance(outcome, Exception):
            self.upkeep[what] = f"{what}: {outcome}"
            return False
        self.upkeep.pop(what, None)
        return True

    def retry_later(self, key: tuple[str, str], seconds: float) -> None:
        """Lets a key come up again after a while; the masters' controller takes it from here."""
        self.again.append((key, seconds))
