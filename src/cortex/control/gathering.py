"""Gathering a finished task's results into its report folder, before the line that ends it.

The files are written first and named by the line: a crash in between writes the same files again.
Reading and writing happen in an effect thread, on values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cortex.control.context import Context
from cortex.control.effects import outcome as outcome_of
from cortex.control.launching import attempt_paths
from cortex.decide.aggregate import Gathered, conclude, outcome, worker_results
from cortex.decide.findings import merge_workers
from cortex.decide.project import task_row
from cortex.decide.report import report_files
from cortex.model.failpoints import failpoint
from cortex.model.state import Task
from cortex.runtime.collect import collect
from cortex.store.reports import write_report

__all__ = ["Gathering"]

#: A task whose results cannot be gathered through a fault of ours is tried again this much later.
FAULT_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class _Job:
    task_id: str
    run: int
    location: str
    row: dict[str, Any]
    results: list[dict[str, Any]]
    sources: list[tuple[str, str]]


class Gathering:
    """Gathers for one daemon; `conclude` decides what comes of it."""

    def __init__(self, context: Context, write: Callable[..., None] = write_report) -> None:
        self._context = context
        self._write = write
        self._under_way: set[str] = set()
        self._jobs: list[_Job] = []

    def request(self, task: Task) -> None:
        """Asks for a task's results once; asking again while it is under way changes nothing."""
        if task.id in self._under_way:
            return
        self._under_way.add(task.id)
        self._jobs.append(self._job(task))

    def _job(self, task: Task) -> _Job:
        context = self._context
        now = context.engine.now()
        status, reason = outcome(task)
        done = [context.state.workers.get(step.worker_id or "") for step in task.steps]
        sources = [
            (worker.repository or "", attempt_paths(context, worker).folder)
            for worker in done
            if worker is not None and worker.status == "completed"
        ]
        return _Job(
            task.id,
            task.run,
            f"agents/logs/tasks/{task.created_at[:10]}/{task.id}",
            {**task_row(task, context.state), "status": status, "reason": reason},
            worker_results(context.state, task, now),
            sources,
        )

    def turn(self) -> None:
        """Hands what was asked for to the effect thread, after the turn is durable."""
        jobs, self._jobs = self._jobs, []
        if jobs:
            root, limit = str(self._context.paths.root), self._context.settings.workers
            self._context.effects.run(
                "gather",
                lambda: [
                    outcome_of(partial(_gather, job, root, limit.results_limit, self._write))
                    for job in jobs
                ],
                lambda outcome: self._gathered(jobs, outcome),
            )

    def _gathered(self, jobs: list[_Job], outcomes: Any) -> None:
        self._under_way.difference_update(job.task_id for job in jobs)
        if isinstance(outcomes, Exception):
            outcomes = [outcomes] * len(jobs)
        context = self._context
        now = context.engine.now()
        for job, gathered in zip(jobs, outcomes, strict=True):
            if isinstance(gathered, Exception):
                self._failed(job, gathered)
                continue
            task = context.state.tasks.get(gathered.task_id)
            if task is None or task.status != "aggregating":
                continue
            if task.run != gathered.run:
                context.retry_later(("task", task.id), 0.0)  # nobody else asks for this run's
                continue
            try:
                ended = conclude(context.state, task, gathered, context.catalog, now)
            except Exception as error:
                self._failed(job, error)
                continue
            context.engine.apply(ended)

    def _failed(self, job: _Job, error: Exception) -> None:
        """A disk that takes nothing is waited for; a fault of ours holds this one task only."""
        context = self._context
        passes = isinstance(error, OSError)
        if passes:
            context.hold_starts(1.0)
        context.log.error(
            "results could not be gathered; tried again", task=job.task_id, error=repr(error)[:500]
        )
        context.retry_later(("task", job.task_id), 1.0 if passes else FAULT_AGAIN_S)


def _gather(job: _Job, root: str, limit: int, write: Callable[..., None]) -> Gathered:
    reports = []
    documents = []
    for repository, folder in job.sources:
        found = collect(folder, None, max_bytes=limit).results or {}
        rows = [row for row in found.get("findings") or [] if isinstance(row, dict)]
        reports.append((repository, rows))
        documents.append((repository, found))
    findings = merge_workers(reports)
    files = report_files(job.row, job.results, findings, documents)
    failpoint("report.before_write")
    write(f"{root}/{job.location}", files, durable=bool(findings))
    failpoint("report.written")
    return Gathered(job.task_id, job.run, findings, job.location)
