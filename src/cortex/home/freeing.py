"""What would free something that waits: which workers hold what it needs, until when.

Read from the published rows as they are now; the daemon decides, and may know of more by then.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cortex.home.documents import Row
from cortex.home.limits import Limit
from cortex.model.times import format_duration, format_time, parse_time

if TYPE_CHECKING:
    from cortex.home.client import Home
    from cortex.model.journal_line import Line

__all__ = [
    "Backoff",
    "answer_ways",
    "backoff_of",
    "backoff_ways",
    "beyond_the_fund",
    "claim_ways",
    "larger_fund",
    "slot_ways",
    "token_ways",
    "until",
]

_NAMED = 3
_CLAIMED_BY = re.compile(r"(\S+) of \S+, which works on ")
_OWN = re.compile(r"tokens of (\S+)'s own")
_KEPT = re.compile(r"which is \w+ and needs (\d+)")
_APPROVAL = re.compile(r"\bapproval-\d+\b")


@dataclass(frozen=True, slots=True)
class Backoff:
    """A step that waits for its next attempt: since when, until when (seconds), after what."""

    step: str
    since: str
    until_s: float
    reason: str


def until(instant: object) -> str:
    """A time with how far away it is: `2025-11-01T10:15:00Z (in 4m)`."""
    try:
        left_s = parse_time(str(instant)) - time.time()
    except ValueError:
        return str(instant)
    return f"{instant} (in {format_duration(left_s)})" if left_s > 0 else f"{instant} (past)"


def _running(home: Home) -> list[Row]:
    return [row for row in home.pool().get("active_workers") or () if isinstance(row, dict)]


def _ends(rows: list[Row] | tuple[Row, ...], what: str = "") -> list[str]:
    """The first few workers whose end helps, soonest timeout first."""
    rows = sorted(rows, key=lambda row: str(row.get("timeout_at") or "~"))
    told = []
    for row in rows[:_NAMED]:
        at_most = f", {until(row['timeout_at'])} at the latest" if row.get("timeout_at") else ""
        holds = what.format(tokens=_left(row)) if what else ""
        told.append(f"the end of {row.get('worker_id')} of {row.get('task_id')}{holds}{at_most}")
    if len(rows) > _NAMED:
        told.append(f"or of one of {len(rows) - _NAMED} more: `cortex get workers`")
    return told


def _left(row: Row) -> int:
    """How many tokens a worker's end gives back at most."""
    return max(0, int(row.get("token_budget") or 0) - int(row.get("tokens_used") or 0))


def _need(row: Row) -> int:
    return int(row.get("estimated_tokens") or row.get("token_budget") or 0)


def _fund(home: Home, reason: str) -> tuple[str, int, int]:
    """The fund that a reason speaks of: its name, its tokens in all, and those to be had now."""
    budget = home.budget()
    own = _OWN.search(reason)
    if own is None:
        pool = budget.get("worker_pool") or {}
        return "pool", int(pool.get("total") or 0), int(pool.get("available") or 0)
    fund = (budget.get("masters") or {}).get(own[1]) or {}
    size = int(fund.get("allocated") or 0)
    free = size - int(fund.get("used") or 0) - int(fund.get("reserved") or 0)
    return f"master:{own[1]}", size, free


def beyond_the_fund(home: Home, row: Row, reason: str) -> str:
    """In words that no reset helps a worker which asks for more than there ever is; "" else."""
    fund, size, _ = _fund(home, reason)
    if not _is_beyond(home, row, fund, size):
        return ""
    whole = "the whole pool" if fund == "pool" else "all its own"
    return f": more than {whole} of {size:,}, which no reset makes larger"


def _is_beyond(home: Home, row: Row, fund: str, size: int) -> bool:
    """Whether neither the fund nor, for critical work of the pool, the reserve ever has enough."""
    reserve = home.budget().get("emergency_reserve") or {}
    if fund == "pool" and row.get("priority") == "critical":
        size = max(size, int(reserve.get("total") or 0))
    return _need(row) > size


def token_ways(home: Home, row: Row, reason: str) -> tuple[str, ...]:
    """What would give a waiting worker its tokens."""
    fund, size, available = _fund(home, reason)
    kept = _KEPT.search(reason)
    short = max(0, _need(row) + (int(kept[1]) if kept else 0) - available)
    larger = larger_fund(home, fund, size, short)
    if _is_beyond(home, row, fund, size):
        less = f"`cortex edit {row.get('task_id')}`: a `token_budget` of {size} or less"
        return (*_reserve_ways(home, row), larger, less)
    holders = [one for one in _running(home) if one.get("fund") == fund and _left(one)]
    ways = _ends(holders, ", which may give back {tokens:,} tokens")
    if sum(map(_left, holders)) < short:
        ways = ["more than all running workers can give back"] if holders else []
    reset = f"the reset at {until(home.budget().get('resets_at'))}"
    return (*_reserve_ways(home, row), *ways, reset, larger)


def larger_fund(home: Home, fund: str, size: int, short: int) -> str:
    """How a person gives a fund so many tokens more: `pool` or `master:NAME`, of this size."""
    if fund != "pool":
        name = fund.removeprefix("master:")
        return f"`allocated` of {size + short} in the file of the {name} master, or more"
    total = int(home.budget().get("total_budget") or 0)
    return f"`cortex budget --set-total {total + short}`, {short:,} more (or any larger N)"


def _reserve_ways(home: Home, row: Row) -> list[str]:
    """A yes that opens the emergency reserve for the worker's task, where one is waited for."""
    about = ("reserve", row.get("task_id"), "pending")
    return [
        f"`cortex approve {asked.get('approval_id')}`: the reserve pays then"
        for asked in home.approvals()
        if (asked.get("gate"), asked.get("task_id"), asked.get("status")) == about
    ]


def claim_ways(home: Home, reason: str) -> tuple[str, ...]:
    """The end of the worker that writes where a waiting one is to write; () for other reasons."""
    found = _CLAIMED_BY.match(reason)
    if found is None:
        return ()
    return tuple(_ends([row for row in _running(home) if row.get("worker_id") == found[1]]))


def answer_ways(home: Home, reason: str) -> tuple[str, ...]:
    """The answers to the questions that a reason names, as far as they are still open."""
    named = _APPROVAL.findall(reason)
    pending = [
        ident
        for row in home.approvals()
        if row.get("status") == "pending"
        and row.get("gate") != "reserve"  # no answer to that is needed where the pool pays
        and (ident := str(row.get("approval_id"))) in named
    ]
    told = [f"`cortex approve {name}` or `cortex deny {name}`" for name in pending[:_NAMED]]
    return (*told, *(["or another answer: `cortex get approvals`"] if len(named) > _NAMED else []))


def slot_ways(limit: Limit | None) -> tuple[str, ...]:
    """What would give a waiting worker a slot."""
    if limit is None:
        return ("the end of a running worker", "larger [limits] in cortex.toml")
    if not limit.of_settings:
        return (*_ends(limit.holders), f"a larger {limit.key}")
    if limit.key.startswith("spawn."):
        return (*_ends(limit.holders), "another spawn.policy in cortex.toml, and a restart")
    larger = f"a larger {limit.key} in cortex.toml, and a restart of cortexd"
    return (*_ends(limit.holders), larger)


def backoff_of(task: Row, history: list[Line]) -> Backoff | None:
    """The step of a task that waits for a later attempt longest, if one does."""
    idle = {
        str(step.get("name"))
        for step in task.get("steps") or ()
        if step.get("status") in ("ready", "waiting")
    }
    found: dict[str, Backoff] = {}
    for line in history:
        for event in line.events:
            if event.get("event") != "step_changed" or event.get("task_id") != task.get("id"):
                continue
            due, name = event.get("not_before"), str(event.get("step"))
            found.pop(name, None)
            if isinstance(due, dict) and name in idle:
                reason = str(event.get("reason") or "it did not succeed")
                found[name] = Backoff(name, line.at, float(due["wall"]), reason)
    ahead = [one for one in found.values() if one.until_s > time.time()]
    return min(ahead, key=lambda one: one.until_s, default=None)


def backoff_ways(backoff: Backoff) -> tuple[str, ...]:
    """When the next attempt comes, and how it comes sooner."""
    when = f"time: the next attempt comes at {until(format_time(backoff.until_s))}"
    if "low priority" in backoff.reason:
        sooner = "a larger total, or tokens that become free: it is looked at again each minute"
        return (when, sooner, "a higher priority: edit it in coordination/task-queue.json")
    return (when,)
