"""The published documents of a whole state: which row stands in which list of which file.

The daemon publishes row by row as things change; a replay prints all at once. Both take their rows
from here, so that they cannot differ.
"""

from __future__ import annotations

from typing import Any

from cortex.decide import project
from cortex.decide.admit import waiting_reason
from cortex.decide.project import Vitals
from cortex.model.state import LIVE, WAITING_WORKER, State, Task, Worker

__all__ = ["POOL_LISTS", "documents", "pool_row", "queue_row", "row_of"]

POOL_LISTS = ("active_workers", "queued_workers", "completed_workers", "failed_workers")
_NO_VITALS = Vitals()

Row = dict[str, Any]


def queue_row(state: State, task: Task) -> Row:
    """A task's row, with what it waits for when it is under way and none of its workers lives."""
    waiting = _waiting_for(state, task) if task.status == "in_progress" else None
    return project.task_row(task, state, waiting)


def _waiting_for(state: State, task: Task) -> str | None:
    waiting = None
    for ident in reversed(task.workers):
        if ident in state.live:
            return None
        if waiting is None and ident in state.waiting:
            waiting = waiting_reason(state, state.workers[ident])
    return waiting


def pool_row(state: State, worker: Worker, vitals: Vitals | None = None) -> tuple[str, Row]:
    """(list of worker-pool.json, row) of a worker."""
    if worker.status in LIVE:
        return "active_workers", project.active_row(worker, vitals or _NO_VITALS)
    if worker.status in WAITING_WORKER:
        return "queued_workers", project.queued_row(worker, waiting_reason(state, worker))
    if worker.status == "completed":
        return "completed_workers", project.completed_row(worker)
    return "failed_workers", project.failed_row(worker)


def documents(state: State) -> dict[str, Row]:
    """File name → document without its header, for the state as it is."""
    pool: dict[str, list[Row]] = {name: [] for name in POOL_LISTS}
    for worker in state.workers.values():
        name, row = pool_row(state, worker)
        pool[name].append(row)
    return {
        "task-queue.json": {"tasks": [queue_row(state, task) for task in state.tasks.values()]},
        "worker-pool.json": pool,
        "token-budget.json": project.budget_document(state, {}),
        "handoffs.json": {
            "handoffs": [project.handoff_row(handoff) for handoff in state.handoffs.values()],
            "escalations": [project.escalation_row(row) for row in state.escalations.values()],
            "approvals": [project.approval_row(row) for row in state.approvals.values()],
        },
        "schedules.json": {
            "scheduled_workers": [project.schedule_row(row) for row in state.schedules.values()]
        },
    }


def row_of(state: State, name: str, ident: str) -> Row:
    """One row of the list of that name, as `documents` has it; empty where there is none."""
    if name == "tasks":
        task = state.tasks.get(ident)
        return queue_row(state, task) if task else {}
    if name == "handoffs":
        handoff = state.handoffs.get(ident)
        return project.handoff_row(handoff) if handoff else {}
    if name == "escalations":
        escalation = state.escalations.get(ident)
        return project.escalation_row(escalation) if escalation else {}
    if name == "scheduled_workers":
        schedule = state.schedules.get(ident)
        return project.schedule_row(schedule) if schedule else {}
    worker = state.workers.get(ident)
    return pool_row(state, worker)[1] if worker else {}
