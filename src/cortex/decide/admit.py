"""Granting waiting workers a slot and tokens: limits, fairness, the reserve, what is short.

`next_admission` gives one decision at a time; the caller applies it to the state and asks again, so
that every decision sees the books as the one before left them. Rules: a worker needs a free slot
and R tokens of one fund at the same time. Within a level the master that has used least of its
share goes first when the pool is short. A worker that does not fit holds back lower levels of its
fund, and its own level too once it has waited as long as aging takes, but only while what is still
running could give back enough for it: tokens that are spent do not return by waiting.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from cortex.decide import preempt, reserve
from cortex.decide.claims import WHOLE, in_the_way, overlap
from cortex.decide.entry import Entry, Now, due_at
from cortex.decide.grant import grant, grant_in_place_of, grant_nothing
from cortex.decide.ledger import needed_tokens
from cortex.decide.pace import next_count
from cortex.decide.queue import AdmissionQueue, Source, paying_fund
from cortex.decide.refused import REFUSED_AGAIN_S
from cortex.decide.shortage import (
    AND_A_SLOT,
    SUBJECT,
    is_short,
    relief,
    tell,
    tell_without_slot,
    tokens_free,
    tokens_short,
)
from cortex.decide.slots import Slots, wanted_slot
from cortex.model.ids import PRIORITIES, master_key
from cortex.model.settings import Settings
from cortex.model.state import PLANNER, Escalation, State, Worker

__all__ = ["next_admission", "waiting_reason"]

#: So many behind a worker that does not fit are tried in its stead, by every way to pay them; then
#: as many of those further behind that the tokens at hand would pay.
_BACKFILL = 16
_CRITICAL = PRIORITIES.index("critical")
#: So many that wait are asked whether tokens are kept for them: this is said of each of thousands.
_LOOKED_AT = 50


def next_admission(
    state: State, queue: AdmissionQueue, settings: Settings, cores: int, now: Now
) -> Entry | None:
    """The next decision about a waiting worker, or None where nothing can change now.

    An entry approves one worker with its reservation, or queues or refuses it with the reason; it
    may move or open funds for it in the same line.
    """
    if state.paused or not len(queue):
        return None
    queue.age(now.wall)
    slots = Slots.of(state, settings, cores)
    learned = next_count(state, settings, cores) if settings.spawn.policy == "learned" else None
    depth = _depth(state) if settings.spawn.policy != "on_demand" else Counter()
    first = learned or _take_a_slot(state, queue, slots, depth)
    if first is not None:
        return first

    def open_to(source: Source) -> bool:
        if _is_lane_full(slots, source.lane, depth):
            return False
        return not (source.limit and slots.full(source.limit))

    def limit_of(ident: str) -> str | None:
        return slots.held_by(state.workers[ident])

    while True:
        held: dict[str, int] = {}
        moved = False
        for level, candidates in queue.in_order(open_to):
            for ident in _fair(state, candidates):
                fund = paying_fund(state.workers[ident])
                if held.get(fund, level) > level:
                    passing = _without_tokens(state, queue, slots, ident)
                    if passing is not None:
                        return passing
                    continue
                if queue.set_aside(ident, limit_of):
                    moved = True
                    break
                entry = _grant_or_pass(state, queue, slots, ident, now)
                if entry is not None:
                    return entry
                if _could_free(state, state.workers[ident]):
                    alone = _is_passed_by_nobody(state, settings, state.workers[ident], now)
                    held[fund] = max(held.get(fund, 0), level + 1 if alone else level)
            if moved:
                break
        if not moved:
            closed = (
                [ident, *queue.following(ident, _BACKFILL)]
                for _, heads in queue.in_order(
                    lambda source: source.level == _CRITICAL and not open_to(source)
                )
                for ident in heads
            )
            return tell_without_slot(state, closed, settings, now)


def _is_lane_full(slots: Slots, lane: str, depth: Counter[str]) -> bool:
    return slots.counts[f"lane:{lane}"] >= slots.lane_limit(lane, depth[lane])


def _take_a_slot(
    state: State, queue: AdmissionQueue, slots: Slots, depth: Counter[str]
) -> Entry | None:
    """The line in which others that have not begun give their slots to critical work."""
    for _, candidates in queue.in_order(lambda source: source.level == _CRITICAL):
        for ident in candidates:
            worker = state.workers[ident]
            taken = _in_place_of_others(state, worker, slots, depth)
            if taken is not None:
                return Entry(taken.by, taken.why, [*taken.events, *relief(state, worker)])
    return None


def _in_place_of_others(
    state: State, worker: Worker, slots: Slots, depth: Counter[str]
) -> Entry | None:
    """The line in which others give their slots to this worker, with their tokens if these are
    enough. Who has a slot and lacks tokens alone is not meant: that is a matter of `grant`."""
    able = preempt.may_give_way(state, worker)

    def has_slot(gone: Sequence[Worker]) -> bool:
        left = Slots.of(preempt.without(state, gone), slots.settings, slots.cores)
        return not _is_lane_full(left, worker.lane, depth) and left.held_by(worker) is None

    def has_both(gone: Sequence[Worker]) -> bool:
        short = needed_tokens(worker) - state.budget.pool_available
        return short <= preempt.returned(gone, "pool") and has_slot(gone)

    if not able or has_slot(()):
        return None
    for is_enough in (has_both, has_slot):
        gone = preempt.give_way(able, is_enough)
        entry = grant_in_place_of(state, worker, gone, slots.settings) if gone else None
        if entry is not None:
            return entry
    return None


def _depth(state: State) -> Counter[str]:
    """How much work of each lane waits or runs; counting stops where more changes nothing."""
    some = itertools.islice(itertools.chain(state.live, state.waiting), 1000)
    return Counter(state.workers[ident].lane for ident in some)


def _fair(state: State, candidates: list[str]) -> list[str]:
    """Candidates of one level: by share used when the pool cannot pay all of them."""
    workers = [state.workers[ident] for ident in candidates]
    if sum(needed_tokens(worker) for worker in workers) <= state.budget.pool_available:
        return candidates

    def used_share(worker: Worker) -> float:
        fund = state.budget.masters.get(master_key(worker.master))
        return fund.share_used / fund.share if fund and fund.share else 1.0

    order = {ident: position for position, ident in enumerate(candidates)}
    workers.sort(key=lambda worker: (used_share(worker), order[worker.id]))
    return [worker.id for worker in workers]


def _could_free(state: State, worker: Worker) -> bool:
    """Whether what is running now could give back enough for this worker, to the fund it needs."""
    budget = state.budget
    if worker.fund.startswith("master:"):
        fund = budget.masters.get(worker.fund.removeprefix("master:"))
        return fund is not None and fund.allocated - fund.used >= needed_tokens(worker)
    return budget.pool_available + budget.pool_allocated >= needed_tokens(worker)


def _is_passed_by_nobody(state: State, settings: Settings, worker: Worker, now: Now) -> bool:
    """Whether a worker has waited so long that what becomes free is kept for it."""
    waited_s = now.wall - worker.queued_wall
    return waited_s >= settings.spawn.aging and _could_free(state, worker)


def _grant_or_pass(
    state: State, queue: AdmissionQueue, slots: Slots, ident: str, now: Now
) -> Entry | None:
    """A grant for this worker or one behind it, else the word that it waits; None: all said."""
    first = state.workers[ident]
    alone = _is_passed_by_nobody(state, slots.settings, first, now)
    tried = [first] if alone else [first, *_behind(state, queue, slots, first)]
    for worker in tried if alone else itertools.chain(tried, _further(state, queue, slots, first)):
        granted = grant(state, worker, slots.settings)
        if granted is not None:
            return Entry(granted.by, granted.why, [*granted.events, *relief(state, worker)])
    if first.step == PLANNER and not _could_free(state, first):
        return _refuse_planner(state, first)
    if first.priority == "low" and first.step != PLANNER:
        return _refuse(state, first, now)
    told = tell(state, tried, slots.settings, now)
    return told or (_without_tokens(state, queue, slots, ident) if alone else None)


def _without_tokens(state: State, queue: AdmissionQueue, slots: Slots, ident: str) -> Entry | None:
    """A grant for whoever uses no tokens, while those that are there are kept for other work."""
    first = state.workers[ident]
    for worker in itertools.chain([first], _behind(state, queue, slots, first, at_most=0)):
        if not worker.uses_tokens and slots.held_by(worker) is None:
            return grant_nothing(worker, "tokens are kept for more urgent work, and it uses none")
    return None


def _further(state: State, queue: AdmissionQueue, slots: Slots, first: Worker) -> Iterator[Worker]:
    """Those however far behind whom the tokens at hand pay, so that nothing stands still over what
    does not fit."""
    if len(queue) > _BACKFILL + 1:
        yield from _behind(state, queue, slots, first, at_most=tokens_free(state, first))


def _behind(
    state: State, queue: AdmissionQueue, slots: Slots, first: Worker, at_most: int | None = None
) -> Iterator[Worker]:
    """Some that wait behind a worker and that no limit holds, as `AdmissionQueue.following`."""

    def limit_of(ident: str) -> str | None:
        return slots.held_by(state.workers[ident])

    for ident in queue.following(first.id, _BACKFILL, limit_of, at_most):
        yield state.workers[ident]


def waiting_reason(state: State, worker: Worker) -> str:
    """In words, what a waiting worker waits for now."""
    if state.draining:
        return "the daemon drains: the next one goes on; `cortex resume` takes the drain back"
    if state.paused:
        return "the fleet is paused; `cortex resume` lets it go on"
    if worker.status == "blocked" and worker.reason:
        return worker.reason
    task = state.tasks.get(worker.task_id)
    if task is not None and task.status == "paused":
        return f"{task.id} is paused; `cortex resume {task.id}` lets it go on"
    writers = (state.workers[ident] for ident in state.live if state.workers[ident].claims)
    other = in_the_way(worker, writers)
    if other is not None:
        return _claimed(worker, other)
    if is_short(state, worker):
        asking = reserve.asking(state, worker.task_id)
        until = "" if asking is None else f"; the reserve pays after a yes to {asking.id}"
        slot = AND_A_SLOT if (worker.reason or "").endswith(AND_A_SLOT) else ""
        return tokens_short(state, worker) + slot + until
    if worker.reason and not worker.reason.startswith("needs "):
        return worker.reason
    kept_for = _kept_for(state, worker)
    if kept_for is not None:
        return kept_for
    return wanted_slot(state, worker)


def _kept_for(state: State, worker: Worker) -> str | None:
    """Whom the tokens are kept for that would do for a worker: more urgent work that is short."""
    if not worker.uses_tokens:
        return None
    fund, rank = paying_fund(worker), PRIORITIES.index(worker.priority)
    for urgent in _told_to_be_short(state):
        if PRIORITIES.index(urgent.priority) <= rank or paying_fund(urgent) != fund:
            continue
        if is_short(state, urgent) and _could_free(state, urgent):
            whose = "the pool" if fund == "pool" else f"{fund.removeprefix('master:')}'s own"
            return (
                f"{tokens_free(state, worker)} tokens of {whose} are kept for {urgent.id} of "
                f"{urgent.task_id}, which is {urgent.priority} and needs {needed_tokens(urgent)}"
            )
    return None


def _told_to_be_short(state: State) -> Iterator[Worker]:
    """What waits for tokens alone: critical work, and others as far as there are not very many."""
    told = (one.task_id for one in state.escalations.values() if _is_of_tokens(one))
    urgent = (ident for task in told if task in state.tasks for ident in state.tasks[task].workers)
    for ident in itertools.chain(urgent, itertools.islice(state.waiting, _LOOKED_AT)):
        reason = state.workers[ident].reason or "" if ident in state.waiting else ""
        if reason.startswith("needs ") and not reason.endswith(AND_A_SLOT):
            yield state.workers[ident]


def _is_of_tokens(told: Escalation) -> bool:
    return told.status == "open" and told.subject == SUBJECT


def _claimed(worker: Worker, other: Worker) -> str:
    pair = overlap(worker.claims, other.claims)
    what = "the whole repository" if pair is None or pair[1] == WHOLE else pair[1]
    return f"{other.id} of {other.task_id}, which works on {what} of {worker.repository}"


def _refuse_planner(state: State, worker: Worker) -> Entry:
    """A plan that its master cannot pay for is not waited for: the task goes on without one."""
    reason = tokens_short(state, worker)
    ended = {
        "event": "worker_ended",
        "worker_id": worker.id,
        "status": "rejected",
        "reason": reason,
    }
    failed = {
        "event": "step_changed",
        "task_id": worker.task_id,
        "step": worker.step,
        "status": "failed",
        "reason": reason,
    }
    return Entry("coordinator-master", reason, [ended, failed])


def _refuse(state: State, worker: Worker, now: Now) -> Entry:
    """B1: low priority is refused first; its step tries again once that makes sense
    (`decide.refused`), after the reset at the latest."""
    reason = f"low priority, and {tokens_short(state, worker)}; "
    reason += "tried again once there are enough, after the reset at the latest"
    # A clock that was just set back shows a reset far off; none is farther than a period.
    budget = state.budget
    reset_at = min(budget.resets_at, now.wall + budget.resets_at - budget.period_start)
    # Without a budget there is no reset, and a reset that is due is a moment away.
    reset_at = max(reset_at, now.wall + REFUSED_AGAIN_S)
    return Entry(
        "coordinator-master",
        reason,
        [
            {
                "event": "worker_ended",
                "worker_id": worker.id,
                "status": "rejected",
                "reason": reason,
            },
            {
                "event": "step_changed",
                "task_id": worker.task_id,
                "step": worker.step,
                "status": "ready",
                "reason": reason,
                "not_before": due_at(now, reset_at),
                "short_of_tokens": needed_tokens(worker),
            },
        ],
    )
