"""What goes to a service manager's socket, as sd_notify(3) has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex.control.notifying import Notifier


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.environ = {"NOTIFY_SOCKET": address, "OTHER": "kept"}

    def heard(self) -> list[str]:
        """The datagrams that have come."""
        found = []
        self.socket.setblocking(False)
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """One that listens at a path, and one at an abstract address."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@cortex-{os.getpid()}"
    made = Manager(address)
    yield made
    made.socket.close()


def test_what_is_said_arrives(manager: Manager) -> None:
    notifier = Notifier.from_environment({**manager.environ, "WATCHDOG_USEC": "3000000"})
    notifier.ready()
    notifier.status("two\nlines")
    notifier.alive()
    notifier.extend(1.5)
    notifier.stopping()
    assert manager.heard() == [
        "READY=1",
        "STATUS=two lines",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
        "STOPPING=1",
    ]
    assert notifier.watchdog_s == 3.0
    notifier.close()


def test_the_same_status_is_said_once(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environ)
    for text in ("a", "a", "b"):
        notifier.status(text)
    assert manager.heard() == ["STATUS=a", "STATUS=b"]
    notifier.close()


def test_the_watchdog_of_another_process_is_not_fed(manager: Manager) -> None:
    environ = {**manager.environ, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    notifier = Notifier.from_environment(environ)
    notifier.alive()
    assert manager.heard() == []
    assert notifier.watchdog_s is None
    notifier.close()


def test_children_do_not_inherit_the_managers_socket(manager: Manager) -> None:
    environ = {**manager.environ, "WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid())}
    Notifier.from_environment(environ).close()
    assert environ == {"OTHER": "kept"}


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": ""}])
def test_without_a_manager_nothing_is_said_and_nothing_fails(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environment(environ)
    assert not notifier.speaks
    notifier.ready()
    notifier.alive()


def test_a_status_that_found_no_room_is_said_again(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environ)
    while notifier.ready():
        pass  # until the manager's queue is full
    notifier.status("late")
    assert "STATUS=late" not in manager.heard()
    notifier.status("late")
    assert manager.heard() == ["STATUS=late"]
    notifier.close()


def test_a_manager_that_has_gone_or_does_not_read_stops_nobody(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environ)
    for number in range(10_000):  # more than any socket buffer holds
        notifier.status(f"{number}")
    manager.socket.close()
    notifier.ready()
    notifier.close()
