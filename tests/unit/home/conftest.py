"""Homes for tests of the client side, and a lock that stands for a running daemon."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sample_home import SampleHome, security_scan

from cortex.home import Home
from cortex.model.paths import HomePaths


@pytest.fixture
def sample(tmp_path: Path) -> SampleHome:
    """A home in the middle of a security scan, with no daemon."""
    return security_scan(tmp_path / "home")


@pytest.fixture
def home(sample: SampleHome) -> Home:
    return Home(sample.root)


@contextmanager
def held_lock(paths: HomePaths) -> Iterator[None]:
    """Holds the home's lock as a daemon does: to every client a daemon is running."""
    paths.pid.write_text("4242\n", encoding="ascii")
    with paths.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@pytest.fixture
def run_daemon() -> Iterator[Callable[[Path], None]]:
    """Call it with a home's folder: from then on its lock is held, until the test ends."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(held_lock(HomePaths(root)))
