"""What the daemon says of itself, from look to look, on a clock in the test's hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.inline_effects import InlineEffects

from cortex.control.context import Context
from cortex.control.engine import Engine
from cortex.control.notifying import Notifier
from cortex.control.selfwatch import SelfWatch
from cortex.decide.catalog import Catalog
from cortex.decide.health import Sign
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.model.state import State
from cortex.testing import FakeClock

REST_S = 1.0


class Journal:
    """Keeps the lines of an `Engine`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.pending = 0
        self.last_at = "2025-11-01T10:00:00.000Z"

    def append(self, at: datetime, by: str, why: str, events: list[dict[str, Any]]) -> int:
        self.events += events
        return len(self.events)

    def commit(self) -> None:
        """Nothing waits."""


class Log:
    """Keeps how loud what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **_: self.said.append((level, event))


class Watched:
    """A self-watch, and what it asks and tells."""

    def __init__(self, folder: Path, watchdog_s: float | None = None) -> None:
        self.clock, self.journal, self.log = FakeClock(), Journal(), Log()
        self.signs: list[Sign] = []
        self.about: dict[str, Any] = {"status": "running", "pid": 1}
        self.refreshed = 0
        engine = Engine(State(), self.journal, self.clock)
        effects = InlineEffects(lambda _: None)
        paths = HomePaths(folder)
        self.context = Context(engine, effects, paths, Settings(), Catalog(), self.log)
        notifier = Notifier(None, watchdog_s)
        self.watch = SelfWatch(self.context, self.about, self._refresh, notifier)
        self.watch.ask(self._signs)
        self.look(0)

    def _signs(self) -> Iterable[Sign]:
        return self.signs

    def _refresh(self) -> None:
        self.refreshed += 1

    def look(self, after_s: float = REST_S) -> None:
        self.clock.advance(after_s)
        self.watch.look(self.context.engine.now(), REST_S)

    def changes(self) -> list[tuple[str, str]]:
        """What began and ended, by the journal."""
        return [
            (e["event"].removeprefix("condition_"), e["condition"]) for e in self.journal.events
        ]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


STUCK = Sign("starts_stuck", "w1", "w1 does not start")


def test_what_is_stuck_is_in_the_head_until_it_moves(watched: Watched) -> None:
    watched.signs = [STUCK]
    for _ in range(40):
        watched.look()
    assert watched.about["status"] == "degraded"
    assert watched.about["cause"] == STUCK.cause
    assert watched.about["conditions"][0]["name"] == "starts_stuck"
    assert watched.refreshed == 1, "an unchanged head is not published again"
    watched.signs = []
    watched.look()
    assert watched.about == {"status": "running", "pid": 1}
    assert watched.changes() == [("began", "starts_stuck"), ("ended", "starts_stuck")]
    assert [level for level, _ in watched.log.said] == ["error", "info"]


def test_time_in_which_the_daemon_itself_stood_still_does_not_count(watched: Watched) -> None:
    watched.signs = [STUCK]
    watched.look()
    watched.look(after_s=3600)
    assert watched.changes() == []


@pytest.mark.parametrize(("seconds", "way"), [(31_536_000, "forward"), (-31_536_000, "back")])
def test_a_clock_that_was_set_is_a_note_for_ten_minutes(
    watched: Watched, seconds: float, way: str
) -> None:
    watched.clock.jump_wall(seconds)
    watched.look()
    assert watched.about["status"] == "running"
    [row] = watched.about["conditions"]
    assert row["name"] == "clock_jumped"
    assert way in row["cause"]
    for _ in range(610):
        watched.look()
    assert watched.changes() == [("began", "clock_jumped"), ("ended", "clock_jumped")]


def test_a_suspended_machine_is_no_jump(watched: Watched) -> None:
    watched.clock.suspend(86_400)
    watched.look()
    assert watched.changes() == []


def test_a_full_journal_degrades_at_once(watched: Watched) -> None:
    watched.context.full = "no space"
    watched.look()
    assert watched.about["cause"] == "no space"
    assert watched.changes() == [("began", "journal_unwritable")]


def test_upkeep_that_failed_is_a_note_until_it_goes_well(watched: Watched) -> None:
    assert not watched.context.kept_up("no checkpoint", OSError("no space"))
    watched.look()
    assert watched.about["conditions"][0]["cause"] == "no checkpoint: no space"
    assert watched.context.kept_up("no checkpoint", None)
    watched.look()
    assert watched.changes() == [("began", "upkeep_failing"), ("ended", "upkeep_failing")]


def test_the_watchdog_rides_on_the_resync_and_shortens_it_only_where_it_must(
    tmp_path: Path,
) -> None:
    assert Watched(tmp_path).watch.rest_s(120) == 120
    assert Watched(tmp_path, watchdog_s=60).watch.rest_s(2) == 2
    assert Watched(tmp_path, watchdog_s=60).watch.rest_s(120) == 30
