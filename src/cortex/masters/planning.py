"""A task that waits for a plan: its planner is asked for, judged, asked once more, or given up.

As `masters.reconcile`, which calls this for tasks in `planning`: level-triggered and without
memory. How the task goes on once that is decided is the reconciler's business, as ever.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

from cortex.decide.catalog import Catalog, Missing
from cortex.decide.entry import Entry, Now
from cortex.decide.lineage import at_ceiling
from cortex.decide.plan import ready_steps, request_workers
from cortex.decide.proposals import judge
from cortex.model.settings import Settings
from cortex.model.state import Planning, State, Step, Task
from cortex.model.words import counted

__all__ = ["Decided", "ask_planner", "look_at_planning"]

Event = dict[str, Any]
#: A plan that is refused is asked for once more.
REFUSALS_AT_MOST = 2


@dataclass(frozen=True, slots=True)
class Decided:
    """The model is asked no more: the task with what came of it, and the events that say so."""

    task: Task
    events: list[Event]
    why: str


def ask_planner(
    state: State, draft: Task, step: Step, catalog: Catalog, now: Now, events: list[Event]
) -> Entry:
    """The line by which a master asks for a plan; `events` route the task, if it is not yet."""
    asked = copy(draft)
    asked.planning, asked.steps = Planning(step), [step]
    begun = {"event": "task_planning", "task_id": draft.id, "step": step.to_json()}
    workers = request_workers(state, asked, [step], catalog, now)
    why = f"nothing says how to do it; a {step.worker_type} is asked for a plan"
    return Entry(draft.assigned_to or "", why, [*events, begun, *workers])


def look_at_planning(
    state: State, task: Task, catalog: Catalog, settings: Settings, now: Now
) -> Decided | Entry | float | None:
    """What was decided about the plan, or a line to write first, or seconds until a next look."""
    planning = task.planning
    assert planning is not None
    if planning.decided:
        return Decided(task, [], "")
    step = planning.step
    if step.status == "active":
        heard = planning.worker_id == step.worker_id
        return _judged(task, planning, catalog, settings) if heard else None
    if step.status in ("failed", "cancelled"):
        return _given_up(task, planning, step.reason or "its planner failed", [])
    return _asked_again(state, task, step, catalog, settings, now)


def _asked_again(
    state: State, task: Task, step: Step, catalog: Catalog, settings: Settings, now: Now
) -> Decided | Entry | float | None:
    barred = _barred(state, task, step, catalog, settings)
    if barred is not None:
        assert task.planning is not None
        return _given_up(task, task.planning, barred, [_step(task, step, "cancelled", barred)])
    view = copy(task)
    view.steps = [step]
    ready, soonest = ready_steps(state, view, now)
    if not ready:
        return soonest
    why = f"a {step.worker_type} is asked again: {step.reason}" if step.reason else "it is asked"
    workers = request_workers(state, view, ready, catalog, now)
    return Entry(task.assigned_to or "", why[:300], workers)


def _barred(
    state: State, task: Task, step: Step, catalog: Catalog, settings: Settings
) -> str | None:
    """Why no planner is asked any more; a failure and a refusal both count as one attempt."""
    found = catalog.runtime_for(step)
    if isinstance(found, Missing):
        return found.reason
    if step.attempt >= step.retries + REFUSALS_AT_MOST:
        return f"{counted(step.attempt, 'attempt')} of a {step.worker_type} gave none"
    ceiling = at_ceiling(state, task, settings)
    return None if ceiling is None else ceiling.reason


def _judged(
    task: Task, planning: Planning, catalog: Catalog, settings: Settings
) -> Decided | Entry:
    judged = judge(task, planning.proposal, catalog, settings)
    problems = [planning.problem] if planning.problem else list(judged.problems)
    if problems:
        return _refused(task, planning, problems)
    accepted = copy(task)
    accepted.planning = copy(planning)
    accepted.planning.workers = judged.workers
    event: Event = {
        "event": "plan_accepted",
        "task_id": task.id,
        "worker_id": planning.worker_id,
        "workers": judged.workers,
        "reason": judged.reason,
    }
    done = _step(task, planning.step, "done")
    why = f"the plan of {planning.worker_id} is accepted"
    return Decided(accepted, [event, done], f"{why}: {judged.reason}" if judged.reason else why)


def _refused(task: Task, planning: Planning, problems: list[str]) -> Decided | Entry:
    event: Event = {
        "event": "plan_refused",
        "task_id": task.id,
        "worker_id": planning.worker_id,
        "reasons": problems,
    }
    reason = f"the plan of {planning.worker_id} is refused: {problems[0]}"
    if len(problems) > 1:
        reason += f" (and {len(problems) - 1} more)"
    if planning.refusals + 1 < REFUSALS_AT_MOST:
        again = {**_step(task, planning.step, "ready", reason), "again": True}
        return Entry(task.assigned_to or "", reason[:300], [event, again])
    failed = _step(task, planning.step, "failed", reason)
    return _given_up(task, planning, reason, [event, failed])


def _given_up(task: Task, planning: Planning, reason: str, events: list[Event]) -> Decided:
    gone = copy(task)
    gone.planning = copy(planning)
    gone.planning.given_up = f"no plan of a model: {reason}"[:500]
    event = {"event": "planning_given_up", "task_id": task.id, "reason": gone.planning.given_up}
    return Decided(gone, [*events, event], gone.planning.given_up)


def _step(task: Task, step: Step, status: str, reason: str | None = None) -> Event:
    event: Event = {
        "event": "step_changed",
        "task_id": task.id,
        "step": step.name,
        "status": status,
    }
    return {**event, "reason": reason} if reason else event
