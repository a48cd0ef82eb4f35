"""Branches that meet: first an integration worker tries to join them, then a person decides.

A worker says `outcome: conflict` in its results. Neither way spends one of the step's retries.
"""

from __future__ import annotations

import itertools
from typing import Any

from cortex.decide.approvals import ask
from cortex.decide.entry import Now
from cortex.model.state import State, Step, Task, Worker
from cortex.model.words import listed

__all__ = ["INTEGRATION", "conflict_events", "is_conflict"]

Event = dict[str, Any]
INTEGRATION = "integration-worker"
_FILES_NAMED = 5
_NAME_LENGTH = 200
_SAID_LENGTH = 400


def is_conflict(results: dict[str, Any] | None) -> bool:
    """Whether a failed worker says that it met branches which it could not join."""
    return results is not None and results.get("outcome") == "conflict"


def conflict_events(
    state: State, task: Task, step: Step, worker: Worker, results: dict[str, Any], now: Now
) -> list[Event]:
    """Events that send the step's branches through an integration worker, or else to a person.

    A person is asked only where the task is under way; a paused one asks when it meets again.
    """
    reason = _reason(worker, results)
    again: Event = {
        "event": "step_changed",
        "task_id": task.id,
        "step": step.name,
        "status": "ready",
        "reason": reason,
    }
    if step.worker_type != INTEGRATION and len(step.needs) > 1:
        added = _integration(task, step)
        event = {"event": "step_added", "task_id": task.id, "before": step.name}
        return [again, {**event, "step": added.to_json()}]
    if task.status != "in_progress":
        return [again]
    gate = f":conflict:{worker.id}"
    return [again, *ask(state, task, reason, now, step=step.name, gate=gate)]


def _integration(task: Task, step: Step) -> Step:
    taken = {other.name for other in task.steps}
    names = itertools.chain(
        [f"{step.name}-integration"],
        (f"{step.name}-integration-{number}" for number in itertools.count(2)),
    )
    return Step(
        name=next(name for name in names if name not in taken),
        worker_type=INTEGRATION,
        needs=list(step.needs),
        scope=dict(step.scope),
        env=dict(step.env),
        retries=step.retries,
        timeout_s=step.timeout_s,
    )


def _reason(worker: Worker, results: dict[str, Any]) -> str:
    told = results.get("conflicts")
    files = [str(file)[:_NAME_LENGTH] for file in told] if isinstance(told, list) else []
    said = str(results.get("error") or "branches that cannot be joined")[:_SAID_LENGTH]
    place = f"; both sides are in {worker.folder}/artifacts/conflicts.md" if worker.folder else ""
    return f"{said} in {listed(files, _FILES_NAMED)}{place}" if files else f"{said}{place}"
