"""Reads what a program prints until the program has ended, whoever else holds its pipe open.

What it left running in its group gets as long as a worker's own leavings get, and is ended then.
It knows nothing of what the output means. Standard library only.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Iterator

__all__ = ["drain"]

#: As docs/worker-contract.md says of what a worker leaves running.
_GRACE_S = 0.2
_LOOK_S = 0.005
_CHUNK_BYTES = 65536
#: What may still lie in the pipe of a program whose group has been ended.
_REST_BYTES_AT_MOST = 1024 * 1024


def drain(process: subprocess.Popen[bytes]) -> Generator[bytes, None, None]:
    """What a program prints, piece by piece; it is reaped when the last piece has been taken, and
    ended when this is closed before. The program must have been started as the first of its group
    (`process_group=0`), with a pipe.
    """
    assert process.stdout is not None
    end_s: float | None = None
    handle = os.pidfd_open(process.pid)
    try:
        with process.stdout as stream, selectors.DefaultSelector() as selector:
            pipe = stream.fileno()
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(handle, selectors.EVENT_READ)
            while selector.get_map() and (end_s is None or time.monotonic() < end_s):
                left_s = None if end_s is None else max(0.0, end_s - time.monotonic())
                for key, _ in selector.select(left_s):
                    if key.fd == handle:
                        end_s = time.monotonic() + _GRACE_S
                        selector.unregister(handle)
                        process.wait()
                    elif chunk := os.read(pipe, _CHUNK_BYTES):
                        yield chunk
                    else:
                        selector.unregister(pipe)
            _end_group(process.pid, end_s or 0.0)
            if selector.get_map():
                yield from _rest(pipe)
    finally:
        os.close(handle)
        if process.poll() is None:  # nobody takes the rest
            _end_group(process.pid, 0.0)
            process.wait()


def _end_group(group: int, end_s: float) -> None:
    """Ends what is left of a group, at once when the time has come; none is left in most cases."""
    try:
        while time.monotonic() < end_s:
            os.killpg(group, 0)
            time.sleep(_LOOK_S)
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _rest(pipe: int) -> Iterator[bytes]:
    """What lies in a pipe that nobody may be left to close."""
    os.set_blocking(pipe, False)
    left = _REST_BYTES_AT_MOST
    while left > 0:
        try:
            chunk = os.read(pipe, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            return
        left -= len(chunk)
        yield chunk
