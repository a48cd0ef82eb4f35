"""A small interpreter that keeps shims: it forks one where none is free, for a fork of the daemon
would be slow, and gives a free one its next order.

Started as `python -I -S -E nursery.py WAKE_PATH CONTAINMENT` with the daemon's socket as stdin; it
ends when that socket ends, and busy shims live on. It decides nothing, and only the shims touch
files. `nursery.py --try` says whether a shim could have a pid namespace of its own, and ends.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress

if __name__ == "__main__":  # -I and -S leave only the standard library on the path
    sys.path.append(os.path.abspath(__file__).rsplit("/", 3)[0])

from cortex.model.failpoints import failpoint
from cortex.runtime.nursery_birth import Birth, try_namespace
from cortex.runtime.nursery_leavings import Leavings
from cortex.runtime.shim import errno_name, live
from cortex.runtime.shim_order import Channel, Hints, Order, frame, split_frames
from cortex.runtime.shim_tree import become_subreaper, name_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cortex.runtime.shim_cage import Cage

_SHIM_FAULT = 70  # EX_SOFTWARE, sysexits.h
_IDLE_SHIMS_AT_MOST = 16
_IDLE_MS = 5000
_TIDY_MS = 100


class Nursery:
    """The daemon's socket, and a socket for each living shim with the groups that it may be in."""

    def __init__(self, control: socket.socket, hints: Hints, birth: Birth) -> None:
        self._control = control
        self._hints = hints
        self._birth = birth
        self._shims: dict[int, tuple[socket.socket, int, list[str]]] = {}
        self._idle: list[int] = []
        self._leavings = Leavings()
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the daemon closes its end."""
        while True:
            ready = [descriptor for descriptor, _event in self._poll.poll(self._wait_ms())]
            if self._leavings.are_left:
                self._leavings.tidy({pid for _connection, pid, _folders in self._shims.values()})
            elif not ready:
                self._dismiss(0)
            # First who is free, then who is wanted.
            for descriptor in ready:
                if descriptor in self._shims:
                    self._hear_shim(descriptor)
            if self._control.fileno() in ready and not self._hear_daemon():
                return
            self._dismiss(_IDLE_SHIMS_AT_MOST)

    def _wait_ms(self) -> int | None:
        if self._leavings.are_left:
            return _TIDY_MS
        return _IDLE_MS if self._idle else None

    def _hear_daemon(self) -> bool:
        """Take its orders; False when it is gone."""
        try:
            received = self._control.recv(1 << 18)
        except ConnectionError:
            return False
        self._buffer += received
        for launches in split_frames(self._buffer):
            answers = [self._employ(launch) for launch in launches]
            try:
                self._control.sendall(frame(answers))
            except OSError:
                return False  # no daemon any more; every shim that was asked for runs
        return bool(received)

    def _hear_shim(self, descriptor: int) -> None:
        try:
            said = self._shims[descriptor][0].recv(64)
        except OSError:
            said = b""
        if said:
            self._idle.append(descriptor)
        else:
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        connection, pid, folders = self._shims.pop(descriptor)
        with suppress(ValueError):
            self._idle.remove(descriptor)
        self._poll.unregister(descriptor)
        connection.close()
        self._leavings.add(pid, folders)

    def _dismiss(self, kept: int) -> None:
        """Let idle shims go, but for the `kept` that were busy last."""
        for descriptor in self._idle[: max(0, len(self._idle) - kept)]:
            self._drop(descriptor)

    def _employ(self, launch: dict[str, Any]) -> dict[str, Any]:
        """Give the launch to a shim; what to answer. In a forked child this does not return."""
        answer = {"worker_id": launch["worker_id"], "nonce": launch["nonce"]}
        order = frame(launch)
        while self._idle:
            descriptor = self._idle.pop()
            connection = self._shims[descriptor][0]
            failpoint("nursery.before_order")
            try:
                connection.sendall(order)
            except OSError:
                self._drop(descriptor)  # it was ended meanwhile
            else:
                return answer
        try:
            self._fork(launch)
        except OSError as problem:
            number = problem.errno or 0
            step = f"{problem.filename}: " if problem.filename else ""
            answer |= {"error": errno_name(number), "message": step + os.strerror(number)}
        return answer

    def _fork(self, launch: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        # A stop request may come before the child is ready for it: it waits in the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:
            failpoint("nursery.before_fork")
            pid, folders = self._birth.fork(
                lambda cage: self._live_as_shim(launch, ours, theirs, cage)
            )
            failpoint("nursery.forked")
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
            theirs.close()
        self._shims[ours.fileno()] = (ours, pid, folders)
        self._poll.register(ours, select.POLLIN)

    def _live_as_shim(
        self, launch: dict[str, Any], ours: socket.socket, theirs: socket.socket, cage: Cage
    ) -> None:
        status = _SHIM_FAULT
        try:
            # Or nobody would see an end of the nursery while this shim lives.
            for descriptor in (self._control.fileno(), ours.fileno(), *self._shims):
                os.close(descriptor)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            live(Order(launch), self._hints, Channel(theirs), cage)
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)


def main(wake_path: str, containment: str) -> None:
    """Serve the daemon whose socket is stdin."""
    control = socket.socket(fileno=os.dup(0))
    os.set_inheritable(control.fileno(), False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are reaped by the kernel
    become_subreaper()  # of shims that another process forked, and that are children all the same
    name_process(b"cortex-nursery")
    nursery = Nursery(control, Hints(wake_path), Birth(containment, wake_path))
    gc.disable()
    gc.collect()
    gc.freeze()
    nursery.serve()


if __name__ == "__main__":
    if sys.argv[1] == "--try":
        print(try_namespace())
    else:
        main(sys.argv[1], sys.argv[2])
