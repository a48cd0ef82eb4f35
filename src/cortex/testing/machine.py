"""Workers as small state machines on a fake machine that outlives its daemons.

It has the shims, locks, claims and processes. Exit records lie on the fake disk, results in real
folders, for these are the worker's own. Starts are counted: a worker id whose program ran twice is
a violation.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cortex.model.times import format_time
from cortex.runtime.executor import Claimed, Exited, Launch, Report, StartFailed
from cortex.testing.clock import FakeClock
from cortex.testing.disk import FakeDisk
from cortex.testing.worker_files import exit_record, write_heartbeat

if TYPE_CHECKING:
    from cortex.testing.executor import FakeExecutor

__all__ = ["Behaviour", "FakeMachine", "Run"]

End = Literal[
    "ok", "failed", "exit 1", "nonsense", "silent", "dies", "no program", "no space", "no folder"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one start goes.

    `claim_after_s` None: no shim ever comes. `start_error` is reported; with NURSERY_GONE the
    shim may come all the same. `end`: "ok" and "failed" are what results.json says, "exit 1" and
    "silent" (exit 0) have none, "nonsense" is no JSON, "dies" leaves no exit record, "no folder"
    takes the worker's folder with it, "no program" and "no space" are spawn errors. `tokens` is
    what results.json says, a number or not; `says` are further fields of it. `ends_on_term_s` None:
    only KILL after the grace ends it. `frozen_s` is how much later than it should a shim that
    stands still ends its worker.
    `lingers_s` is how long something of a dead shim's tree holds the lock. `beats` are heartbeats,
    one a second. `reports` is how often each report arrives, `reports_late_s` how late.
    """

    claim_after_s: float | None = 0.01
    start_error: str | None = None
    run_s: float = 1.0
    end: End = "ok"
    tokens: Any = 0
    findings: tuple[dict[str, Any], ...] = ()
    says: dict[str, Any] = field(default_factory=dict)
    ends_on_term_s: float | None = 0.1
    frozen_s: float = 0.0
    lingers_s: float = 0.0
    beats: tuple[bytes, ...] = ()
    reports: int = 1
    reports_late_s: float = 0.0


@dataclass(slots=True)
class Run:
    """A shim that won its claim, and its program."""

    launch: Launch
    behaviour: Behaviour
    pid: int
    began: float
    began_at: str
    ends: float
    cause: Literal["timeout", "stop"] | None = None


@dataclass(slots=True)
class _Attempt:
    """One worker id on the machine. `free_at` is when the last of its processes lets go."""

    worker_id: str
    lock: bool = False
    claims: dict[int, dict[str, Any]] = field(default_factory=dict)
    run: Run | None = None
    free_at: float = 0.0


class FakeMachine:
    """Where workers run. Time passes with its clock, when `catch_up` is called.

    `behave` chooses how a start goes; `before_run` is asked as a shim is about to run its program
    and may add to `violations`.
    """

    def __init__(
        self,
        clock: FakeClock,
        disk: FakeDisk,
        *,
        seed: int = 0,
        behave: Callable[[Launch, random.Random], Behaviour] | None = None,
        before_run: Callable[[Launch], None] | None = None,
    ) -> None:
        self.clock = clock
        self.disk = disk
        self.random = random.Random(f"machine {seed}")
        self.behave = behave or (lambda _launch, _random: Behaviour())
        self.before_run = before_run or (lambda _launch: None)
        self.runs: dict[str, int] = {}
        self.starts: dict[tuple[str, int], int] = {}
        self.violations: list[str] = []
        #: Until then (monotonic) no process can be started.
        self.short_until = 0.0
        self.executor: FakeExecutor | None = None
        self._attempts: dict[str, _Attempt] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: dict[int, tuple[Launch, Behaviour]] = {}
        self._count = 0

    # --- time

    def next_event(self) -> float | None:
        """Monotonic instant at which something happens next."""
        return self._events[0][0] if self._events else None

    def catch_up(self) -> None:
        """Lets everything happen that is due by now."""
        while self._events and self._events[0][0] <= self.clock.monotonic():
            heapq.heappop(self._events)[2]()

    def pass_time(self, seconds: float) -> None:
        """Moves the clock on; what happens meanwhile happens at its own instants."""
        end = self.clock.monotonic() + seconds
        while (due := self.next_event()) is not None and due <= end:
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            self.catch_up()
        self.clock.advance(max(0.0, end - self.clock.monotonic()))

    def _at(self, seconds: float, action: Callable[[], None]) -> None:
        self._count += 1
        due = self.clock.monotonic() + seconds
        heapq.heappush(self._events, (due, self._count, action))

    # --- the outside

    def alive(self) -> list[Launch]:
        """What runs now."""
        return [a.run.launch for a in self._attempts.values() if a.run is not None]

    def disconnect(self, *, nursery_lives: bool) -> None:
        """The daemon is gone; orders that the nursery has not carried out may go with it."""
        self.executor = None
        if not nursery_lives:
            self._waiting.clear()

    def reboot(self, *, keeps_claims: bool) -> None:
        """Every process is gone; claims on a tmpfs are too."""
        self._events.clear()
        self._waiting.clear()
        self.executor = None
        self.short_until = 0.0
        for attempt in self._attempts.values():
            attempt.run, attempt.free_at = None, 0.0
            if not keeps_claims:
                attempt.lock = False
                attempt.claims.clear()

    def kill_shim(self, worker_id: str) -> None:
        """kill -9 of one shim, with its program."""
        attempt = self._attempts.get(worker_id)
        if attempt is not None:
            attempt.run = None

    # --- what the executor asks for

    def attempt(self, worker_id: str) -> _Attempt:
        """The attempt's record on this machine, made where it is missing."""
        return self._attempts.setdefault(worker_id, _Attempt(worker_id))

    def order(self, launch: Launch) -> None:
        """Takes a start over, as the nursery does."""
        key = (launch.worker_id, launch.nonce)
        self.starts[key] = self.starts.get(key, 0) + 1
        self.attempt(launch.worker_id).lock = True
        behaviour = self.behave(launch, self.random)
        if self.clock.monotonic() < self.short_until:
            behaviour = dataclasses.replace(behaviour, start_error="EAGAIN", claim_after_s=None)
        if behaviour.start_error is not None:
            error = behaviour.start_error
            message = f"{error} by the fake machine"
            self._report(behaviour, StartFailed(launch.worker_id, launch.nonce, error, message))
        if behaviour.claim_after_s is not None:
            self._count += 1
            number = self._count
            self._waiting[number] = launch, behaviour
            self._at(behaviour.claim_after_s, lambda: self._fork(number))

    def hurry(self, worker_id: str) -> None:
        """Half of the time a shim that is due later comes right now, into whatever goes on."""
        if self.random.random() < 0.5:
            for number, (launch, _) in list(self._waiting.items()):
                if launch.worker_id == worker_id:
                    self._fork(number)

    def end_soon(self, worker_id: str) -> bool:
        """TERM to the shim; False where there is none."""
        attempt = self.attempt(worker_id)
        run = attempt.run
        if run is None:
            return False
        takes_s = run.behaviour.ends_on_term_s
        if takes_s is None or takes_s > run.launch.grace_s:
            takes_s = run.launch.grace_s
        due = min(run.ends, self.clock.monotonic() + takes_s + run.behaviour.frozen_s)
        if due < run.ends:
            run.cause, run.ends = "stop", due
            self._at(due - self.clock.monotonic(), lambda: self._end(attempt, run))
        return True

    # --- a shim's life

    def _fork(self, number: int) -> None:
        if number not in self._waiting:
            return
        launch, behaviour = self._waiting.pop(number)
        attempt = self.attempt(launch.worker_id)
        if not attempt.lock or launch.nonce in attempt.claims or attempt.run is not None:
            return
        now = self.clock.monotonic()
        at = format_time(self.clock.now().timestamp())
        attempt.claims[launch.nonce] = {
            "by": "shim",
            "worker_id": launch.worker_id,
            "nonce": launch.nonce,
            "pid": 1000 + number,
            "at": at,
        }
        run = Run(launch, behaviour, 1000 + number, now, at, now + behaviour.run_s)
        if behaviour.run_s >= launch.timeout_s and behaviour.end not in ("no program", "no space"):
            run.cause, run.ends = "timeout", now + launch.timeout_s + behaviour.frozen_s
        attempt.run = run
        if behaviour.end not in ("no program", "no space"):
            self._count_run(launch)
            self._beat(attempt, run, behaviour.beats)
        else:
            run.ends = now
        self._report(behaviour, Claimed(launch.worker_id, run.pid, 1, launch.nonce))
        self._at(run.ends - now, lambda: self._end(attempt, run))

    def _count_run(self, launch: Launch) -> None:
        self.before_run(launch)
        count = self.runs.get(launch.worker_id, 0) + 1
        self.runs[launch.worker_id] = count
        if count > 1:
            self.violations.append(f"the program of {launch.worker_id} ran {count} times")

    def _beat(self, attempt: _Attempt, run: Run, beats: tuple[bytes, ...]) -> None:
        if attempt.run is run and beats:
            write_heartbeat(run.launch.worker_dir, beats[0], self.clock)
            self._at(1.0, lambda: self._beat(attempt, run, beats[1:]))

    def _end(self, attempt: _Attempt, run: Run) -> None:
        # An earlier end was meant, or a float's last digit is.
        if attempt.run is not run or self.clock.monotonic() < run.ends - 1e-6:
            return
        attempt.run = None
        if run.behaviour.end == "dies" and run.cause is None:
            attempt.free_at = self.clock.monotonic() + run.behaviour.lingers_s
            return
        record = exit_record(run, self.clock)
        text = json.dumps(dataclasses.asdict(record)).encode()
        self.disk.put(f"{run.launch.attempt_dir}/exit.json", text)
        self._report(run.behaviour, Exited(attempt.worker_id))

    def _report(self, behaviour: Behaviour, report: Report) -> None:
        for number in range(behaviour.reports):
            self._at(behaviour.reports_late_s * (number + 1), lambda: self._deliver(report))

    def _deliver(self, report: Report) -> None:
        if self.executor is not None:
            self.executor.reports.append(report)
