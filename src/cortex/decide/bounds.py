"""What a master's file bounds: the worker types it may choose, its steps, tokens of a task, review.

`spawns` and `max_steps` bound what a master makes by itself. What a person names is a person's
word: the task's own `workers`, its command, a worker type that the task is called after.
"""

from __future__ import annotations

from collections.abc import Iterable

from cortex.decide.aggregate import outcome
from cortex.decide.catalog import Catalog
from cortex.decide.conflicts import INTEGRATION
from cortex.decide.evidence import quote
from cortex.decide.ledger import needed_tokens
from cortex.decide.master_plans import too_large
from cortex.model.ids import master_key, worker_type_name
from cortex.model.settings import Settings
from cortex.model.state import State, Step, Task
from cortex.model.words import counted

__all__ = [
    "REVIEW_GATE",
    "TOKENS_GATE",
    "barred_steps",
    "out_of_bounds",
    "over_tokens",
    "review_waits",
    "with_master_limits",
]

#: How `Task.approved` names these; no step is called so.
TOKENS_GATE = ":tokens"
REVIEW_GATE = ":review"


def out_of_bounds(task: Task, catalog: Catalog) -> str | None:
    """Why a task's steps are not what its master may make; None where they are."""
    barred = barred_steps(task, task.steps, catalog)
    if barred:
        named = barred[0].worker_type
        hint = f"add it to `spawns` of {task.assigned_to}, or name it in the task's own `workers`"
        return f"{task.assigned_to} does not spawn {named} (step {barred[0].name}); {hint}"
    large = too_large(task, catalog)
    if large is not None:
        return large
    master = catalog.masters.get(task.assigned_to or "")
    most = master.limits.max_steps if master is not None else None
    if most is None or len(task.steps) <= most or _by_a_person(task):
        return None
    hint = "name less in the scope, or raise it"
    steps = counted(len(task.steps), "step")
    return f"its plan has {steps}; max_steps of {task.assigned_to} is {most}; {hint}"


def barred_steps(task: Task, steps: Iterable[Step], catalog: Catalog) -> list[Step]:
    """Those of the steps that are not done and whose type the master may not choose.

    Branches that meet are joined by an integration worker whatever the file says.
    """
    master = catalog.masters.get(task.assigned_to or "")
    if master is None or _by_a_person(task):
        return []
    free = {INTEGRATION, worker_type_name(task.type)}
    return [
        step
        for step in steps
        if step.status != "done"
        and step.worker_type not in free
        and not master.may_spawn(step.worker_type)
    ]


def _by_a_person(task: Task) -> bool:
    return bool(task.plan) or task.command is not None


def over_tokens(state: State, task: Task, catalog: Catalog) -> str | None:
    """Why a task waits for a yes: it may use more tokens than its master allows for one.

    What its workers used or hold counts, and the 90th percentile of what has no worker yet.
    """
    master = catalog.masters.get(task.assigned_to or "")
    most = master.limits.tokens_per_task if master is not None else None
    if most is None or TOKENS_GATE in task.approved:
        return None
    used = held = 0
    for ident in task.workers:
        worker = state.workers.get(ident)
        if worker is not None and worker.ended_at:
            used += worker.tokens_used
        elif worker is not None and worker.uses_tokens:
            held += needed_tokens(worker)
    left = [step for step in task.steps if step.status in ("waiting", "ready")]
    to_come = quote(state, left, catalog)["p90"]
    may_use = used + held + to_come
    if may_use <= most:
        return None
    so_far = f" ({used:,} so far)" if used else ""
    limit = f"tokens_per_task of {task.assigned_to} is {most:,}"
    return f"it may use {may_use:,} tokens{so_far}; {limit}"


def review_waits(task: Task, catalog: Catalog) -> str | None:
    """Why a task whose steps are over waits for a person's yes; None if it does not (any more)."""
    if REVIEW_GATE in task.approved or _by_a_person(task) or outcome(task)[0] != "completed":
        return None
    plan = catalog.plan_for(task.assigned_to or "", task.type)
    if plan is None or plan.review is None or not plan.review.person:
        return None
    return f"{task.assigned_to} wants a person's yes on what its workers made"


def with_master_limits(settings: Settings, catalog: Catalog) -> Settings:
    """The settings with each master's `max_parallel`, where it is the smaller limit."""
    per_master = dict(settings.limits.per_master)
    for name, master in catalog.masters.items():
        most, key = master.limits.max_parallel, master_key(name)
        if most is not None:
            per_master[key] = min(most, per_master.get(key, most))
    if per_master == settings.limits.per_master:
        return settings
    limits = settings.limits.model_copy(update={"per_master": per_master})
    return settings.model_copy(update={"limits": limits})
