"""Whose branches go to the mirrors together, and what becomes of those without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.unit.inline_effects import InlineEffects

from cortex.control.context import Context
from cortex.control.engine import Engine
from cortex.control.mirroring import AGAIN_AFTER_S, Mirroring
from cortex.decide.catalog import Catalog
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings
from cortex.model.state import State, Worker
from cortex.testing import FakeClock

ROW = {"name": "main", "bundle": "main.bundle", "base": "0" * 40, "head": "1" * 40, "commits": 1}


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


class Mirrors:
    """Answers for each worker, but for none of a batch with the bad one in it."""

    def __init__(self, bad: str) -> None:
        self.bad = bad
        self.batches: list[list[str]] = []

    def keep(self, order: Mapping[str, Any]) -> dict[str, Any]:
        self.batches.append(list(order["workers"]))
        if self.bad in order["workers"]:
            raise OSError("it died")
        return {ident: {"mirror": "m.git", "refused": {}} for ident in order["workers"]}


def worker(ident: str, folder: Path) -> Worker:
    row = {**ROW, "ref": f"refs/cortex/{ident}/main"}
    return Worker(
        ident, "command-worker", ident, "main", "coordinator-master", 1, "medium",
        "2025-11-01T10:00:00.000Z", status="completed", repository=str(folder),
        folder=f"logs/workers/2025-11-01/{ident}", branches=[row],
    )  # fmt: skip


def test_one_bad_worker_spends_no_try_of_the_others(tmp_path: Path) -> None:
    clock, journal, mirrors = FakeClock(), Journal(), Mirrors("w2")
    state = State()
    for ident in ("w1", "w2", "w3"):
        state.workers[ident] = worker(ident, tmp_path)
    engine = Engine(state, journal, clock)
    effects = InlineEffects(lambda done: done())
    paths = HomePaths(tmp_path)
    context = Context(engine, effects, paths, Settings(), Catalog(), None)
    mirroring = Mirroring(context, mirrors.keep)
    mirroring.start()
    for _ in range(6):
        mirroring.turn()
        engine.commit()
    assert mirrors.batches == [["w1", "w2", "w3"], ["w1"], ["w2"], ["w3"]]
    kept = [event["worker_id"] for event in journal.events if event.get("mirror")]
    assert kept == ["w1", "w3"]
    for rest_s in AGAIN_AFTER_S:
        clock.advance(rest_s)
        mirroring.turn()
        engine.commit()
    assert mirrors.batches[4:] == [["w2"]] * len(AGAIN_AFTER_S)
    assert journal.events[-1]["mirror"] is None, "and then its branch stays in its bundle"
