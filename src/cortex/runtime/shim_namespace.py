"""A pid namespace with a /proc of its own: whoever is PID 1 in it takes the whole tree with it.

Used by the nursery, which makes its shims PID 1, and for finding out whether the kernel allows
it; so it imports next to nothing. When such a namespace is wanted is decided elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from contextlib import suppress

from cortex.runtime.processes import Stat, pid_namespace, write_proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

# <linux/sched.h> and <linux/mount.h>
_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWPID = 0x2000_0000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_PRIVATE = 2, 4, 8, 1 << 18
_FAULT = 70  # EX_SOFTWARE, sysexits.h
_libc = ctypes.CDLL(None, use_errno=True)


class Outside:
    """A process as its daemon sees it: where it is PID 1, it would not know its own pid."""

    __slots__ = ("pid_namespace", "stat")

    def __init__(self) -> None:
        """Read it; /proc must still be the daemon's."""
        self.stat = Stat("self")
        self.pid_namespace = pid_namespace()


def needs_user_namespace() -> bool:
    """Whether a pid namespace takes a user namespace too here: root may do without.

    Tries it in a child that ends at once. Raises OSError, with the step that failed as its
    filename, where neither way is allowed.
    """
    try:
        fork_apart(False, lambda _outside: None)
    except OSError:
        fork_apart(True, lambda _outside: None)
        return True
    return False


def fork_apart(own_user: bool, live: Callable[[Outside], object]) -> int:
    """Run `live` in a new process that is PID 1 of a new pid namespace; its pid as we see it.

    The process between has ended when this returns, so a caller that is a subreaper becomes the
    parent. Raises OSError if a step fails, before `live` began.
    """
    namespace = pid_namespace()
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        between = os.fork()
        if between == 0:
            _go_between(own_user, namespace, live, writing)
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with open(reading, "rb") as told:
        answer = told.read().decode("ascii")
    with suppress(ChildProcessError):  # none is left where SIGCHLD is ignored
        os.waitpid(between, 0)
    number, _, step = answer.partition(" ")
    if step or not answer:
        code = int(number or errno.ECHILD)
        raise OSError(code, os.strerror(code), step)
    return int(number)


def _go_between(
    own_user: bool, namespace: int, live: Callable[[Outside], object], writing: int
) -> NoReturn:
    """Step into the namespaces, and leave a child there that is their first process."""
    status = _FAULT
    try:
        _unshare(own_user)
        if os.fork() == 0:
            _be_first(namespace, live, writing)
        status = 0
    except OSError as problem:
        _tell(writing, problem)
    finally:
        os._exit(status)


def _be_first(namespace: int, live: Callable[[Outside], object], writing: int) -> NoReturn:
    status = _FAULT
    try:
        outside = Outside()
        outside.pid_namespace = namespace
        _mount_proc()
        os.write(writing, str(outside.stat.pid).encode("ascii"))
        os.close(writing)
    except OSError as problem:
        _tell(writing, problem)
    else:
        live(outside)
        status = 0
    finally:
        os._exit(status)


def _tell(writing: int, problem: OSError) -> None:
    with suppress(OSError):
        os.write(writing, f"{problem.errno or 0} {problem.filename or 'fork'}".encode())


def _unshare(own_user: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWPID | _CLONE_NEWNS | (_CLONE_NEWUSER if own_user else 0)
    _check(_libc.unshare(flags), "unshare")
    if own_user:
        # The same ids inside: files look as they do outside (user_namespaces(7)).
        write_proc("/proc/self/setgroups", "deny")
        write_proc("/proc/self/uid_map", f"{uid} {uid} 1")
        write_proc("/proc/self/gid_map", f"{gid} {gid} 1")


def _mount_proc() -> None:
    """A /proc that shows this namespace, or programs would not find themselves in it.

    The mount below it becomes private, so that nobody else sees this one; all others stay shared
    with the machine as they were.
    """
    _check(_libc.mount(None, b"/proc", None, _MS_PRIVATE, None), "mount /proc private")
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _check(_libc.mount(b"proc", b"/proc", b"proc", flags, None), "mount /proc")


def _check(result: int, step: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), step)


def is_intact() -> bool:
    """True if /proc still shows the namespace whose PID 1 this process is."""
    try:
        return os.readlink("/proc/self") == "1"
    except OSError:
        return False


def signal_all(number: int) -> None:
    """Signal every process of the namespace but its PID 1, which must be the caller.

    The kernel holds forks off meanwhile (kill(2), pid -1), so none can slip through.
    """
    with suppress(ProcessLookupError):
        os.kill(-1, signal.Signals(number))


def is_first() -> bool:
    """True if this process is PID 1 of its namespace: only then `signal_all` is harmless."""
    return os.getpid() == 1
