"""Which steps a task becomes, and which of them may start.

Sources of a plan, in this order: the task's own `workers`, its command, its master's plan for its
type, the one that a model proposed (`decide.planning`), else one worker for the whole. Only the
shape is decided here; tokens and slots are `admit`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

from cortex.decide.batching import batch_steps
from cortex.decide.beyond import step_tokens
from cortex.decide.catalog import Catalog, Missing, RuntimeInfo
from cortex.decide.claims import claims_of
from cortex.decide.entry import Now
from cortex.decide.master_plans import steps_of_plan
from cortex.decide.not_run import make_of
from cortex.decide.refused import seconds_until_asked
from cortex.decide.steps import Retries, names_for_each, repositories_of
from cortex.model.definitions import MasterPlan
from cortex.model.ids import master_key, short_type, worker_type_name
from cortex.model.settings import Settings
from cortex.model.state import PLANNER, State, Step, Task, Worker
from cortex.model.words import counted

__all__ = [
    "fallback",
    "make_steps",
    "missing_for",
    "ready_steps",
    "request_workers",
]

Event = dict[str, Any]


def make_steps(task: Task, catalog: Catalog, settings: Settings) -> list[Step]:
    """The steps of a task, none started. In direct mode one, or one a repository for a tool."""

    def retries(worker_type: str) -> int:
        """Further attempts: as the task says, else its worker type, else the settings."""
        kind = catalog.types.get(worker_type)
        said = (task.retries, kind.retries if kind is not None else None)
        return next((one for one in said if one is not None), settings.workers.retries)

    if task.plan:
        return [_own_step(task, row, retries) for row in task.plan]
    if task.items and task.execution_mode == "workers":
        return batch_steps(task, settings, retries)
    if task.command is not None:
        return [_whole(task, "command-worker", retries)]
    if task.planning is not None and task.planning.workers and task.execution_mode == "workers":
        return [_proposed_step(task, row, retries) for row in task.planning.workers]
    plan = catalog.plan_for(task.assigned_to or "", task.type)
    if plan is not None and task.execution_mode == "workers":
        steps = steps_of_plan(task, plan, catalog, retries)
        if steps:
            return steps
    whole = _whole(task, _type_for(task, catalog, plan), retries)
    return _direct(task, whole, catalog) if task.execution_mode == "direct" else [whole]


def _direct(task: Task, whole: Step, catalog: Catalog) -> list[Step]:
    """The steps of direct mode: a tool takes one repository at a time, any other worker them all.

    Steps of several repositories run one after another (`request_workers`), whatever one comes to.
    """
    repositories = repositories_of(task)
    runtime = catalog.runtime_for(whole)
    by_tools = not isinstance(runtime, Missing) and runtime.name == "tools"
    if len(repositories) != 1 and not (by_tools and repositories):
        return [whole]
    scope = {key: value for key, value in whole.scope.items() if key != "repositories"}
    names = names_for_each("main", repositories, set()) if len(repositories) > 1 else ["main"]
    return [
        replace(whole, name=name, env=dict(whole.env), scope={**scope, "repository": repository})
        for name, repository in zip(names, repositories, strict=True)
    ]


def fallback(
    state: State, draft: Task, missing: str | None, catalog: Catalog, settings: Settings
) -> tuple[Task | None, str]:
    """(the same task in direct mode, why) where it asks for that once workers cannot be spawned.

    That is so if a runtime is missing, or if the pool could pay for none of the steps this period
    even when all that runs had ended, and the master's own tokens can pay for the one worker. Where
    it cannot be, the task is None and the words say why not; both are empty where nobody asks.
    """
    if not draft.fallback or draft.execution_mode == "direct":
        return None, ""
    if draft.plan or draft.command:
        return None, "fallback cannot help: it is for plans of a master, and this task has its own"
    dear = min((step_tokens(step, catalog) for step in draft.steps), default=0)
    if missing is None and dear <= state.budget.pool_available + state.budget.pool_allocated:
        return None, ""
    direct = copy(draft)
    direct.execution_mode = "direct"
    direct.steps = make_steps(direct, catalog, settings)
    fund = state.budget.masters.get(master_key(draft.assigned_to or ""))
    free = fund.free if fund else 0
    lacks, price = missing_for(direct.steps, catalog), step_tokens(direct.steps[0], catalog)
    if lacks is not None:
        same = "the same" if lacks == missing else f"something too: {lacks}"
        return None, f"fallback cannot help: direct mode lacks {same}"
    if free < price:
        name = draft.assigned_to
        return None, f"fallback cannot help: {name} has not the {price:,} tokens of its own left"
    left_out = counted(len(draft.steps), "step")
    cause = missing or "the pool can pay for none of it this period"
    return direct, f"its plan of {left_out} was dropped for direct mode: {cause}"


def _at_once(task: Task, plan: MasterPlan | None) -> int | None:
    """The most workers of a task at once; in direct mode one, from start to end."""
    if task.execution_mode == "direct":
        return 1
    return task.max_parallel or (plan.max_parallel if plan else None)


def _type_for(task: Task, catalog: Catalog, plan: MasterPlan | None) -> str:
    named = worker_type_name(task.type)
    if named in catalog.types:
        return named
    return plan.steps[0].worker_type if plan and plan.steps else "coordinator-worker"


def _whole(task: Task, worker_type: str, retries: Retries) -> Step:
    return Step(
        name="main",
        worker_type=worker_type,
        runtime=task.runtime,
        command=task.command,
        items=[0, len(task.items)] if task.items else [],
        env=dict(task.env),
        scope=dict(task.scope),
        token_budget=task.token_budget,
        timeout_s=task.timeout_s,
        retries=retries(worker_type),
    )


def _own_step(task: Task, row: dict[str, Any], retries: Retries) -> Step:
    own = row.get("scope", {})
    scope = {**task.scope, **own}
    for named, instead in (("repository", "repositories"), ("repositories", "repository")):
        if named in own:
            scope.pop(instead, None)
    runtime = row.get("runtime", "auto")
    if runtime == "auto" and row.get("command") is None:
        runtime = task.runtime
    return Step(
        name=row["name"],
        worker_type=row["worker_type"],
        needs=list(row.get("needs", [])),
        optional=row.get("optional", False),
        runtime=runtime,
        command=row.get("command"),
        env={**task.env, **row.get("env", {})},
        scope=scope,
        token_budget=row.get("token_budget", task.token_budget),
        timeout_s=row.get("timeout", task.timeout_s),
        retries=row["retries"] if "retries" in row else retries(row["worker_type"]),
        approval=row.get("approval", False),
        justification=row.get("justification"),
    )


def _proposed_step(task: Task, row: dict[str, Any], retries: Retries) -> Step:
    """A step that a model proposed: with no more tokens and time than the person's task says."""
    step = _own_step(task, row, retries)
    tokens, seconds = (step.token_budget, task.token_budget), (step.timeout_s, task.timeout_s)
    step.token_budget = min((one for one in tokens if one is not None), default=None)
    step.timeout_s = min((one for one in seconds if one is not None), default=None)
    return step


def missing_for(steps: list[Step], catalog: Catalog) -> str | None:
    """What must be configured before those of these steps can run that are not done, or None."""
    for step in steps:
        if step.status == "done":
            continue
        found = catalog.runtime_for(step)
        if isinstance(found, Missing):
            return found.reason
    return None


def ready_steps(state: State, task: Task, now: Now) -> tuple[list[Step], float | None]:
    """(steps that may get a worker now, seconds until the next one may, or is to be looked at).

    A step may once all it needs are done (an optional one counts once it has ended), its backoff is
    over, and no attempt of it said that something is missing.
    """
    over = {step.name for step in task.steps if step.status == "done"}
    over |= {
        step.name for step in task.steps if step.optional and step.status in ("failed", "cancelled")
    }
    ready: list[Step] = []
    soonest: float | None = None
    asked = 0
    for step in task.steps:
        if step.missing:
            continue
        if step.status == "waiting" and over.issuperset(step.needs):
            ready.append(step)
        elif step.status == "ready" and over.issuperset(step.needs):
            left, look = seconds_until_asked(state, task, step, now, asked)
            if left > 0:
                soonest = look if soonest is None else min(soonest, look)
            else:
                ready.append(step)
                asked += step.short_of_tokens
    return ready, soonest


def request_workers(
    state: State, task: Task, steps: list[Step], catalog: Catalog, now: Now
) -> list[Event]:
    """Events that ask for one worker per step. Steps whose runtime is missing are left out."""
    events: list[Event] = []
    numbers: dict[str, int] = {}
    order = state.counters.get("order", 0)
    for step in steps:
        runtime = catalog.runtime_for(step)
        if isinstance(runtime, Missing):
            continue
        prefix = f"worker-{catalog.types[step.worker_type].short or short_type(step.worker_type)}"
        numbers[prefix] = numbers.get(prefix, state.counters.get(prefix, 0)) + 1
        order += 1
        if step.status == "waiting":
            events.append(
                {
                    "event": "step_changed",
                    "task_id": task.id,
                    "step": step.name,
                    "status": "ready",
                }
            )
        worker = _worker(task, step, runtime, catalog, now)
        worker.id = f"{prefix}-{numbers[prefix]:03d}"
        worker.order = order
        worker.retry_of = _last_attempt(state, task, step)
        events.append({"event": "worker_requested", "worker": worker.to_json()})
    return events


def _last_attempt(state: State, task: Task, step: Step) -> str | None:
    for ident in reversed(task.workers):
        worker = state.workers.get(ident)
        if worker is not None and worker.step == step.name and worker.status != "rejected":
            return ident
    return None


def _worker(
    task: Task,
    step: Step,
    runtime: RuntimeInfo,
    catalog: Catalog,
    now: Now,
) -> Worker:
    kind = catalog.types[step.worker_type]
    master = task.assigned_to or "coordinator-master"
    plans = step.name == PLANNER
    own = plans or task.execution_mode == "direct"
    plan = None if plans else catalog.plan_for(master, task.type)
    definition = catalog.masters.get(master)
    return Worker(
        id="",
        worker_type=step.worker_type,
        task_id=task.id,
        step=step.name,
        master=master,
        attempt=step.attempt + 1,
        priority=step.priority or task.priority,
        requested_at=now.at,
        runtime=runtime.name,
        lane=runtime.lane,
        uses_tokens=runtime.uses_tokens,
        heartbeats=runtime.heartbeats or kind.heartbeats,
        fund=f"master:{master_key(master)}" if own else "pool",
        token_budget=kind.token_budget if step.token_budget is None else step.token_budget,
        overhead_tokens=runtime.overhead_tokens,
        timeout_s=step.timeout_s or kind.timeout,
        deadline=task.deadline,
        repository=None if plans else step.scope.get("repository"),
        claims=claims_of(step.scope.get("paths"))
        if kind.writes and "repository" in step.scope
        else [],
        max_parallel=None if plans else _at_once(task, plan),
        master_parallel=definition.limits.max_parallel if definition else None,
        made_of=make_of(step, catalog),
        justification=step.justification
        or f"{'a plan' if plans else f'step {step.name}'} of {task.title}"[:200],
        queued_wall=now.wall,
    )
