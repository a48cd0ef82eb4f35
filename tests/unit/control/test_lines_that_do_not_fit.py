"""A line that the state cannot take in: it is never written, and nothing is written after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.decide.edges.stage import Stage

from cortex.control.engine import Engine, HalfAppliedError
from cortex.control.opening import make_folders, open_state
from cortex.decide.entry import Entry
from cortex.home.journal import lines_of
from cortex.model.paths import HomePaths
from cortex.store.disk import RealDisk
from cortex.testing import FakeClock

GOOD = Entry("test", "fits", [{"event": "daemon_stopped", "workers": 0}])
BAD = Entry(
    "test",
    "does not fit",
    [
        {"event": "fleet_paused", "paused": True},
        {"event": "tokens_settled", "worker_id": "worker-none-001", "used": 0},
    ],
)


def test_a_line_that_does_not_fit_and_what_waits_beside_it_are_never_durable(
    tmp_path: Path,
) -> None:
    paths = HomePaths(tmp_path)
    make_folders(paths)
    opened = open_state(RealDisk(), paths)
    engine = Engine(opened.state, opened.journal, FakeClock())
    engine.apply(GOOD)
    engine.commit()
    done: list[str] = []
    engine.apply(GOOD)
    engine.afterwards(lambda: done.append("acted"))
    with pytest.raises(KeyError):
        engine.apply(BAD)
    with pytest.raises(
        HalfAppliedError, match=r"line 3 \(fleet_paused, tokens_settled\) of test .*Key"
    ):
        engine.commit()
    with pytest.raises(HalfAppliedError):
        engine.apply(GOOD)
    opened.journal.close()
    assert done == []
    assert [line.why for line in lines_of(paths.journal)] == ["fits"]
    again = open_state(RealDisk(), paths)
    again.journal.close()
    assert (again.state.seq, again.state.paused) == (1, False)


def test_a_daemon_that_ends_on_such_a_line_leaves_the_home_as_it_was_durable(
    tmp_path: Path,
) -> None:
    home = Stage(tmp_path).home()
    task = home.dropped(command="true")
    home.wait(lambda: home.state.tasks[task.id].status == "completed")
    before, disk = home.state.to_json(), home.disk
    checkpoint = disk.content(home.paths.checkpoint)
    with pytest.raises(KeyError):
        home.daemon._engine.apply(BAD)
    home.daemon.end()
    after = disk.content(home.paths.checkpoint)
    assert after == checkpoint
    assert open_state(disk, home.paths).state.to_json() == before
