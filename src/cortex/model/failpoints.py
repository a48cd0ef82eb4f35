"""Named places at which a test lets a process die: right before and right after what must not be
done by halves. In production they cost a look into an empty table.

`CORTEX_FAILPOINT=NAME:NTH:MARK` (several by comma) kills the process that comes by NAME for the
NTH time, with SIGKILL, once: whoever makes the file MARK dies, whoever finds it goes on. It is read
once, when the process starts. The idea is etcd's gofail. Standard library only: shims use it too.
"""

import os
import signal

__all__ = ["VARIABLE", "failpoint", "inherited"]

VARIABLE = "CORTEX_FAILPOINT"


class _Armed:
    """One failpoint that was asked for."""

    def __init__(self, nth: int, mark: str) -> None:
        self._left = nth
        self._mark = mark

    def reach(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        try:
            mark = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError:
            return  # somebody else died here
        os.write(mark, b"%d\n" % os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)  # PID 1 of a namespace cannot kill itself


def _armed(text: str) -> dict[str, _Armed]:
    armed = {}
    for wish in filter(None, text.split(",")):
        name, nth, mark = wish.split(":", 2)
        armed[name] = _Armed(int(nth), mark)
    return armed


_ARMED = _armed(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Comes by a place of that name; the process ends here if a test asked for it."""
    if name in _ARMED:
        _ARMED[name].reach()


def inherited() -> dict[str, str]:
    """What a child with an environment of its own must be given to know of failpoints too."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
