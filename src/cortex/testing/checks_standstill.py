"""Nothing stands still that could move: looked at whenever a daemon has nothing left to do.

By rules of its own rather than by the deciding code; what may rightly wait is left out, so that
each finding is one.
"""

from __future__ import annotations

from collections.abc import Iterator

from cortex.daemon import Daemon
from cortex.decide.catalog import Catalog
from cortex.model.ids import master_key
from cortex.model.state import State, Task, Worker

__all__ = ["standing_still"]


def standing_still(daemon: Daemon, catalog: Catalog | None) -> list[str]:
    """What stands still in a daemon that waits for nothing but time; `catalog` is what it has read
    last, None where files have changed since."""
    state = daemon.state
    if daemon.starts_nothing:
        return []
    found = [text for task in state.tasks.values() for text in _of_task(state, task, catalog)]
    if state.waiting and not state.live and not state.paused:
        workers = (state.workers[ident] for ident in state.waiting)
        found += [text for worker in workers for text in _of_worker(state, worker)]
    found += _of_questions(state)
    return found


def _of_worker(state: State, worker: Worker) -> Iterator[str]:
    """Nothing lives, so there are slots, and no tokens are kept for anybody."""
    task = state.tasks[worker.task_id]
    if worker.status == "blocked" or task.status == "paused":
        return
    needed = worker.token_budget + worker.overhead_tokens if worker.uses_tokens else 0
    free = state.budget.pool_available
    if worker.fund.startswith("master:"):
        fund = state.budget.masters.get(master_key(worker.master))
        free = fund.allocated - fund.used - fund.reserved if fund is not None else 0
    if needed <= free:
        yield f"nothing runs, and {worker.id} waits: it needs {needed} of {free} tokens"


def _of_task(state: State, task: Task, catalog: Catalog | None) -> Iterator[str]:
    if task.status == "assigned":
        yield f"{task.id} has a master and no plan"
    elif task.status == "pending":
        idle = task.waiting_for is None and task.not_before is None
        if not task.hold and idle:
            yield f"{task.id} is not routed"
    elif task.status == "in_progress":
        yield from _of_steps(task)
    elif task.status == "blocked" and catalog is not None:
        yield from _of_blocked(state, task, catalog)
    elif task.status == "awaiting_approval" and not any(
        one.task_id == task.id and one.status == "pending" for one in state.approvals.values()
    ):
        yield f"{task.id} waits for a yes, and nobody is asked"


def _of_steps(task: Task) -> Iterator[str]:
    for step in task.steps:
        if step.status == "active" or step.missing or step.not_before is not None:
            return
    if task.waiting_for is None:
        yield f"{task.id} is in progress, and none of its steps is"


def _of_blocked(state: State, task: Task, catalog: Catalog) -> Iterator[str]:
    why = task.blocked_on or ""
    if task.children and "of its" in why:
        children = [state.tasks[child] for child in task.children if child in state.tasks]
        if not any(_is_open(child) for child in children):
            yield f"{task.id} waits for tasks that are over"
    elif task.assigned_to in catalog.masters and f"{task.assigned_to} has no file" in why:
        yield f"{task.id} waits for a file that is there"
    elif any(f"worker type {name} has no file" in why for name in catalog.types):
        yield f"{task.id} waits for a type that is there: {why}"


def _is_open(task: Task) -> bool:
    return task.status not in ("completed", "failed", "cancelled")


def _of_questions(state: State) -> Iterator[str]:
    for asked in state.approvals.values():
        if asked.status != "pending":
            continue
        task = state.tasks.get(asked.task_id)
        status = task.status if task is not None else "archived"
        if asked.resume_to and status not in ("awaiting_approval", "paused"):
            yield f"{asked.id} is asked of {asked.task_id}, which is {status}"
        elif task is None or not _is_open(task):
            yield f"{asked.id} is asked of {asked.task_id}, which is over"
    for told in state.escalations.values():
        task = state.tasks.get(told.task_id or "")
        if told.status == "open" and told.subject == "critical work is short of tokens":
            waiting = [] if task is None else [one for one in task.workers if one in state.waiting]
            if not waiting:
                yield f"{told.id} says that {told.task_id} is short, and nothing of it waits"
