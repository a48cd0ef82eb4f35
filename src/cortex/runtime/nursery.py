"""A small interpreter that forks one shim for each launch: a fork of the daemon would be slow.

Started as `python -I -S -E nursery.py WAKE_PATH` with the daemon's socket as stdin; it ends when
that socket ends, and its shims live on. It keeps no state and decides nothing.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback

if __name__ == "__main__":  # -I and -S leave only the standard library on the path
    sys.path.append(os.path.abspath(__file__).rsplit("/", 3)[0])

from cortex.runtime.shim import errno_name, run_attempt
from cortex.runtime.shim_order import Hints, Order, frame, split_frames
from cortex.runtime.shim_tree import name_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHIM_FAULT = 70  # EX_SOFTWARE, sysexits.h


def main(wake_path: str) -> None:
    """Serve until the daemon closes its end."""
    control = socket.socket(fileno=os.dup(0))
    os.set_inheritable(control.fileno(), False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are reaped by the kernel
    name_process(b"cortex-nursery")
    hints = Hints(wake_path)
    gc.disable()
    gc.collect()
    gc.freeze()
    _serve(control, hints)


def _serve(control: socket.socket, hints: Hints) -> None:
    buffer = bytearray()
    while True:
        try:
            received = control.recv(1 << 18)
        except ConnectionError:
            return
        if not received:
            return
        buffer += received
        for launches in split_frames(buffer):
            answers = [_fork_shim(launch, control, hints) for launch in launches]
            try:
                control.sendall(frame(answers))
            except OSError:
                return  # no daemon any more; every shim that was asked for runs


def _fork_shim(launch: dict[str, Any], control: socket.socket, hints: Hints) -> dict[str, Any]:
    """Fork one shim; what to answer. In the child this does not return."""
    answer = {"worker_id": launch["worker_id"], "nonce": launch["nonce"]}
    # A stop request may come before the child is ready for it: it waits in the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        pid = os.fork()
    except OSError as problem:
        number = problem.errno or 0
        answer |= {"error": errno_name(number), "message": os.strerror(number)}
    else:
        if pid == 0:
            _live_as_shim(launch, control, hints)
        answer["pid"] = pid
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    return answer


def _live_as_shim(launch: dict[str, Any], control: socket.socket, hints: Hints) -> None:
    status = _SHIM_FAULT
    try:
        os.close(control.fileno())  # or the daemon would not see the nursery's end
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        run_attempt(Order(launch), hints)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
