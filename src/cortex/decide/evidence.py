"""What the past says: how many tokens work of a type took, and which types keep failing.

Samples live in the state, so they survive restarts and are the same after a replay. An estimate is
what a plan is quoted at; the wall that a worker runs into stays its own budget.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cortex.decide.catalog import Catalog, Missing
from cortex.decide.entry import Now
from cortex.decide.escalate import end_escalation, raise_escalation
from cortex.model.percentile import percentile
from cortex.model.state import State, Step, Worker

__all__ = ["Estimate", "estimate", "learn", "notice", "quote", "words"]

Event = dict[str, Any]
_SAMPLES = 50
_KEYS = 1000
#: Fewer samples than this say nothing.
ENOUGH = 5
#: So many failures in a row of one type are told to a person.
FAILING = 5
#: So many times the median is unusual.
_UNUSUAL = 3
_COUNTED = frozenset({"completed", "failed", "timeout", "budget_exhausted"})
_FAILED = frozenset({"failed", "timeout", "budget_exhausted", "lost"})
#: Commands have nothing in common but the type.
_UNRELATED = frozenset({"command-worker"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of one worker: median and 90th percentile of the past, at most its budget.

    Without enough samples both are the budget. `fitted` is the share of the past that stayed
    within the budget, None without any.
    """

    p50: int
    p90: int
    samples: int
    fitted: float | None = None


def _keys(worker_type: str, repository: str | None) -> list[str]:
    """From the narrowest to the widest."""
    narrow = [f"{worker_type} {repository}"] if repository else []
    return [*narrow, worker_type]


def learn(state: State, worker: Worker) -> None:
    """Takes an ended worker into the samples; a part of `evolve`."""
    if worker.status in _FAILED:
        state.failing[worker.worker_type] = state.failing.get(worker.worker_type, 0) + 1
    elif worker.status == "completed":
        state.failing.pop(worker.worker_type, None)
    if worker.tokens_used <= 0 or worker.status not in _COUNTED:
        return
    for key in _keys(worker.worker_type, worker.repository):
        samples = state.usage.pop(key, [])
        state.usage[key] = [*samples, worker.tokens_used][-_SAMPLES:]
    while len(state.usage) > _KEYS:
        del state.usage[next(iter(state.usage))]


def estimate(state: State, worker_type: str, repository: str | None, budget: int) -> Estimate:
    """What a worker will take, by its type and repository, else by its type alone."""
    for key in _keys(worker_type, repository):
        samples = state.usage.get(key, [])
        if len(samples) >= ENOUGH:
            fitted = sum(1 for used in samples if used < budget) / len(samples)
            middle, high = percentile(samples, 50) or 0, percentile(samples, 90) or 0
            return Estimate(min(middle, budget), min(high, budget), len(samples), round(fitted, 3))
    return Estimate(budget, budget, 0)


def words(state: State, worker: Worker) -> str:
    """What the past says of a worker's reservation, to stand beside the decision about it (Z8);
    empty where it says nothing, or the worker's type says nothing about its work."""
    if worker.worker_type in _UNRELATED or not worker.uses_tokens:
        return ""
    found = estimate(state, worker.worker_type, worker.repository, worker.token_budget)
    if not found.samples or found.fitted is None:
        return ""
    return (
        f"; of {found.samples} such, nine in ten took {found.p90} or less, "
        f"and {found.fitted:.0%} stayed within {worker.token_budget}"
    )


def quote(state: State, steps: Iterable[Step], catalog: Catalog) -> dict[str, Any]:
    """A plan's price in tokens: `p50`, `p90`, its `budget`, and `share_of_left`, the part of what
    the pool has left that the p90 would take (None of an empty pool)."""
    sums = {"p50": 0, "p90": 0, "budget": 0}
    for step in steps:
        kind, runtime = catalog.types.get(step.worker_type), catalog.runtime_for(step)
        if step.status == "done" or isinstance(runtime, Missing) or kind is None:
            continue
        own = kind.token_budget if step.token_budget is None else step.token_budget
        sums["budget"] += own + runtime.overhead_tokens
        if runtime.uses_tokens:
            found = estimate(state, step.worker_type, step.scope.get("repository"), own)
            sums["p50"] += found.p50 + runtime.overhead_tokens
            sums["p90"] += found.p90 + runtime.overhead_tokens
    left = state.budget.pool_available
    return {**sums, "share_of_left": round(sums["p90"] / left, 3) if left > 0 else None}


def notice(state: State, worker: Worker, status: str, used: int, now: Now) -> list[Event]:
    """Events of what is unusual about an end: usage far above the past, a type that keeps failing.

    Both are told once: the first for each worker, the second until one of the type succeeds.
    """
    events: list[Event] = []
    found = estimate(state, worker.worker_type, worker.repository, worker.reserved)
    if found.samples and used > _UNUSUAL * found.p50:
        events.append(
            {
                "event": "usage_unusual",
                "worker_id": worker.id,
                "task_id": worker.task_id,
                "used": used,
                "median": found.p50,
                "samples": found.samples,
            }
        )
    return events + _failing(state, worker, status, now)


def _failing(state: State, worker: Worker, status: str, now: Now) -> list[Event]:
    kind = worker.worker_type
    if kind in _UNRELATED:
        return []
    subject = f"{kind} keeps failing"
    told = [
        escalation
        for escalation in state.escalations.values()
        if escalation.subject == subject and escalation.status == "open"
    ]
    if status == "completed":
        return [end_escalation(escalation) for escalation in told]
    in_a_row = state.failing.get(kind, 0) + 1
    if status not in _FAILED or told or in_a_row < FAILING:
        return []
    reason = f"{in_a_row} in a row; the last is {worker.id} of {worker.task_id}"
    return [raise_escalation(state, subject, reason, None, now)]
