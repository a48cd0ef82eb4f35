"""Workers as small state machines on a fake machine that outlives its daemons.

A `FakeMachine` has the shims, locks, claims and processes; a `FakeExecutor` is one daemon's
connection to it. Exit records lie on the fake disk, results in real folders, for these are the
worker's own. Starts are counted: a worker id whose program ran twice is a violation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cortex.model.times import format_time
from cortex.runtime.executor import (
    Claimed,
    Exited,
    ExitRecord,
    Launch,
    Report,
    Sighting,
    StartFailed,
)
from cortex.testing.clock import FakeClock
from cortex.testing.disk import FakeDisk

__all__ = ["Behaviour", "FakeExecutor", "FakeMachine"]

End = Literal["ok", "failed", "exit 1", "nonsense", "silent", "dies", "no program", "no space"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one start goes.

    `claim_after_s` None: no shim ever comes. `start_error` is reported; with NURSERY_GONE the
    shim may come all the same. `end`: "ok" and "failed" are what results.json says, "exit 1" and
    "silent" (exit 0) have none, "nonsense" is no JSON, "dies" leaves no exit record, "no program"
    and "no space" are spawn errors. `lingers_s` is how long something of a dead shim's tree holds
    the lock. `reports` is how often each report arrives, `reports_late_s` how late.
    """

    claim_after_s: float | None = 0.01
    start_error: str | None = None
    run_s: float = 1.0
    end: End = "ok"
    tokens: int = 0
    findings: tuple[dict[str, Any], ...] = ()
    ends_on_term_s: float = 0.1
    lingers_s: float = 0.0
    reports: int = 1
    reports_late_s: float = 0.0


@dataclass(slots=True)
class _Run:
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
    run: _Run | None = None
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
        due = min(run.ends, self.clock.monotonic() + run.behaviour.ends_on_term_s)
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
        run = _Run(launch, behaviour, 1000 + number, now, at, now + behaviour.run_s)
        if behaviour.run_s >= launch.timeout_s and behaviour.end not in ("no program", "no space"):
            run.cause, run.ends = "timeout", now + launch.timeout_s
        attempt.run = run
        if behaviour.end not in ("no program", "no space"):
            self._count_run(launch)
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

    def _end(self, attempt: _Attempt, run: _Run) -> None:
        if attempt.run is not run or self.clock.monotonic() < run.ends:
            return
        attempt.run = None
        if run.behaviour.end == "dies" and run.cause is None:
            attempt.free_at = self.clock.monotonic() + run.behaviour.lingers_s
            return
        record = _record(run, self.clock)
        text = json.dumps(dataclasses.asdict(record)).encode()
        self.disk.put(f"{run.launch.attempt_dir}/exit.json", text)
        self._report(run.behaviour, Exited(attempt.worker_id))

    def _report(self, behaviour: Behaviour, report: Report) -> None:
        for number in range(behaviour.reports):
            self._at(behaviour.reports_late_s * (number + 1), lambda: self._deliver(report))

    def _deliver(self, report: Report) -> None:
        if self.executor is not None:
            self.executor.reports.append(report)


class FakeExecutor:
    """`runtime.executor.Executor` for one daemon on a `FakeMachine`."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.reports: list[Report] = []
        machine.executor = self

    def start(self, launches: Sequence[Launch]) -> None:
        """Hands launches over to the machine."""
        for launch in launches:
            self._machine.order(launch)

    def filenos(self) -> list[int]:
        """None: whoever drives a fake looks by himself."""
        return []

    def poll(self) -> list[Report]:
        """What has arrived since the last call."""
        reports, self.reports = self.reports, []
        return reports

    def look(self, worker_id: str, lock_dir: str, attempt_dir: str) -> Sighting:
        """What a daemon can know of an attempt."""
        del lock_dir
        attempt = self._machine.attempt(worker_id)
        run = attempt.run
        claim = attempt.claims[max(attempt.claims)] if attempt.claims else None
        held = run is not None or attempt.free_at > self._machine.clock.monotonic()
        data = self._machine.disk.content(f"{attempt_dir}/exit.json")
        record = ExitRecord(**json.loads(data)) if data else None
        return Sighting(claim, attempt.lock and held, record, run is not None and attempt.lock)

    def claim(self, worker_id: str, lock_dir: str, nonce: int) -> bool:
        """Wins the claim for the daemon; False where somebody has it, if only since the look."""
        del lock_dir
        self._machine.hurry(worker_id)
        claims = self._machine.attempt(worker_id).claims
        if nonce in claims:
            return False
        claims[nonce] = {"by": "daemon", "worker_id": worker_id, "nonce": nonce}
        return True

    def stop(self, worker_id: str, lock_dir: str) -> bool:
        """Asks the shim to end its worker."""
        del lock_dir
        return self._machine.end_soon(worker_id)

    def hunt(self, worker_id: str, lock_dir: str | None = None) -> int:
        """Ends what is left of a dead shim's tree."""
        del lock_dir
        attempt = self._machine.attempt(worker_id)
        left = attempt.free_at > self._machine.clock.monotonic()
        attempt.free_at = 0.0
        return int(left)

    def forget(self, lock_dir: str) -> None:
        """Removes lock and claims."""
        attempt = self._machine.attempt(Path(lock_dir).name)
        attempt.lock = False
        attempt.claims.clear()

    def close(self) -> None:
        """Workers live on."""
        self._machine.disconnect(nursery_lives=True)


def _record(run: _Run, clock: FakeClock) -> ExitRecord:
    """The exit record of a run that ends now; its results are written first, as a shim does."""
    end, cause = run.behaviour.end, run.cause
    spawn_error = None
    if end in ("no program", "no space"):
        number, error = (2, "ENOENT") if end == "no program" else (28, "ENOSPC")
        spawn_error = {"errno": number, "error": error, "message": end, "path": run.launch.argv[0]}
    code: int | None = 1 if end == "exit 1" else 0
    if cause is not None or spawn_error is not None:
        code = None
    results = None if spawn_error is not None or cause is not None else _write_results(run)
    return ExitRecord(
        worker_id=run.launch.worker_id,
        nonce=run.launch.nonce,
        code=code,
        signal={"timeout": 9, "stop": 15}.get(cause) if cause is not None else None,
        cause=cause,
        spawn_error=spawn_error,
        retryable=end == "no space",
        started_at=run.began_at,
        ended_at=format_time(clock.now().timestamp()),
        duration_s=round(clock.monotonic() - run.began, 3),
        results=results,
        tail=f"{end}\n",
        log_bytes=0,
        log_cut=False,
        max_rss_kb=1024,
        cpu_s=0.01,
        ended_descendants=0,
        left_descendants=0,
    )


def _write_results(run: _Run) -> dict[str, Any] | None:
    """results.json and the deliverables, in the worker's real folder; their seal."""
    end = run.behaviour.end
    if end in ("silent", "exit 1"):
        return None
    folder = Path(run.launch.worker_dir)
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    for name in run.launch.spec.get("deliverables", []):
        (folder / "artifacts" / name).write_text("{}\n", encoding="utf-8")
    document = {
        "status": "failed" if end == "failed" else "completed",
        "summary": end,
        "tokens_used": run.behaviour.tokens,
        "findings": list(run.behaviour.findings),
    }
    data = b"{nonsense" if end == "nonsense" else json.dumps(document).encode()
    (folder / "results.json").write_bytes(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
