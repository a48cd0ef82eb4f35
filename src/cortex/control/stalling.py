"""Notices a turn of the control loop that does not end, and logs where it is.

A thread waits for a kernel timer (timerfd_create(2)) that each turn winds up anew, so that it
sleeps as long as turns end: it costs one system call a turn and no wake-up. It changes nothing.
A turn that also keeps the interpreter to itself is left to the service manager's watchdog.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from typing import Any

from cortex.decide.health import Sign

__all__ = ["StallWatch"]


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


#: Python has os.timerfd_create from 3.13 on. PyDLL keeps the interpreter's lock over these two
#: calls, which never block: giving it away at each turn could cost half a millisecond.
_libc = ctypes.PyDLL(None, use_errno=True)


class StallWatch:
    """Watches one loop. `turn_begins` and `turn_ended` are called by its thread alone."""

    def __init__(self, limit_s: float, log: Any) -> None:
        self._limit_s = limit_s
        self._log = log
        self._timer = -1
        self._limit = _spec(limit_s)
        self._began: float | None = None
        self._over = False
        self._last: tuple[float, float] | None = None
        self._thread: threading.Thread | None = None
        self._watched = 0

    def start(self) -> None:
        """Begins to watch the thread that calls this. Raises OSError."""
        self._timer = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="stall-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watching thread."""
        if self._thread is None:
            return
        self._over = True
        self._wind(_spec(1e-6))
        self._thread.join(2.0)
        os.close(self._timer)
        self._timer = -1

    def turn_begins(self) -> None:
        """Winds the timer up."""
        self._began = time.monotonic()
        self._wind(self._limit)

    def turn_ended(self) -> None:
        """Keeps it in mind if that was too long."""
        began, self._began = self._began, None
        now = time.monotonic()
        if began is not None and now - began >= self._limit_s:
            self._last = now, now - began
            self._log.error("a stalled turn has ended", took_s=round(now - began, 1))

    def signs(self, for_s: float) -> Iterable[Sign]:
        """A stall stays visible for so many seconds after its end."""
        if self._last is not None and time.monotonic() - self._last[0] <= for_s:
            yield Sign("loop_stalled", "turn", f"a turn of the loop took {self._last[1]:.0f} s")

    def _wind(self, spec: _Itimerspec) -> None:
        if self._timer >= 0:
            _libc.timerfd_settime(self._timer, 0, ctypes.byref(spec), None)

    def _watch(self) -> None:
        while True:
            os.read(self._timer, 8)
            if self._over:
                return
            began = self._began
            # The timer of the turn before may run out while the next one winds it up.
            if began is not None and time.monotonic() - began >= 0.9 * self._limit_s:
                self._tell(time.monotonic() - began)

    def _tell(self, after_s: float) -> None:
        frame = sys._current_frames().get(self._watched)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown"
        self._log.error("a turn of the loop does not end", after_s=round(after_s, 1), stack=stack)


def _spec(seconds: float) -> _Itimerspec:
    whole = int(seconds)
    rest = max(int((seconds - whole) * 1e9), 1)
    return _Itimerspec(_Timespec(0, 0), _Timespec(whole, rest))
