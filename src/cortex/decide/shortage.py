"""What waiting work is short of, in words, and that people are told where it is critical.

Told of is what has a slot and lacks tokens, and critical work that lacks both: who is told while it
waits for a slot has time to give tokens. Who gets what is `admit`'s and `grant`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cortex.decide import reserve
from cortex.decide.entry import Entry, Now
from cortex.decide.escalate import close_escalations, is_escalated, raise_escalation
from cortex.decide.grant import grant
from cortex.decide.ledger import needed_tokens
from cortex.decide.queue import paying_fund
from cortex.model.settings import Settings
from cortex.model.state import State, Task, Worker
from cortex.model.words import counted

__all__ = [
    "AND_A_SLOT",
    "SUBJECT",
    "is_short",
    "of_priority",
    "relief",
    "tell",
    "tell_without_slot",
    "tokens_free",
    "tokens_short",
]

Event = dict[str, Any]
#: Of the escalation of critical work that lacks tokens.
SUBJECT = "critical work is short of tokens"
#: How the reason of critical work ends that lacks a slot beside tokens.
AND_A_SLOT = ", and a free slot"
_HAS_TOKENS = "a free slot; its tokens are there"
_CRITICAL_NOW = "needs tokens for a task that is critical now"


def tokens_free(state: State, worker: Worker) -> int:
    """What the fund that a worker waits for has left: its master's own tokens, or the pool."""
    if not worker.fund.startswith("master:"):
        return state.budget.pool_available
    fund = state.budget.masters.get(worker.fund.removeprefix("master:"))
    return fund.free if fund else 0


def is_short(state: State, worker: Worker) -> bool:
    """Whether neither its fund has enough for a waiting worker, nor the reserve may pay it now."""
    tokens = needed_tokens(worker)
    if not worker.uses_tokens or tokens <= tokens_free(state, worker):
        return False
    return not reserve.would_pay(state, worker, tokens)


def tokens_short(state: State, worker: Worker) -> str:
    """In words: how many tokens a waiting worker lacks."""
    tokens, free = needed_tokens(worker), tokens_free(state, worker)
    if worker.fund.startswith("master:"):
        name = worker.fund.removeprefix("master:")
        return f"needs {tokens} tokens of {name}'s own, {free} are free"
    return f"needs {tokens} tokens, the pool has {free} available (short by {tokens - free})"


def tell(
    state: State, tried: Sequence[Worker], settings: Settings, now: Now, also: str = ""
) -> Entry | None:
    """The line that says of the first of these that it waits for tokens; None: all was said.

    For all of them a person is asked, where one has to be, whether the reserve may pay.
    """
    first, reason = tried[0], tokens_short(state, tried[0]) + also
    to_ask = next((one for one in tried if _is_to_be_asked(state, one, settings)), None)
    if first.status != "requested" and first.reason == reason:
        return None if to_ask is None else _asked(state, to_ask, now)
    queued = {"event": "worker_queued", "worker_id": first.id, "reason": reason}
    events = [queued, *_escalated(state, first, now, also)]
    if to_ask is first:
        events += _asked(state, first, now).events
    return Entry("coordinator-master", reason, events)


def tell_without_slot(
    state: State, sources: Iterable[Iterable[str]], settings: Settings, now: Now
) -> Entry | None:
    """The same of critical work that has no slot either, or that it lacks a slot alone by now.

    Each source is a line of workers that wait for one slot. Each worker is held against the tokens
    that there are now, and the first that these are not enough for speaks for the others.
    """
    for idents in sources:
        workers = [state.workers[ident] for ident in idents]
        short = [worker for worker in workers if grant(state, worker, settings) is None]
        said = tell(state, short, settings, now, AND_A_SLOT) if short else None
        over = (_over(state, worker) for worker in workers if worker not in short)
        found = said or next(filter(None, over), None)
        if found is not None:
            return found
    return None


def _over(state: State, worker: Worker) -> Entry | None:
    """The line of critical work that has tokens by now, and still no slot; None: all was said."""
    events: list[Event] = []
    if (worker.reason or "").startswith("needs "):
        events.append({"event": "worker_queued", "worker_id": worker.id, "reason": _HAS_TOKENS})
    closed = close_escalations(state, worker.task_id, SUBJECT)
    if closed and _are_enough(state, worker):
        events += closed
    if not events:
        return None
    return Entry("coordinator-master", f"{worker.id} waits for {_HAS_TOKENS}", events)


def _are_enough(state: State, worker: Worker) -> bool:
    """Whether there are tokens for all of a worker's task that waits as it does."""
    waiting = _waiting(state, worker)
    pays = tokens_free(state, worker)
    if all(reserve.would_pay(state, one, needed_tokens(one)) for one in waiting):
        pays += state.budget.reserve_available
    return sum(map(needed_tokens, waiting)) <= pays


def _waiting(state: State, worker: Worker) -> list[Worker]:
    """All of a worker's task that wait for tokens of the same fund."""
    waiting = (
        state.workers[ident]
        for ident in state.tasks[worker.task_id].workers
        if ident in state.waiting
    )
    fund = paying_fund(worker)
    return [one for one in waiting if one.uses_tokens and paying_fund(one) == fund]


def _is_to_be_asked(state: State, worker: Worker, settings: Settings) -> bool:
    return reserve.is_to_be_asked(state, worker, needed_tokens(worker), settings)


def _asked(state: State, worker: Worker, now: Now) -> Entry:
    others = [one for one in _waiting(state, worker) if one is not worker]
    approval = reserve.ask_to_open(state, worker, [*map(needed_tokens, (worker, *others))], now)
    event = {"event": "approval_asked", "approval": approval.to_json()}
    return Entry("coordinator-master", approval.reason, [event])


def _escalated(state: State, worker: Worker, now: Now, also: str) -> list[Event]:
    if worker.priority != "critical" or is_escalated(state, worker.task_id, SUBJECT):
        return []
    waiting = _waiting(state, worker)
    short = sum(map(needed_tokens, waiting)) - tokens_free(state, worker)
    verb = "waits" if len(waiting) == 1 else "wait"
    reason = f"short by {short:,}: {counted(len(waiting), 'worker')} of {worker.task_id} {verb}"
    reason += ", for a slot too" if also else ""
    return [raise_escalation(state, SUBJECT, reason, worker.task_id, now)]


def relief(state: State, worker: Worker) -> list[Event]:
    """Closes the word that critical work is short, once the last of it is granted."""
    if worker.priority != "critical":
        return []
    others = set(state.tasks[worker.task_id].workers) - {worker.id}
    if others & state.waiting.keys():
        return []
    over = reserve.withdraw_asking(state, worker.task_id)
    return [*over, *close_escalations(state, worker.task_id, SUBJECT)]


def of_priority(state: State, task: Task, priority: str) -> list[Event]:
    """Events beside a new priority of a task: what waits for tokens is told of anew once that is
    critical, and no longer once it is not."""
    if priority != "critical":
        return close_escalations(state, task.id, SUBJECT)
    waiting = (state.workers[ident] for ident in task.workers if ident in state.waiting)
    return [
        {"event": "worker_queued", "worker_id": worker.id, "reason": _CRITICAL_NOW}
        for worker in waiting
        if worker.status == "queued" and (worker.reason or "").startswith("needs ")
    ]
