"""What the daemon tells a shim, and what a shim tells the daemon: the two small messages.

The order travels as JSON from the daemon through the nursery; hints go back as datagrams that
may be lost. Neither side imports the other.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import suppress

TYPE_CHECKING = False  # typing itself would cost memory in every shim
if TYPE_CHECKING:
    from typing import Any

_LONGEST_SOCKET_PATH = 107  # unix(7): sun_path is 108 bytes with its NUL
_HINT_WAIT_US = 200_000
IDLE = b"i"


class Order:
    """One launch as the shim needs it; the keys are those that `frame` writes."""

    __slots__ = (
        "argv",
        "attempt_dir",
        "boot_id",
        "cwd",
        "env",
        "grace_s",
        "limits",
        "lock_dir",
        "log_limit_bytes",
        "nonce",
        "spec_path",
        "spec_text",
        "task_id",
        "timeout_s",
        "title",
        "worker_dir",
        "worker_id",
    )

    def __init__(self, document: dict[str, Any]) -> None:
        self.worker_id: str = document["worker_id"]
        self.nonce: int = document["nonce"]
        self.attempt_dir: str = document["attempt_dir"]
        self.lock_dir: str = document["lock_dir"]
        self.worker_dir: str = document["worker_dir"]
        self.spec_text: str = document["spec_text"]
        self.spec_path: str = document["spec_path"]
        self.task_id: str = document["task_id"]
        self.title: str = document["title"]
        self.argv: list[str] = document["argv"]
        self.env: dict[str, str] = document["env"]
        self.cwd: str | None = document["cwd"]
        self.timeout_s: float = document["timeout_s"]
        self.grace_s: float = document["grace_s"]
        self.log_limit_bytes: int = document["log_limit_bytes"]
        self.limits: dict[str, float | None] = document["limits"]
        self.boot_id: str = document["boot_id"]


def frame(message: object) -> bytes:
    """A message as JSON behind its length in four bytes, big-endian."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "big") + body


def split_frames(buffer: bytearray) -> list[Any]:
    """Take the whole messages off the front of `buffer`; the rest stays in it."""
    messages = []
    while len(buffer) >= 4:
        end = 4 + int.from_bytes(buffer[:4], "big")
        if len(buffer) < end:
            break
        messages.append(json.loads(buffer[4:end]))
        del buffer[:end]
    return messages


def socket_address(path: str) -> str:
    """An address for the socket at `path` that fits sun_path, however long the path is.

    A long path is reached through /proc/self/fd and a descriptor of its folder, which stays
    open for this process and those that it forks. Raises OSError if the folder is missing.
    """
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{os.path.basename(path)}"


class Channel:
    """A shim's line to its nursery: it says that it is free, and gets its next order."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def say_idle(self) -> None:
        """One byte; a nursery that is gone does not mind."""
        with suppress(OSError):
            self._connection.send(IDLE)

    def next_order(self) -> Order | None:
        """Wait for it; None when the nursery has no more use for this shim or is gone."""
        buffer = bytearray()
        while True:
            try:
                received = self._connection.recv(1 << 16)
            except OSError:
                return None
            if not received:
                return None
            buffer += received
            for document in split_frames(buffer):
                return Order(document)


class Hints:
    """Sends "look again" to whichever daemon is bound to the wake path; nobody there is fine."""

    def __init__(self, wake_path: str) -> None:
        self._address = socket_address(wake_path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        wait = struct.pack("ll", 0, _HINT_WAIT_US)  # a timeval
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)

    def claimed(self, worker_id: str, pid: int, start_ticks: int, nonce: int) -> None:
        """Never waits: the program is about to start."""
        self._send(f"claimed {worker_id} {pid} {start_ticks} {nonce}", socket.MSG_DONTWAIT)

    def start_failed(self, worker_id: str, nonce: int, error: str) -> None:
        """No claim could be made; the program does not run."""
        self._send(f"failed {worker_id} {nonce} {error}", 0)

    def exited(self, worker_id: str) -> None:
        """Waits a little for a full queue, which holds ten: nothing else is left to do."""
        self._send(f"exited {worker_id}", 0)

    def _send(self, text: str, flags: int) -> None:
        with suppress(OSError):  # the daemon's next scan sees it
            self._socket.sendto(text.encode(), flags, self._address)
