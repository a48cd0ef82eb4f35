"""Counts what some days came to, from their journal lines: the same counting for both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cortex.model.state import OPEN_TASK
from cortex.model.times import parse_time

__all__ = ["Figures", "count"]

Lines = Iterable[tuple[float, list[dict[str, Any]]]]


@dataclass(slots=True)
class Figures:
    """What the days came to. Times in seconds; a wait that has no end yet counts as long as it is.

    `waits_s` are those of attempts for a slot and tokens, `spans_s` those of tasks from acceptance
    to completion. `ends` maps a task to how and when it ended.
    """

    accepted: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    open: int = 0
    attempts: int = 0
    waits_s: list[float] = field(default_factory=list)
    spans_s: list[float] = field(default_factory=list)
    tokens: int = 0
    refused: int = 0
    reserve_opened: int = 0
    alerts: int = 0
    escalations: int = 0
    deadlines_missed: int = 0
    ends: dict[str, tuple[str, float]] = field(default_factory=dict)
    last_end_s: float | None = None


def count(start: dict[str, Any], lines: Lines, end_s: float) -> Figures:
    """The figures of the lines that followed the state `start` (as a checkpoint has it)."""
    counter = _Counter(start)
    for at_s, events in lines:
        for event in events:
            counter.take(event, at_s)
    return counter.result(end_s)


class _Counter:
    def __init__(self, start: dict[str, Any]) -> None:
        self._figures = Figures()
        self._accepted: dict[str, float] = {}
        self._deadlines: dict[str, str] = {}
        self._requested: dict[str, float] = {}
        for task in start.get("tasks", ()):
            if task.get("status", "pending") in OPEN_TASK:
                self._accept(task, parse_time(task["created_at"]))
        for worker in start.get("workers", ()):
            if worker.get("status", "requested") in ("requested", "queued", "blocked"):
                self._requested[worker["id"]] = parse_time(worker["requested_at"])

    def _accept(self, task: dict[str, Any], at_s: float) -> None:
        self._accepted[task["id"]] = at_s
        if task.get("deadline"):
            self._deadlines[task["id"]] = task["deadline"]

    def take(self, event: dict[str, Any], at_s: float) -> None:
        """One event of one line."""
        figures, name = self._figures, event["event"]
        if name == "task_accepted":
            figures.accepted += 1
            self._accept(event["task"], at_s)
        elif name == "task_ended":
            figures.ends[event["task_id"]] = (event["status"], at_s)
        elif name == "task_reopened":
            figures.ends.pop(event["task_id"], None)
        elif name == "worker_requested":
            self._requested[event["worker"]["id"]] = at_s
        elif name == "worker_approved" and event["worker_id"] in self._requested:
            figures.attempts += 1
            figures.waits_s.append(at_s - self._requested.pop(event["worker_id"]))
        elif name == "worker_ended":
            self._requested.pop(event["worker_id"], None)
            figures.refused += event["status"] == "rejected"
        elif name == "tokens_settled":
            figures.tokens += event["used"]
        else:
            figures.reserve_opened += name == "reserve_opened"
            figures.alerts += name == "alert_raised"
            figures.escalations += name == "escalation_raised"

    def result(self, end_s: float) -> Figures:
        """The figures at the end of the days."""
        figures = self._figures
        figures.waits_s += [end_s - at_s for at_s in self._requested.values()]
        figures.open = sum(ident not in figures.ends for ident in self._accepted)
        for ident, (status, at_s) in figures.ends.items():
            figures.statuses[status] += 1
            if status == "completed" and ident in self._accepted:
                figures.spans_s.append(at_s - self._accepted[ident])
        for ident, text in self._deadlines.items():
            status, at_s = figures.ends.get(ident, ("open", end_s))
            late = at_s > parse_time(text)
            figures.deadlines_missed += late and status != "cancelled"
        ends = [at_s for _, at_s in figures.ends.values()]
        figures.last_end_s = max(ends, default=None)
        return figures
