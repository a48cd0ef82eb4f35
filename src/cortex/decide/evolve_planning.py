"""Events of a plan that a model is asked for; `decide.evolve` has them in its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.decide.transitions import set_task_status
from cortex.model.state import Planning, State

__all__ = ["EVENTS"]

Event = dict[str, Any]


def _task_planning(state: State, event: Event, at: str) -> None:
    """Its master asks for a plan; the worker that is to make it is asked for beside this."""
    task = state.tasks[event["task_id"]]
    task.planning = Planning.from_json({"step": event["step"]})
    task.started_at = task.started_at or at
    task.waiting_for = None
    set_task_status(state, task, "planning")


def _planning(state: State, event: Event) -> Planning:
    planning = state.tasks[event["task_id"]].planning
    if planning is None:
        raise KeyError(f"{event['task_id']} has not been asked to be planned")
    state.touch("task", event["task_id"])
    return planning


def _plan_proposed(state: State, event: Event, _at: str) -> None:
    planning = _planning(state, event)
    planning.worker_id = event["worker_id"]
    planning.proposal, planning.problem = event.get("proposal"), event.get("problem")


def _plan_refused(state: State, event: Event, _at: str) -> None:
    """What it cost stays spent, and no more counts as tokens of accepted work."""
    planning = _planning(state, event)
    planning.refused, planning.refusals = event["reasons"], planning.refusals + 1
    planning.proposal = planning.problem = None
    worker = state.workers.get(event["worker_id"])
    if worker is not None:
        worker.review = "refused"
        state.budget.accepted_tokens = max(0, state.budget.accepted_tokens - worker.tokens_used)
        state.touch("worker", worker.id)
        state.touch("budget", "")


def _plan_accepted(state: State, event: Event, _at: str) -> None:
    planning = _planning(state, event)
    planning.workers, planning.reason = event["workers"], event.get("reason") or None
    planning.proposal = planning.problem = None


def _planning_given_up(state: State, event: Event, _at: str) -> None:
    _planning(state, event).given_up = event["reason"]


EVENTS: dict[str, Callable[[State, Event, str], None]] = {
    "task_planning": _task_planning,
    "plan_proposed": _plan_proposed,
    "plan_refused": _plan_refused,
    "plan_accepted": _plan_accepted,
    "planning_given_up": _planning_given_up,
}
