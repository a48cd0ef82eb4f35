"""What goes wrong in a simulated run, and when: crashes, disks, clocks, machines, bad moments.

Each action does one harm to a run and says in words which. How often harm comes is the run's.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from cortex.testing.disk_faults import Fault, calls_that_fail_with

if TYPE_CHECKING:
    from cortex.testing.simulation import Simulation

__all__ = ["Mischief"]

_ERRORS = (errno.EIO, errno.EIO, errno.ENOSPC, errno.ENOSPC, errno.EMFILE, errno.EROFS)
_YEAR_S = 365 * 86_400.0
#: Calls between which an editor's save or another thread's work is worst.
_BAD_MOMENTS = (None, None, frozenset({"exchange", "rename_new", "rename"}),
                frozenset({"stat", "fstat", "read", "open_read"}),
                frozenset({"fdatasync", "fsync_dir", "unlink"}))  # fmt: skip


class Mischief:
    """Does harm to one run, as its seed decides."""

    def __init__(self, run: Simulation, chance: random.Random) -> None:
        self._run = run
        self._random = chance
        paths = run.paths
        self._places: dict[str, tuple[str, ...]] = {
            "anywhere": (),
            "the journal": (str(paths.journal),),
            "published files": (*map(str, paths.documents), str(paths.out)),
            "the inbox": (str(paths.inbox), str(paths.rejected)),
            "checkpoints": (str(paths.checkpoint), str(paths.state / ".checkpoint")),
            "the archive": (str(paths.archive),),
        }
        self._kinds: tuple[tuple[Callable[[], str], int], ...] = (
            (self._arm_crash, 12),
            (self._arm_error, 8),
            (self._arm_meanwhile, 12),
            (self._kill, 5),
            (self._cut_power, 4),
            (self._reboot, 1),
            (self._fill_disk, 2),
            (self._mend, 9),
            (self._stop_politely, 4),
            (self._jump_clock, 2),
            (self._suspend, 1),
            (self._stand_still, 2),
            (self._run_short, 2),
            (self._kill_shim, 2),
            (self._write_back, 2),
            (self._tell_falsely, 2),
        )

    def act(self) -> str:
        """One harm, in words."""
        actions = [action for action, _ in self._kinds]
        return self._random.choices(actions, [weight for _, weight in self._kinds])[0]()

    # --- the disk

    def _arm_crash(self) -> str:
        when = self._random.choice(("before", "half", "after"))
        at, place = self._random.randint(1, 40), self._place()
        self._run.disk.arm(Fault(at, None, when, under=self._places[place]))  # type: ignore[arg-type]
        return f"a crash {when} call {at} from now, {place}"

    def _arm_error(self) -> str:
        error = self._random.choice(_ERRORS)
        at, place = self._random.randint(1, 40), self._place()
        lasting = self._random.random() < 0.3
        when = self._random.choice(("before", "before", "half", "after"))
        if when == "after" and error != errno.EIO:
            when = "before"
        self._run.disk.arm(
            Fault(
                at,
                error,
                when,  # type: ignore[arg-type]
                calls=calls_that_fail_with(error),
                lasting=lasting,
                under=self._places[place],
            )
        )
        return f"{errno.errorcode[error]} {when} call {at}, {place}{', lasting' * lasting}"

    def _arm_meanwhile(self) -> str:
        """Something happens right in the middle of what the daemon does."""
        at, place = self._random.randint(1, 20), self._place()
        calls = self._random.choice(_BAD_MOMENTS)
        meanwhile = self._run.meanwhile
        self._run.disk.arm(Fault(at, calls=calls, under=self._places[place], action=meanwhile))
        return f"something comes between before call {at}, {place}"

    def _place(self) -> str:
        if self._random.random() < 0.5:
            return "anywhere"
        return self._random.choice(tuple(self._places))

    def _fill_disk(self) -> str:
        left = self._random.randint(0, 4000)
        self._run.disk.fill(left)
        return f"the disk has {left} bytes left"

    def _mend(self) -> str:
        self._run.disk.mend()
        return "faults are gone"

    def _write_back(self) -> str:
        self._run.disk.write_back()
        return "the kernel writes everything back"

    # --- the daemon

    def _kill(self) -> str:
        self._run.crash()
        return "kill -9"

    def _stop_politely(self) -> str:
        return self._run.stop_politely()

    def _stand_still(self) -> str:
        """SIGSTOP, and SIGCONT half a minute or more later."""
        seconds = self._random.choice((30.0, 31.0, 200.0))
        self._run.machine.pass_time(seconds)
        return f"the daemon stands still for {seconds:.0f} s"

    def _tell_falsely(self) -> str:
        """File events about nothing, and more than once."""
        life = self._run.life
        if life is not None:
            for _ in range(self._random.randint(1, 3)):
                self._random.choice((life.daemon.dropped, life.daemon.edited))()
        return "file events about nothing"

    # --- the machine

    def _cut_power(self) -> str:
        run = self._run
        run.crash()
        run.disk.cut_power()
        run.power_lost()
        return "power cut"

    def _reboot(self) -> str:
        """An orderly reboot that leaves the daemon no time."""
        run = self._run
        run.crash()
        run.disk.reboot()
        run.power_lost()
        return "reboot"

    def _jump_clock(self) -> str:
        seconds = self._random.choice((-1, 1)) * self._random.choice((5.0, 3600.0, _YEAR_S))
        self._run.clock.jump_wall(seconds)
        return f"the wall clock jumps by {seconds:.0f} s"

    def _suspend(self) -> str:
        seconds = self._random.choice((60.0, 7 * 3600.0))
        self._run.clock.suspend(seconds)
        return f"the machine sleeps for {seconds:.0f} s"

    def _run_short(self) -> str:
        """No process can be started for a while."""
        seconds = self._random.choice((5.0, 60.0))
        self._run.machine.short_until = self._run.clock.monotonic() + seconds
        return f"EAGAIN for every start, for {seconds:.0f} s"

    def _kill_shim(self) -> str:
        alive = self._run.machine.alive()
        if not alive:
            return "nothing runs"
        worker_id = self._random.choice(alive).worker_id
        self._run.machine.kill_shim(worker_id)
        return f"kill -9 of the shim of {worker_id}"
