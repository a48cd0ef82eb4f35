"""A person's yes or no: which tasks and steps wait for one.

A task waits as a whole before any of its workers is asked for; a step waits once it could start and
nothing else of its task can, and one question is for all that wait then. What was approved is not
asked for again, until a retry of the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.decide.entry import Now
from cortex.decide.evidence import quote
from cortex.model.settings import Settings
from cortex.model.state import Approval, State, Step, Task
from cortex.model.words import counted

__all__ = ["ask", "offer", "step_waits", "task_waits", "too_many_wait", "withdraw_approvals"]

Event = dict[str, Any]
#: How `Task.approved` names the whole of a task.
WHOLE = ""
#: So many steps of a plan stand in the question; its number of workers counts them all.
_LISTED = 50


def task_waits(task: Task, price: int, catalog: Catalog, settings: Settings) -> str | None:
    """Why a planned task waits for a yes as a whole; None if it does not (any more).

    `price` is the 90th percentile of what its plan will take, in tokens.
    """
    if WHOLE in task.approved:
        return None
    if task.approval:
        return "it was dropped with `approval`"
    if task.type in settings.approvals.types:
        return f"approvals.types in cortex.toml names {task.type}"
    master = catalog.masters.get(task.assigned_to or "")
    if master is not None and task.type in master.approvals:
        return f"{master.name} asks before it starts tasks of type {task.type}"
    limit = settings.approvals.workers_above
    if limit and len(task.steps) > limit:
        return f"it has {counted(len(task.steps), 'worker')}; approvals.workers_above is {limit}"
    limit = settings.approvals.tokens_above
    if limit and price > limit:
        return f"its workers may use {price:,} tokens; approvals.tokens_above is {limit:,}"
    return None


def step_waits(task: Task, step: Step, catalog: Catalog) -> str | None:
    """Why a step that could start waits for a yes; None if it does not (any more)."""
    if step.name in task.approved:
        return None
    if step.approval:
        return f"step {step.name} asks for it"
    kind = catalog.types.get(step.worker_type)
    if kind is not None and kind.approval:
        return f"step {step.name} is a {step.worker_type}, which asks before it starts"
    return None


def ask(
    state: State,
    task: Task,
    reason: str,
    now: Now,
    *,
    step: str | None = None,
    also: Sequence[str] = (),
    gate: str = "",
    offer: dict[str, Any] | None = None,
    lifts: dict[str, int] | None = None,
) -> list[Event]:
    """Events that let a task wait for a person, before it starts or on its way to a step.

    `offer` is what a yes starts and costs, `lifts` how far it lifts the ceiling of a line.
    """
    approval = Approval(
        id=f"approval-{state.counters.get('approval', 0) + 1:03d}",
        task_id=task.id,
        reason=reason,
        created_at=now.at,
        resume_to="in_progress" if task.status == "in_progress" else "assigned",
        step=step,
        also=list(also),
        gate=gate,
        offer=offer or {},
        lifts=lifts or {},
    )
    return [{"event": "approval_asked", "approval": approval.to_json()}]


def offer(state: State, steps: Iterable[Step], catalog: Catalog) -> dict[str, Any]:
    """What a yes would start: the number of workers, the plan, and its price (`quote`).

    Steps that are over are no part of it; of many the first are listed.
    """
    left = [step for step in steps if step.status in ("waiting", "ready")]
    rows = [
        {
            "name": step.name,
            "worker_type": step.worker_type,
            "needs": list(step.needs),
            "repository": step.scope.get("repository"),
        }
        for step in left[:_LISTED]
    ]
    listed = [{key: value for key, value in row.items() if value} for row in rows]
    return {"workers": len(left), **quote(state, left, catalog), "steps": listed}


def too_many_wait(state: State, task: Task, settings: Settings) -> str | None:
    """Backpressure: why a task does not even start, while so many of its type wait for a yes."""
    limit = settings.approvals.waiting_at_most
    if not limit:
        return None
    waiting = [
        approval.id
        for approval in state.approvals.values()
        if approval.status == "pending"
        and approval.resume_to
        and state.tasks[approval.task_id].type == task.type
    ]
    if len(waiting) < limit:
        return None
    named = ", ".join(waiting[:3])
    return f"a person's answer to {named}: {len(waiting)} of type {task.type} wait already"


def withdraw_approvals(state: State, task_id: str) -> list[Event]:
    """Events that take back what a task that ends was waiting for."""
    return [
        {"event": "approval_answered", "approval_id": approval.id, "status": "withdrawn"}
        for approval in state.approvals.values()
        if approval.task_id == task_id and approval.status == "pending"
    ]
