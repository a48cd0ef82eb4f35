"""Which fund pays for one worker that has a slot, and what has to move for it.

In this order: its own fund or the pool; a step of an idle master's tokens; for critical work the
tokens of less urgent workers that have not begun; and the emergency reserve last. Whose turn it is,
and whether there is a slot, is `admit`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortex.decide import budget as budgets
from cortex.decide import evidence, preempt, reserve
from cortex.decide.entry import Entry
from cortex.decide.ledger import needed_tokens
from cortex.decide.rehearse import rehearse
from cortex.model.ids import master_key
from cortex.model.settings import Settings
from cortex.model.state import OPEN_TASK, State, Worker

__all__ = ["grant", "grant_in_place_of", "grant_nothing"]

Event = dict[str, Any]


def grant(state: State, worker: Worker, settings: Settings) -> Entry | None:
    """The line that approves a worker with its reservation; None where nothing pays."""
    paid = _paid(state, worker, settings)
    if paid is not None or worker.fund.startswith("master:"):
        return paid
    tokens = needed_tokens(worker)
    available = state.budget.pool_available
    gone = preempt.give_way(
        preempt.may_give_way(state, worker),
        lambda gone: tokens <= available + preempt.returned(gone, "pool"),
    )
    if gone:
        return grant_in_place_of(state, worker, gone, settings)
    return _broken_glass(state, worker, settings)


def grant_in_place_of(
    state: State, worker: Worker, gone: Sequence[Worker], settings: Settings
) -> Entry | None:
    """The line in which others give way to a critical worker; None where nothing pays even so."""
    given_back = preempt.events_of(gone, worker)
    after = rehearse(state, given_back)
    then = _paid(after, worker, settings) or _broken_glass(after, worker, settings)
    if then is None:
        return None
    names = ", ".join(one.id for one in gone)
    why = f"{then.why}; {names} {'gives' if len(gone) == 1 else 'give'} way"
    return Entry(then.by, why, [*given_back, *_naming(then.events, gone)])


def _naming(events: list[Event], gone: Sequence[Worker]) -> list[Event]:
    """The events; an opened reserve says who gave way beside it."""
    names = [worker.id for worker in gone]
    return [
        {**event, "preempted": names} if event["event"] == "reserve_opened" else event
        for event in events
    ]


def grant_nothing(worker: Worker, why: str) -> Entry:
    """The line that approves a worker that uses no tokens with none."""
    return _approval(worker, worker.fund, 0, why)


def _paid(state: State, worker: Worker, settings: Settings) -> Entry | None:
    """What costs nobody anything: the worker's own fund, the pool, tokens of an idle master."""
    tokens = needed_tokens(worker)
    budget = state.budget
    if worker.fund.startswith("master:"):
        fund = budget.masters.get(worker.fund.removeprefix("master:"))
        if fund is not None and fund.free >= tokens:
            why = f"{worker.fund} pays {tokens}{evidence.words(state, worker)}"
            return _approval(worker, worker.fund, tokens, why)
        if worker.uses_tokens:
            return None
        return _approval(worker, worker.fund, 0, f"{worker.fund} is short, and it uses no tokens")
    if tokens <= budget.pool_available:
        why = f"the pool has {budget.pool_available} tokens{evidence.words(state, worker)}"
        return _approval(worker, "pool", tokens, why)
    if not worker.uses_tokens:
        return _approval(worker, "pool", 0, "the pool is short, and it uses no tokens")
    if worker.priority == "low":
        return None
    return _moved(state, settings, worker, tokens)


def _moved(state: State, settings: Settings, worker: Worker, tokens: int) -> Entry | None:
    master, short = master_key(worker.master), tokens - state.budget.pool_available
    if not budgets.reallocate(state, settings, master, short, set()):
        return None  # not even if all the others were idle, which takes a look at every task
    busy = {
        master_key(task.assigned_to)
        for task in state.tasks.values()
        if task.status in OPEN_TASK and task.assigned_to is not None
    }
    moved = budgets.reallocate(state, settings, master, short, busy)
    if not moved:
        return None
    steps = " and ".join(f"{one['tokens']} tokens of idle {one['from']}" for one in moved)
    why = f"{steps} moved to {moved[0]['to']}"
    return _approval(worker, "pool", tokens, why, moved)


def _broken_glass(state: State, worker: Worker, settings: Settings) -> Entry | None:
    tokens = needed_tokens(worker)
    if not reserve.may_open(state, worker, tokens, settings):
        return None
    why = f"critical, and the pool has {state.budget.pool_available} of the {tokens} needed"
    why += evidence.words(state, worker)
    opened = reserve.open_for(state, worker, tokens, why)
    return _approval(worker, "reserve", tokens, why, [opened])


def _approval(
    worker: Worker, fund: str, tokens: int, why: str, first: list[Event] | None = None
) -> Entry:
    events = [
        *(first or []),
        {"event": "tokens_reserved", "worker_id": worker.id, "fund": fund, "tokens": tokens},
        {"event": "worker_approved", "worker_id": worker.id},
    ]
    return Entry("coordinator-master", why, events)
