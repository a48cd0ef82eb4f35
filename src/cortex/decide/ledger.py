"""The ledger's side of the journal: how events move tokens, and the equations that always hold.

Every worker has exactly one fund: `pool`, `reserve` or `master:NAME`. R is what it holds
(`reserved`), U what it used, and `charged` what an earlier period was already charged for it.
When tokens move is decided in `budget` and `admit`; here they only move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.model.funds import Budget, MasterFund, Opening
from cortex.model.ids import master_key
from cortex.model.state import OPEN_TASK, State, Worker

__all__ = ["EVENTS", "needed_tokens", "violations"]

Event = dict[str, Any]
#: So many closed openings of a period are kept at hand; the journal keeps all.
_OPENINGS = 50


def needed_tokens(worker: Worker) -> int:
    """R: what is reserved for a worker before it starts; one that uses none starts without too."""
    return worker.token_budget + worker.overhead_tokens


def _master_of(fund: str) -> str:
    return fund.removeprefix("master:")


def _fund_of(budget: Budget, worker: Worker) -> MasterFund:
    """The fund of a worker's master; an empty one where the master has none (any more)."""
    return budget.masters.setdefault(_master_of(worker.fund), MasterFund(0, 0, 0, 0))


def _hold(budget: Budget, worker: Worker, tokens: int) -> None:
    """Adds to what live workers of the worker's fund hold; negative gives back."""
    if worker.fund == "pool":
        budget.pool_allocated += tokens
    elif worker.fund == "reserve":
        budget.reserve_allocated += tokens
    else:
        _fund_of(budget, worker).reserved += tokens


def _spend(budget: Budget, worker: Worker, tokens: int) -> None:
    if worker.fund == "pool":
        budget.pool_spent += tokens
    elif worker.fund == "reserve":
        budget.reserve_spent += tokens
    else:
        _fund_of(budget, worker).used += tokens


def _share(budget: Budget, worker: Worker, tokens: int) -> None:
    """Counts pool tokens against the share of the worker's master, for fair queueing."""
    fund = budget.masters.get(master_key(worker.master))
    if worker.fund == "pool" and fund is not None:
        fund.share_used += tokens


def _opening_of(budget: Budget, worker: Worker) -> Opening | None:
    """The opening that pays for a worker of the reserve."""
    for opening in reversed(budget.openings):
        if worker.fund == "reserve" and opening.closed_at is None and worker.id in opening.workers:
            return opening
    return None


def _tokens_reserved(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.fund, worker.reserved, worker.charged = event["fund"], event["tokens"], 0
    _hold(state.budget, worker, worker.reserved)
    _share(state.budget, worker, worker.reserved)
    state.touch("budget", "")


def _tokens_returned(state: State, event: Event, _at: str) -> None:
    """All of an unstarted worker's reservation goes back."""
    worker = state.workers[event["worker_id"]]
    held = worker.reserved - worker.charged
    _hold(state.budget, worker, -held)
    _share(state.budget, worker, -held)
    opening = _opening_of(state.budget, worker)
    if opening is not None:
        opening.tokens -= held
        opening.workers.remove(worker.id)
    worker.reserved = worker.charged = 0
    state.touch("budget", "")


def _tokens_settled(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    budget = state.budget
    used = max(event["used"], worker.charged)
    _hold(budget, worker, -(worker.reserved - worker.charged))
    _spend(budget, worker, used - worker.charged)
    _share(budget, worker, used - worker.reserved)
    opening = _opening_of(budget, worker)
    if opening is not None:
        opening.tokens += used - worker.reserved
        opening.spent += used - worker.charged
    budget.overrun += event.get("overrun", 0)
    budget.ended_tokens += used
    if event.get("accepted"):
        budget.accepted_tokens += used
    state.touch("budget", "")


def _hear_anew(budget: Budget, fund: str, more: int) -> None:
    """A person gave a fund more: what was told of its old size is told of the new one again."""
    if more > 0:
        budget.alerts = [alert for alert in budget.alerts if alert.rpartition(":")[0] != fund]


def _named_funds(state: State) -> set[str]:
    """The masters whose own tokens pay for a worker that waits or lives."""
    workers = (state.workers[ident] for ident in (*state.live, *state.waiting))
    return {_master_of(one.fund) for one in workers if one.fund.startswith("master:")}


def _budget_configured(state: State, event: Event, _at: str) -> None:
    budget = state.budget
    _hear_anew(budget, "pool", event["pool_total"] - budget.pool_total)
    _hear_anew(budget, "reserve", event["reserve_total"] - budget.reserve_total)
    for name in ("total", "pool_total", "reserve_total", "trigger_threshold", "period", "timezone"):
        setattr(budget, name, event[name])
    for name in ("period_start", "resets_at"):
        if event.get(name):
            setattr(budget, name, event[name])
    for name, numbers in event["masters"].items():
        known = budget.masters.setdefault(name, MasterFund(0, 0, 0, 0))
        _hear_anew(budget, f"master:{name}", numbers["allocated"] - known.allocated)
        known.allocated = known.configured = numbers["allocated"]
        known.share = known.configured_share = numbers["share"]
    named = _named_funds(state)
    for name in [name for name in budget.masters if name not in event["masters"]]:
        if name in named:
            # A master's file may go while its work goes on: that still has to be settled.
            fund = budget.masters[name]
            fund.allocated = fund.configured = fund.share = fund.configured_share = 0
        else:
            del budget.masters[name]
    budget.settings = event["settings"]
    state.touch("budget", "")
    _look_again(state)


def _budget_changed(state: State, event: Event, _at: str) -> None:
    budget = state.budget
    _hear_anew(budget, "pool", event["pool_total"] - budget.pool_total)
    budget.total = event["total"]
    budget.pool_total = event["pool_total"]
    for name, shares in event["shares"].items():
        budget.masters[name].share, budget.masters[name].configured_share = shares
    state.touch("budget", "")
    _look_again(state)


def _look_again(state: State) -> None:
    """A budget of another size may pay for what was refused, or blocked, for want of tokens."""
    for task in state.tasks.values():
        if task.status not in OPEN_TASK:
            continue
        waits = task.status == "blocked" or task.waiting_for is not None
        if waits or any(step.short_of_tokens for step in task.steps):
            state.touch("task", task.id)


def _tokens_reallocated(state: State, event: Event, _at: str) -> None:
    budget = state.budget
    budget.masters[event["from"]].allocated -= event["tokens"]
    budget.masters[event["to"]].share += event["tokens"]
    budget.pool_total += event["tokens"]
    budget.moved_steps += 1
    state.touch("budget", "")


def _budget_reset(state: State, event: Event, _at: str) -> None:
    budget = state.budget
    for ident, charged in event["charged"].items():
        state.workers[ident].charged = charged
    for name, numbers in event["masters"].items():
        fund = budget.masters[name]
        fund.allocated, fund.share = numbers["allocated"], numbers["share"]
        fund.used = fund.reserved = fund.share_used = 0
    budget.pool_total = event["pool_total"]
    budget.pool_allocated = budget.pool_spent = 0
    budget.reserve_allocated = budget.reserve_spent = 0
    budget.overrun = budget.accepted_tokens = budget.ended_tokens = budget.moved_steps = 0
    budget.alerts = []
    budget.period_start, budget.resets_at = event["period_start"], event["resets_at"]
    budget.openings = [one for one in budget.openings if one.closed_at is None]
    for opening in budget.openings:
        opening.tokens = opening.spent = 0
    for ident in state.live:
        worker = state.workers[ident]
        held = worker.reserved - worker.charged
        _hold(budget, worker, held)
        _share(budget, worker, held)
        if (opened := _opening_of(budget, worker)) is not None:
            opened.tokens += held
    state.touch("budget", "")


def _alert_raised(state: State, event: Event, _at: str) -> None:
    state.budget.alerts.append(event["alert"])
    state.touch("budget", "")


def _reserve_opened(state: State, event: Event, at: str) -> None:
    """A task's first worker that the reserve pays opens it; the next ones join."""
    openings = state.budget.openings
    task_id = event["task_id"]
    found = [one for one in openings if one.task_id == task_id and one.closed_at is None]
    if not found:
        found = [Opening(task_id, event["by"], at, event["why"])]
        openings += found
    opening = found[0]
    opening.workers.append(event["worker_id"])
    opening.tokens += event["tokens"]
    opening.preempted += event.get("preempted", [])
    opening.approval_id = event.get("approval_id", opening.approval_id)
    state.touch("budget", "")


def _reserve_closed(state: State, event: Event, at: str) -> None:
    for opening in state.budget.openings:
        if opening.task_id == event["task_id"] and opening.closed_at is None:
            opening.closed_at = at
    closed = [one for one in state.budget.openings if one.closed_at is not None]
    for oldest in closed[:-_OPENINGS]:
        state.budget.openings.remove(oldest)
    state.touch("budget", "")


EVENTS: dict[str, Callable[[State, Event, str], None]] = {
    "tokens_reserved": _tokens_reserved,
    "tokens_returned": _tokens_returned,
    "tokens_settled": _tokens_settled,
    "budget_configured": _budget_configured,
    "budget_changed": _budget_changed,
    "tokens_reallocated": _tokens_reallocated,
    "budget_reset": _budget_reset,
    "alert_raised": _alert_raised,
    "reserve_opened": _reserve_opened,
    "reserve_closed": _reserve_closed,
}


def violations(state: State) -> list[str]:
    """The equations that the books break, as sentences; an empty list when they balance.

    total = masters + pool + reserve; pool = allocated + available + spent with available ≥ 0; what
    each fund holds is the sum of its live workers' reservations.
    """
    budget = state.budget
    broken = []
    parts = sum(fund.allocated for fund in budget.masters.values())
    parts += budget.pool_total + budget.reserve_total
    if budget.total != parts:
        broken.append(f"total {budget.total} is not masters + pool + reserve = {parts}")
    shares = sum(fund.share for fund in budget.masters.values())
    configured = budget.settings.get("funds", budget.masters)
    if configured and budget.pool_total != shares:
        broken.append("the shares of the worker pool do not add up to it")
    held = _held(state)
    for name, fund in budget.masters.items():
        own = held.pop(f"master:{name}", 0)
        if fund.reserved != own:
            broken.append(f"{name} has {fund.reserved} reserved, its workers hold {own}")
        if fund.free < 0:
            broken.append(f"{name} has overspent its own {fund.allocated}")
    for name, available, allocated in (
        ("pool", budget.pool_available, budget.pool_allocated),
        ("reserve", budget.reserve_available, budget.reserve_allocated),
    ):
        if available < 0:
            broken.append(f"the {name} has {available} available")
        if allocated != held.pop(name, 0):
            broken.append(f"the {name} has {allocated} allocated; its live workers disagree")
    broken += [f"workers hold {tokens} of unknown fund {fund}" for fund, tokens in held.items()]
    return broken


def _held(state: State) -> dict[str, int]:
    held: dict[str, int] = {}
    for ident in state.live:
        worker = state.workers[ident]
        held[worker.fund] = held.get(worker.fund, 0) + worker.reserved - worker.charged
    return held
