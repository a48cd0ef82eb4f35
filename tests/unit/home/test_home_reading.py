"""Reading a home: documents, single things, the archive, the daemon, the journal."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_home import SampleHome

from cortex.home import Home, create_home
from cortex.model.errors import HomeError


def test_a_fresh_home_has_nothing_and_says_so_with_empty_lists(tmp_path: Path) -> None:
    home = Home(create_home(tmp_path / "home").root)
    assert home.tasks() == home.workers() == home.handoffs() == home.schedules() == []
    assert home.budget() == {}
    assert home.lookup("task-001") is None
    assert list(home.journal()) == []
    assert not home.daemon().running


def test_every_id_of_the_documents_is_found_with_its_kind(home: Home) -> None:
    for ident, kind in (
        ("task-001", "task"),
        ("tests-nightly", "task"),
        ("worker-scan-001", "worker"),
        ("worker-scan-002", "worker"),
        ("worker-scan-003", "worker"),
        ("handoff-001", "handoff"),
        ("escalation-001", "escalation"),
    ):
        found = home.lookup(ident)
        assert found is not None, ident
        assert found.kind == kind
        assert not found.archived


def test_all_workers_have_a_worker_id_whatever_their_list_calls_it(home: Home) -> None:
    assert {row["worker_id"] for row in home.workers()} == {
        "worker-scan-001",
        "worker-scan-002",
        "worker-scan-003",
    }


def test_what_has_left_the_documents_is_found_in_the_archive(
    home: Home, sample: SampleHome
) -> None:
    entries = [
        {"kind": "task", "id": "task-0009", "row": {"id": "task-0009", "status": "completed"}},
        {"kind": "worker", "id": "worker-fix-009", "row": {"worker_id": "worker-fix-009"}},
    ]
    day = sample.paths.archive / "2025-10-31.jsonl"
    day.write_text("not JSON\n" + "".join(json.dumps(entry) + "\n" for entry in entries))
    found = home.lookup("task-0009")
    assert found is not None
    assert (found.kind, found.archived, found.row["status"]) == ("task", True, "completed")
    assert home.worker("worker-fix-009") is not None
    assert home.task("worker-fix-009") is None
    assert [row["id"] for row in home.archived("task")] == ["task-0009"]


def test_a_document_that_stays_damaged_is_named_with_its_line(
    home: Home, sample: SampleHome
) -> None:
    sample.paths.task_queue.write_text('{\n  "tasks": [\n')
    with pytest.raises(HomeError, match=r"task-queue\.json:3"):
        home.tasks()


def test_a_document_in_the_middle_of_an_edit_is_read_when_it_is_whole_again(
    home: Home, sample: SampleHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = sample.paths.task_queue
    whole = queue.read_bytes()
    queue.write_bytes(whole[:100])
    monkeypatch.setattr(time, "sleep", lambda _: queue.write_bytes(whole))  # while it waits
    assert len(home.tasks()) == 3


def test_a_held_lock_means_a_daemon_and_its_pid_is_told(
    home: Home, run_daemon: Callable[[Path], None]
) -> None:
    assert not home.daemon().running
    run_daemon(home.root)
    assert home.daemon().running
    assert home.daemon().pid == 4242


def test_the_journal_reads_on_over_days_and_passes_over_what_is_torn(
    home: Home, sample: SampleHome
) -> None:
    known = [line.seq for line in home.journal()]
    assert known == list(range(1, sample.state.seq + 1))
    sample.log(86_400, "coordinator-master", "the next day")
    newest = max(sample.paths.journal.glob("*.jsonl"))
    with newest.open("ab") as file:
        file.write(b'{"seq":99,"prev":"000000')
    assert [line.seq for line in home.journal()] == [*known, known[-1] + 1]
    assert [line.seq for line in home.journal(since_seq=known[-1])] == [known[-1] + 1]
    assert [line.seq for line in home.journal(since_at=sample.at(80_000))] == [known[-1] + 1]


def test_a_damaged_line_in_the_middle_does_not_hide_those_after_it(
    home: Home, sample: SampleHome
) -> None:
    for segment in sample.paths.journal.glob("*.jsonl"):  # two of them, a while after midnight
        lines = segment.read_bytes().splitlines(keepends=True)
        bad = [
            line.replace(b"security", b"sexurity", line.startswith(b'{"seq":4,')) for line in lines
        ]
        segment.write_bytes(b"".join(bad))
    seqs = [line.seq for line in home.journal()]
    assert 4 not in seqs
    assert seqs[-1] == sample.state.seq


def test_following_the_journal_gives_lines_as_they_come(home: Home, sample: SampleHome) -> None:
    lines = home.journal(follow=True, since_seq=sample.state.seq)
    timer = threading.Timer(0.2, sample.log, [800, "person", "now"])
    timer.start()
    try:
        assert next(lines).why == "now"
    finally:
        timer.join()
        lines.close()  # type: ignore[attr-defined]


def test_the_daemons_index_and_the_files_beyond_it_find_the_same(
    home: Home, sample: SampleHome
) -> None:
    from cortex.home.archive import find_archived
    from cortex.store.archive import Archive
    from cortex.store.disk import RealDisk

    archive = Archive(RealDisk(), sample.paths.archive, sample.paths.archive_index)
    rows = {f"task-9{n:02d}": {"id": f"task-9{n:02d}", "key": f"key-{n}"} for n in range(50)}
    archive.append("2025-10-30", [("task", ident, row) for ident, row in rows.items()])
    archive.close()
    later = {"kind": "task", "id": "task-999", "row": {"id": "task-999", "key": "later"}}
    with (sample.paths.archive / "2025-10-30.jsonl").open("a") as file:
        file.write(json.dumps(later) + "\n")
    for ident, row in [*rows.items(), ("task-999", later["row"])]:
        assert home.task(ident) == row
        found = find_archived(sample.paths, str(row["key"]), "key")
        assert found is not None
        assert found["id"] == ident
    assert home.task("task-998") is None
    sample.paths.archive_index.write_bytes(b"no database")
    assert home.task("task-907") == rows["task-907"]
