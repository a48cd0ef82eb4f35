"""What holds a shim's workers: its pid namespace, its control group, and the limits of both.

Made by the nursery for each shim, whose workers one after the other live in it. It starts and
signals nobody; the tree below a shim is shim_tree's.
"""

from __future__ import annotations

import resource
import sys

from cortex.runtime.processes import read_proc
from cortex.runtime.shim_namespace import is_intact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cortex.runtime.shim_groups import Group
    from cortex.runtime.shim_namespace import Outside

    Limits = Mapping[str, float | None]

_LEAST_MEMORY_BYTES = 64 * 1024 * 1024  # below, the shim could not even start the program


class Cage:
    """One shim's. `outside` is the shim as the daemon sees it; `is_first` says that it is PID 1 of
    its own pid namespace, `own_user` that this came with a user namespace.
    """

    def __init__(
        self,
        outside: Outside,
        group: Group | None = None,
        *,
        is_first: bool = False,
        own_user: bool = False,
        must_group: bool = False,
    ) -> None:
        self.outside = outside
        self.is_first = is_first
        self._own_user = own_user
        self._group = group
        self._must_group = must_group
        self._is_inside = False

    def prepare(self, limits: Limits) -> list[tuple[int, int]]:
        """Make it ready for one worker; the resource limits (RLIMIT_…, value) that it starts with.

        A group is entered when a worker first has a limit that one holds better. Raises OSError
        only where nothing but the group would hold the worker.
        """
        processes, memory = _whole(limits.get("processes")), _whole(limits.get("memory_bytes"))
        if memory is not None:
            memory = max(_LEAST_MEMORY_BYTES, memory)
        holds = self._enter(processes, memory)
        wanted = []
        if memory is not None and not holds[1]:
            wanted.append((resource.RLIMIT_AS, memory))
        if processes is not None and not holds[0]:
            wanted.append((resource.RLIMIT_NPROC, self._processes_in_all(processes)))
        if (file_bytes := _whole(limits.get("file_bytes"))) is not None:
            wanted.append((resource.RLIMIT_FSIZE, file_bytes))
        if (cpu_s := _whole(limits.get("cpu_s"))) is not None:
            wanted.append((resource.RLIMIT_CPU, max(1, cpu_s)))
        return wanted

    def _enter(self, processes: int | None, memory: int | None) -> tuple[bool, bool]:
        """(processes, memory): which of them the group holds the worker to."""
        if self._group is None:
            return False, False
        binds = self._group.binds()
        is_useful = (processes is not None and binds[0]) or (memory is not None and binds[1])
        if not (self._must_group or self._is_inside or is_useful):
            return False, False
        try:
            if not self._is_inside:
                self._group.enter()
                self._is_inside = True
            self._group.limit(processes, memory)
        except OSError as problem:
            if self._must_group:
                raise
            print(f"no control group: {problem}", file=sys.stderr, flush=True)
            return False, False
        return binds

    def _processes_in_all(self, processes: int) -> int:
        """RLIMIT_NPROC counts a user's processes, since Linux 5.14 by user namespace."""
        if self._own_user:
            return processes + 1  # the shim is one of them
        # The fourth field of /proc/loadavg ends with the number of tasks on the machine.
        return int(read_proc("/proc/loadavg", 256).split()[3].split(b"/")[1]) + processes

    def limits_met(self) -> list[str]:
        """What came of the worker's limits that the group holds it to, as sentences."""
        return self._group.limits_met() if self._group is not None and self._is_inside else []

    def claim(self) -> dict[str, Any]:
        """What a claim says of it, so that a later daemon can end all that is in it."""
        groups = self._group.folders if self._group is not None and self._is_inside else []
        held = "namespace" if self.is_first else "cgroup" if groups else "none"
        return {"contained": held, "cgroups": groups}

    def leave(self) -> None:
        """Nothing is left of any worker, and this process ends."""
        if self._group is not None and self._is_inside:
            self._group.leave()

    def is_intact(self) -> bool:
        """False if a worker changed what the next one would find."""
        return not self.is_first or is_intact()


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
