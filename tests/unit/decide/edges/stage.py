"""Where scenarios are played: the deciding code alone, or a whole daemon on fakes.

Both write journal lines, and a witness replays these event by event: what it saw of the statuses is
what happened, whatever a scenario claims.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex.daemon import Daemon, Seams
from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry
from cortex.decide.evolve import evolve
from cortex.masters.library import Library
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.model.state import State, Task, Worker
from cortex.runtime.executor import Launch
from cortex.runtime.table import runtime_infos
from cortex.testing import Behaviour, FakeClock, FakeDisk, FakeExecutor, FakeMachine
from cortex.testing.checks import Checks
from cortex.testing.effects import ScheduledEffects
from cortex.testing.life import Log
from tests.unit.decide.fleet import Fleet, settings
from tests.unit.deciding import builtin_catalog

__all__ = ["Home", "Move", "Stage", "Troupe", "shipped"]

#: (table, id, before, after)
Move = tuple[str, str, str, str]
Statuses = dict[tuple[str, str], str]
#: Rounds of effects and turns in which a daemon must have done what it can do without time.
ROUNDS = 2000


class Witness:
    """Replays lines one event at a time, and keeps every status that followed another."""

    def __init__(self) -> None:
        self.state = State()
        self.moves: list[Move] = []
        self._before: Statuses = {}

    def take(self, seq: int, at: str, events: list[dict[str, Any]]) -> None:
        """Sees one line."""
        for event in json.loads(json.dumps(events)):
            evolve(self.state, seq, at, [event])
            after = _statuses(self.state)
            self.moves += [
                (place[0], place[1], before, after[place])
                for place, before in self._before.items()
                if after.get(place, before) != before
            ]
            self._before = after


def _statuses(state: State) -> Statuses:
    return {
        **{("task", task.id): task.status for task in state.tasks.values()},
        **{
            ("step", f"{task.id}/{step.name}"): step.status
            for task in state.tasks.values()
            for step in task.steps
        },
        **{("worker", worker.id): worker.status for worker in state.workers.values()},
        **{("handoff", handoff.id): handoff.status for handoff in state.handoffs.values()},
    }


class Troupe(Fleet):
    """The deciding code by itself, one call at a time: for what a daemon does within one turn."""

    def __init__(self, changed: Settings | None = None, catalog: Catalog | None = None) -> None:
        self.witness = Witness()
        super().__init__(changed, catalog=catalog)

    def apply(self, entry: Entry) -> None:
        """As the fleet, before the eyes of the witness."""
        self.witness.take(self.state.seq + 1, self.now.at, entry.events)
        super().apply(entry)


def shipped(*without: str) -> Catalog:
    """Masters, worker types and runtimes as they come with Cortex, without some of the runtimes."""
    infos = {name: info for name, info in runtime_infos().items() if name not in without}
    return builtin_catalog(runtimes=infos)


class _Library(Library):
    """Definitions in a test's hand; the daemon finds new ones as it finds changed files."""

    def __init__(self, paths: HomePaths, catalog: Catalog) -> None:
        super().__init__(paths, {})
        self.next: Catalog | None = catalog

    def refresh(self) -> Catalog | None:
        """What was put here since the last call."""
        found, self.next = self.next, None
        return found


class Home:
    """A home with a daemon on a fake clock, disk and machine; people drop and edit files in it.

    `behave` says how workers go, by worker type; `default` is every other one's way.
    """

    def __init__(
        self, root: Path, changed: Settings | None = None, catalog: Catalog | None = None
    ) -> None:
        self.witness = Witness()
        self.settings = changed or Settings()
        self.catalog = catalog or shipped()
        self.default = Behaviour(run_s=5.0)
        self.behave: dict[str, Behaviour] = {}
        self.paths = HomePaths(root)
        self.clock = FakeClock()
        self.disk = FakeDisk(self.clock)
        self.machine = FakeMachine(self.clock, self.disk, behave=self._behave)
        self._checks = Checks(self.disk, self.paths)
        self._files = self._boots = 0
        self._held: tuple[str, ...] = ()
        self.log = Log()
        self.start()

    # --- the daemon

    def start(self) -> None:
        """A daemon starts and does what there is to do."""
        self.library = _Library(self.paths, self.catalog)
        self._effects: list[ScheduledEffects] = []
        for folder in self.paths.own_folders:
            self.disk.mkdir(folder)
        seams = Seams(
            clock=self.clock,
            disk=self.disk,
            make_executor=lambda: FakeExecutor(self.machine),
            make_effects=self._make_effects,
            library=self.library,
            runtime_dir=f"/run/cortexd/home-{self._boots}",
            archive_index=None,
            pid=1,
        )
        self.daemon = Daemon(self.paths, self.settings, self.log, seams)
        self.daemon.begin()
        self.settle()

    def _make_effects(self, post: Callable[[Callable[[], None]], None]) -> ScheduledEffects:
        self._effects.append(ScheduledEffects(post))
        return self._effects[-1]

    def kill(self) -> None:
        """kill -9: nothing more is written; workers live on."""
        self.machine.disconnect(nursery_lives=True)
        self.disk.restart()
        self.daemon.leave()

    def reboot(self) -> None:
        """The power is cut, and the machine starts anew; the daemon does not yet."""
        self.kill()
        self.disk.cut_power()
        self.disk.restart()
        self.machine.reboot(keeps_claims=False)
        self.clock.reboot()
        self._boots += 1

    def settle(self) -> None:
        """Effects and turns, until only time or somebody else can move anything."""
        for _ in range(ROUNDS):
            self.machine.catch_up()
            lanes = [lane for lane in self._effects[-1].lanes if lane not in self._held]
            if lanes:
                self._effects[-1].run_one(lanes[0])
            elif self.daemon.has_post or self._next_s() <= 0.0:
                self.daemon.turn()
            else:
                self._witness()
                return
        raise AssertionError(f"the daemon never rests: {self.log.lines[-5:]}")

    def hold(self, *lanes: str) -> None:
        """Effects of these lanes take long; without any, all that were held come to their end."""
        self._held = lanes
        self.settle()

    def _next_s(self) -> float:
        dues = (self.daemon.next_due(), self.machine.next_event())
        now = self.clock.monotonic()
        return min((due for due in dues if due is not None), default=now + 60.0) - now

    def _witness(self) -> None:
        for line in self._checks.read():
            self.witness.take(line.seq, line.at, line.events)
        assert self._checks.found == []

    def wait(self, condition: Callable[[], bool], at_most_s: float = 3600.0) -> None:
        """Lets time pass until the condition holds."""
        end = self.clock.monotonic() + at_most_s
        while not condition():
            left = end - self.clock.monotonic()
            assert left > 0.0, ([t.status for t in self.state.tasks.values()], self.log.lines[-1:])
            self.pass_time(min(left, max(0.001, self._next_s())))

    def pass_time(self, seconds: float) -> None:
        """So much time passes at once; then the daemon does what is due."""
        self.machine.pass_time(seconds)
        self.settle()

    # --- people

    def drop(self, **fields: Any) -> list[str]:
        """Somebody drops a request; the ids of the tasks that came of it."""
        return self.drop_at_once(fields)

    def drop_at_once(self, *payloads: dict[str, Any]) -> list[str]:
        """Somebody drops several files before the daemon looks."""
        before = set(self.state.tasks)
        for payload in payloads:
            self._files += 1
            name = f"drop-{self._files}.json"
            self.disk.put(self.paths.inbox / name, json.dumps(payload).encode())
        self.daemon.dropped()
        self.settle()
        return [ident for ident in self.state.tasks if ident not in before]

    def dropped(self, **fields: Any) -> Task:
        """Somebody drops one task."""
        (ident,) = self.drop(**fields)
        return self.state.tasks[ident]

    def spend(self, tokens: int) -> None:
        """A task comes and goes whose worker uses so many tokens of the pool."""
        before, self.default = self.default, Behaviour(tokens=tokens)
        task = self.dropped(command="true", token_budget=tokens)
        self.wait(lambda: self.state.budget.pool_spent >= tokens)
        self.wait(lambda: self.state.tasks[task.id].status == "completed")
        self.default = before

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Somebody changes a published document in an editor and saves it."""
        self.wait(lambda: self.disk.content(self.paths.coordination / name) is not None, 60.0)
        self.pass_time(5.0)
        content = json.loads(self.disk.content(self.paths.coordination / name) or b"")
        change(content)
        self.disk.put(self.paths.coordination / name, json.dumps(content, indent=2).encode())
        known = len(self._checks.edited)
        self.daemon.edited()
        self.settle()
        self.wait(lambda: len(self._checks.edited) > known, 60.0)

    def configure(self, catalog: Catalog) -> None:
        """Somebody changes the files of masters and worker types."""
        self.catalog = self.library.next = catalog
        self.pass_time(5.0)

    # --- what is there

    @property
    def state(self) -> State:
        """The daemon's state."""
        return self.daemon.state

    def worker(self, task: Task) -> Worker:
        """The last attempt of a task."""
        return self.state.workers[self.state.tasks[task.id].workers[-1]]

    def _behave(self, launch: Launch, _chance: random.Random) -> Behaviour:
        return self.behave.get(str(launch.spec.get("worker_type")), self.default)


class Stage:
    """What a scenario is given: a fleet or a home, as it needs, both before a witness."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._witnesses: list[Witness] = []

    def troupe(self, catalog: Catalog | None = None, **sections: dict[str, Any]) -> Troupe:
        """The deciding code alone, with these sections of cortex.toml."""
        made = Troupe(settings(**sections), catalog)
        self._witnesses.append(made.witness)
        return made

    def home(self, catalog: Catalog | None = None, **sections: dict[str, Any]) -> Home:
        """A home with a running daemon, with these sections of cortex.toml."""
        made = Home(self._root, settings(**sections), catalog)
        self._witnesses.append(made.witness)
        return made

    @property
    def moves(self) -> list[Move]:
        """What the witnesses saw."""
        return [move for witness in self._witnesses for move in witness.moves]
