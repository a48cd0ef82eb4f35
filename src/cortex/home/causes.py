"""Why something is as it is: the chain from the dropped file to now, and what it waits for.

Built from published rows and journal lines alone; nothing is guessed that they do not say. What
would free a waiting thing follows from its status and the reason that the daemon gave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cortex.home.blocked import asks_too_much, blocked_ways
from cortex.home.concerning import ids_about
from cortex.home.documents import Row
from cortex.home.fleet_holds import fleet_hold
from cortex.home.freeing import (
    answer_ways,
    backoff_of,
    backoff_ways,
    beyond_the_fund,
    claim_ways,
    slot_ways,
    token_ways,
    until,
)
from cortex.home.journal import ids_of
from cortex.home.limits import Limit, full_limit
from cortex.home.waiting import has_ended
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.home.client import Found, Home
    from cortex.home.fleet_holds import FleetHold
    from cortex.model.journal_line import Line

__all__ = ["Explanation", "Wait", "explain"]

_MAX_ANCESTORS = 20
#: How the daemon's reason ends where it knows that both lack.
_AND_A_SLOT = ", and a free slot"
#: Of no consequence to anybody who asks why.
_TIDYING = ("worker_cleaned", "branches_kept", "archived")


@dataclass(frozen=True, slots=True)
class Wait:
    """What an open thing waits for, since when (RFC 3339), and what would free it."""

    reason: str
    since: str | None
    freed_by: tuple[str, ...]


@dataclass(slots=True)
class Explanation:
    """`chain` leads from the dropped file to the subject; `history` is the subject's own."""

    subject: Found
    ident: str
    ancestors: list[str] = field(default_factory=list)
    source: str | None = None
    chain: list[Line] = field(default_factory=list)
    history: list[Line] = field(default_factory=list)
    wait: Wait | None = None


def explain(home: Home, ident: str) -> Explanation:
    """The causes of a task, worker, handoff or escalation. HomeError for an unknown id."""
    found = home.lookup(ident)
    if found is None:
        raise HomeError(f"{ident}: nothing has this id; `cortex get tasks` lists what there is")
    explanation = Explanation(found, ident)
    explanation.ancestors, explanation.source, since = _ancestors(home, found)
    own = ids_about(home, ident, found)
    words = [f'"{name}"' for name in (*explanation.ancestors, *own)]
    for line in home.journal(mentioning=words, since_at=since):
        spoken_of = ids_of(line)
        if own & spoken_of:
            if not all(event.get("event") in _TIDYING for event in line.events):
                explanation.history.append(line)
        elif not explanation.history and _made_one_of(line, explanation.ancestors):
            explanation.chain.append(line)
        if found.archived and _leaves(line, ident):
            break  # nothing ever happens to it again
    status = str(found.row.get("status"))
    if not has_ended(status):
        explanation.wait = _wait(home, found, ident, explanation.history)
    return explanation


def _leaves(line: Line, ident: str) -> bool:
    """Whether this line took it into the archive."""
    return any(
        event.get("event") == "archived"
        and any(ident in event.get(name, ()) for name in ("tasks", "workers", "handoffs"))
        for event in line.events
    )


def _ancestors(home: Home, found: Found) -> tuple[list[str], str | None, str]:
    """The tasks that this came out of, the first one first; the dropped file's name; and a time
    before which nothing can have happened to any of them (empty: unknown).
    """
    path: list[str] = []
    row: Row | None = found.row
    since = _created(found.row) if found.kind == "task" else ""
    above = _above(found.kind, found.row)
    while above and above not in path and len(path) < _MAX_ANCESTORS:
        path.append(above)
        row = home.task(above)
        if row is None:
            since = ""
            break
        since = _created(row)
        above = _above("task", row)
    source = (row or {}).get("source")
    return path[::-1], source if isinstance(source, str) else None, since


def _created(row: Row) -> str:
    """When a task was accepted, to the second: its line is not older than that."""
    at = row.get("created_at")
    return at[:19] if isinstance(at, str) else ""


def _above(kind: str, row: Row) -> str | None:
    names = {
        "task": ("caused_by", "parent"),
        "worker": ("task_id",),
        "handoff": ("source_task", "task_id"),
        "escalation": ("task_id",),
        "approval": ("task_id",),
    }
    for name in names.get(kind, ()):
        if isinstance(row.get(name), str):
            return str(row[name])
    return None


def _made_one_of(line: Line, ancestors: list[str]) -> bool:
    """Whether the line made, planned or ended one of the ancestors: the steps of a chain."""
    for event in line.events:
        task = event.get("task")
        if isinstance(task, dict) and task.get("id") in ancestors:
            return True
        if event.get("task_id") in ancestors and event.get("event") in (
            "task_routed",
            "task_ended",
        ):
            return True
    return False


def _wait(home: Home, found: Found, ident: str, history: list[Line]) -> Wait | None:
    since = _since(found.kind, ident, history)
    wait = _wait_of(home, found, ident, since, history)
    if home.daemon().running:
        return _while_degraded(home, wait)
    start = f"starting a daemon, for none runs: cortexd --home {home.root}"
    if wait is not None:
        return Wait(wait.reason, wait.since, (start, *wait.freed_by))
    return Wait("", since, (start,)) if found.kind == "task" else None


def _while_degraded(home: Home, wait: Wait | None) -> Wait | None:
    """A daemon in trouble starts nothing new, whatever else is waited for."""
    about = home.queue().get("daemon")
    if wait is None or not isinstance(about, dict) or about.get("status") != "degraded":
        return wait
    cause = f"the end of what the daemon is in trouble with: {about.get('cause', 'see its log')}"
    return Wait(wait.reason, wait.since, (cause, *wait.freed_by))


def _wait_of(
    home: Home, found: Found, ident: str, since: str | None, history: list[Line]
) -> Wait | None:
    if found.kind == "worker":
        return _worker_wait(home, found.row, since, history)
    if found.kind == "task":
        return _task_wait(home, ident, found.row, since, history)
    if found.kind == "handoff" and found.row.get("status") == "pending":
        receiver = found.row.get("to_agent")
        freed = f"`cortex handoff accept {ident}`, or its receiver"
        return Wait(f"{receiver} to accept it", since, (freed,))
    if found.kind == "escalation":
        seen = (f"`cortex approve {ident}`, when you have seen it", "its cause being gone")
        return Wait("a person to look at it", since, seen)
    if found.kind == "approval" and found.row.get("status") == "pending":
        return _asked(found.row, since)
    if found.kind == "schedule":
        return _schedule_wait(ident, found.row, since)
    return None


def _schedule_wait(ident: str, row: Row, since: str | None) -> Wait:
    """A schedule waits for its time, or for a person to let it go on."""
    if row.get("paused"):
        return Wait("a person to let it go on: it is paused", since, (f"`cortex resume {ident}`",))
    return Wait("its next run", since, (f"time: it runs at {until(row.get('next_run'))}",))


def _since(kind: str, ident: str, history: list[Line]) -> str | None:
    """When the last thing happened to the subject itself."""
    for line in reversed(history):
        for event in line.events:
            record = event.get(kind)
            if event.get(f"{kind}_id") == ident or (
                isinstance(record, dict) and record.get("id") == ident
            ):
                return line.at
    return None


def _worker_wait(home: Home, row: Row, since: str | None, history: list[Line]) -> Wait | None:
    status = row.get("status")
    if status not in ("requested", "queued", "blocked", "approved"):
        return None
    held = fleet_hold(home, since)
    if held is not None:
        return Wait(held.reason, held.since, held.freed_by)
    reason = str(row.get("waiting_for") or "a free slot: as many run as the limits allow")
    if status == "blocked":
        task = home.task(str(row.get("task_id"))) or {"id": row.get("task_id")}
        return Wait(reason, since, blocked_ways(home, task, reason, history))
    if "tokens" in reason and not reason.startswith("a free slot"):
        return _token_wait(home, row, since, reason)
    claimed = claim_ways(home, reason)
    if claimed:
        return Wait(reason, since, claimed)
    limit = full_limit(home, row) if reason.startswith("a free slot") else None
    return Wait(_slot(limit) or reason, since, slot_ways(limit))


def _slot(limit: Limit | None) -> str:
    if limit is None:
        return ""
    return f"a free slot: {limit.key} allows {limit.size}, and {len(limit.holders)} run"


def _token_wait(home: Home, row: Row, since: str | None, reason: str) -> Wait:
    """A worker that waits for tokens, and often for a slot too: then it needs both."""
    limit = full_limit(home, row)
    told = f"{reason.replace(_AND_A_SLOT, '')}{beyond_the_fund(home, row, reason)}"
    ways = token_ways(home, row, reason)
    if limit is None and _AND_A_SLOT not in reason:
        return Wait(told, since, ways)
    both = f"{told}; and {_slot(limit) or 'a free slot'}"
    return Wait(both, since, (*ways, *(f"and for the slot: {way}" for way in slot_ways(limit))))


def _task_wait(
    home: Home, ident: str, row: Row, since: str | None, history: list[Line]
) -> Wait | None:
    status = str(row.get("status"))
    reason = row.get("blocked_on") or row.get("waiting_for")
    if status == "paused" or row.get("hold"):
        held = "a person to let it go: it is " + ("paused" if status == "paused" else "held")
        held_at = next((line.at for line in reversed(history) if _holds(line, ident)), since)
        handoff = _pending_handoff(home, ident, row)
        if handoff is not None:
            freed = (f"`cortex handoff accept {handoff}`", f"`cortex handoff reject {handoff}`")
            return Wait(str(reason or f"{handoff} to be accepted"), held_at, freed)
        return Wait(str(reason or held), held_at, (f"`cortex resume {ident}`",))
    if status == "blocked" or asks_too_much(str(reason)):
        reason = str(reason or "something to be configured")
        return Wait(reason, since, blocked_ways(home, row, reason, history))
    if status == "awaiting_approval":
        return _approval_wait(home, ident, since)
    needs = _needs(home, ident, row)
    if needs and status in ("pending", "assigned"):
        return Wait(str(reason or "tasks that it needs"), since, tuple(needs))
    nothing_starts = fleet_hold(home, since)
    if nothing_starts is not None:
        return _wait_in_held_fleet(home, ident, row, since, nothing_starts)
    asked = answer_ways(home, str(reason or ""))
    if asked:
        return Wait(str(reason), since, asked)
    backoff = backoff_of(row, history)
    workers = _workers_wait(home, ident, reason, since, history)
    if backoff is not None and workers is None:
        waits = f"the time before step {backoff.step} is tried again, after: {backoff.reason}"
        return Wait(waits, backoff.since, backoff_ways(backoff))
    return workers


def _pending_handoff(home: Home, ident: str, row: Row) -> str | None:
    """The handoff whose receiver has not answered yet, of a task or of its parent."""
    for handoff in home.handoffs():
        if handoff.get("status") == "pending" and handoff.get("task_id") in (
            ident,
            row.get("parent"),
        ):
            return str(handoff.get("handoff_id"))
    return None


def _wait_in_held_fleet(
    home: Home, ident: str, row: Row, since: str | None, held: FleetHold
) -> Wait:
    """What a task waits for while nothing starts: its own running workers come first."""
    running = [
        one
        for one in home.pool().get("active_workers") or ()
        if isinstance(one, dict) and one.get("task_id") == ident
    ]
    if not running:
        return Wait(held.reason, held.since, held.freed_by)
    ways = [_end_of(one) for one in running]
    if any(step.get("status") in ("waiting", "ready") for step in row.get("steps") or ()):
        ways.append(f"then {held.freed_by[0]}: {held.reason}, and no further step starts")
    return Wait("its workers", since, tuple(ways))


def _end_of(worker: Row) -> str:
    name = worker.get("worker_id") or worker.get("id")
    return f"the end of {name}, {worker.get('status')} until {until(worker.get('timeout_at'))}"


def _holds(line: Line, ident: str) -> bool:
    """Whether a person held or paused the task with this line, or it came to be held with it."""
    for event in line.events:
        record = event.get("task")
        if isinstance(record, dict) and record.get("id") == ident and record.get("hold"):
            return True
        if event.get("task_id") == ident and (
            event.get("event") == "task_paused"
            or (event.get("event") == "task_edited" and event["fields"].get("hold"))
        ):
            return True
    return False


def _needs(home: Home, ident: str, row: Row) -> list[str]:
    """What has to happen to the tasks that this one needs."""
    ways = []
    for need in map(str, row.get("needs") or ()):
        status = (home.task(need) or {}).get("status", "completed")
        if status in ("failed", "cancelled"):
            ways.append(f"{need} ({status}) to complete: `cortex retry {need}`")
            ways.append(f"or an end to waiting: `cortex cancel {ident}`")
        elif status != "completed":
            ways.append(f"{need} ({status}) to complete")
    return ways


def _approval_wait(home: Home, task_id: str, since: str | None) -> Wait:
    """The approval of a task that is pending, and the words that answer it."""
    for row in home.approvals():
        is_held = row.get("gate") != "reserve"
        if row.get("task_id") == task_id and row.get("status") == "pending" and is_held:
            return _asked(row, since)
    return Wait("a person's yes or no", since, ("`cortex get approvals` names it",))


def _asked(row: Row, since: str | None) -> Wait:
    """What a pending approval waits for, and what either answer does."""
    name = row.get("approval_id")
    no = (
        "which leaves the reserve shut"
        if row.get("gate") == "reserve"
        else "which cancels the task"
    )
    freed = (f"`cortex approve {name}`", f"`cortex deny {name}`, {no}")
    return Wait(f"a person's yes or no: {row.get('reason')}", since, freed)


def _workers_wait(
    home: Home, ident: str, reason: object, since: str | None, history: list[Line]
) -> Wait | None:
    """An open task waits for its workers: the running ones, and those that wait themselves.

    Where none of them runs, what the first one waits for is what the task waits for.
    """
    freed: list[str] = []
    waiting: list[Row] = []
    for worker in home.workers():
        if worker.get("task_id") != ident or has_ended(str(worker.get("status"))):
            continue
        name, status = worker.get("worker_id"), worker.get("status")
        if status in ("requested", "queued", "blocked"):
            waiting.append(worker)
            freed.append(f"{name}, which waits: {worker.get('waiting_for') or 'for a free slot'}")
        else:
            freed.append(_end_of(worker))
    if waiting and len(waiting) == len(freed):
        first = _worker_wait(home, waiting[0], since, history)
        if first is not None:
            others = f" (and {len(waiting) - 1} more of its workers)" if len(waiting) > 1 else ""
            return Wait(f"{first.reason}{others}", since, first.freed_by)
    if not freed and not reason:
        return None
    return Wait(str(reason or "its workers"), since, tuple(freed))
