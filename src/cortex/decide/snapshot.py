"""The published documents of a whole state: which row stands in which list of which file.

The daemon publishes row by row as things change; a replay prints all at once. Both take their rows
from here, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.decide import project
from cortex.decide.admit import waiting_reason
from cortex.decide.edit import flat
from cortex.decide.project import Vitals
from cortex.model.state import LIVE, WAITING_WORKER, State, Task, Worker

__all__ = ["POOL_LISTS", "document", "documents", "pool_row", "queue_row", "row_of"]

POOL_LISTS = ("active_workers", "queued_workers", "completed_workers", "failed_workers")
_NO_VITALS = Vitals()

Row = dict[str, Any]


def queue_row(state: State, task: Task) -> Row:
    """A task's row, with what it waits for when it is under way and none of its workers lives."""
    waiting = _waiting_for(state, task) if task.status in ("in_progress", "planning") else None
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
    return {name: make(state) for name, make in _DOCUMENTS.items()}


def document(state: State, name: str) -> Row:
    """One of these documents."""
    return _DOCUMENTS[name](state)


def _pool(state: State) -> Row:
    pool: dict[str, list[Row]] = {name: [] for name in POOL_LISTS}
    for worker in state.workers.values():
        name, row = pool_row(state, worker)
        pool[name].append(row)
    return {**project.learned_counts(state), **pool}


def _people(state: State) -> Row:
    return {
        "handoffs": [project.handoff_row(handoff) for handoff in state.handoffs.values()],
        "escalations": [project.escalation_row(row) for row in state.escalations.values()],
        "approvals": [project.approval_row(row) for row in state.approvals.values()],
    }


_DOCUMENTS: dict[str, Callable[[State], Row]] = {
    "task-queue.json": lambda state: {
        "tasks": [queue_row(state, task) for task in state.tasks.values()]
    },
    "worker-pool.json": _pool,
    "token-budget.json": lambda state: project.budget_document(state, {}),
    "handoffs.json": _people,
    "schedules.json": lambda state: {
        "scheduled_workers": [project.schedule_row(row) for row in state.schedules.values()]
    },
}


def row_of(state: State, name: str, ident: str) -> Row:
    """One row of the list of that name, as `decide.edit.rows_of` has it; empty where there is
    none. `workers` are those of all lists, `budget` is the ledger."""
    if name == "budget":
        return flat(project.budget_document(state, {}))
    records, row = _ROWS[name]
    record = records(state).get(ident)
    return row(state, record) if record is not None else {}


def _worker_row(state: State, worker: Worker) -> Row:
    name, row = pool_row(state, worker)
    return {**row, "list": name}


_ROWS: dict[str, tuple[Callable[[State], dict[str, Any]], Callable[[State, Any], Row]]] = {
    "tasks": (lambda state: state.tasks, queue_row),
    "workers": (lambda state: state.workers, _worker_row),
    "handoffs": (lambda state: state.handoffs, lambda _, one: project.handoff_row(one)),
    "escalations": (lambda state: state.escalations, lambda _, one: project.escalation_row(one)),
    "approvals": (lambda state: state.approvals, lambda _, one: project.approval_row(one)),
    "scheduled_workers": (lambda state: state.schedules, lambda _, one: project.schedule_row(one)),
}
