"""How well tasks kept their times: deadlines met and missed, waits and durations by priority.

Computed from published and archived rows; a task counts in the period in which it was created.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cortex.home.documents import Row
from cortex.home.waiting import has_ended
from cortex.model.ids import PRIORITIES
from cortex.model.percentile import percentile
from cortex.model.times import time_in

if TYPE_CHECKING:
    from cortex.home.client import Home

__all__ = ["Level", "service_levels"]


@dataclass(slots=True)
class Level:
    """One priority's tasks. Times are seconds; `waits` are from creation to the first step.

    `met` and `missed` count tasks with a deadline; `late` are the ids of the open ones past it.
    """

    priority: str
    tasks: int = 0
    completed: int = 0
    failed: int = 0
    open: int = 0
    met: int = 0
    missed: int = 0
    late: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)

    @property
    def kept(self) -> float | None:
        """The share of decided deadlines that were met; None where none was decided."""
        decided = self.met + self.missed
        return self.met / decided if decided else None

    def to_json(self) -> Row:
        """The numbers, for programs."""
        return {
            "priority": self.priority,
            **{name: getattr(self, name) for name in ("tasks", "completed", "failed", "open")},
            "deadlines_met": self.met,
            "deadlines_missed": self.missed,
            "late": self.late,
            "wait_p50_s": _rounded(self.waits, 50),
            "wait_p90_s": _rounded(self.waits, 90),
            "duration_p50_s": _rounded(self.durations, 50),
            "duration_p90_s": _rounded(self.durations, 90),
        }


def _rounded(samples: list[float], share: int) -> float | None:
    value = percentile(samples, share)
    return None if value is None else round(value, 3)


def service_levels(home: Home, now: float, since: float | None = None) -> list[Level]:
    """One level for each priority that has tasks, the most urgent first.

    `now` decides which open tasks are late, `since` leaves older tasks out; seconds since 1970.
    """
    levels = {name: Level(name) for name in reversed(PRIORITIES)}
    for row in _tasks(home, since):
        level = levels.get(str(row.get("priority")))
        if level is not None:
            _count(level, row, now)
    return [level for level in levels.values() if level.tasks]


def _tasks(home: Home, since: float | None) -> Iterable[Row]:
    """Every task once: the archive may hold one that is still published."""
    published = home.tasks()
    seen = {row.get("id") for row in published}
    rows = [*published, *(row for row in home.archived("task") if row.get("id") not in seen)]
    for row in rows:
        created = time_in(row.get("created_at"))
        if since is None or (created is not None and created >= since):
            yield row


def _count(level: Level, row: Row, now: float) -> None:
    status = str(row.get("status"))
    created, started = time_in(row.get("created_at")), time_in(row.get("started_at"))
    ended, deadline = time_in(row.get("ended_at")), time_in(row.get("deadline"))
    over = has_ended(status)
    level.tasks += 1
    level.completed += status == "completed"
    level.failed += status == "failed"
    level.open += not over
    if created is not None and started is not None:
        level.waits.append(max(0.0, started - created))
    if created is not None and ended is not None:
        level.durations.append(max(0.0, ended - created))
    if deadline is None or status == "cancelled":
        return
    if over and status == "completed" and ended is not None and ended <= deadline:
        level.met += 1
    elif over or now > deadline:
        level.missed += 1
        if not over:
            level.late.append(str(row.get("id")))
