"""Looking back: the state at a moment, and a check that finds what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cortex.decide.snapshot import documents
from cortex.model.paths import HomePaths
from cortex.store import checkpoint
from cortex.store.disk import RealDisk
from cortex.store.history import check_home, state_at
from cortex.store.journal import Journal, recover
from tests.unit.deciding import World

START = datetime(2025, 11, 1, 10, tzinfo=UTC)


@pytest.fixture
def lived(tmp_path: Path) -> tuple[HomePaths, World, Journal]:
    """A home whose journal tells of one command that was run and ended, a line a second."""
    paths = HomePaths(tmp_path)
    world = World()
    task = world.task(command="true")
    world.admit()
    world.end(task.workers[0], 0)
    paths.state.mkdir()
    journal = recover(RealDisk(), paths.journal, ballast=paths.ballast).journal
    for number, entry in enumerate(world.lines):
        journal.append(START + timedelta(seconds=number), entry.by, entry.why, entry.events)
        journal.commit()
    return paths, world, journal


def test_a_past_moment_is_the_state_of_the_lines_until_then(
    lived: tuple[HomePaths, World, Journal],
) -> None:
    paths, world, _ = lived
    statuses = []
    for second in range(len(world.lines)):
        moment = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        state = state_at(RealDisk(), paths, moment)
        assert state.seq == second + 1
        statuses += [task.status for task in state.tasks.values()]
    assert list(dict.fromkeys(statuses)) == ["pending", "in_progress"]


def test_a_sound_home_has_no_problem(lived: tuple[HomePaths, World, Journal]) -> None:
    paths, world, journal = lived
    state = state_at(RealDisk(), paths)
    save(paths, journal, state.to_json())
    folder = state.workers["worker-cmd-001"].folder
    (paths.root / str(folder)).mkdir(parents=True)
    found = check_home(RealDisk(), paths)
    missing = [f"{path}: is missing; a daemon makes it again" for path in paths.documents]
    assert [str(problem) for problem in found.problems] == missing
    assert (found.lines, found.tasks, found.workers) == (len(world.lines), 1, 1)


def save(paths: HomePaths, journal: Journal, state: dict[str, Any]) -> None:
    checkpoint.save(
        RealDisk(),
        paths.checkpoint,
        journal.position,
        state,
        previous=paths.previous_checkpoint,
    )


def problems(paths: HomePaths) -> str:
    return "\n".join(str(problem) for problem in check_home(RealDisk(), paths).problems)


def test_books_that_do_not_balance_are_told_with_their_line(
    lived: tuple[HomePaths, World, Journal],
) -> None:
    paths, world, journal = lived
    stolen = {"event": "budget_changed", "total": 1, "pool_total": 65_000, "shares": {}}
    journal.append(START + timedelta(hours=1), "nobody", "", [stolen])
    journal.commit()
    line = len(world.lines) + 1
    assert f"after journal line {line} (): total 1 is not" in problems(paths)


def test_a_checkpoint_that_the_journal_does_not_know_is_told(
    lived: tuple[HomePaths, World, Journal],
) -> None:
    paths, _, journal = lived
    state = state_at(RealDisk(), paths).to_json()
    state["tasks"] = []
    save(paths, journal, state)
    assert "is not what the journal says" in problems(paths)


def test_a_lost_worker_folder_and_a_wrong_document_are_told(
    lived: tuple[HomePaths, World, Journal],
) -> None:
    paths, world, _ = lived
    document = {"journal_seq": len(world.lines), "tasks": []}
    paths.task_queue.write_text(json.dumps(document))
    paths.worker_pool.write_text(json.dumps({"journal_seq": 99_999}))
    paths.handoffs.write_text("{")
    found = problems(paths)
    assert "worker-cmd-001 has lost its folder" in found
    assert "task-queue.json: tasks is not what the journal says" in found
    assert "worker-pool.json claims journal line 99999" in found
    assert "handoffs.json is not JSON" in found


def test_the_order_of_rows_is_no_problem(lived: tuple[HomePaths, World, Journal]) -> None:
    paths, world, journal = lived
    before = len(world.lines)
    world.task(command="false")
    for entry in world.lines[before:]:
        journal.append(START + timedelta(hours=1), entry.by, entry.why, entry.events)
    journal.commit()
    state = state_at(RealDisk(), paths)
    rows = documents(state)[paths.task_queue.name]["tasks"]
    assert len(rows) == 2
    document = {"journal_seq": state.seq, "tasks": rows[::-1]}
    paths.task_queue.write_text(json.dumps(document))
    assert "is not what the journal says" not in problems(paths)


def test_a_damaged_line_is_told_with_its_file(lived: tuple[HomePaths, World, Journal]) -> None:
    paths, _, _ = lived
    segment = next(paths.journal.glob("*.jsonl"))
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b'"by":"test"', b'"by":"tset"', 1))
    assert segment.name in problems(paths)


def test_a_torn_tail_is_told_and_the_lines_before_it_count(
    lived: tuple[HomePaths, World, Journal],
) -> None:
    paths, world, _ = lived
    segment = next(paths.journal.glob("*.jsonl"))
    with segment.open("ab") as file:
        file.write(b'{"seq":')
    found = check_home(RealDisk(), paths)
    assert found.lines == len(world.lines)
    assert any(
        "torn" in problem.what and segment.name in problem.place for problem in found.problems
    )
