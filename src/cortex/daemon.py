"""The daemon: puts the control side together; the one place where all its pieces are named.

What it touches outside of itself comes as `Seams`; `serving` makes the real ones.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex import __version__
from cortex.control.context import Context
from cortex.control.editing import Editing
from cortex.control.effects import Effects, FollowedEffects, Post
from cortex.control.engine import Engine
from cortex.control.gathering import Gathering
from cortex.control.housekeeping import Housekeeping
from cortex.control.intake import Intake
from cortex.control.loop import Loop, Mailbox, on_signals
from cortex.control.mirroring import LANE, LONGEST_S, Keep
from cortex.control.notifying import Notifier
from cortex.control.opening import Opened, open_state
from cortex.control.publishing import Publishing
from cortex.control.saving import LINES_BETWEEN, Saving
from cortex.control.selfwatch import SelfWatch
from cortex.control.stalling import StallWatch
from cortex.control.watching import Watching
from cortex.control.workers import WorkersController
from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry
from cortex.masters.controller import MastersController
from cortex.masters.in_force import InForce
from cortex.masters.library import Library
from cortex.model.errors import CortexError
from cortex.model.paths import HomePaths
from cortex.model.seams import Clock, Disk
from cortex.model.settings import Settings
from cortex.model.state import State
from cortex.runtime.executor import Executor
from cortex.runtime.keeping import keep_branches
from cortex.store.archive import Archive
from cortex.store.journal_errors import JournalFull
from cortex.store.publish import Publisher

__all__ = ["Daemon", "Seams"]

#: Rounds in which controllers answer each other within one turn.
ROUNDS_A_TURN = 20
FULL_AGAIN_S = 0.5
#: With nothing alive there is nothing to follow, and only lost events and edits to be found.
IDLE_REST = 2
SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Seams:
    """What a daemon touches outside of itself: real things here, fakes in `cortex.testing`.

    The executor is made once the journal is open, because it starts processes. `archive_index`
    None keeps that index in memory.
    """

    clock: Clock
    disk: Disk
    make_executor: Callable[[], Executor]
    make_effects: Callable[[Post], Effects]
    library: Library
    runtime_dir: str
    archive_index: Path | None
    pid: int
    lines_a_checkpoint: int = LINES_BETWEEN
    notifier: Notifier = field(default_factory=Notifier)
    is_still_locked: Callable[[], bool] = lambda: True
    is_anothers_dir: Callable[[str], bool] = lambda _: False
    keep_branches: Keep = keep_branches


class Daemon:
    """One daemon on one home. `run` returns when it was told to stop; whoever brings a loop of
    its own calls `begin`, then `turn` after each result and at each `next_due`, then `end`."""

    def __init__(
        self, paths: HomePaths, settings: Settings, log: Any, seams: Seams, *, drain: bool = False
    ) -> None:
        self._paths = paths
        self._log = log
        self._drain = drain
        self._clock = seams.clock
        self._pid = seams.pid
        self._is_still_locked = seams.is_still_locked
        disk = seams.disk
        opened = open_state(disk, paths)
        self._mailbox = Mailbox()
        self._effects = FollowedEffects(seams.make_effects(self._mailbox.post), {LANE: LONGEST_S})
        self._journal = opened.journal
        self._engine = Engine(opened.state, opened.journal, self._clock)
        catalog = seams.library.refresh() or Catalog()
        self._context = Context(self._engine, self._effects, paths, settings, catalog, log)
        self._context.anothers_dirs = _anothers(opened.state, seams.is_anothers_dir)
        self._executor = seams.make_executor()
        archive = Archive(disk, paths.archive, seams.archive_index)
        self._gathering = Gathering(self._context)
        self._masters = MastersController(self._context, self._gathering)
        self._workers = WorkersController(self._context, self._executor, seams.runtime_dir)
        self._intake = Intake(self._context, disk, archive)
        publisher = Publisher(disk, paths.out)
        self._editing = Editing(self._context, disk, archive, publisher, self._workers.heard)
        self._publishing = Publishing(
            self._context, disk, publisher, self._editing.take, self._about()
        )
        self._housekeeping = Housekeeping(
            self._context, self._executor, archive, disk, seams.keep_branches
        )
        self._saving = Saving(
            self._context, disk, opened.journal, opened.replayed, seams.lines_a_checkpoint
        )
        self._selfwatch = SelfWatch(
            self._context, self._publishing.daemon, self._publishing.refresh, seams.notifier
        )
        self._in_force = InForce(self._context, seams.library, self._selfwatch)
        self._stall = StallWatch(settings.daemon.stall_after, log)
        self._loop = Loop(
            self._clock, self._mailbox, self._turn, self._dues, self._slow_turn, self._stall
        )
        self._watch_over_all()
        self._next_resync = 0.0
        self._full_until = 0.0
        self._definitions_due = False
        self._lives_on_ballast = False
        self._greet(opened, seams.runtime_dir)

    # --- life

    def run(self) -> None:
        """Serves the home until it is told to stop; workers live on after that."""
        # A result of an effect thread should not wait the default 5 ms for the control thread.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        on_signals((signal.SIGTERM, signal.SIGINT), lambda _number: self.stop())
        folders = (self._paths.inbox, self._paths.coordination)
        definitions = (self._paths.masters, self._paths.prompts, self._paths.personas)
        watching = Watching(folders, self.dropped, self.edited, definitions, self.defined)
        self.begin()
        self._selfwatch.note("file_events_missing", watching.start())
        self._stall.start()
        try:
            self._loop.run()
        finally:
            self._stall.stop()
            watching.stop()
            self.end()

    def begin(self) -> None:
        """Takes up what an earlier daemon left; to be called once, before the first turn."""
        self._mailbox.looked = self._intake.look
        self._in_force.take_up()
        self._engine.apply(
            Entry(
                "daemon",
                f"cortexd {__version__} starts",
                [
                    {
                        "event": "daemon_started",
                        "version": __version__,
                        "pid": self._pid,
                        "boot_id": self._clock.boot_id(),
                    }
                ],
            )
        )
        self._intake.start()
        self._publishing.start()
        self._masters.start()
        self._housekeeping.start()
        adopted = self._workers.adopt()
        if adopted:
            self._log.info("workers of an earlier daemon are looked at", workers=adopted)

    def _watch_over_all(self) -> None:
        patience_s = self._context.settings.daemon.stuck_after
        self._selfwatch.ask(
            self._effects.signs,
            self._workers.signs,
            self._intake.signs,
            self._publishing.signs,
            self._editing.signs,
            lambda: self._stall.signs(patience_s),
        )

    def stop(self) -> None:
        """Ends `run` after its turn; the first time it drains, where that was asked for."""
        if self._drain and not self._context.draining:
            self._context.told_to_drain = True
            self._context.state.touch("fleet", "")
            self._log.info("draining: nothing new starts", running=len(self._context.state.live))
            self._mailbox.wake()
        else:
            self._loop.stop()

    def dropped(self) -> None:
        """Something may lie in the inbox; from any thread, and as often as one likes."""
        self._mailbox.post_look()

    def edited(self) -> None:
        """Somebody may have edited a published file; from any thread, as often as one likes."""
        self._mailbox.post(self._publishing.look)

    def defined(self) -> None:
        """Masters, worker types or personas may have changed; from any thread."""
        self._mailbox.post(self._look_at_definitions)

    def _look_at_definitions(self) -> None:
        self._definitions_due = True

    def end(self) -> None:
        """Writes the last lines and files; workers live on."""
        live = len(self._context.state.live)
        self._selfwatch.end()
        try:
            self._engine.commit()
            self._effects.close()
            # What the effects answered makes lines too; nothing is published before they last.
            self._mailbox.take()
            self._engine.apply(
                Entry("daemon", "told to stop", [{"event": "daemon_stopped", "workers": live}])
            )
            self._engine.commit()
            self._take_changes()
            self._publishing.daemon["status"] = "stopped"
            self._publishing.daemon.pop("pid", None)
            self._publishing.refresh()
            self._publishing.last()
            self._saving.save()
        except (CortexError, OSError) as error:
            self._log.error("the last files could not be written", error=str(error))
        self._executor.close()
        self._journal.close()
        self._log.info("stopped", workers_left_running=live)

    def leave(self) -> None:
        """Gives back what the process held for it; for whoever runs many in one process."""
        self._mailbox.close()

    @property
    def state(self) -> State:
        """The state with all that was decided, durable or not."""
        return self._context.state

    @property
    def durable_seq(self) -> int:
        """The last journal line that counts as durable."""
        return self._journal.position.seq

    @property
    def degraded(self) -> str | None:
        """Why the daemon says that it is degraded, as of its last look at itself."""
        return self._selfwatch.degraded

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to stop, or has drained; whoever brings the loop calls `end` then."""
        return self._loop.stopping

    @property
    def starts_nothing(self) -> bool:
        """Whether new work waits for now, whatever slots and tokens there are."""
        return self._context.starts_nothing

    @property
    def has_post(self) -> bool:
        """Whether results wait for the next turn."""
        return self._mailbox.waiting

    def _about(self) -> dict[str, Any]:
        return {
            "status": "running",
            "pid": self._pid,
            "version": __version__,
            "started_at": self._engine.now().at,
            "paused": self._context.state.paused,
        }

    def _greet(self, opened: Opened, runtime_dir: str) -> None:
        limits = self._context.settings.limits
        self._log.info(
            f"cortexd {__version__}",
            home=str(self._paths.root),
            agents=limits.agents,
            tools=self._context.settings.tools_limit(self._context.cores),
            budget=self._context.settings.budget.total,
            locks=runtime_dir,
            lines_replayed=opened.replayed,
        )
        for note in opened.notes:
            self._log.warning(note)
        if self._context.anothers_dirs:
            self._log.warning("this home is a copy: what runs for the other one is let alone")
        self._in_force.tell()

    def _reload(self) -> None:
        self._definitions_due = False
        if self._in_force.look():
            self._masters.look_at_blocked()

    # --- turns

    def turn(self) -> None:
        """Takes in what was posted, decides, makes it durable, and hands out what follows."""
        self._mailbox.take()
        self._turn()

    def next_due(self) -> float | None:
        """Monotonic instant at which a turn is due without any event; None: none ever."""
        return min((due for due in self._dues() if due is not None), default=None)

    def _dues(self) -> Iterable[float | None]:
        if self._context.full is not None:
            return (self._full_until,)
        return (
            self._next_resync,
            0.0 if self._masters.busy else None,
            self._masters.next_due(),
            self._workers.next_due(),
            self._intake.next_due(),
            self._publishing.next_due(),
            self._editing.next_due(),
        )

    def _turn(self) -> None:
        self._workers.reports()
        self._loop.watch(self._executor.filenos())
        looked = self._resync()
        if self._context.full is None:
            if self._definitions_due:
                self._reload()
            self._decide()
        durable = self._make_durable()
        if looked or not self._selfwatch.is_ready:
            is_ready = self._publishing.count > 0 and self._workers.adopted
            self._selfwatch.beat(is_ready=is_ready)
        if not durable:
            self._publishing.tell()
            return
        # Files and checkpoint follow what is durable; the decisions find the same changes in the
        # next turn, where a full disk or the bound of the rounds kept them from it in this one.
        self._publishing.changed(self._context.state.touched)
        self._saving.changed(self._context.state.touched)
        self._gathering.turn()
        self._workers.turn()
        self._intake.turn()
        self._publishing.turn()
        self._editing.turn()
        self._saving.turn()
        if self._context.draining and not self._context.state.live:
            self._loop.stop()

    def _resync(self) -> bool:
        """Looks at everything where that is due; whether it was."""
        clock = self._clock.monotonic()
        if clock < self._next_resync:
            return False
        rests = 1 if self._context.state.live else IDLE_REST
        rest_s = self._selfwatch.rest_s(rests * self._context.settings.daemon.resync)
        if self._context.full is not None:
            rest_s = FULL_AGAIN_S
        self._next_resync = clock + rest_s
        if self._context.full is None:
            self._look_at_all()
        self._selfwatch.look(self._engine.now(), rest_s)
        return True

    def _look_at_all(self) -> None:
        self._look_at_lock()
        self._workers.resync()
        self._intake.look()
        self._publishing.look()
        self._reload()
        now = self._engine.now()
        self._masters.calendar(now)
        self._housekeeping.turn(now)

    def _look_at_lock(self) -> None:
        """HomeError where somebody removed the lock and another daemon has it now."""
        with contextlib.suppress(OSError):  # a disk that takes nothing for now
            if not self._is_still_locked():
                self._log.warning("the home's lock was removed; it was taken anew")

    def _decide(self) -> None:
        """Nothing starts before all that was dropped is planned and asked for: who was granted a
        place may have to give way to critical work."""
        now = self._engine.now()
        changed: dict[str, None] = {}
        for left in reversed(range(ROUNDS_A_TURN)):
            touched = self._take_changes()
            self._masters.changed(touched)
            workers = [ident for kind, ident in touched if kind == "worker"]
            for ident in workers:
                self._housekeeping.ended(ident)
            self._masters.turn(now)
            changed |= dict.fromkeys(workers)
            if left == 0 or not self._masters.busy or not self._context.state.touched:
                self._workers.start_approved(changed, now)
                changed.clear()
            if not self._context.state.touched:
                return

    def _take_changes(self) -> dict[tuple[str, str], None]:
        """The records that changed since the last call; files and checkpoint follow them."""
        touched, self._context.state.touched = self._context.state.touched, {}
        self._publishing.changed(touched)
        self._saving.changed(touched)
        return touched

    def _make_durable(self) -> bool:
        """Commits the turn; False while the disk takes nothing, and then nothing else happens."""
        if self._context.full is not None and self._clock.monotonic() < self._full_until:
            return False
        try:
            self._engine.commit()
        except JournalFull as error:
            self._degraded(str(error))
            return False
        if self._context.full is not None:
            self._recover()
        return True

    def _degraded(self, cause: str) -> None:
        is_new = self._context.full is None
        self._lives_on_ballast |= self._journal.release_ballast()
        self._context.full = cause
        self._full_until = self._clock.monotonic() + FULL_AGAIN_S
        if is_new:
            self._selfwatch.look(self._engine.now(), FULL_AGAIN_S)

    def _recover(self) -> None:
        """The journal takes lines again. New work starts once there is space for the ballast too:
        until then it is the ballast's space that ends and returned tokens are written into."""
        if self._lives_on_ballast and not self._journal.ensure_ballast():
            self._full_until = self._clock.monotonic() + FULL_AGAIN_S
            return
        self._lives_on_ballast = False
        self._context.full = None
        self._next_resync = 0.0

    def _slow_turn(self, took_s: float, cause: str) -> None:
        self._log.info("a slow turn", took_ms=round(took_s * 1000), cause=cause)


def _anothers(state: State, is_anothers_dir: Callable[[str], bool]) -> frozenset[str]:
    """The folders of locks in the state that another home uses, of which this one is a copy."""
    known = {worker.runtime_dir for worker in state.workers.values()} - {None}
    return frozenset(folder for folder in known if folder and is_anothers_dir(folder))
