"""The daemon watches itself: signs of trouble become conditions, told wherever somebody looks.

At each resync every source of signs is asked what waits now. What began or ended is one line of the
journal and of the log; what stands is in the head of task-queue.json and in the service manager's
status line. The watchdog is fed here, and only while nothing hangs.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from cortex.control.context import Context
from cortex.control.effects import LANE_IDLE, LANE_THREAD
from cortex.control.notifying import Notifier
from cortex.decide.entry import Entry, Now
from cortex.decide.health import Change, Health, Sign
from cortex.decide.reserve import opened, questions

__all__ = ["SelfWatch"]

#: The wall clock against CLOCK_BOOTTIME: more than this at once is no slewing, adjtimex(2).
JUMP_S = 10.0
#: So long a jump of the clock stays in the status.
JUMP_SHOWN_S = 600.0
#: A look that comes later than this many rests means that the daemon itself stood still.
RESTS_AT_MOST = 2.0
#: Asked for at each look while it is not ready yet, or drains.
MORE_TIME_S = 30.0

Signs = Callable[[], Iterable[Sign]]


class SelfWatch:
    """Health of one daemon. `about` is the head of task-queue.json, `refresh` publishes it."""

    def __init__(
        self,
        context: Context,
        about: dict[str, Any],
        refresh: Callable[[], None],
        notifier: Notifier,
    ) -> None:
        self._context = context
        self._about = about
        self._refresh = refresh
        self._notifier = notifier
        self._sources: list[Signs] = [self._own_signs]
        self._notes: dict[tuple[str, str], str] = {}
        self._health = Health()
        self._looked: float | None = None
        self._awake = 0.0
        self._offset: float | None = None
        self._jump: tuple[float, str] | None = None
        self._ready = False
        #: Files of agents/ that cannot be used, as the head of task-queue.json has them.
        self.broken: list[dict[str, str]] = []

    def ask(self, *sources: Signs) -> None:
        """Adds sources of signs."""
        self._sources += sources

    @property
    def degraded(self) -> str | None:
        """The gravest cause that stood at the last look; None: all is well."""
        found = self._health.degraded
        return None if found is None else found.cause

    @property
    def is_ready(self) -> bool:
        """Whether the service manager was told so, or there is none."""
        return self._ready or not self._notifier.speaks

    def note(self, condition: str, cause: str | None, source: str = "") -> None:
        """Keeps a condition up for as long as one of its sources has a cause."""
        if cause is None:
            self._notes.pop((condition, source), None)
        else:
            self._notes[condition, source] = cause

    def rest_s(self, rest_s: float) -> float:
        """The rest between two resyncs, cut so that the watchdog is fed twice as often as it
        must be: it has no timer of its own.
        """
        watchdog_s = self._notifier.watchdog_s
        return rest_s if watchdog_s is None else min(rest_s, watchdog_s / 2)

    # --- looking

    def look(self, now: Now, rest_s: float) -> None:
        """Takes stock; to be called in a turn before its lines are made durable.

        `rest_s` is how soon the next look is meant to come.
        """
        clock = self._context.engine.clock.monotonic()
        if self._looked is not None:
            self._awake += min(clock - self._looked, RESTS_AT_MOST * rest_s)
        self._looked = clock
        self._mind_the_clock(now)
        signs = [sign for source in self._sources for sign in source()]
        patience_s = self._context.settings.daemon.stuck_after
        for change in self._health.look(signs, self._awake, now.at, patience_s):
            self._tell(change)
        self._head()

    def _own_signs(self) -> Iterable[Sign]:
        if self._context.full is not None:
            yield Sign("journal_unwritable", "journal", self._context.full)
        if self._jump is not None:
            if self._awake - self._jump[0] <= JUMP_SHOWN_S:
                yield Sign("clock_jumped", "clock", self._jump[1])
            else:
                self._jump = None
        for asked in questions(self._context.state):
            cause = f"{asked.task_id} waits for a yes to {asked.id}: {asked.reason}"
            yield Sign("reserve_asked", asked.id, cause)
        for opening in opened(self._context.state):
            cause = f"the emergency reserve is open for {opening.task_id}: {opening.why}"
            yield Sign("reserve_open", opening.task_id, cause)
        for what, cause in self._context.upkeep.items():
            yield Sign("upkeep_failing", what, cause)
        for (condition, source), cause in self._notes.items():
            yield Sign(condition, source, cause)

    def _mind_the_clock(self, now: Now) -> None:
        offset = now.wall - now.boottime
        jumped = offset - self._offset if self._offset is not None else 0.0
        self._offset = offset
        if abs(jumped) > JUMP_S:
            way = "forward" if jumped > 0 else "back"
            self._jump = self._awake, f"the clock was set {way} by {abs(jumped):.0f} s"

    def _tell(self, change: Change) -> None:
        found, log = change.standing, self._context.log
        event: dict[str, Any] = {
            "event": "condition_began" if change.began else "condition_ended",
            "condition": found.name,
            "degrading": found.condition.degrading,
        }
        if change.began:
            event["cause"] = found.cause
            word = "degraded" if found.condition.degrading else "note"
            say = log.error if found.condition.degrading else log.warning
            say(found.cause, condition=found.name, remedy=found.condition.remedy)
            self._context.engine.apply(Entry("daemon", f"{word}: {found.cause}", [event]))
            if found.name == "effect_stuck":
                self._log_lanes()
            return
        event |= {"since": found.since, "lasted_s": round(change.lasted_s, 1)}
        log.info("over: " + found.cause, condition=found.name, lasted_s=event["lasted_s"])
        self._context.engine.apply(Entry("daemon", f"no longer: {found.cause}", [event]))

    def _log_lanes(self) -> None:
        """Where each effect thread is: what hangs is seen nowhere else."""
        frames = sys._current_frames()
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or frame.f_code.co_name == LANE_IDLE:
                continue
            if thread.name.startswith(LANE_THREAD):
                stack = "".join(traceback.format_stack(frame)[-6:])
                self._context.log.warning("an effect thread", thread=thread.name, stack=stack)

    def _head(self) -> None:
        degraded = self._health.degraded
        told: dict[str, Any] = {"status": "running" if degraded is None else "degraded"}
        if degraded is not None:
            told |= {"cause": degraded.cause, "since": degraded.since}
        if self._health.standing:
            told["conditions"] = [
                {
                    "name": found.name,
                    "degrading": found.condition.degrading,
                    "cause": found.cause,
                    "since": found.since,
                    "remedy": found.condition.remedy,
                }
                for found in self._health.standing
            ]
        if self.broken:
            told["broken"] = self.broken
        names = ("status", "cause", "since", "conditions", "broken")
        if told != {name: self._about[name] for name in names if name in self._about}:
            self._forget()
            self._about |= told
            self._refresh()

    def _forget(self) -> None:
        for name in ("cause", "since", "conditions", "broken"):
            self._about.pop(name, None)

    # --- telling the service manager

    def beat(self, *, is_ready: bool) -> None:
        """Says that the loop has turned; called after a turn that took stock, once its lines are
        durable or the disk has refused them. Something that hangs is not said to be alive.
        """
        notifier = self._notifier
        if not notifier.speaks:
            return
        hangs = self._health.stands("effect_stuck")
        if is_ready and not self._ready and not hangs:
            self._ready = notifier.ready()
        notifier.status(self._status_line())
        if hangs:
            return
        if not self._ready or self._context.draining:
            notifier.extend(MORE_TIME_S)
        notifier.alive()

    def _status_line(self) -> str:
        state, degraded = self._context.state, self._health.degraded
        open_tasks = len(state.tasks) - len(state.ended_tasks)
        text = f"{len(state.live)} workers, {len(state.waiting)} waiting, {open_tasks} open tasks"
        if degraded is not None:
            text = f"degraded: {degraded.cause}; {text}"
        elif self._context.draining:
            text = f"draining: {text}"
        elif state.paused:
            text = f"paused: {text}"
        return text if self.is_ready else f"starting: {text}"

    def end(self) -> None:
        """The daemon is about to leave."""
        self._forget()
        self._notifier.stopping()
