"""The program's process tree: starting it under limits, signalling it, leaving none of it alive.

The shim is PID 1 of its namespace or else a subreaper, so whatever the program leaves behind
becomes the shim's child, also after a double fork with setsid and an empty environment. This
module keeps no time and no log.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal

from cortex.runtime.processes import all_pids, read_proc, signal_exactly, stat_or_none
from cortex.runtime.shim_namespace import signal_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cortex.runtime.processes import Stat
    from cortex.runtime.shim_order import Order

_PR_SET_NAME = 15  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl

# What Python or whoever started the daemon may ignore; an ignored signal outlives exec.
_DEFAULT_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGCHLD,
    signal.SIGXFSZ,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)


def become_subreaper() -> None:
    """Inherit every orphan of the tree; a forked child does not get this from its parent."""
    if _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(number)}")


def name_process(name: bytes) -> None:
    """What `ps` and `top` show for this process, at most 15 bytes."""
    _prctl(_PR_SET_NAME, name, 0, 0, 0)


def start_program(order: Order, limits: list[tuple[int, int]], output: int, lock: int) -> int:
    """Start the program in its own process group in the current folder; its pid.

    `limits` are (RLIMIT_…, value). stdin is /dev/null as the shim's own; stdout and stderr are
    `output`; `lock` stays open in it.
    Raises OSError, with the path, if it is missing or may not be run.
    """
    path = find_program(order.argv[0], order.env)
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    os.set_inheritable(lock, True)
    own = _lower_soft_limits(limits)
    try:
        pid = os.posix_spawn(
            path,
            order.argv,
            order.env,
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except OSError as problem:
        raise OSError(problem.errno, os.strerror(problem.errno or 0), path) from None
    finally:
        for kind, pair in own:
            resource.setrlimit(kind, pair)
    _fix_limits(pid, limits)
    return pid


def find_program(name: str, env: Mapping[str, str]) -> str:
    """The path that execvp(3) would take, by the program's own PATH; raises OSError if none."""
    if "/" in name:
        return name
    code = errno.ENOENT
    for folder in env.get("PATH", os.defpath).split(":"):
        path = f"{folder or '.'}/{name}"
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            code = errno.EACCES
    raise OSError(code, os.strerror(code), name)


def _lower_soft_limits(limits: list[tuple[int, int]]) -> list[tuple[int, tuple[int, int]]]:
    """Set this process's soft limits, for the program to inherit; what they were before.

    A fork of this interpreter, to set them in between, would cost more than all the rest.
    """
    own = []
    for kind, value in limits:
        soft, hard = resource.getrlimit(kind)
        own.append((kind, (soft, hard)))
        resource.setrlimit(kind, (_within(value, hard), hard))
    return own


def _fix_limits(pid: int, limits: list[tuple[int, int]]) -> None:
    """Make the program's limits hard, so that it cannot raise them again."""
    for kind, value in limits:
        try:
            _, hard = resource.prlimit(pid, kind)
            bound = _within(value, hard)
            # SIGXCPU comes at the soft limit; a second later the hard one kills.
            last = bound if kind != resource.RLIMIT_CPU else _within(value + 1, hard)
            resource.prlimit(pid, kind, (bound, last))
        except OSError:
            return  # it has ended already, or is not ours to limit any more (setuid)


def _within(value: int, hard: int) -> int:
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


class Tree:
    """All that lives below this process; `killed` counts who ended by this shim's SIGKILL."""

    def __init__(self, is_first: bool) -> None:
        """`is_first`: this process is PID 1, and everybody else in its namespace is the tree."""
        self._is_first = is_first
        self._is_killing = False
        self.killed = 0

    def signal(self, number: int) -> None:
        """Signal every process of it."""
        self._is_killing = self._is_killing or number == signal.SIGKILL
        if self._is_first:
            signal_all(number)
        else:
            signal_descendants(number)

    def reap_orphans(self, program: int) -> bool:
        """Reap what ended below, except the program itself; True once the program has ended."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return False
            if ended is None:
                return False
            if ended.si_pid == program:
                return True
            self._reap(ended.si_pid)

    def reap_all(self) -> bool:
        """Reap what ended; True while children are left."""
        try:
            while self._reap(-1):
                pass
        except ChildProcessError:
            return False
        return True

    def _reap(self, pid: int) -> int:
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped and self._is_killing and os.WIFSIGNALED(status):
            self.killed += os.WTERMSIG(status) == signal.SIGKILL
        return reaped

    def left(self) -> int:
        """How many do not end although they were killed."""
        if self._is_first:
            return max(1, len(all_pids()) - 1)
        return len(signal_descendants(signal.SIGKILL))


def signal_descendants(number: int) -> set[int]:
    """Signal the whole tree below this process, parents first; the pids that it reached."""
    reached: set[int] = set()
    myself = os.getpid()
    frontier = [(pid, myself) for pid in children_of("self")]
    while frontier:
        pid, parent = frontier.pop()
        stat = stat_or_none(pid)
        if stat is None or pid in reached or stat.parent not in (parent, myself):
            continue  # gone since it was listed; the pid may be a stranger's by now
        below = [(child, pid) for child in children_of(str(pid))]
        if _signal_one(pid, stat, myself, number) and stat.state != "Z":
            reached.add(pid)
        frontier.extend(below)
    return reached


def _signal_one(pid: int, stat: Stat, myself: int, number: int) -> bool:
    if stat.parent != myself:
        return signal_exactly(pid, stat.start_ticks, number)
    try:
        os.kill(pid, number)  # a child's pid is ours until it is reaped
    except OSError:
        return False  # it changed its user
    return True


def children_of(pid: str) -> list[int]:
    """The children of a process, over all its threads (/proc/PID/task/TID/children, proc(5))."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            raw = read_proc(f"/proc/{pid}/task/{thread}/children", 1 << 20)
            found += [int(word) for word in raw.split()]
    except OSError:
        pass
    return found
