"""The whole story of one task as values: plan, attempts, findings, what followed, and who decided.

Read from published rows, the archive, the report folder and the journal. How it looks is for
whoever prints it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.home.causes import Explanation, explain
from cortex.home.concerning import answered_by
from cortex.home.delivered import Delivery, delivered_by
from cortex.home.documents import Row, open_plain
from cortex.home.planned import proposed_steps
from cortex.model.errors import HomeError
from cortex.model.times import parse_time, time_in

if TYPE_CHECKING:
    from cortex.home.client import Home
    from cortex.model.journal_line import Line

__all__ = ["Attempt", "Story", "story_of"]

_FINDINGS_BYTES_AT_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """One worker of the task. Instants are seconds since 1970; `started` None: it never ran."""

    worker_id: str
    step: str
    status: str
    requested: float | None
    started: float | None
    ended: float | None
    tokens_used: int
    token_budget: int
    note: str
    folder: str | None


@dataclass(slots=True)
class Story:
    """`steps` are in the plan's order, `attempts` in the order in which they were asked for.

    `followed` are the task's own children, then what it led to, each before its children. `asked`
    are approvals and escalations about the task, answered or not. `delivered` is what its own
    workers handed over, then what those of the tasks that followed did.
    """

    task: Row
    explanation: Explanation
    steps: list[Row] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    findings: list[Row] = field(default_factory=list)
    followed: list[Row] = field(default_factory=list)
    asked: list[Row] = field(default_factory=list)
    handoff: Row | None = None
    delivered: list[Delivery] = field(default_factory=list)

    @property
    def decisions(self) -> list[Line]:
        """The journal's lines about the task and its workers, oldest first."""
        return [*self.explanation.chain, *self.explanation.history]


def story_of(home: Home, ident: str) -> Story:
    """The story of a task, open or ended, archived ones too. HomeError for anything else."""
    explanation = explain(home, ident)
    if explanation.subject.kind != "task":
        kind = explanation.subject.kind
        raise HomeError(f"{ident} is a {kind}; a report is about a task: its `task_id`")
    task = explanation.subject.row
    told = _instants(explanation.history)
    published = {str(row.get("worker_id")): row for row in home.workers()}
    workers = list(_worker_rows(home, task, published))
    followed = list(_followed(home, task))
    others = [row for one in followed for row in _worker_rows(home, one, published)]
    handoff = home.lookup(str(task["handoff_id"])) if task.get("handoff_id") else None
    return Story(
        task,
        explanation,
        steps=[step for step in task.get("steps") or () if isinstance(step, dict)]
        or [{"status": "proposed", **step} for step in proposed_steps(task)],
        attempts=[_attempt(row, told) for row in workers],
        findings=_findings(home, task),
        followed=followed,
        asked=list(_asked(home, ident, explanation.history)),
        handoff=handoff.row if handoff is not None else None,
        delivered=delivered_by(home, [*workers, *others]),
    )


def _asked(home: Home, ident: str, history: list[Line]) -> Iterable[Row]:
    """Rows of approvals and escalations, each with `answered_by` where that is known."""
    for row in (*home.approvals(), *home.escalations()):
        if row.get("task_id") == ident:
            who = answered_by(row, history)
            yield {**row, "answered_by": who} if who else row


def _followed(home: Home, task: Row) -> Iterable[Row]:
    """Rows of tasks; each has a `parent` only if that is shown too.

    One that stood for the task's findings already has `told`: what became of it by then.
    """
    known = [row for row in task.get("known") or () if isinstance(row, dict)]
    told = {str(row.get("task_id")): row.get("told") for row in known}
    for name in task.get("children") or ():
        row = home.task(str(name))
        if row is not None:
            yield {**row, "parent": None}
    for name in task.get("follow_ups") or ():
        row = home.task(str(name))
        if row is None or name in (task.get("children") or ()):
            continue
        yield {**row, "parent": None} | ({"told": told[name]} if name in told else {})
        children = (home.task(str(child)) for child in row.get("children") or ())
        yield from (child for child in children if child is not None)


def _worker_rows(home: Home, task: Row, published: dict[str, Row]) -> Iterable[Row]:
    for ident in map(str, task.get("workers") or ()):
        row = published.get(ident) or home.worker(ident)
        if row is not None:
            yield row


_TELLING = ("worker_requested", "worker_running", "worker_ended")


def _instants(history: Iterable[Line]) -> dict[tuple[str, str], float]:
    """(event, worker id) → when, to the millisecond, which the rows do not tell."""
    found = {}
    for line in history:
        for event in line.events:
            if event.get("event") in _TELLING:
                worker = event.get("worker")
                ident = worker.get("id") if isinstance(worker, dict) else event.get("worker_id")
                found[str(event["event"]), str(ident)] = parse_time(line.at)
    return found


def _attempt(row: Row, told: dict[tuple[str, str], float]) -> Attempt:
    ident = str(row.get("worker_id"))
    ended = row.get("completed_at") or row.get("failed_at")
    return Attempt(
        ident,
        str(row.get("step") or ""),
        str(row.get("status")),
        told.get(("worker_requested", ident)),
        told.get(("worker_running", ident), time_in(row.get("spawned_at"))),
        told.get(("worker_ended", ident), time_in(ended)),
        _count(row.get("tokens_used")),
        _count(row.get("token_budget", row.get("estimated_tokens"))),
        str(row.get("error") or row.get("summary") or row.get("waiting_for") or ""),
        row["result_location"] if isinstance(row.get("result_location"), str) else None,
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _findings(home: Home, task: Row) -> list[Row]:
    """The ranked findings of the task's report folder; [] where there are none to be read."""
    location = task.get("result_location")
    if not isinstance(location, str) or ".." in Path(location).parts:
        return []
    path = home.root / location / "findings.json"
    try:
        with open_plain(path, _FINDINGS_BYTES_AT_MOST) as file:
            document = json.load(file)
    except (OSError, ValueError, RecursionError):
        return []
    rows = document.get("findings") if isinstance(document, dict) else document
    return [row for row in rows or () if isinstance(row, dict)]
