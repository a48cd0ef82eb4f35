"""How the nursery brings a shim into being: with which namespace and which control group.

The choice of `workers.containment` is carried out here. Loaded in every shim, so it imports next
to nothing.
"""

from __future__ import annotations

import binascii
import errno
import os
import sys

from cortex.runtime.processes import Stat
from cortex.runtime.shim_cage import Cage
from cortex.runtime.shim_groups import PREFIX, Group, Place, find_place, sweep
from cortex.runtime.shim_namespace import Outside, fork_apart, needs_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What says "not here" rather than "not now". ENOSPC: user.max_pid_namespaces is reached.
_NOT_HERE = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSPC, errno.EUSERS, errno.ENOSYS)


def try_namespace() -> str:
    """plain or user (with a user namespace), or a sentence on why no namespace can be had."""
    try:
        return "user" if needs_user_namespace() else "plain"
    except OSError as problem:
        return f"{problem.filename}: {problem.strerror}"


class Birth:
    """Forks shims as `workers.containment` says.

    auto: a pid namespace, where there is none a control group, where neither can be had neither.
    namespace, cgroup: that, or the start fails. none: only the shim holds its tree together. A
    group is there for limits too, except with none.
    """

    def __init__(self, containment: str, wake_path: str) -> None:
        """Find out what can be had; some 5 ms. `wake_path` tells this home's groups apart."""
        self._containment = containment
        tried = try_namespace() if containment in ("auto", "namespace") else ""
        self._has_namespace = tried in ("plain", "user")
        self._own_user = tried == "user"
        self._place = Place() if containment == "none" else find_place()
        home = binascii.crc32(os.fsencode(wake_path))
        me = Stat("self")
        prefix = f"{PREFIX}{home:08x}-"
        self._names = f"{prefix}{me.pid}-{me.start_ticks}"
        self._count = 0
        sweep(self._place, prefix)

    def fork(self, live: Callable[[Cage], None]) -> tuple[int, list[str]]:
        """Run `live`, which must not return, as a new shim; its pid, and the groups that it may
        enter. Raises OSError.
        """
        group = self._next_group()
        if self._containment == "namespace" and not self._has_namespace:
            # It failed at the start; it may have been allowed meanwhile, or fails here with why.
            self._own_user = needs_user_namespace()
            self._has_namespace = True
        pid = self._fork_apart(live, group) if self._has_namespace else None
        if pid is None:
            pid = self._fork_plainly(live, group)
        return pid, group.folders if group is not None else []

    def _next_group(self) -> Group | None:
        self._count += 1
        if not self._place.folders:
            if self._containment == "cgroup":
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "workers.containment=cgroup")
            return None
        return Group(self._place, f"{self._names}-{self._count}")

    def _fork_apart(self, live: Callable[[Cage], None], group: Group | None) -> int | None:
        own_user = self._own_user
        try:
            return fork_apart(
                own_user,
                lambda outside: live(Cage(outside, group, is_first=True, own_user=own_user)),
            )
        except OSError as problem:
            if self._containment == "namespace" or problem.errno not in _NOT_HERE:
                raise
            print(f"no pid namespace: {problem}", file=sys.stderr, flush=True)
            return None

    def _fork_plainly(self, live: Callable[[Cage], None], group: Group | None) -> int:
        pid = os.fork()
        if pid == 0:
            live(Cage(Outside(), group, must_group=self._containment != "none"))
        return pid
