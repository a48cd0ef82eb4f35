"""Homes with a real daemon; at the end of a test nothing of them runs any more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from live_home import LiveHome, MakeHome


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """Makes homes; each daemon, worker and folder outside is gone after the test."""
    homes: list[LiveHome] = []

    def make(name: str = "home", *, settings: str = "", **rest: object) -> LiveHome:
        homes.append(LiveHome(tmp_path / name, settings, **rest))  # type: ignore[arg-type]
        return homes[-1]

    yield make
    for home in homes:
        home.close()


@pytest.fixture
def live(make_home: MakeHome) -> LiveHome:
    """One home whose daemon serves, with short backoffs."""
    home = make_home(settings="[workers]\nbackoff = 0.1\ngrace = 0.5\n")
    home.start()
    return home
