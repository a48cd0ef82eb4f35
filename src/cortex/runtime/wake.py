"""The daemon's ear: a datagram socket at a known path, where shims say "look again".

Any shim of any earlier daemon finds it, because the path stays the same. Datagrams may be lost
or forged, so they are hints: nothing is decided by what they say.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cortex.runtime.executor import Claimed, Exited, Report, StartFailed
from cortex.runtime.shim_order import socket_address

_DATAGRAM_BYTES = 512
_DATAGRAMS_A_CALL = 1000


class WakeSocket:
    """Bound at `path`; whoever bound it before hears nothing any more."""

    def __init__(self, path: Path) -> None:
        """Bind it, in a folder that is made if need be. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        address = socket_address(str(path))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(address)
        finally:
            if address.startswith("/proc/self/fd/"):
                os.close(int(address.split("/")[4]))
        path.chmod(0o600)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """For a selector: readable means that `receive` has something."""
        return self._socket.fileno()

    def receive(self) -> list[Report]:
        """The hints that came; malformed ones are dropped. Never blocks."""
        reports: list[Report] = []
        for _ in range(_DATAGRAMS_A_CALL):
            try:
                data = self._socket.recv(_DATAGRAM_BYTES)
            except OSError:
                break
            report = _parse(data)
            if report is not None:
                reports.append(report)
        return reports

    def close(self) -> None:
        """Stop listening. The path stays: shims that send to it are refused at once."""
        self._socket.close()


def _parse(data: bytes) -> Report | None:
    try:
        match data.decode("ascii").split(" "):
            case ["claimed", worker_id, pid, start_ticks, nonce]:
                return Claimed(worker_id, int(pid), int(start_ticks), int(nonce))
            case ["failed", worker_id, nonce, error]:
                return StartFailed(worker_id, int(nonce), error, "the shim could make no claim")
            case ["exited", worker_id]:
                return Exited(worker_id)
    except ValueError:
        pass
    return None
