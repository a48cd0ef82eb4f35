"""The controller of live workers: starts what is approved, follows it, and collects its end.

Level-triggered: reports of the executor only say which worker to look at sooner. A look happens in
an effect thread; what it saw is held against the state when it comes back, so that a late or
doubled answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cortex.control.context import Context
from cortex.control.heartbeats import Heartbeats
from cortex.control.launching import attempt_paths, make_launch
from cortex.control.observing import Question, Seen, observe
from cortex.control.workqueue import WorkQueue
from cortex.decide.entry import Entry, Now
from cortex.decide.health import Sign
from cortex.decide.review import Observed, review
from cortex.decide.spec import worker_folder
from cortex.model.definitions import WorkerTypeDefinition
from cortex.model.failpoints import failpoint
from cortex.model.state import LIVE, Worker
from cortex.model.times import format_time, parse_time
from cortex.runtime.executor import Claimed, Executor, Exited, Launch, Report, StartFailed

__all__ = ["WorkersController"]

#: A claim is looked at this much later, so that a short worker costs one look and one line.
CLAIM_LOOK_S = 0.1
STOP_AGAIN_S = 2.0
STARTS_AT_MOST = 3
_FAULT_LENGTH = 300
START_AGAIN_S = 2.0
_UNCLAIMED = ("spawning", "ending")
_TRANSIENT = ("EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "NURSERY_GONE", "ENOSPC", "EDQUOT", "EROFS")


class WorkersController:
    """Keeps every live worker moving towards its end."""

    def __init__(self, context: Context, executor: Executor, runtime_dir: str) -> None:
        self._context = context
        self._executor = executor
        self._runtime_dir = runtime_dir
        self._looks: WorkQueue[str] = WorkQueue()
        self._asked: set[str] = set()
        # Being handed over: nobody is given up, nor its files cleared away, before that is done.
        self._starting: set[str] = set()
        self._spawned_at: dict[str, float] = {}
        self._stopped_at: dict[str, float] = {}
        self._heartbeats = Heartbeats(context)
        # Left by an earlier daemon and not looked at yet; reported ended and not collected yet;
        # and what the machine was short of at the last start.
        self._unadopted: set[str] = set()
        self._exited: set[str] = set()
        self._short: str | None = None
        self._failed_starts: dict[str, StartFailed] = {}
        self._unreadable: set[str] = set()

    def adopt(self) -> int:
        """Looks at every worker that an earlier daemon left; how many there are."""
        self.resync()
        workers = self._context.state.workers
        live = self._context.state.live
        self._unadopted = {ident for ident in live if workers[ident].status != "approved"}
        return len(live)

    @property
    def adopted(self) -> bool:
        """Whether everything that an earlier daemon left was looked at."""
        self._unadopted.intersection_update(self._context.state.live)
        return not self._unadopted

    def signs(self) -> Iterable[Sign]:
        """Workers that should have started, or ended, and have not."""
        state, settings = self._context.state, self._context.settings
        starting = [i for i in state.live if state.workers[i].status in ("approved", "spawning")]
        if not state.waiting and not starting:
            self._short = None
        if self._short is not None:
            yield Sign("starts_failing", "start", self._short)
        for ident in state.live:
            worker = state.workers[ident]
            if ident in self._exited:
                yield Sign("ends_stuck", ident, f"{ident} has ended and is not collected")
            elif worker.status in ("approved", "spawning"):
                cause = f"{ident} has its tokens and a slot and does not start"
                yield Sign("starts_stuck", ident, cause, settings.spawn.claim_timeout)
            elif worker.status == "ending" or ident in self._stopped_at:
                cause = f"{ident} was told to end and has not"
                yield Sign("ends_stuck", f"{ident} told", cause, settings.workers.grace)

    def resync(self) -> None:
        """Looks at everything that lives, events or not; what is approved may start."""
        state = self._context.state
        for ident in state.live:
            self._looks.add(ident)
            if state.workers[ident].status == "approved":
                # Its spawning line was torn off by a crash in the middle of the turn's write.
                state.touch("worker", ident)

    def heard(self, worker_id: str, tokens: int | None) -> None:
        """Takes a sign of life that a worker wrote into worker-pool.json, with its tokens."""
        worker = self._context.state.workers.get(worker_id)
        if worker is not None and worker.status == "running":
            self._heartbeats.edited(worker, tokens, self._context.engine.now())

    def reports(self) -> None:
        """Takes the executor's reports in as hints."""
        now = self._context.engine.clock.monotonic()
        for report in self._executor.poll():
            self._hint(report, now)

    def _hint(self, report: Report, now: float) -> None:
        if isinstance(report, Exited):
            self._looks.add(report.worker_id)
            if report.worker_id in self._context.state.live:
                self._exited.add(report.worker_id)
        elif isinstance(report, Claimed):
            self._looks.add_at(report.worker_id, now + CLAIM_LOOK_S)
        elif isinstance(report, StartFailed):
            worker = self._context.state.workers.get(report.worker_id)
            if worker is None or worker.nonce != report.nonce or worker.status not in _UNCLAIMED:
                return  # an answer that got lost with the nursery, for a shim that came
            self._failed_starts[report.worker_id] = report
            self._context.log.warning(
                "a worker could not be started", worker=report.worker_id, error=report.message
            )
            self._looks.add(report.worker_id)

    def next_due(self) -> float | None:
        """Monotonic instant of the next look."""
        return self._looks.next_due()

    # --- starting

    def start_approved(self, touched: Iterable[str], now: Now) -> None:
        """Writes the spawning line of approved workers, and starts them once it is durable."""
        launches: list[Launch] = []
        for ident in touched:
            worker = self._context.state.workers.get(ident)
            if worker is not None and worker.status == "ending":
                self._looks.add(ident)  # the look asks its shim to end it
            if worker is None or worker.status != "approved" or not self._context.inbox_seen:
                continue
            launch = self._spawn(worker, now)
            if launch is not None:
                launches.append(launch)
        if launches:
            self._context.engine.afterwards(lambda: self._start(launches))

    def _spawn(self, worker: Worker, now: Now) -> Launch | None:
        context = self._context
        task = context.state.tasks[worker.task_id]
        line = Entry(
            worker.master,
            f"start {worker.nonce + 1} of {worker.id} for {task.title}"[:200],
            [
                {
                    "event": "worker_spawning",
                    "worker_id": worker.id,
                    "boot_id": now.boot_id,
                    "runtime_dir": self._runtime_dir,
                    "nonce": worker.nonce + 1,
                    "folder": worker.folder or worker_folder(worker.id, now.at),
                }
            ],
        )
        context.engine.apply(line)
        try:
            launch = make_launch(context, task, worker)
        except Exception as error:
            # Also a fault of ours: it fails this one attempt, and not the daemon again and again.
            why = str(error) if isinstance(error, ValueError | KeyError) else repr(error)
            observed = Observed(worker.id, spawn_error=why)
            context.engine.apply(review(context.state, observed, context.settings, now))
            return None
        self._spawned_at[worker.id] = context.engine.clock.monotonic()
        return launch

    def _start(self, launches: list[Launch]) -> None:
        self._starting.update(launch.worker_id for launch in launches)
        self._context.effects.run(
            "start",
            lambda: self._executor.start(launches),
            lambda outcome: self._started(launches, outcome),
        )
        due = self._context.engine.clock.monotonic() + self._context.settings.spawn.claim_timeout
        for launch in launches:
            self._looks.add_at(launch.worker_id, due)

    def _started(self, launches: list[Launch], outcome: Any) -> None:
        self._starting.difference_update(launch.worker_id for launch in launches)
        if isinstance(outcome, Exception):
            self._context.log.error("workers could not be handed over", error=str(outcome))

    # --- looking

    def turn(self) -> None:
        """Asks about every worker whose look is due."""
        now = self._context.engine.clock.monotonic()
        questions = []
        for ident in self._looks.take(now):
            worker = self._context.state.workers.get(ident)
            if worker is None or worker.status not in LIVE or worker.status == "approved":
                continue
            if ident in self._asked or ident in self._starting:
                self._looks.add_at(ident, now + CLAIM_LOOK_S)
                continue
            self._asked.add(ident)
            questions.append(self._question(worker, now))
        if questions:
            executor = self._executor
            self._context.effects.run(
                "look",
                lambda: observe(executor, questions),
                lambda outcome: self._answers(questions, outcome),
            )

    def _question(self, worker: Worker, now: float) -> Question:
        context = self._context
        kind = context.catalog.types.get(worker.worker_type)
        deliverables, schema = _asked(kind, worker)
        waited = now - self._spawned_at.setdefault(worker.id, now)
        stop = worker.status == "ending" or self._overdue(worker)
        if stop:
            stop = now - self._stopped_at.get(worker.id, -STOP_AGAIN_S) >= STOP_AGAIN_S
            if stop:
                self._stopped_at[worker.id] = now
        return Question(
            worker.id,
            attempt_paths(context, worker),
            worker.nonce,
            deliverables=deliverables,
            results_schema=schema,
            results_limit=context.settings.workers.results_limit,
            same_boot=worker.boot_id == context.engine.clock.boot_id()
            and worker.runtime_dir == self._runtime_dir,
            is_anothers=worker.runtime_dir in context.anothers_dirs,
            give_up=worker.status == "spawning"
            and (
                waited >= context.settings.spawn.claim_timeout or worker.id in self._failed_starts
            ),
            stop=stop,
            heartbeat=worker.status == "running",
        )

    def _overdue(self, worker: Worker) -> bool:
        """A shim that outlived its own timeout by far stands still; it is asked to end."""
        if worker.timeout_at is None:
            return False
        late = self._context.engine.clock.now().timestamp() - parse_time(worker.timeout_at)
        ran = self._context.engine.clock.monotonic() - self._spawned_at.get(worker.id, 0.0)
        margin = self._context.settings.workers.grace + 30.0
        return late > margin and ran > worker.timeout_s + margin

    def _answers(self, questions: list[Question], outcome: Any) -> None:
        self._asked.difference_update(asked.worker_id for asked in questions)
        if isinstance(outcome, Exception):
            self._context.log.error("workers could not be looked at", error=repr(outcome))
            return
        now = self._context.engine.now()
        for asked, seen in zip(questions, outcome, strict=True):
            self._unadopted.discard(seen.worker_id)
            worker = self._context.state.workers.get(seen.worker_id)
            # An answer about an earlier start says nothing of this one.
            if worker is None or worker.nonce != asked.nonce or worker.status == "approved":
                continue
            if seen.unreadable is not None:
                self._tell_unreadable(seen)
            elif worker.status in LIVE:
                self._take_in(worker, seen, now)

    def _tell_unreadable(self, seen: Seen) -> None:
        if seen.worker_id not in self._unreadable:
            self._unreadable.add(seen.worker_id)
            self._context.log.error("a worker's end cannot be read", problem=seen.unreadable)

    # --- taking in what was seen

    def _take_in(self, worker: Worker, seen: Seen, now: Now) -> None:
        if seen.won_claim:
            self._never_started(worker, now)
            return
        running = self._running_event(worker, seen)
        if seen.ended is not None:
            told = self._heartbeats.last(worker, seen, now)
            self._end(worker, replace(seen.ended, told_tokens=told), running, now)
            return
        if running is not None:
            why = f"{worker.id} runs as process {seen.pid}"
            self._context.engine.apply(Entry(worker.master, why, [running]))
            self._short = None
        silent = self._heartbeats.take(worker, seen, now)
        if silent is not None:
            self._context.engine.apply(silent)
            self._looks.add(worker.id)
        if not seen.claimed and worker.id in self._failed_starts:
            self._looks.add_at(worker.id, self._context.engine.clock.monotonic() + CLAIM_LOOK_S)

    def _running_event(self, worker: Worker, seen: Seen) -> dict[str, Any] | None:
        if worker.status != "spawning" or not seen.claimed or seen.pid is None:
            return None
        started = seen.started_at or self._context.state.at
        return {
            "event": "worker_running",
            "worker_id": worker.id,
            "pid": seen.pid,
            "spawned_at": format_time(parse_time(started)),
            "timeout_at": format_time(parse_time(started) + worker.timeout_s),
        }

    def _reviewed(self, observed: Observed, now: Now) -> Entry:
        """What the attempt amounts to. Where a fault of ours cannot judge what it handed in, it
        fails, and no daemon ends over it again and again.
        """
        state, settings = self._context.state, self._context.settings
        try:
            return review(state, observed, settings, now)
        except Exception as error:
            self._context.log.exception("results could not be judged", worker=observed.worker_id)
            fault = f"they could not be judged: {error!r}"[:_FAULT_LENGTH]
            return review(state, replace(observed, results=None, problems=(fault,)), settings, now)

    def _end(
        self, worker: Worker, observed: Observed, running: dict[str, Any] | None, now: Now
    ) -> None:
        if observed.retryable and worker.status == "spawning":
            self._requeue(worker, observed.spawn_error or "it could not be started")
            return
        entry = self._reviewed(observed, now)
        events = [running, *entry.events] if running is not None else entry.events
        failpoint("collect.before_line")
        self._context.engine.apply(Entry(entry.by, entry.why, events))
        failpoint("collect.line")
        self._forget(worker)

    def _requeue(self, worker: Worker, reason: str) -> None:
        """Back to the queue with its tokens; the machine was at fault, and no retry is spent."""
        events = [
            {"event": "tokens_returned", "worker_id": worker.id},
            {"event": "worker_queued", "worker_id": worker.id, "reason": reason[:300]},
        ]
        self._context.engine.apply(Entry(worker.master, reason[:300], events))
        self._context.hold_starts(START_AGAIN_S)
        self._short = f"workers cannot be started: {reason}"
        self._forget(worker)

    def _never_started(self, worker: Worker, now: Now) -> None:
        """The daemon won the claim: no shim can run this start any more."""
        failed = self._failed_starts.pop(worker.id, None)
        if worker.status == "ending":
            observed = Observed(worker.id, never_started=True)
            self._end(worker, observed, None, now)
        elif failed is not None and failed.error in _TRANSIENT:
            reason = f"the machine is short of something ({failed.error}); tried again"
            self._requeue(worker, reason)
        elif worker.nonce >= STARTS_AT_MOST:
            cause = failed.message if failed is not None else "no shim came"
            observed = Observed(worker.id, spawn_error=f"{worker.nonce} starts failed: {cause}")
            self._end(worker, observed, None, now)
        else:
            self._short = "a start was never claimed: the nursery does not do its work"
            events = [{"event": "worker_approved", "worker_id": worker.id}]
            why = f"start {worker.nonce} was never claimed; started again"
            self._context.engine.apply(Entry(worker.master, why, events))

    def _forget(self, worker: Worker) -> None:
        for memory in (self._spawned_at, self._stopped_at, self._failed_starts):
            memory.pop(worker.id, None)
        self._exited.discard(worker.id)
        self._heartbeats.forget(worker.id)


def _asked(
    kind: WorkerTypeDefinition | None, worker: Worker
) -> tuple[tuple[str, ...], dict[str, Any] | None]:
    """(deliverables, schema of results.json) that this worker's type asks of it."""
    if kind is None:
        return (), None
    in_its_place = worker.runtime == "command" and kind.runtime != "command"
    if in_its_place and not kind.asks_commands:
        return (), None
    return tuple(kind.deliverables), kind.results_schema
