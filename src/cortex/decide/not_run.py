"""Attempts that could not be made at all: what they lack, and when another one makes sense.

A worker says `outcome: not_run` and what is missing. Its step then waits, with no retry spent, and
its task as soon as nothing else of it can go on. It is tried again once it would be another attempt
than the last: its scope, its command or its worker type's file has changed, or a person retries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import copy
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.decide.steps import repositories_of
from cortex.model.definitions import WorkerTypeDefinition
from cortex.model.state import Step, Task

__all__ = [
    "changes_the_plan",
    "given_up_events",
    "lacks",
    "make_of",
    "missing_in",
    "not_run_event",
    "plan_was_given_up",
    "provided",
    "renewed",
    "retriable",
    "waits_for_parts",
]

Event = dict[str, Any]
_PARTS_AT_MOST, _PART_LENGTH = 10, 200
#: What a step has of its task and its master's plan, so that a change of it makes another attempt.
_MADE_OF = ("worker_type", "runtime", "command", "env", "scope", "token_budget", "timeout_s")


def missing_in(results: dict[str, Any] | None) -> list[str]:
    """What a failed worker says it could not run without; empty where it says no such thing."""
    if results is None or results.get("outcome") != "not_run":
        return []
    named = results.get("missing")
    parts = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    parts = [str(part) for part in parts if part] or [str(results.get("error") or "not said what")]
    return ["".join(c for c in part if c.isprintable())[:_PART_LENGTH] for part in parts][
        :_PARTS_AT_MOST
    ]


def make_of(step: Step, catalog: Catalog) -> str:
    """A short text that differs for attempts that are made of other things."""
    kind = catalog.types.get(step.worker_type)
    parts = {name: getattr(step, name) for name in _MADE_OF}
    parts["type"] = _described(kind) if kind else None
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2s(text.encode(), digest_size=6).hexdigest()


def _described(kind: WorkerTypeDefinition) -> dict[str, Any]:
    """What a type's file says, wherever it lies."""
    return kind.model_dump(mode="json", exclude_defaults=True, exclude={"path", "called"})


def not_run_event(task: Task, step: Step, missing: list[str], made_of: str) -> Event:
    """The step waits until it would be another attempt; no retry is spent."""
    return {
        "event": "step_changed",
        "task_id": task.id,
        "step": step.name,
        "status": "ready",
        "reason": f"not run; missing: {', '.join(missing)}"[:500],
        "missing": missing,
        "made_of": made_of,
    }


def waits_for_parts(task: Task) -> bool:
    """Whether a task is blocked by what a worker of it lacked."""
    return _is_blocked(task) and any(step.missing for step in task.steps)


def plan_was_given_up(task: Task) -> bool:
    """Whether a task is blocked that got no plan of a model, so that nothing of it has begun."""
    given_up = task.planning is not None and task.planning.given_up is not None
    return _is_blocked(task) and given_up and not task.steps


def retriable(task: Task) -> bool:
    """Whether a retry has something to try again: what failed, was cancelled, lacked something, or
    was not planned."""
    if task.status in ("failed", "cancelled"):
        return True
    return waits_for_parts(task) or plan_was_given_up(task)


def _is_blocked(task: Task) -> bool:
    return task.status == "blocked" or (task.status == "paused" and task.resume_to == "blocked")


def lacks(steps: Sequence[Step]) -> str | None:
    """In words, what steps that could not run lack; None where there is no such step."""
    found = [f"step {step.name} lacks {', '.join(step.missing)}" for step in steps if step.missing]
    return "; ".join(found)[:1000] or None


def provided(steps: Sequence[Step], catalog: Catalog) -> list[Step]:
    """Those of the steps that lacked something and would be another attempt now."""
    return [step for step in steps if step.missing and make_of(step, catalog) != step.made_of]


def renewed(steps: Sequence[Step], fresh: Sequence[Step]) -> list[Step]:
    """The steps that a retry kept, made of what their task says now where they are not done."""
    by_name = {step.name: step for step in fresh}
    return [_renewed(step, by_name.get(step.name)) for step in steps]


def _renewed(step: Step, fresh: Step | None) -> Step:
    if fresh is None or step.status == "done":
        return step
    again = copy(step)
    for name in _MADE_OF:
        setattr(again, name, getattr(fresh, name))
    return again


def changes_the_plan(task: Task, fields: dict[str, Any]) -> bool:
    """Whether an edit of a task whose steps wait for parts makes other steps of it, and not only
    the same ones of other things."""
    if "type" in fields or "execution_mode" in fields:
        return True
    after = copy(task)
    after.scope = fields.get("scope", task.scope)
    if repositories_of(after) != repositories_of(task):
        return True
    split_by = () if task.plan else ("parts", "paths")
    return any(after.scope.get(name) != task.scope.get(name) for name in split_by)


def given_up_events(task: Task) -> list[Event]:
    """Events that end steps that wait for parts in a task that cannot succeed any more."""
    failed = next(
        (s for s in task.steps if s.status in ("failed", "cancelled") and not s.optional), None
    )
    if failed is None:
        return []
    return [
        {
            "event": "step_changed",
            "task_id": task.id,
            "step": step.name,
            "status": "cancelled",
            "reason": f"{step.reason}; and {failed.name} did not succeed"[:500],
        }
        for step in task.steps
        if step.missing
    ]
