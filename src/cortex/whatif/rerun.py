"""Decides recorded days again, in virtual time, with the daemon's own deciding code.

The facts come as they came; masters, admission, review, budget and conclusions are decided anew.
An attempt takes as long and uses as much as the recorded one did; one that was never made takes
what is typical of its type. Reads and writes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from cortex.control.context import Context
from cortex.control.effects import Effects
from cortex.control.engine import Engine
from cortex.control.gathering import Gathering
from cortex.decide import budget
from cortex.decide.aggregate import Gathered, conclude
from cortex.decide.alerts import next_alert
from cortex.decide.catalog import Catalog
from cortex.decide.ending import cancel_task, reopen_task
from cortex.decide.entry import Entry
from cortex.decide.evolve import EVENTS, evolve
from cortex.decide.handoffs import accept_handoff, reject_handoff
from cortex.decide.ledger import violations
from cortex.decide.lifecycle import InvalidTransitionError
from cortex.decide.not_run import retriable
from cortex.decide.review import Observed, review
from cortex.decide.spec import worker_folder
from cortex.masters.controller import MastersController
from cortex.model.errors import CortexError, RequestError
from cortex.model.ids import master_key
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.model.state import TERMINAL_TASK, TERMINAL_WORKER, State, Task, Worker
from cortex.model.times import format_time
from cortex.whatif.outcomes import Outcomes, observed_of
from cortex.whatif.recording import Event, Fact, Recording

__all__ = ["Reran", "rerun"]

_ROUNDS_A_TURN = 500
_TURNS_AT_ONE_INSTANT = 10_000
#: How long a worker takes to end that was asked to, where nothing recorded tells.
_STOP_S = 0.2
_BOOT = "what-if"


@dataclass(slots=True)
class Reran:
    """What was decided: lines as (seconds since 1970, events), the last state, and how much of it
    is assumed. `unlike` counts facts that made no sense any more, `scaled` tells of a budget that
    had to be cut in proportion."""

    lines: list[tuple[float, list[Event]]] = field(default_factory=list)
    state: State = field(default_factory=State)
    assumed: int = 0
    unlike: int = 0
    left_out: int = 0
    scaled: str = ""
    faults: list[str] = field(default_factory=list)


def rerun(
    recording: Recording,
    settings: Settings,
    catalog: Catalog,
    paths: HomePaths,
    *,
    cores: int,
    other_budget: bool,
) -> Reran:
    """The recorded days, decided again under these settings.

    `other_budget` says that the settings' budget takes the place of what the journal configured.
    Raises CortexError where the settings leave no room for what is held at the start.
    """
    return _Rerun(recording, settings, catalog, paths, cores, other_budget).run()


class _Clock:
    """`model.seams.Clock` that is moved by the rerun; `luck` is its next random number."""

    def __init__(self, wall_s: float) -> None:
        self.wall_s = wall_s
        self.luck = 0.5

    def monotonic(self) -> float:
        return self.wall_s

    def boottime(self) -> float:
        return self.wall_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall_s, UTC)

    def random(self) -> float:
        return self.luck

    def boot_id(self) -> str:
        return _BOOT


class _Journal:
    """Lines in memory, as `control.engine.JournalLike`."""

    def __init__(self, last_at: str, seq: int, lines: list[tuple[float, list[Event]]]) -> None:
        self.last_at = last_at
        self.pending = 0
        self._seq = seq
        self._lines = lines

    def append(self, at: datetime, by: str, why: str, events: list[Event]) -> int:
        del by, why
        self.last_at = max(self.last_at, format_time(at.timestamp(), precise=True))
        self._seq += 1
        self._lines.append((at.timestamp(), events))
        return self._seq

    def commit(self) -> None:
        return


class _Log:
    """Keeps what the deciding code complains of."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults

    def exception(self, event: str, **fields: Any) -> None:
        self._faults.append(f"{event} {fields}")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


class _Gathering:
    """Stands for `control.gathering.Gathering`: results are gathered after the recorded time."""

    def __init__(self, later: Callable[[Task], None]) -> None:
        self._later = later
        self._asked: set[tuple[str, int]] = set()

    def request(self, task: Task) -> None:
        key = (task.id, task.run)
        if key not in self._asked:
            self._asked.add(key)
            self._later(task)


class _Rerun:
    def __init__(
        self,
        recording: Recording,
        settings: Settings,
        catalog: Catalog,
        paths: HomePaths,
        cores: int,
        other_budget: bool,
    ) -> None:
        self._recording = recording
        self._other_budget = other_budget
        self._result = Reran()
        state = State.from_json(deepcopy(recording.start)) if recording.start else State()
        self._state = self._result.state = state
        self._clock = _Clock(recording.start_s)
        self._journal = _Journal(state.at, state.seq, self._result.lines)
        engine = Engine(state, self._journal, self._clock)
        log = _Log(self._result.faults)
        no_effects = cast(Effects, None)
        self._context = Context(engine, no_effects, paths, settings, catalog, log)
        self._context.inbox_seen = True  # what is replayed here comes from no inbox
        self._context.cores = cores
        gathering = cast(Gathering, _Gathering(self._gather))
        self._masters = MastersController(self._context, gathering)
        self._outcomes = Outcomes(recording)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._started: set[tuple[str, int]] = set()
        self._stopping: set[str] = set()
        self._alerts_due = False
        self._lines_seen = 0

    def run(self) -> Reran:
        """From the first instant to the last."""
        if self._other_budget:
            self._configure()
        for fact in self._recording.facts:
            self._at(fact.at_s, partial(self._tell, fact))
        for ident in list(self._state.live):
            self._take_up(self._state.workers[ident])
        self._masters.start()
        turns = 0
        while True:
            due = self._next()
            if due is None or due > self._recording.end_s:
                break
            turns = turns + 1 if due <= self._clock.wall_s else 0
            if turns > _TURNS_AT_ONE_INSTANT:
                raise CortexError(
                    f"deciding never comes to an end at {self._context.engine.now().at}"
                )
            self._clock.wall_s = max(due, self._clock.wall_s)
            self._turn()
        self._result.faults += violations(self._state)
        self._result.assumed = self._outcomes.assumed
        return self._result

    # --- time

    def _at(self, at_s: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, action))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._at(self._clock.wall_s + max(0.0, seconds), action)

    def _next(self) -> float | None:
        """The next instant at which there is something to decide, and somebody to do it."""
        dues = [self._events[0][0] if self._events else None, self._masters.next_due()]
        dues.append(self._state.budget.resets_at or None)
        if self._masters.busy or self._period_is_over():
            dues.append(self._clock.wall_s)
        soonest = min((due for due in dues if due is not None), default=None)
        if soonest is None:
            return None
        return self._recording.down_until(max(soonest, self._clock.wall_s))

    def _turn(self) -> None:
        while self._events and self._events[0][0] <= self._clock.wall_s:
            heapq.heappop(self._events)[2]()
        if self._period_is_over():
            self._reset()
        if not self._state.touched and not self._masters_due():
            return
        now = self._context.engine.now()
        changed: dict[str, None] = {}
        for _ in range(_ROUNDS_A_TURN):
            touched, self._state.touched = self._state.touched, {}
            self._masters.changed(touched)
            self._masters.turn(now)
            changed.update((ident, None) for kind, ident in touched if kind == "worker")
            if not self._masters.busy:
                self._follow(changed)
                changed.clear()
            if not self._state.touched and not self._masters.busy:
                break
        self._follow(changed)
        self._context.engine.commit()
        self._look_for_alerts()

    def _masters_due(self) -> bool:
        due = self._masters.next_due()
        return self._masters.busy or (due is not None and due <= self._clock.wall_s)

    def _apply(self, why: str, events: list[Event]) -> None:
        self._context.engine.apply(Entry("what-if", why, events))

    # --- money

    def _period_is_over(self) -> bool:
        return budget.is_over(self._state.budget, self._clock.wall_s)

    def _reset(self) -> None:
        events = budget.reset(self._state, self._context.settings, self._clock.wall_s, {})
        self._apply("a new period", events)

    def _look_for_alerts(self) -> None:
        """The daemon looks at each resync, not at each change: once before long, if at all."""
        if not self._alerts_due and self._lines_seen < len(self._result.lines):
            self._alerts_due = True
            self._after(self._context.settings.daemon.resync, self._alert)

    def _alert(self) -> None:
        self._alerts_due = False
        self._lines_seen = len(self._result.lines)
        now = self._context.engine.now()
        while (due := next_alert(self._state, self._context.settings, now)) is not None:
            self._context.engine.apply(due)

    def _configure(self) -> None:
        """The budget of the settings instead of the recorded one; cut to fit where it must be."""
        settings = self._context.settings
        funds = _funds(self._context.catalog, settings)
        fixed = sum(allocated for allocated, _ in funds.values())
        fixed += settings.budget.emergency_reserve
        before = self._state.budget.total or 200_000
        if settings.budget.total < fixed + 1:
            part = settings.budget.total / max(before, fixed + 1)
            funds = {name: (int(own * part), share) for name, (own, share) in funds.items()}
            reserve = int(settings.budget.emergency_reserve * part)
            smaller = settings.budget.model_copy(update={"emergency_reserve": reserve})
            settings = settings.model_copy(update={"budget": smaller})
            self._context.settings = settings
            own = ", ".join(f"{name} {tokens:,}" for name, (tokens, _) in funds.items())
            self._result.scaled = f"{own}, reserve {reserve:,}"
        events = budget.configure(self._state, settings, funds, self._clock.wall_s)
        self._apply("the budget that was asked for", events)

    # --- facts

    def _tell(self, fact: Fact) -> None:
        """One fact, as far as it makes sense in what has become of the days."""
        if fact.kind in ("total", "configured") and self._other_budget:
            self._result.left_out += 1
            return
        tell = {
            "cancel": self._cancel,
            "retry": self._retry,
            "handoff": self._handoff,
            "total": self._total,
        }.get(fact.kind, self._verbatim)
        for event in fact.events:
            try:
                tell(deepcopy(event))
            except (RequestError, InvalidTransitionError, KeyError):
                self._result.unlike += 1

    def _verbatim(self, event: Event) -> None:
        """As it was. Not by the engine, which goes no further after an event that does not fit."""
        if event["event"] not in EVENTS:
            return
        if event["event"] == "approval_answered" and "task_id" in event:
            event["approval_id"] = self._asked_now(event["approval_id"], event["task_id"])
        at = max(self._context.engine.now().at, self._journal.last_at)
        evolve(self._state, self._state.seq + 1, at, [event])
        self._journal.append(self._clock.now(), "what-if", "as it was", [event])

    def _asked_now(self, ident: str, task_id: str) -> str:
        """The open question of a task that an answer is for; numbers go by the order of asking."""
        asked = [
            approval.id
            for approval in self._state.approvals.values()
            if approval.task_id == task_id and approval.status == "pending"
        ]
        return ident if ident in asked or not asked else asked[0]

    def _cancel(self, event: Event) -> None:
        task = self._state.tasks[event["task_id"]]
        if task.status not in TERMINAL_TASK:
            self._apply("cancelled", cancel_task(self._state, task, event.get("reason") or ""))

    def _retry(self, event: Event) -> None:
        task = self._state.tasks[event["task_id"]]
        if retriable(task):
            self._apply("tried again", reopen_task(self._state, task))
        else:
            self._result.unlike += 1

    def _handoff(self, event: Event) -> None:
        handoff = self._state.handoffs[event["handoff_id"]]
        if handoff.status != "pending":
            self._result.unlike += 1
        elif event["status"] == "accepted":
            self._apply("accepted", accept_handoff(self._state, handoff))
        else:
            now, reason = self._context.engine.now(), event.get("reason") or ""
            self._apply("rejected", reject_handoff(self._state, handoff, reason, now))

    def _total(self, event: Event) -> None:
        self._apply("another total", budget.change_total(self._state, event["total"]))

    # --- attempts

    def _take_up(self, worker: Worker) -> None:
        """A worker that lives at the start ends when it did."""
        if worker.status == "approved":
            self._state.touch("worker", worker.id)
            return
        self._started.add((worker.id, worker.nonce))
        attempt = self._outcomes.of(self._state, worker)
        ended_at = attempt.ended_at if attempt.recorded else None
        if ended_at is not None:
            self._at(ended_at, partial(self._end, worker.id))
        else:
            self._end_after(attempt.held_s, worker.id)

    def _follow(self, idents: Any) -> None:
        for ident in idents:
            worker = self._state.workers.get(ident)
            if worker is None:
                continue
            if worker.status == "approved":
                self._start(worker)
            elif worker.status == "ending" and ident not in self._stopping:
                self._stopping.add(ident)
                stop_s = self._outcomes.of(self._state, worker).stop_s
                self._end_after(_STOP_S if stop_s is None else stop_s, ident)

    def _start(self, worker: Worker) -> None:
        key = (worker.id, worker.nonce + 1)
        if key in self._started:
            return
        self._started.add(key)
        now, ident = self._context.engine.now(), worker.id
        spawning = {
            "event": "worker_spawning",
            "worker_id": ident,
            "boot_id": _BOOT,
            "runtime_dir": "",
            "nonce": worker.nonce + 1,
            "folder": worker.folder or worker_folder(ident, now.at),
        }
        self._apply("started", [spawning])
        attempt = self._outcomes.of(self._state, worker)
        self._after(attempt.start_s, partial(self._running, ident))
        if attempt.ends_by_itself:
            self._end_after(attempt.held_s, ident)

    def _end_after(self, seconds: float, ident: str) -> None:
        self._after(seconds, partial(self._end, ident))

    def _running(self, ident: str) -> None:
        worker = self._state.workers.get(ident)
        if worker is not None and worker.status == "spawning":
            now = self._context.engine.now()
            running = {
                "event": "worker_running",
                "worker_id": ident,
                "pid": 0,
                "spawned_at": now.at,
                "timeout_at": format_time(now.wall + worker.timeout_s),
            }
            self._apply("running", [running])

    def _end(self, ident: str) -> None:
        worker = self._state.workers.get(ident)
        if worker is None or worker.status in TERMINAL_WORKER or worker.status == "approved":
            return
        self._running(ident)
        attempt = self._outcomes.of(self._state, worker)
        stopped = worker.status == "ending"
        observed: Observed = observed_of(worker, attempt, stopped=stopped)
        self._clock.luck = attempt.luck(self._context.settings, worker.attempt)
        now = self._context.engine.now()
        self._clock.luck = 0.5
        self._context.engine.apply(review(self._state, observed, self._context.settings, now))

    # --- tasks

    def _gather(self, task: Task) -> None:
        gather_s, _ = self._recording.conclusions.get(task.id, (None, ()))
        self._after(gather_s or 0.0, partial(self._conclude, task.id, task.run))

    def _conclude(self, ident: str, run: int) -> None:
        task = self._state.tasks.get(ident)
        if task is None or task.status != "aggregating" or task.run != run:
            return
        now = self._context.engine.now()
        gathered = Gathered(ident, run)
        entry = conclude(self._state, task, gathered, self._context.catalog, now)
        self._context.engine.apply(Entry(entry.by, entry.why, self._with_follow_ups(entry.events)))

    def _with_follow_ups(self, events: list[Event]) -> list[Event]:
        """What a completed task brought is a fact too: its findings are not decided here."""
        ended = events[0]
        _, recorded = self._recording.conclusions.get(ended["task_id"], (None, ()))
        if not recorded or recorded[0].get("status") != ended["status"] != "failed":
            return events
        brought = deepcopy(list(recorded[1:]))
        for name in ("follow_ups", "known", "handoff_id", "findings_count", "summary"):
            if name in recorded[0]:
                ended[name] = deepcopy(recorded[0][name])
        return events + [event for event in brought if self._is_new(event)]

    def _is_new(self, event: Event) -> bool:
        if event["event"] == "task_accepted":
            return event["task"]["id"] not in self._state.tasks
        if event["event"] == "task_linked":
            return event["task_id"] in self._state.tasks
        if event["event"] == "follow_up_known":
            return True
        return event["handoff"]["id"] not in self._state.handoffs


def _funds(catalog: Catalog, settings: Settings) -> dict[str, tuple[int, int]]:
    """A master's key → (its own tokens, its share of the pool), as the daemon reads them."""
    funds = {}
    for name, master in catalog.masters.items():
        own = settings.masters.get(master_key(name))
        allocated, share = master.budget.allocated, master.budget.worker_pool
        if own is not None:
            allocated = allocated if own.allocated is None else own.allocated
            share = share if own.worker_pool is None else own.worker_pool
        funds[master_key(name)] = (allocated, share)
    return funds
