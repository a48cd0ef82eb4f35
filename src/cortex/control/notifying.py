"""What a service manager is told: ready, a line of status, still alive, stopping (sd_notify(3)).

One datagram to the socket in NOTIFY_SOCKET. It never blocks and never fails; without that variable
nothing is sent. When what is said is not decided here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

__all__ = ["Notifier"]

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Speaks to one service manager, or to nobody. `watchdog_s` is how long it lets a service be
    silent; None: it does not care.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = address
        self._status = ""
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """As the manager asks for by environment; its variables are removed, so that no process
        started from here speaks in the daemon's name.
        """
        address, usec, pid = (environ.pop(name, None) for name in _VARIABLES)
        if address is not None and address.startswith("@"):
            address = "\0" + address[1:]  # an abstract socket, unix(7)
        elif address is not None and not address.startswith("/"):
            address = None
        meant = pid is None or pid == str(os.getpid())
        watchdog_s = int(usec) / 1e6 if usec and usec.isdigit() and int(usec) and meant else None
        return cls(address, watchdog_s if address else None)

    @property
    def speaks(self) -> bool:
        """Whether there is anybody to speak to."""
        return self._socket is not None

    def ready(self) -> bool:
        """The service has taken up its work; False: it could not be said now."""
        return self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for people; what was said already is not sent again."""
        if text != self._status and self._send("STATUS=" + " ".join(text.split())):
            self._status = text

    def alive(self) -> None:
        """Feeds the watchdog, where there is one."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Asks for more time to start or to stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def stopping(self) -> None:
        """The service is about to leave."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Gives the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> bool:
        if self._socket is None or self._address is None:
            return False
        # A manager that does not read is no reason to stop working: the watchdog is its judge.
        try:
            self._socket.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        return True
