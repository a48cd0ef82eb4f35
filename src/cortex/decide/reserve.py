"""Breaking the glass: who may open the emergency reserve, who did, and when it is closed again.

Only critical work opens it, and only once nothing else pays (`grant` asks in that order). Where
`budget.reserve_needs_approval` is set, a person says yes first; the task goes on meanwhile with
whatever the pool can pay. What the books hold of it is `ledger`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cortex.decide.entry import Entry, Now
from cortex.decide.overdue import close_overdue
from cortex.model.funds import Opening
from cortex.model.settings import Settings
from cortex.model.state import Approval, State, Worker
from cortex.model.times import parse_time

__all__ = [
    "GATE",
    "ask_to_open",
    "asking",
    "closing",
    "is_to_be_asked",
    "may_open",
    "open_for",
    "opened",
    "questions",
    "withdraw_asking",
    "would_pay",
]

Event = dict[str, Any]
#: How an approval, and `Task.approved`, name the reserve; no step is called so.
GATE = ":reserve"


def opened(state: State) -> Iterator[Opening]:
    """The openings that are not closed."""
    return (opening for opening in state.budget.openings if opening.closed_at is None)


def _is_enough(state: State, worker: Worker, tokens: int) -> bool:
    """Whether the reserve has so many tokens left for a worker that it may pay at all."""
    is_of_pool = not worker.fund.startswith("master:")
    return is_of_pool and worker.priority == "critical" and tokens <= state.budget.reserve_available


def may_open(state: State, worker: Worker, tokens: int, settings: Settings) -> bool:
    """Whether the reserve pays so many tokens for a worker."""
    if not _is_enough(state, worker, tokens):
        return False
    return not settings.budget.reserve_needs_approval or _is_agreed(state, worker)


def would_pay(state: State, worker: Worker, tokens: int) -> bool:
    """Whether the reserve pays for a worker once it has a slot: nobody is asked, or said yes."""
    answered = _asked(state, worker.task_id, "pending", "denied")
    return _is_enough(state, worker, tokens) and (answered is None or _is_agreed(state, worker))


def _is_agreed(state: State, worker: Worker) -> bool:
    return GATE in state.tasks[worker.task_id].approved


def open_for(state: State, worker: Worker, tokens: int, why: str) -> Event:
    """The event of the reserve being opened for one worker; its task has one opening at a time."""
    event: Event = {
        "event": "reserve_opened",
        "by": worker.master,
        "task_id": worker.task_id,
        "worker_id": worker.id,
        "tokens": tokens,
        "why": why,
    }
    consent = _asked(state, worker.task_id, "approved")
    return event if consent is None else {**event, "approval_id": consent.id}


def is_to_be_asked(state: State, worker: Worker, tokens: int, settings: Settings) -> bool:
    """Whether a person has to say yes before the reserve pays for a worker, and was not asked in
    this period; never where the reserve could not pay anyway."""
    if not settings.budget.reserve_needs_approval or not _is_enough(state, worker, tokens):
        return False
    answered = _asked(state, worker.task_id, "pending", "denied")
    return answered is None and not _is_agreed(state, worker)


def ask_to_open(state: State, worker: Worker, needs: Sequence[int], now: Now) -> Approval:
    """The question whether the reserve may be opened for a task, which is not held up by it.

    `needs` are the tokens of the worker, and then of each other of its task that waits.
    """
    left = state.budget.reserve_available
    return Approval(
        id=f"approval-{state.counters.get('approval', 0) + 1:03d}",
        task_id=worker.task_id,
        reason=f"it would open the emergency reserve: {worker.id} needs {needs[0]:,} tokens, the "
        f"pool has {state.budget.pool_available:,}, the reserve {left:,}",
        created_at=now.at,
        resume_to="",
        gate=GATE,
        offer=_price(needs, left),
    )


def _price(needs: Sequence[int], left: int) -> dict[str, Any]:
    """What a yes starts as far as the reserve goes: `workers` of so many `waiting`, `tokens` that
    are reserved for them, and `share_of_reserve`, the part of what that has left."""
    workers = paid = 0
    for tokens in needs:
        if paid + tokens <= left:
            workers, paid = workers + 1, paid + tokens
    share = round(paid / left, 3)
    return {"workers": workers, "waiting": len(needs), "tokens": paid, "share_of_reserve": share}


def questions(state: State) -> Iterator[Approval]:
    """The approvals that a person is asked for now."""
    found = state.approvals.values()
    return (one for one in found if one.gate == GATE and one.status == "pending")


def asking(state: State, task_id: str) -> Approval | None:
    """The approval that a task's use of the reserve waits for."""
    return _asked(state, task_id, "pending")


def _asked(state: State, task_id: str, *statuses: str) -> Approval | None:
    """What was asked about the reserve for a task in this period; a pending one is of every."""
    for approval in state.approvals.values():
        if approval.gate == GATE and approval.task_id == task_id and approval.status in statuses:
            asked_at = parse_time(approval.answered_at or approval.created_at)
            if approval.status == "pending" or asked_at >= state.budget.period_start:
                return approval
    return None


def withdraw_asking(state: State, task_id: str) -> list[Event]:
    """Events that take the question back, once the task has all that it asked for."""
    approval = asking(state, task_id)
    if approval is None:
        return []
    over = {"event": "approval_answered", "approval_id": approval.id, "status": "withdrawn"}
    return [over, *close_overdue(state, approval)]


def closing(state: State) -> Entry | None:
    """The line that closes an opening of which no worker lives any more, or takes back a question
    that no critical worker waits with any more; one at a time.
    """
    for opening in opened(state):
        if any(ident in state.live for ident in opening.workers):
            continue
        event = {
            "event": "reserve_closed",
            "task_id": opening.task_id,
            "tokens": opening.spent,
            "workers": len(opening.workers),
        }
        why = f"nothing of {opening.task_id} holds it any more; {opening.spent:,} tokens were used"
        return Entry("coordinator-master", why, [event])
    for approval in questions(state):
        if _waits_critically(state, approval.task_id):
            continue
        why = f"nothing critical of {approval.task_id} waits for tokens any more"
        return Entry("coordinator-master", why, withdraw_asking(state, approval.task_id))
    return None


def _waits_critically(state: State, task_id: str) -> bool:
    task = state.tasks.get(task_id)
    waiting = [] if task is None else [one for one in task.workers if one in state.waiting]
    return any(state.workers[ident].priority == "critical" for ident in waiting)
