"""What a newer version wrote is refused with its name, and nothing in the home is touched."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cortex.control.opening import make_folders, open_state
from cortex.home import Home
from cortex.model.errors import CortexError
from cortex.model.formats import WRITER, FormatTooNew, format_of
from cortex.model.journal_line import encode
from cortex.model.paths import HomePaths
from cortex.runtime.attempts import read_exit_record
from cortex.store import checkpoint
from cortex.store.archive import Archive
from cortex.store.disk import RealDisk
from cortex.store.journal import recover
from cortex.store.journal_errors import JournalDamaged
from cortex.store.publish import Publisher
from cortex.worker.contract import ContractError, read_worker
from tests.unit.deciding import World

START = datetime(2025, 11, 1, 10, tzinfo=UTC)
NEWER = "cortexd 9.1.0"


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    """A home whose journal tells of one command that ended, with a torn line at its end."""
    paths = HomePaths(tmp_path)
    make_folders(paths)
    world = World()
    task = world.task(command="true")
    world.admit()
    world.end(task.workers[0], 0)
    journal = recover(RealDisk(), paths.journal, ballast=paths.ballast).journal
    for entry in world.lines:
        journal.append(START, entry.by, entry.why, entry.events)
    journal.commit()
    checkpoint.save(
        RealDisk(),
        paths.checkpoint,
        journal.position,
        world.state.to_json(),
        previous=paths.previous_checkpoint,
    )
    journal.close()
    return paths


def tree(root: Path) -> dict[str, bytes | None]:
    """Every name below the home, and the bytes of every file."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def append(paths: HomePaths, events: list[dict[str, Any]], writer: str = NEWER) -> None:
    """A line of another version, after those that are there, and half of one more."""
    segment = paths.journal / "2025-11-01.jsonl"
    last = json.loads(segment.read_bytes().splitlines()[-1])
    raw, _ = encode(
        seq=last["seq"] + 1,
        prev=last["crc"],
        synced=last["seq"],
        at=last["at"],
        by="x",
        why="y",
        events=events,
        format_number=1,
    )
    body = raw.replace(WRITER.encode(), writer.encode())[: -len(b',"crc":"00000000"}\n')]
    with segment.open("ab") as file:
        file.write(body + b',"crc":"%08x"}\n' % zlib.crc32(body) + b'{"seq":99,"prev":"00')


def refused(paths: HomePaths) -> str:
    """The words with which a daemon refuses the home, having changed nothing."""
    before = tree(paths.root)
    with pytest.raises(CortexError) as error:
        open_state(RealDisk(), paths)
    assert tree(paths.root) == before
    return str(error.value)


def test_an_unknown_event_is_refused_with_its_line_and_who_wrote_it(paths: HomePaths) -> None:
    lines = (paths.journal / "2025-11-01.jsonl").read_bytes().count(b"\n")
    append(paths, [{"event": "task_teleported", "task_id": "task-001"}])
    text = refused(paths)
    assert f"2025-11-01.jsonl:{lines + 1}: the event 'task_teleported'" in text
    assert f"Start {NEWER} or a newer one" in text
    assert WRITER in text


def test_an_unknown_field_is_refused_like_an_unknown_event(paths: HomePaths) -> None:
    task = {"id": "t", "title": "t", "type": "x", "priority": "low", "created_at": "2025-11-01"}
    append(paths, [{"event": "task_accepted", "task": {**task, "colour": "red"}}])
    text = refused(paths)
    assert "'colour'" in text
    assert NEWER in text


def test_a_line_of_this_version_that_cannot_follow_is_damage_and_not_another_version(
    paths: HomePaths,
) -> None:
    append(paths, [{"event": "task_routed", "task_id": "nobody", "master": "x"}], WRITER)
    assert "cannot follow" in refused(paths)
    with pytest.raises(JournalDamaged):
        open_state(RealDisk(), paths)


def test_a_newer_journal_is_refused_whatever_its_lines_look_like(paths: HomePaths) -> None:
    newer = b'{"seq":1,"why":"\\"format\\":1","format":7,"written_by":"%b","v":[[1]]}\n' % (
        NEWER.encode()
    )
    (paths.journal / "2025-11-02.jsonl").write_bytes(newer)
    text = refused(paths)
    assert "format 7" in text
    assert f"Start {NEWER}" in text


@pytest.mark.parametrize("change", [{"format": 3}, {"more": 1}])
def test_a_newer_checkpoint_is_refused(paths: HomePaths, change: dict[str, int]) -> None:
    fields = json.loads(paths.checkpoint.read_bytes())
    del fields["crc"]
    if "format" in change:
        fields["format"] = change["format"]
    else:
        fields["state"]["tasks"][0]["more"] = 1
    fields["written_by"] = NEWER
    body = json.dumps(fields).encode()[:-1]
    paths.checkpoint.write_bytes(body + b',"crc":"%08x"}\n' % zlib.crc32(body))
    assert f"Start {NEWER}" in refused(paths)


def document(number: int) -> bytes:
    fields = {"version": "1.0", "format": number, "written_by": NEWER, "journal_seq": 1}
    return json.dumps({**fields, "tasks": []}).encode()


def test_a_published_file_of_a_newer_version_is_refused_by_daemon_and_client(
    paths: HomePaths,
) -> None:
    Publisher(RealDisk(), paths.out).publish(paths.task_queue, [document(2)], 1)
    assert f"Start {NEWER}" in refused(paths)
    with pytest.raises(FormatTooNew, match=r"task-queue\.json: has format 2"):
        Home(paths.root).tasks()


def test_a_format_that_a_person_wrote_into_a_published_file_stops_no_daemon(
    paths: HomePaths,
) -> None:
    paths.task_queue.write_bytes(document(2))
    assert open_state(RealDisk(), paths).state.tasks


def test_a_newer_archive_is_refused_by_daemon_and_client(paths: HomePaths) -> None:
    archive = Archive(RealDisk(), paths.archive, None)
    archive.append("2025-11-01", [("task", "task-000", {"id": "task-000", "status": "completed"})])
    archive.close()
    with (paths.archive / "2025-11-01.jsonl").open("ab") as file:
        file.write(b'{"format": 2, "kind": "task", "id": "task-999", "rows": []}\n')
    assert "format 2" in refused(paths)
    with pytest.raises(FormatTooNew):
        Home(paths.root).task("task-999")


def test_an_exit_record_of_a_newer_shim_is_left_for_a_newer_daemon(paths: HomePaths) -> None:
    folder = paths.attempts / "worker-cmd-009"
    folder.mkdir()
    record = {"format": 2, "worker_id": "worker-cmd-009"}
    (folder / "exit.json").write_text(json.dumps(record))
    assert "exit.json: has format 2" in refused(paths)
    with pytest.raises(FormatTooNew):
        read_exit_record("worker-cmd-009", str(folder))


def test_a_worker_refuses_a_spec_of_a_newer_daemon(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"worker_id": "worker-scan-001", "format": 2}')
    with pytest.raises(ContractError, match="format 2"):
        read_worker({"CORTEX_SPEC": str(spec), "CORTEX_RESULTS": str(tmp_path / "results.json")})


def test_files_without_a_format_are_of_the_first_one() -> None:
    assert format_of(b'{"kind": "task"}') == (1, None)
    assert format_of(b'{"why":"a \\"format\\":9 b","format":2,"x":1}') == (2, None)


def test_an_index_of_another_version_is_only_made_again(paths: HomePaths) -> None:
    archive = Archive(RealDisk(), paths.archive, paths.archive_index)
    archive.append("2025-11-01", [("task", "task-000", {"id": "task-000", "status": "completed"})])
    archive._db.execute("PRAGMA user_version = 99")
    archive.close()
    assert Home(paths.root).task("task-000") is not None
    again = Archive(RealDisk(), paths.archive, paths.archive_index)
    assert again.find("task-000") is not None
    again.close()
