"""Whose place a critical worker may take: those that were granted and have not begun.

Nothing that runs is ended for it, and nothing dies: who gives way goes back to the queue with its
tokens returned and its time of waiting kept, once in its life. Who pays in the end is `admit`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from cortex.model.ids import PRIORITIES
from cortex.model.state import State, Worker

__all__ = ["give_way", "may_give_way", "returned", "without"]

Event = dict[str, Any]


def may_give_way(state: State, critical: Worker) -> list[Worker]:
    """Who may give way to a critical worker: lowest priority first, of these the youngest.

    Approved ones alone: no start of theirs was handed out that a shim could still run. One that
    gave way before does not again, or a stream of critical work would keep it from ever starting.
    """
    if critical.priority != "critical":
        return []
    found = [
        worker
        for ident in state.live
        if (worker := state.workers[ident]).status == "approved"
        and worker.priority != "critical"
        and worker.preempted_by is None
    ]
    return sorted(found, key=lambda worker: (PRIORITIES.index(worker.priority), -worker.order))


def give_way(
    able: Sequence[Worker], is_enough: Callable[[Sequence[Worker]], bool]
) -> list[Worker] | None:
    """The first of `able` that are enough, less those that are not needed; None: all are too few.

    An empty list means that nobody has to.
    """
    chosen: list[Worker] = []
    left = iter(able)
    while not is_enough(chosen):
        following = next(left, None)
        if following is None:
            return None
        chosen.append(following)
    for worker in reversed(chosen[:-1]):
        fewer = [one for one in chosen if one is not worker]
        if is_enough(fewer):
            chosen = fewer
    return chosen


def without(state: State, gone: Sequence[Worker]) -> State:
    """The state as a question: what if these workers did not live. Nothing is changed by it."""
    asked = copy(state)
    names = {worker.id for worker in gone}
    asked.live = {ident: None for ident in state.live if ident not in names}
    return asked


def returned(gone: Sequence[Worker], fund: str) -> int:
    """How many tokens come back to a fund when these give way."""
    return sum(worker.reserved - worker.charged for worker in gone if worker.fund == fund)


def events_of(gone: Sequence[Worker], critical: Worker) -> list[Event]:
    """Events that put these workers back into the queue, in favour of the critical one."""
    events: list[Event] = []
    for worker in gone:
        reason = f"gave way to {critical.id} of {critical.task_id}, which is critical"
        events.append({"event": "tokens_returned", "worker_id": worker.id})
        events.append(
            {
                "event": "worker_preempted",
                "worker_id": worker.id,
                "preempted_by": critical.id,
                "reason": reason,
            }
        )
    return events
