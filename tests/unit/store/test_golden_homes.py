"""Homes of every version so far: today's code reads them, to the exact state recorded beside them.

`scripts/golden` writes the home of the version that is not released yet, from the story in
tests/data/golden_story.py. Homes of released versions are never written again.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from cortex.control.opening import make_folders, open_state
from cortex.decide.evolve import EVENTS, evolve
from cortex.decide.ledger import violations
from cortex.home import Home
from cortex.model.paths import HomePaths
from cortex.model.state import State
from cortex.store.archive import Archive
from cortex.store.disk import RealDisk
from cortex.store.history import check_home, state_at
from cortex.store.journal_scan import read_lines

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def as_published(paths: HomePaths) -> None:
    """Git keeps no times, and a published file is known by its mtime's last digits."""
    for path in paths.documents:
        mark = zlib.crc32(path.read_bytes()) % 1_000_000
        os.utime(path, ns=(10**18 + mark, 10**18 + mark))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[HomePaths, State]:
    """A copy of a version's home, and the state that it is known to have."""
    folder = GOLDEN / request.param
    shutil.copytree(folder / "home", tmp_path / "home")
    paths = HomePaths(tmp_path / "home")
    make_folders(paths)
    as_published(paths)
    return paths, State.from_json(json.loads((folder / "state.json").read_bytes()))


def test_its_state_is_what_it_was(golden: tuple[HomePaths, State]) -> None:
    paths, known = golden
    opened = open_state(RealDisk(), paths)
    assert opened.state.to_json() == known.to_json()
    assert ["torn line" in note for note in opened.notes] == [True]
    assert list(paths.journal.glob("*.torn"))


def test_without_its_checkpoint_the_state_is_the_same(golden: tuple[HomePaths, State]) -> None:
    paths, known = golden
    for path in (paths.checkpoint, paths.previous_checkpoint):
        path.unlink(missing_ok=True)
    opened = open_state(RealDisk(), paths)
    assert opened.state.to_json() == known.to_json()
    lines = sum(1 for _ in read_lines(RealDisk(), paths.journal))
    assert opened.replayed < lines, "the newest day begins with the state"


def test_every_line_follows_from_those_before_it_and_the_books_balance(
    golden: tuple[HomePaths, State],
) -> None:
    paths, known = golden
    state = State()
    for line in read_lines(RealDisk(), paths.journal):
        for event in line.events:
            if event["event"] == "day_opened":
                assert State.from_json(event["state"]).to_json() == state.to_json()
        evolve(state, line.seq, line.at, line.events)
        assert violations(state) == [], line
        assert State.from_json(state.to_json()).to_json() == state.to_json()
    assert state.to_json() == known.to_json()


def test_its_past_is_told(golden: tuple[HomePaths, State]) -> None:
    paths, _ = golden
    state = State()
    lines = list(read_lines(RealDisk(), paths.journal))
    for line, following in pairwise(lines):
        evolve(state, line.seq, line.at, line.events)
        if line.seq % 40 == 0 and following.at > line.at:
            assert state_at(RealDisk(), paths, line.at).to_json() == state.to_json(), line.at


def test_nothing_is_wrong_with_it_but_the_torn_line(golden: tuple[HomePaths, State]) -> None:
    paths, _ = golden
    open_state(RealDisk(), paths).journal.close()
    problems = [problem for problem in check_home(RealDisk(), paths).problems if not problem.note]
    assert [str(problem) for problem in problems] == []


def test_what_was_archived_is_found(golden: tuple[HomePaths, State]) -> None:
    paths, known = golden
    left = {
        ident
        for line in read_lines(RealDisk(), paths.journal)
        for event in line.events
        if event["event"] == "archived"
        for ident in (*event["tasks"], *event["workers"])
    }
    assert left
    home = Home(paths.root)
    archive = Archive(RealDisk(), paths.archive, paths.archive_index)
    for ident in left:
        assert ident not in known.tasks
        assert archive.find(ident) is not None, ident
        found = home.lookup(ident)
        assert found is not None, ident
        assert found.archived
    archive.close()
    assert {task["id"] for task in home.tasks()} == known.tasks.keys()


def test_every_event_stands_in_some_golden_journal() -> None:
    seen = {
        event["event"]
        for version in VERSIONS
        for line in read_lines(RealDisk(), GOLDEN / version / "home/coordination/journal")
        for event in line.events
    }
    missing = EVENTS.keys() - seen
    assert not missing, (
        f"no golden journal has {', '.join(sorted(missing))}: let it happen in "
        "tests/data/golden_story.py and run scripts/golden"
    )
