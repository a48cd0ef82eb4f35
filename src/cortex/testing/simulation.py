"""A whole daemon in one process under a seeded scheduler: one seed, one run, to the letter.

Clock, disk, executor and effects are fakes. The seed chooses each step: a turn, an effect, time, a
person, a fault, a crash; the checks look after each. At the end all must come to rest.
"""

from __future__ import annotations

import errno
import hashlib
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.daemon import Daemon, Seams
from cortex.model.errors import CortexError
from cortex.model.paths import HomePaths
from cortex.model.state import OPEN_TASK
from cortex.runtime.executor import Launch
from cortex.store.journal_errors import JournalDamaged
from cortex.testing.checks import Checks
from cortex.testing.clock import FakeClock
from cortex.testing.disk import Crash, FakeDisk, Fault
from cortex.testing.effects import ScheduledEffects
from cortex.testing.executor import Behaviour, FakeExecutor, FakeMachine
from cortex.testing.life import (
    KeptLibrary,
    Life,
    Log,
    any_behaviour,
    any_settings,
    fast_folder,
    folders,
    line_text,
    needs_a_person,
)
from cortex.testing.people import People

__all__ = ["Outcome", "Simulation"]

#: The end of a run: so much simulated time at most, and so many steps, until all is at rest.
REST_S = 30 * 3600.0
#: With nothing new in the journal for so long, time takes longer steps: a reset may be a day off.
DULL_S = 90.0
DULL_STEP_S = 600.0
REST_STEPS = 6000
_ERRORS = (errno.EIO, errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went. `trace_hash` is the same for every run of the same seed and code."""

    seed: int
    steps: int
    crashes: int
    lives: int
    tasks: int
    workers: int
    lines: int
    violations: tuple[str, ...]
    trace_hash: str
    trace: tuple[str, ...]


class Simulation:
    """One run. `wrap_disk` and `wrap_executor` let a test plant a bug between daemon and fake."""

    def __init__(
        self,
        seed: int,
        *,
        steps: int = 250,
        wrap_disk: Callable[[FakeDisk], Any] | None = None,
        wrap_executor: Callable[[FakeExecutor], Any] | None = None,
    ) -> None:
        self.seed = seed
        self.random = random.Random(f"simulation {seed}")
        self.folder = Path(tempfile.mkdtemp(prefix="cortex-sim-", dir=fast_folder()))
        self.paths = HomePaths(self.folder)
        self.clock = FakeClock(seed)
        self.disk = FakeDisk(self.clock, seed)
        self.people = People(self.disk, self.paths, random.Random(f"people {seed}"))
        self.checks = Checks(self.disk, self.paths, self.people)
        self.machine = FakeMachine(
            self.clock, self.disk, seed=seed, behave=self._behave, before_run=self._may_run
        )
        self.trace: list[str] = []
        self._wrap_disk = wrap_disk or (lambda disk: disk)
        self._wrap_executor = wrap_executor or (lambda executor: executor)
        self._steps_wanted = steps
        self._life: Life | None = None
        self._quiet = False
        self._steps = self._crashes = self._lives = 0
        self._log_seen = 0
        self._untrusted: set[Any] = set()
        self._runtime_dirs = 1
        self._home_locks = self.random.random() < 0.3
        self._settings = any_settings(self.random)
        self._mischief = self.random.choice((0.0, 0.02, 0.05, 0.1))
        self._patience = self.random.choice((0.3, 1.0, 3.0))
        self._next_nudge = self._last_line = 0.0

    # --- the run

    def run(self) -> Outcome:
        """Runs to the end, and says how it went."""
        try:
            while self._steps < self._steps_wanted and not self.checks.found:
                self._step(self._choose())
            if not self.checks.found:
                self._come_to_rest()
        finally:
            if self._life is not None:
                self._life.daemon.leave()
            shutil.rmtree(self.folder, ignore_errors=True)
        state = self.checks.state
        text = "\n".join(self.trace)
        return Outcome(
            self.seed,
            self._steps,
            self._crashes,
            self._lives,
            sum(
                1
                for line in self.checks.lines
                for e in line.events
                if e["event"] == "task_accepted"
            ),
            len(self.machine.runs),
            state.seq,
            tuple(self.checks.found),
            hashlib.sha256(text.encode()).hexdigest(),
            tuple(self.trace),
        )

    def _choose(self) -> Callable[[], str]:
        """What happens next, by the seed."""
        chance = self.random
        life = self._life
        if life is None:
            return self._start if chance.random() < 0.7 else self._pass_time
        if chance.random() < self._mischief:
            return self._do_mischief
        if chance.random() < 0.06 * self._patience:
            return self._people_act
        if life.effects.lanes and chance.random() < 0.6:
            return self._run_effect
        if chance.random() < 0.6:
            return self._turn
        return self._pass_time

    def _step(self, action: Callable[[], str]) -> None:
        """One action and all checks after it."""
        self._steps += 1
        try:
            words = action()
        except Crash as crash:
            words = f"{action.__name__.strip('_')}: crash at {crash}"
            self._crash()
        self.machine.catch_up()
        self._say(words)
        self._tell_log()
        self._check()

    def _say(self, words: str) -> None:
        text = words.replace(str(self.folder), "HOME")
        self.trace.append(f"{self._steps} {self.clock.monotonic():.3f} {text}")

    def _tell_log(self) -> None:
        if self._life is not None:
            for text in self._life.log.lines[self._log_seen :]:
                self._say(f"  log: {text}")
            self._log_seen = len(self._life.log.lines)

    # --- checks

    def _check(self) -> None:
        checks = self.checks
        for line in checks.read():
            self._last_line = self.clock.monotonic()
            self._say(f"  line {line_text(line, self.folder)}")
        checks.drops()
        checks.documents(self._untrusted)
        checks.found += self.machine.violations
        self.machine.violations.clear()
        life = self._life
        if life is not None:
            daemon = life.daemon
            checks.acknowledged(daemon.durable_seq)
            if self._steps % 8 == 0 and daemon.durable_seq == daemon.state.seq:
                checks.same_state(daemon.state)
        for text in checks.found:
            self._say(f"VIOLATION {text}")

    def _may_run(self, launch: Launch) -> None:
        self.checks.may_run(self.machine, launch)

    # --- what may happen

    def _start(self) -> str:
        """A daemon starts on the home."""
        self._lives += 1
        self._log_seen = 0
        self.disk.restart()
        log = Log()
        made: list[ScheduledEffects] = []

        def effects(post: Callable[[Callable[[], None]], None]) -> ScheduledEffects:
            made.append(ScheduledEffects(post))
            return made[-1]

        disk = self._wrap_disk(self.disk)
        seams = Seams(
            clock=self.clock,
            disk=disk,
            make_executor=lambda: self._wrap_executor(FakeExecutor(self.machine)),
            make_effects=effects,
            library=KeptLibrary(self.paths, {}),
            runtime_dir=self._runtime_dir(),
            archive_index=None,
            pid=self._lives,
            lines_a_checkpoint=40,
        )
        before = len(self.disk.fired)
        try:
            for folder in folders(self.paths):
                disk.mkdir(folder)
            daemon = Daemon(self.paths, self._settings, log, seams)
            self._life = Life(daemon, made[0], log, before)
            daemon.begin()
        except Exception as error:
            return self._died(error, before)
        return f"daemon {self._lives} starts"

    def _runtime_dir(self) -> str:
        if self._home_locks:
            return str(self.paths.attempts)
        return f"/run/cortexd/home-{self._runtime_dirs}"

    def _turn(self) -> str:
        """The control thread takes a turn."""
        life = self._alive()
        try:
            life.daemon.turn()
        except Exception as error:
            return self._died(error, life.faults_before)
        return "turn"

    def _run_effect(self) -> str:
        """An effect thread finishes a piece of work."""
        life = self._alive()
        lane = self.random.choice(life.effects.lanes)
        life.effects.run_one(lane)
        return f"effect {lane}"

    def _pass_time(self) -> str:
        """Time passes: to the next event, a little, or a lot."""
        chance = self.random.random()
        if chance < 0.6:
            seconds = self._next_event_s()
        elif chance < 0.9:
            seconds = self.random.random() * 3
        elif chance < 0.99:
            seconds = self.random.random() * 60
        else:
            seconds = self.random.random() * 1200
        self.machine.pass_time(seconds)
        return f"{seconds:.3f} s pass"

    def _next_event_s(self) -> float:
        """Seconds until something is due."""
        dues = [self.machine.next_event()]
        if self._life is not None:
            dues.append(self._life.daemon.next_due())
        now = self.clock.monotonic()
        return max(0.0, min((due for due in dues if due is not None), default=now + 1.0) - now)

    def _people_act(self) -> str:
        words = self.people.act()
        if "drop-" not in words:
            self._untrusted |= self.checks.versions()
        return f"people: {words}"

    # --- faults

    def _do_mischief(self) -> str:
        """Something goes wrong."""
        kinds = (
            (self._arm_crash, 6),
            (self._arm_error, 3),
            (self._kill, 3),
            (self._cut_power, 2),
            (self._fill_disk, 1),
            (self._mend, 4),
            (self._stop_politely, 2),
            (self._jump_clock, 1),
            (self._kill_shim, 1),
            (self._write_back, 1),
        )
        actions = [action for action, _ in kinds]
        return self.random.choices(actions, [weight for _, weight in kinds])[0]()

    def _arm_crash(self) -> str:
        when = self.random.choice(("before", "half", "after"))
        at = self.random.randint(1, 40)
        self.disk.arm(Fault(at, None, when))  # type: ignore[arg-type]
        return f"a crash {when} call {at} from now"

    def _arm_error(self) -> str:
        error = self.random.choice(_ERRORS)
        at = self.random.randint(1, 40)
        lasting = self.random.random() < 0.2
        when = self.random.choice(("before", "before", "half"))
        self.disk.arm(Fault(at, error, when, lasting=lasting))  # type: ignore[arg-type]
        return f"{errno.errorcode[error]} {when} call {at} from now{', lasting' * lasting}"

    def _kill(self) -> str:
        self._crash()
        return "kill -9"

    def _cut_power(self) -> str:
        self._crash()
        self.disk.cut_power()
        self.machine.reboot(keeps_claims=self._home_locks)
        self.clock.reboot()
        self.people.power_lost()
        self._runtime_dirs += 1
        self._untrusted |= self.checks.versions()
        return "power cut"

    def _fill_disk(self) -> str:
        left = self.random.randint(0, 4000)
        self.disk.fill(left)
        return f"the disk has {left} bytes left"

    def _mend(self) -> str:
        self.disk.mend()
        return "faults are gone"

    def _stop_politely(self) -> str:
        life = self._alive()
        life.daemon.end()
        self._bury()
        return "SIGTERM"

    def _jump_clock(self) -> str:
        seconds = self.random.choice((-1, 1)) * self.random.choice((5.0, 3600.0, 365 * 86_400.0))
        self.clock.jump_wall(seconds)
        return f"the wall clock jumps by {seconds:.0f} s"

    def _kill_shim(self) -> str:
        alive = self.machine.alive()
        if not alive:
            return "nothing runs"
        worker_id = self.random.choice(alive).worker_id
        self.machine.kill_shim(worker_id)
        return f"kill -9 of the shim of {worker_id}"

    def _write_back(self) -> str:
        self.disk.write_back()
        return "the kernel writes everything back"

    def _behave(self, launch: Launch, chance: random.Random) -> Behaviour:
        del launch
        if self._quiet:
            return Behaviour(run_s=0.5)
        return any_behaviour(chance)

    # --- lives

    def _alive(self) -> Life:
        assert self._life is not None
        return self._life

    def _crash(self) -> None:
        """The daemon's process is gone."""
        self._crashes += 1
        self._bury()

    def _bury(self) -> None:
        self.machine.disconnect(nursery_lives=self.random.random() < 0.5)
        self.disk.restart()
        if self._life is not None:
            self._life.daemon.leave()
        self._life = None

    def _died(self, error: Exception, faults_before: int) -> str:
        """A daemon that leaves by itself: right after a fault it met, else a violation."""
        met = self.disk.fired[faults_before:] or self.disk.capacity is not None
        if self._life is not None:
            self._life.daemon.end()
        excused = bool(met) and isinstance(error, OSError | CortexError)
        if not excused or isinstance(error, JournalDamaged):
            self.checks.found.append(f"the daemon died of {error!r}")
            for text in traceback.format_exception(error)[-8:]:
                self._say(text)
        self._bury()
        return f"the daemon exits: {error}"

    # --- the end

    def _come_to_rest(self) -> None:
        """Faults are over and time passes; everything must end."""
        self._quiet = True
        self.disk.mend()
        while self.people.unfinished:
            self.people.finish()
        self._say("faults are over")
        began = self.clock.monotonic()
        last = self._steps + REST_STEPS
        while not self.checks.found:
            if self._steps >= last or self.clock.monotonic() - began > REST_S:
                self.checks.found.append(f"does not come to rest: {self._unrest()}")
                self._say(f"VIOLATION {self.checks.found[-1]}")
                break
            if self._life is not None and not self._unrest():
                break
            self._step(self._choose_calmly())
        if not self.checks.found:
            self._last_checks()

    def _choose_calmly(self) -> Callable[[], str]:
        life = self._life
        if life is None:
            return self._start
        if life.effects.lanes:
            return self._run_effect
        if life.daemon.has_post or self._next_event_s() == 0.0:
            return self._turn
        if self.clock.monotonic() >= self._next_nudge:
            return self._nudge
        return self._skip

    def _skip(self) -> str:
        seconds = self._next_event_s()
        if self.clock.monotonic() - self._last_line > DULL_S:
            seconds = max(seconds, DULL_STEP_S)
        self.machine.pass_time(seconds)
        return f"{seconds:.3f} s pass"

    def _nudge(self) -> str:
        """People answer what waits for a person, and nothing else."""
        self._next_nudge = self.clock.monotonic() + 30.0
        state = self.checks.state
        if state.paused:
            return f"people: {self.people.ask(kind='resume')}"
        if state.budget.pool_available < 50_000:
            total = state.budget.total + 500_000
            return f"people: {self.people.ask(kind='budget', total_budget=total)}"
        for task in state.tasks.values():
            if task.status == "paused" or (task.hold and task.status in OPEN_TASK):
                return f"people: {self.people.ask(kind='resume', task_id=task.id)}"
        for task in state.tasks.values():
            if task.status in OPEN_TASK and needs_a_person(state, task.id):
                return f"people: {self.people.ask(kind='cancel', task_id=task.id)}"
        return "nobody is asked for anything"

    def _unrest(self) -> str:
        """What is not at rest yet, in words."""
        state, life = self.checks.state, self._life
        if life is None:
            return "no daemon runs"
        found = [f"{t.id} {t.status} {t.blocked_on or t.waiting_for or ''}"
                 for t in state.tasks.values() if t.status in OPEN_TASK]  # fmt: skip
        found += [f"{i} {state.workers[i].status}" for i in (*state.live, *state.waiting)]
        found += [f"{name} in .intake/" for name in self.disk.names(self.paths.intake)]
        found += [f"effects {lane}" for lane in life.effects.lanes]
        if len(self.checks.receipts) < len(self.people.dropped):
            found.append("drops without a receipt")
        if life.daemon.has_post or life.daemon.durable_seq != life.daemon.state.seq:
            found.append("lines or results under way")
        return "; ".join(found)

    def _last_checks(self) -> None:
        """A polite end, the checks of rest, and a start that finds the same state again."""
        self._step(self._stop_politely)
        self.checks.at_rest(self.machine)
        before = self.checks.state.to_json()
        self._step(self._start)
        if self._life is not None and not self.checks.found:
            after = self._life.daemon.state.to_json()
            for name in ("tasks", "workers", "handoffs", "budget", "receipts", "counters"):
                if before[name] != after[name]:
                    self.checks.found.append(f"a restart changes {name}")
        for text in self.checks.found:
            self._say(f"VIOLATION {text}")
