"""Deadlines that pass: told once each, because nothing is ended by them.

The index is one of open tasks by their deadline, so that looking costs nothing while none is due.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from cortex.decide.entry import Entry, Now
from cortex.model.state import OPEN_TASK, State, Task
from cortex.model.times import parse_time

__all__ = ["Deadlines"]


@dataclass(slots=True)
class Deadlines:
    """Open tasks by their deadline; a lost or late entry costs time only."""

    _heap: list[tuple[float, str, str]] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)

    def put(self, task: Task) -> None:
        """Takes in a task that is new or was changed."""
        if task.deadline in (None, task.missed_deadline, self._known.get(task.id)):
            return
        if task.status in OPEN_TASK:
            self._known[task.id] = task.deadline
            heapq.heappush(self._heap, (parse_time(task.deadline), task.id, task.deadline))

    def next_missed(self, state: State, now: Now) -> Entry | None:
        """The line of one task that is open past its deadline; to be applied before the next."""
        while self._heap and self._heap[0][0] <= now.wall:
            _, ident, deadline = heapq.heappop(self._heap)
            if self._known.get(ident) == deadline:
                del self._known[ident]
            task = state.tasks.get(ident)
            if task is None or task.status not in OPEN_TASK or task.deadline != deadline:
                continue
            if task.missed_deadline != deadline:
                event = {"event": "deadline_missed", "task_id": ident, "deadline": deadline}
                why = f"{ident} is {task.status} past its deadline {deadline}"
                return Entry(task.assigned_to or "coordinator-master", why, [event])
        return None
