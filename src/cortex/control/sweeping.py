"""Removes logs, unused mirrors and refused drops after `retention_days`, a few at a time.

All of it happens in an effect thread. Nothing goes that belongs to a task or worker which the state
still has. Journal and archive stay for ever: they are the audit trail, and what keeps ids and keys
unique. A clock that jumped is not believed at once, because what a wrong date removes is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from cortex.control.context import Context
from cortex.decide.entry import Entry, Now
from cortex.model.seams import Disk
from cortex.model.times import format_time, parse_time
from cortex.runtime.executor import Executor
from cortex.store.retention import (
    clear_attempts,
    remove_days,
    remove_mirrors,
    remove_rejected,
    stale_attempts,
)

__all__ = ["Sweeping"]

#: Entries removed by one effect.
ENTRIES_AT_ONCE = 200
#: A day is over once in a while; looking more often finds nothing.
LOOK_EVERY_S = 3600.0
#: Wall time that passed beside the clock since boot: more is somebody's hand, or a wrong battery.
JUMP_S = 3600.0
#: A home that slept for longer may have woken with a wrong date.
SLEPT_S = 86_400.0
TRUST_AFTER_S = 3600.0
_DAY_S = 86_400.0


@dataclass(slots=True)
class _Sweep:
    """What one sweep has removed so far."""

    until: str
    workers: int = 0
    tasks: int = 0
    rejected: int = 0
    mirrors: int = 0

    @property
    def total(self) -> int:
        return self.workers + self.tasks + self.rejected + self.mirrors


class Sweeping:
    """Sweeps for one daemon."""

    def __init__(self, context: Context, executor: Executor, disk: Disk) -> None:
        self._context = context
        self._executor = executor
        self._disk = disk
        self._under_way = False
        self._next_s = 0.0
        self._trusted_s = 0.0
        self._last_at = context.state.at
        self._clocks: float | None = None
        self._sweep: _Sweep | None = None

    def turn(self, now: Now) -> None:
        """Takes the next step of a sweep, if one is due."""
        clock = self._context.engine.clock.monotonic()
        self._watch_clock(now, clock)
        if self._under_way or clock < max(self._next_s, self._trusted_s):
            return
        until = format_time(now.wall - self._context.settings.retention.retention_days * _DAY_S)[
            :10
        ]
        if self._sweep is None:
            self._sweep = _Sweep(until)
        self._under_way = True
        self._context.effects.run(
            "sweep", partial(self._remove, self._sweep.until, self._kept(until)), self._removed
        )

    def _watch_clock(self, now: Now, clock: float) -> None:
        """After a jump, and after a long sleep, the date must have held for an hour."""
        between = now.wall - now.boottime
        if self._clocks is None:
            last = self._last_at
            jumped = bool(last) and now.wall - parse_time(f"{last[:19]}Z") > SLEPT_S
        else:
            jumped = abs(between - self._clocks) > JUMP_S
        if self._clocks is None or jumped:
            self._clocks = between
        if jumped:
            self._trusted_s = clock + TRUST_AFTER_S
            self._sweep = None

    def _kept(self, until: str) -> tuple[frozenset[str], frozenset[str]]:
        """(worker folders, task folders) of what is still in the state, as DAY/NAME."""
        state = self._context.state
        workers = {
            "/".join(worker.folder.split("/")[-2:])
            for worker in state.workers.values()
            if worker.folder is not None
        }
        tasks = {f"{task.created_at[:10]}/{task.id}" for task in state.tasks.values()}
        return (
            frozenset(name for name in workers if name < until),
            frozenset(name for name in tasks if name < until),
        )

    def _remove(self, until: str, kept: tuple[frozenset[str], frozenset[str]]) -> Any:
        """In the effect thread."""
        paths = self._context.paths
        before_ns = int(parse_time(f"{until}T00:00:00Z") * 1e9)
        workers = remove_days(paths.worker_logs, until, kept[0], ENTRIES_AT_ONCE)
        tasks = remove_days(paths.task_logs, until, kept[1], ENTRIES_AT_ONCE)
        rejected = remove_rejected(self._disk, paths.rejected, before_ns, ENTRIES_AT_ONCE)
        mirrors = remove_mirrors(paths.mirrors, before_ns, ENTRIES_AT_ONCE)
        return workers, tasks, rejected, mirrors, stale_attempts(paths.attempts, paths.worker_specs)

    def _removed(self, outcome: Any) -> None:
        self._under_way = False
        context, sweep = self._context, self._sweep
        clock = context.engine.clock.monotonic()
        if not context.kept_up("old logs could not be removed", outcome):
            self._next_s, self._sweep = clock + LOOK_EVERY_S, None
            return
        workers, tasks, rejected, mirrors, attempts = outcome
        if sweep is None:
            return
        sweep.workers += workers.count
        sweep.tasks += tasks.count
        sweep.rejected += rejected.count
        sweep.mirrors += mirrors.count
        if workers.more or tasks.more or rejected.more or mirrors.more:
            return  # the next turn goes on
        self._next_s, self._sweep = clock + LOOK_EVERY_S, None
        self._clear_attempts(attempts)
        if sweep.total:
            self._tell(sweep)

    def _clear_attempts(self, names: list[str]) -> None:
        """Files of workers that the state has forgotten; a crash or a full disk left them."""
        context = self._context
        stale = [name for name in names if name not in context.state.workers]
        if stale:
            paths, forget = context.paths, self._executor.forget
            context.effects.run(
                "sweep",
                lambda: clear_attempts(paths.attempts, paths.worker_specs, stale, forget),
                lambda _outcome: None,
            )

    def _tell(self, sweep: _Sweep) -> None:
        days = self._context.settings.retention.retention_days
        why = f"logs and refused drops are kept for {days} days"
        event = {
            "event": "logs_removed",
            "until": sweep.until,
            "workers": sweep.workers,
            "tasks": sweep.tasks,
            "rejected": sweep.rejected,
            **({"mirrors": sweep.mirrors} if sweep.mirrors else {}),
        }
        self._context.engine.apply(Entry("daemon", why, [event]))
        self._context.log.info(why, before=sweep.until, removed=sweep.total)
