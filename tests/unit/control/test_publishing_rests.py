"""A publication that took long is followed by a rest, which is no sign of trouble."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.decide.edges.stage import Home, Stage


def test_what_waits_for_the_end_of_a_rest_is_not_blamed_on_publishing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = home.disk.exchange

    def slow_exchange(*paths: Any) -> None:
        home.clock.advance(0.2)
        exchange(*paths)

    home.pass_time(5.0)
    monkeypatch.setattr(home.disk, "exchange", slow_exchange)
    for _ in range(4):
        home.dropped(command="true")
        for _ in range(12):
            home.pass_time(0.25)
    assert [line for line in home.log.lines if "published files" in line] == []


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Stage(tmp_path_factory.mktemp("home")).home(daemon={"stuck_after": 1.0, "resync": 0.5})
