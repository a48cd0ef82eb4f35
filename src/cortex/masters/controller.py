"""The controller of tasks and admission: runs the one reconciler over every key that changed.

It keeps no truth: the queue of waiting workers is an index of the state, and a lost key comes up
again with the next change or resync.
"""

from __future__ import annotations

from collections.abc import Iterable

from cortex.control.context import Context
from cortex.control.gathering import Gathering
from cortex.control.workqueue import WorkQueue
from cortex.decide.admit import next_admission
from cortex.decide.bounds import with_master_limits
from cortex.decide.catalog import Catalog
from cortex.decide.check_in import next_check_in
from cortex.decide.deadlines import Deadlines
from cortex.decide.entry import Now
from cortex.decide.overdue import next_overdue
from cortex.decide.queue import AdmissionQueue
from cortex.decide.recurrence import next_run
from cortex.decide.reserve import closing
from cortex.masters.reconcile import Decision, reconcile_handoff, reconcile_task
from cortex.model.settings import Settings
from cortex.model.state import OPEN_TASK

__all__ = ["MastersController"]

#: Keys reconciled in one turn, so that a turn stays short however much was dropped at once.
KEYS_A_TURN = 100
ADMISSIONS_A_TURN = 100
#: A question holds up what was not asked for yet, and not the workers that wait for a slot.
_ADMITTED = ("in_progress", "planning", "awaiting_approval")
FAULT_AGAIN_S = 30.0


class MastersController:
    """Masters and admission for one daemon."""

    def __init__(self, context: Context, gathering: Gathering) -> None:
        self._context = context
        self._gathering = gathering
        self._keys: WorkQueue[tuple[str, str]] = WorkQueue()
        self._queue = AdmissionQueue(context.settings.spawn.aging)
        self._deadlines = Deadlines()
        self._may_admit = True
        self._limited: tuple[Catalog, Settings] | None = None

    def start(self) -> None:
        """Takes up everything that the state holds open."""
        for task in self._context.state.tasks.values():
            if task.status in OPEN_TASK:
                self._keys.add(("task", task.id))
                self._deadlines.put(task)
        self.look_at_blocked()
        self.changed(("worker", ident) for ident in self._context.state.waiting)

    def look_at_blocked(self) -> None:
        """Looks again at whatever waits for configuration; after files or settings changed."""
        for task in self._context.state.tasks.values():
            if task.status in ("blocked", "pending") or task.waiting_for is not None:
                self._keys.add(("task", task.id))
        for ident in self._context.state.waiting:
            self._keys.add(("task", self._context.state.workers[ident].task_id))
        for handoff in self._context.state.handoffs.values():
            if handoff.status == "pending":
                self._keys.add(("handoff", handoff.id))
        self._may_admit = True

    def changed(self, touched: Iterable[tuple[str, str]]) -> None:
        """Takes in which records changed."""
        state = self._context.state
        answered = False
        for kind, ident in touched:
            if kind == "task":
                self._keys.add((kind, ident))
                task = state.tasks.get(ident)
                if task is not None:
                    self._deadlines.put(task)
                if task is not None and task.parent is not None:
                    self._keys.add(("task", task.parent))
            elif kind == "handoff":
                self._keys.add((kind, ident))
            elif kind == "approval":
                answered = True
            elif kind == "worker":
                self._index(ident)
            else:
                self._may_admit = True
        if answered:
            self.look_at_blocked()

    def _index(self, worker_id: str) -> None:
        state = self._context.state
        self._may_admit = True
        worker = state.workers.get(worker_id)
        if worker is not None and worker.status in ("requested", "queued"):
            task = state.tasks.get(worker.task_id)
            if task is not None and task.status in _ADMITTED:
                self._queue.push(worker, self._context.engine.clock.now().timestamp())
                return
        self._queue.discard(worker_id)

    @property
    def busy(self) -> bool:
        """Whether keys are left that a further turn should take."""
        return len(self._keys) > 0

    def next_due(self) -> float | None:
        """Monotonic instant of the next delayed key."""
        return self._keys.next_due()

    def turn(self, now: Now) -> None:
        """Reconciles what changed, then admits what may start."""
        clock = self._context.engine.clock.monotonic()
        again, self._context.again = self._context.again, []
        for key, seconds in again:
            self._keys.add_at(key, clock + seconds)
        for kind, ident in self._keys.take(clock, KEYS_A_TURN):
            if kind == "task":
                self._task(ident, now)
            elif kind == "admit":
                self._may_admit = True
            else:
                self._apply(
                    reconcile_handoff(self._context.state, ident, self._context.catalog),
                    (kind, ident),
                )
        self._admit(now, clock)
        while (closed := closing(self._context.state)) is not None:
            self._context.engine.apply(closed)

    def calendar(self, now: Now) -> None:
        """What the wall clock brings: tasks of schedules that are due, deadlines that passed."""
        state = self._context.state
        for _ in range(KEYS_A_TURN):
            entry = None if self._context.draining else next_run(state, now)
            entry = entry or self._deadlines.next_missed(state, now)
            entry = entry or next_overdue(state, self._context.settings, now)
            entry = entry or next_check_in(state, self._context.catalog, now)
            if entry is None:
                return
            self._context.engine.apply(entry)

    def _task(self, ident: str, now: Now) -> None:
        context = self._context
        task = context.state.tasks.get(ident)
        if task is None:
            return
        for worker_id in task.workers:
            if worker_id in context.state.waiting:
                self._index(worker_id)
        try:
            decision = reconcile_task(context.state, task, context.catalog, context.settings, now)
        except Exception:
            # Nothing was applied yet: one key that cannot be decided must not stop the others.
            context.log.exception("a task cannot be reconciled; tried again", task=ident)
            decision = Decision(again_in_s=FAULT_AGAIN_S)
        self._apply(decision, ("task", ident))
        if decision.gather:
            self._gathering.request(task)

    def _apply(self, decision: Decision, key: tuple[str, str]) -> None:
        if decision.entry is not None:
            self._context.engine.apply(decision.entry)
            for event in decision.entry.events:
                if "worker_id" in event:
                    self._index(event["worker_id"])
        if decision.again_in_s is not None:
            clock = self._context.engine.clock.monotonic()
            self._keys.add_at(key, clock + decision.again_in_s)

    def _limits(self) -> Settings:
        """The settings with the limits of the masters' files."""
        catalog = self._context.catalog
        if self._limited is None or self._limited[0] is not catalog:
            self._limited = catalog, with_master_limits(self._context.settings, catalog)
        return self._limited[1]

    def _admit(self, now: Now, clock: float) -> None:
        context = self._context
        if not self._may_admit:
            return
        if context.starts_nothing:
            if clock < context.held_until:
                self._keys.add_at(("admit", ""), context.held_until)
            return
        for _ in range(ADMISSIONS_A_TURN):
            entry = next_admission(context.state, self._queue, self._limits(), context.cores, now)
            if entry is None:
                self._may_admit = False
                break
            context.engine.apply(entry)
            for event in entry.events:
                if "worker_id" in event:
                    self._index(event["worker_id"])
        rise = self._queue.next_rise()
        if rise is not None:
            self._keys.add_at(("admit", ""), clock + max(1.0, rise - now.wall))
