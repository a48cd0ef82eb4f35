"""A whole daemon in one process under a seeded scheduler: one seed, one run, to the letter.

Clock, disk, executor and effects are fakes. The seed chooses each step: a turn, an effect, time, a
person, a fault, a crash; the checks look after each. At the end all must come to rest.
"""

from __future__ import annotations

import hashlib
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.daemon import Daemon, Seams
from cortex.model.errors import CortexError
from cortex.model.paths import DOCUMENT_NAMES, HomePaths
from cortex.runtime.executor import Launch
from cortex.store.journal_errors import JournalDamaged
from cortex.testing.checks import Checks
from cortex.testing.checks_documents import DocumentChecks
from cortex.testing.checks_drops import DropChecks
from cortex.testing.checks_edits import EditChecks
from cortex.testing.checks_standstill import standing_still
from cortex.testing.clock import FakeClock
from cortex.testing.definitions import Definitions, KeptLibrary
from cortex.testing.disk import FakeDisk
from cortex.testing.disk_faults import Crash
from cortex.testing.editors import Editors
from cortex.testing.effects import ScheduledEffects
from cortex.testing.ending import Ending
from cortex.testing.executor import FakeExecutor
from cortex.testing.life import (
    HOME,
    Life,
    Log,
    any_behaviour,
    any_findings,
    any_settings,
    line_text,
    made_up_plan,
    real_home,
)
from cortex.testing.machine import Behaviour, FakeMachine
from cortex.testing.mirrors import FakeMirrors
from cortex.testing.mischief import Mischief
from cortex.testing.people import People

__all__ = ["Outcome", "Simulation"]

#: The daemon's state is held against the journal as a whole once in so many steps.
STEPS_A_WHOLE_LOOK = 50


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
    reached: frozenset[str] = frozenset()


class Simulation:
    """One run. `wrap_disk` and `wrap_executor` let a test plant a bug between daemon and fake.

    `steps` are those before faults end; None: as many as the seed says.
    """

    def __init__(
        self,
        seed: int,
        *,
        steps: int | None = None,
        wrap_disk: Callable[[FakeDisk], Any] | None = None,
        wrap_executor: Callable[[FakeExecutor], Any] | None = None,
    ) -> None:
        self.seed = seed
        self.random = chance = random.Random(f"simulation {seed}")
        self.paths = paths = HomePaths(Path(HOME))
        self.clock = FakeClock(seed)
        self.disk = FakeDisk(self.clock, seed)
        self.people = People(self.disk, paths, random.Random(f"people {seed}"))
        self.editors = Editors(self.disk, paths, random.Random(f"editors {seed}"))
        self.machine = FakeMachine(
            self.clock, self.disk, seed=seed, behave=self._behave, before_run=self._may_run
        )
        self.mirrors = FakeMirrors(seed, harm=0.2)
        self.definitions = Definitions.as_installed(random.Random(f"definitions {seed}"))
        self.checks = Checks(self.disk, paths)
        self.drops = DropChecks(self.disk, paths, self.people, self.checks)
        self.documents = DocumentChecks(self.disk, paths, self.checks)
        self.edits = EditChecks(self.disk, paths, self.editors, self.checks)
        self.trace: list[str] = []
        self.life: Life | None = None
        self.steps = 0
        self._wrap_disk = wrap_disk or (lambda disk: disk)
        self._wrap_executor = wrap_executor or (lambda executor: executor)
        self._mischief = Mischief(self, random.Random(f"mischief {seed}"))
        self.is_quiet = False
        self._inside = ""
        self._crashes = self._lives = 0
        self._log_seen = 0
        self._runtime_dirs = 1
        # What kind of run it is.
        self.is_thrifty = chance.random() < 0.3
        self._home_locks = chance.random() < 0.3
        self.settings = any_settings(chance)
        self._harm = chance.choice((0.0, 0.02, 0.05, 0.1, 0.2))
        self._editing = chance.choice((0.0, 0.05, 0.6))
        self._defining = chance.choice((0.0, 0.2, 0.5))
        self._resettled = chance.choice((0.0, 0.0, 0.3))
        self._patience = 5.0 if self._editing > 0.5 else chance.choice((0.3, 1.0, 3.0))
        # How likely it is that a file event arrives; 0.0: a file system without any.
        self._events = chance.choice((0.0, 0.5, 1.0))
        self._steps_wanted = steps or chance.choice((60, 120, 240))

    # --- the run

    def run(self) -> Outcome:
        """Runs to the end, and says how it went."""
        with real_home():
            return self._run()

    def _run(self) -> Outcome:
        try:
            while self.steps < self._steps_wanted and not self.checks.found:
                self.step(self._choose())
            if not self.checks.found:
                self.is_quiet = True
                Ending(self).come_to_rest()
        finally:
            if self.life is not None:
                self.life.daemon.leave()
        text = "\n".join(self.trace)
        return Outcome(
            self.seed,
            self.steps,
            self._crashes,
            self._lives,
            self.checks.tasks,
            len(self.machine.runs),
            self.checks.state.seq,
            tuple(self.checks.found),
            hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest(),
            tuple(self.trace),
            frozenset(self.checks.reached.features),
        )

    def _choose(self) -> Callable[[], str]:
        """What happens next, by the seed."""
        chance, life = self.random, self.life
        if chance.random() < self._harm and life is not None:
            return self._mischief.act
        if chance.random() < 0.06 * self._patience:
            return self.people_act
        if life is None:
            return self.start if chance.random() < 0.7 else self._pass_time
        if life.effects.lanes and chance.random() < 0.6:
            return self.run_effect
        if chance.random() < 0.6:
            return self.turn
        return self._pass_time

    def step(self, action: Callable[[], str]) -> None:
        """One action and all checks after it."""
        self.steps += 1
        self._inside = action.__name__
        try:
            words = action()
        except Crash as crash:
            words = f"{action.__name__.strip('_')}: crash at {crash}"
            self.crash()
        self._inside = ""
        self.machine.catch_up()
        self.say(words)
        self._tell_log()
        self._check()

    def say(self, words: str) -> None:
        """One line of the trace."""
        text = words.replace(HOME, "HOME")
        self.trace.append(f"{self.steps} {self.clock.monotonic():.3f} {text}")

    def _tell_log(self) -> None:
        if self.life is not None:
            for text in self.life.log.lines[self._log_seen :]:
                self.say(f"  log: {text}")
            self._log_seen = len(self.life.log.lines)
            self.checks.found += self.life.log.exceptions
            self.life.log.exceptions.clear()

    # --- checks

    def _check(self) -> None:
        checks = self.checks
        for line in checks.read():
            self.say(f"  line {line_text(line)}")
        self.drops.look()
        self.documents.look()
        self.edits.look()
        checks.found += self.machine.violations
        self.machine.violations.clear()
        life = self.life
        if life is not None:
            daemon = life.daemon
            checks.acknowledged(daemon.durable_seq)
            if daemon.durable_seq == daemon.state.seq:
                checks.same_state(daemon.state, whole=self.steps % STEPS_A_WHOLE_LOOK == 0)
        for text in checks.found:
            self.say(f"VIOLATION {text}")

    def _still(self, daemon: Daemon) -> None:
        """After a turn that left nothing to do nothing stands still that could move."""
        busy = self._alive().effects.lanes or daemon.has_post
        rests = not busy and daemon.durable_seq == daemon.state.seq and self.next_event_s() > 0
        if rests:
            self.checks.found += standing_still(daemon, self._alive().library.known)

    def _may_run(self, launch: Launch) -> None:
        self.checks.may_run(self.machine, launch)

    # --- what may happen

    def start(self) -> str:
        """A daemon starts on the home."""
        self._lives += 1
        self._log_seen = 0
        self.disk.restart()
        log = Log()
        chance = self.random
        if self._lives > 1 and not self.is_quiet and chance.random() < self._resettled:
            self.settings = any_settings(chance)
            self.checks.reached.features.add("other settings after a restart")
        drains = chance.random() < 0.3
        made: list[ScheduledEffects] = []

        def effects(post: Callable[[Callable[[], None]], None]) -> ScheduledEffects:
            made.append(ScheduledEffects(post))
            return made[-1]

        before = len(self.disk.fired)
        try:
            library = KeptLibrary.of(self.paths, self.definitions)
            seams = self._seams(effects, library)
            for folder in self.paths.own_folders:
                seams.disk.mkdir(folder)
            daemon = Daemon(self.paths, self.settings, log, seams, drain=drains)
            self.life = Life(daemon, made[0], log, library, before)
            self.checks.promises.begins(self.settings)
            daemon.begin()
        except Exception as error:
            return self._died(error, before)
        return f"daemon {self._lives} starts"

    def _seams(self, effects: Callable[..., ScheduledEffects], library: KeptLibrary) -> Seams:
        return Seams(
            clock=self.clock,
            disk=self._wrap_disk(self.disk),
            make_executor=lambda: self._wrap_executor(FakeExecutor(self.machine)),
            make_effects=effects,
            library=library,
            runtime_dir=self._runtime_dir(),
            archive_index=None,
            pid=self._lives,
            lines_a_checkpoint=40,
            keep_branches=self.mirrors.keep,
        )

    def _runtime_dir(self) -> str:
        if self._home_locks:
            return str(self.paths.attempts)
        return f"/run/cortexd/home-{self._runtime_dirs}"

    def turn(self) -> str:
        """The control thread takes a turn."""
        life = self._alive()
        try:
            life.daemon.turn()
        except Exception as error:
            return self._died(error, life.faults_before)
        if life.daemon.is_leaving:
            life.daemon.end()
            self._bury()
            return "turn; the daemon has drained and leaves"
        self._still(life.daemon)
        return "turn"

    def run_effect(self) -> str:
        """An effect thread finishes a piece of work."""
        life = self._alive()
        lane = self.random.choice(life.effects.lanes)
        life.effects.run_one(lane)
        return f"effect {lane}"

    def _pass_time(self) -> str:
        """Time passes: to the next event, a little, or a lot."""
        chance = self.random.random()
        if chance < 0.6:
            seconds = self.next_event_s()
        elif chance < 0.9:
            seconds = self.random.random() * 3
        elif chance < 0.99:
            seconds = self.random.random() * 60
        else:
            seconds = self.random.random() * 1200
        self.machine.pass_time(seconds)
        return f"{seconds:.3f} s pass"

    def next_event_s(self) -> float:
        """Seconds until something is due."""
        dues = [self.machine.next_event()]
        if self.life is not None:
            dues.append(self.life.daemon.next_due())
        now = self.clock.monotonic()
        return max(0.0, min((due for due in dues if due is not None), default=now + 1.0) - now)

    def people_act(self) -> str:
        """Somebody drops something or edits a file; the daemon may be told, and more than once."""
        edits = self.random.random() < self._editing
        if not edits and self.random.random() < self._defining:
            words = self.definitions.act()
            if self.life is not None and self.random.random() < self._events:
                self.life.daemon.defined()
            return f"people: {words}"
        words = (self.editors if edits else self.people).act()
        if " is deleted" in words:
            self.documents.forgive(words.split()[0])
        if self.life is not None and self.random.random() < self._events:
            daemon = self.life.daemon
            (daemon.edited if edits else daemon.dropped)()
        return f"people: {words}"

    def meanwhile(self) -> None:
        """In the middle of a disk call of the daemon something else happens: somebody acts,
        another thread of it works, its control thread takes a turn."""
        life, inside = self.life, self._inside
        actions: list[Callable[[], str]] = [self.people_act, self.people_act]
        if life is not None and inside in ("turn", "run_effect"):
            if life.effects.lanes:
                actions += [self.run_effect, self.run_effect]
            if inside == "run_effect":
                actions.append(self.turn)
        self._inside = "meanwhile"
        self.say(f"  meanwhile: {self.random.choice(actions)()}")
        self._inside = inside
        if life is not self.life:
            self.disk.dead = True  # its process is gone, and so is the thread that was at work

    # --- lives

    def _alive(self) -> Life:
        assert self.life is not None
        return self.life

    def crash(self) -> None:
        """The daemon's process is gone."""
        self._crashes += 1
        self._bury()

    def power_lost(self) -> None:
        """Every process is gone and another boot begins; the disk has what it has."""
        self.machine.reboot(keeps_claims=self._home_locks)
        self.clock.reboot()
        for line in self.checks.read():
            self.say(f"  line {line_text(line)}")
        self.people.power_lost(set(self.checks.receipts.values()))
        self.editors.power_lost()
        for name in DOCUMENT_NAMES:
            self.documents.forgive(name)
        self._runtime_dirs += 1

    def stop_politely(self) -> str:
        """SIGTERM. A daemon that drains first leaves by itself, or at the next one."""
        daemon = self._alive().daemon
        daemon.stop()
        if not daemon.is_leaving:
            if self.checks.promises.drains_after is None:
                self.checks.promises.drains_after = daemon.state.seq
            return "SIGTERM; it drains"
        daemon.end()
        self._bury()
        return "SIGTERM"

    def _bury(self) -> None:
        self.machine.disconnect(nursery_lives=self.random.random() < 0.5)
        self.disk.restart()
        if self.life is not None:
            self.life.daemon.leave()
        self.life = None

    def _died(self, error: Exception, faults_before: int) -> str:
        """A daemon that leaves by itself: right after a fault it met, else a violation."""
        met = self.disk.fired[faults_before:] or self.disk.capacity is not None
        if self.life is not None:
            self.life.daemon.end()
        excused = bool(met) and isinstance(error, OSError | CortexError)
        if not excused or isinstance(error, JournalDamaged):
            self.checks.found.append(f"the daemon died of {error!r}")
            for text in traceback.format_exception(error)[-8:]:
                self.say(text)
        self._bury()
        return f"the daemon exits: {error}"

    def _behave(self, launch: Launch, chance: random.Random) -> Behaviour:
        behaviour = any_behaviour(chance)
        if self.is_quiet:
            tokens = min(100, launch.spec["token_budget"])
            behaviour = Behaviour(run_s=0.5, findings=any_findings(chance), tokens=tokens)
        if "plan" in launch.spec["context"]:
            behaviour.says["plan"] = made_up_plan(launch, chance)
        kind = launch.spec["worker_type"]
        behaviour.says.setdefault("verdict", "passed" if kind == "test-worker" else "approve")
        behaviour.says.update({"pull_request": {"state": "prepared"}, "artifacts": []})
        if any(name.startswith("repositor") for name in launch.spec["scope"]):
            row = {"name": "b", "bundle": "b.bundle", "base": "0" * 40, "head": "1" * 40}
            behaviour.says["branches"] = [row, {"name": 7}] if chance.random() < 0.2 else [row]
        return behaviour
