"""The archive: what left the published files is found again, whatever crashed in between."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from cortex.store.archive import Archive
from cortex.store.disk import RealDisk

from .failing_disk import FailingDisk

TASK = {"id": "task-001", "title": "Scan", "status": "completed", "key": "nightly"}
WORKER = {"worker_id": "worker-scan-001", "task_id": "task-001", "status": "completed"}


def opened(folder: Path, disk: RealDisk | None = None) -> Archive:
    return Archive(disk or RealDisk(), folder / "archive", folder / "archive.db")


def lines(folder: Path, day: str = "2025-11-01") -> list[dict[str, Any]]:
    text = (folder / "archive" / f"{day}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def fill(archive: Archive) -> int:
    return archive.append(
        "2025-11-01", [("task", "task-001", TASK), ("worker", "worker-scan-001", WORKER)]
    )


def test_rows_are_found_by_id_key_and_task(tmp_path: Path) -> None:
    archive = opened(tmp_path)
    assert fill(archive) == 2
    found = archive.find("task-001")
    assert found is not None
    assert (found.kind, found.day, found.row) == ("task", "2025-11-01", TASK)
    assert archive.find_key("nightly") == found
    (worker,) = archive.workers_of("task-001")
    assert worker.row == WORKER
    assert archive.find("task-002") is None
    assert lines(tmp_path)[1] == {
        "format": 1,
        "kind": "worker",
        "id": "worker-scan-001",
        "row": WORKER,
    }


def test_repeating_writes_nothing(tmp_path: Path) -> None:
    archive = opened(tmp_path)
    fill(archive)
    assert fill(archive) == 0
    archive.close()
    assert fill(opened(tmp_path)) == 0
    assert len(lines(tmp_path)) == 2


def test_a_changed_row_is_found_in_its_newest_form(tmp_path: Path) -> None:
    archive = opened(tmp_path)
    fill(archive)
    archive.append("2025-11-02", [("task", "task-001", {**TASK, "status": "cancelled"})])
    found = archive.find("task-001")
    assert found is not None
    assert (found.day, found.row["status"]) == ("2025-11-02", "cancelled")


@pytest.mark.parametrize("harm", ["deleted", "garbage", "stale"])
def test_the_index_is_built_again_from_the_files(tmp_path: Path, harm: str) -> None:
    index = tmp_path / "archive.db"
    first = opened(tmp_path)
    if harm == "stale":
        first.close()
        data = index.read_bytes()
        first = opened(tmp_path)
        fill(first)
        first.close()
        index.write_bytes(data)
    else:
        fill(first)
        first.close()
        index.unlink()
        if harm == "garbage":
            index.write_bytes(b"not a database at all" * 100)
    again = opened(tmp_path)
    assert again.find("worker-scan-001") is not None
    assert fill(again) == 0


def test_a_torn_end_is_cut_and_the_row_written_again(tmp_path: Path) -> None:
    archive = opened(tmp_path)
    fill(archive)
    archive.close()
    with (tmp_path / "archive" / "2025-11-01.jsonl").open("ab") as file:
        file.write(b'{"kind": "task", "id": "task-002", "r')
    again = opened(tmp_path)
    assert again.append("2025-11-01", [("task", "task-002", {"id": "task-002"})]) == 1
    assert [line["id"] for line in lines(tmp_path)] == ["task-001", "worker-scan-001", "task-002"]
    assert again.find("task-002") is not None


def test_a_spoilt_line_hides_only_itself(tmp_path: Path) -> None:
    archive = opened(tmp_path)
    fill(archive)
    archive.close()
    path = tmp_path / "archive" / "2025-11-01.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind": "task"', b"kind: 'task'", 1))
    (tmp_path / "archive.db").unlink()
    again = opened(tmp_path)
    assert again.find("task-001") is None
    assert again.find("worker-scan-001") is not None


def test_a_deleted_file_is_forgotten(tmp_path: Path) -> None:
    archive = opened(tmp_path)
    fill(archive)
    (tmp_path / "archive" / "2025-11-01.jsonl").unlink()
    assert archive.find("task-001") is None
    assert fill(archive) == 2
    assert archive.find("task-001") is not None


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_failed_write_leaves_whole_lines_and_can_be_repeated(tmp_path: Path, call: str) -> None:
    disk = FailingDisk()
    archive = opened(tmp_path, disk)
    fill(archive)
    disk.fail, disk.short_write = {call: errno.ENOSPC}, 10
    with pytest.raises(OSError, match="No space"):
        archive.append("2025-11-01", [("task", "task-002", {"id": "task-002"})])
    disk.fail = {}
    assert len(lines(tmp_path)) == 2
    assert archive.append("2025-11-01", [("task", "task-002", {"id": "task-002"})]) == 1
    assert len(lines(tmp_path)) == 3
