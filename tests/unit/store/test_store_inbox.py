"""The inbox: complete files are claimed once and durably, all others wait or are refused."""

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from cortex.model.paths import HomePaths
from cortex.store.disk import RealDisk
from cortex.store.drop import MAX_DROP_BYTES, Drop, Problem
from cortex.store.inbox import ScanResult, leftovers, scan
from cortex.store.rejecting import finish, reject

from ...privileges import passes_without
from .failing_disk import FailingDisk

AT = "2025-11-01T10:15:00Z"
TASK = b'{"title": "Scan it"}'


class Inbox:
    """A home's inbox as the daemon scans it, `later_s` after the newest file was changed."""

    def __init__(self, root: Path, disk: RealDisk | None = None) -> None:
        self.disk = disk or RealDisk()
        self.paths = HomePaths(root)
        self.paths.inbox.mkdir(parents=True)
        self.next_number = 1
        self.known: Any = {}
        self.later_s = 0.0

    def scan(self, limit: int = 500) -> ScanResult:
        found = scan(
            self.disk,
            self.paths,
            now_ns=self._newest_ns() + int(self.later_s * 1e9),
            monotonic_s=self.later_s,
            at=AT,
            next_number=self.next_number,
            known=self.known,
            limit=limit,
        )
        self.known, self.next_number = found.known, found.next_number
        return found

    def _newest_ns(self) -> int:
        found = [path for path in self.paths.inbox.glob("*") if path != self.paths.intake]
        found += [path for path in self.paths.coordination.glob("*") if path.is_file()]
        return max((path.lstat().st_ctime_ns for path in found), default=0)

    def one(self) -> Drop:
        found = self.scan()
        assert len(found.drops) == 1, found
        return found.drops[0]

    def none(self) -> ScanResult:
        found = self.scan()
        assert found.drops == []
        return found

    def drop(self, name: str | bytes, data: bytes = TASK) -> Path:
        path = self.paths.inbox / os.fsdecode(name)
        path.write_bytes(data)
        return path

    def reject(self, drop: Drop, problem: Problem | None = None) -> Path:
        return reject(
            self.disk, self.paths, [(drop, problem or drop.problem or Problem("no"))], AT
        )[0]


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def test_a_complete_file_is_claimed_and_read(inbox: Inbox) -> None:
    path = inbox.drop("scan.json")
    found = inbox.scan()
    (drop,) = found.drops
    assert (drop.number, drop.name, drop.receipt) == (1, "scan.json", "0000000001-scan.json")
    assert drop.payloads == ({"title": "Scan it"},)
    assert drop.problem is None
    assert found.look_again_s is None, "nothing else waits"
    assert not path.exists()
    assert drop.intake_path.read_bytes() == TASK
    finish(inbox.disk, [drop])
    finish(inbox.disk, [drop])
    assert list(inbox.paths.intake.iterdir()) == []
    assert inbox.none().look_again_s is None


def test_the_same_content_twice_gets_two_receipts(inbox: Inbox) -> None:
    inbox.drop("scan.json")
    first = inbox.one()
    inbox.drop("scan.json")
    second = inbox.one()
    assert first.receipt != second.receipt
    assert first.sha256 == second.sha256


def test_a_file_that_is_open_for_writing_waits_for_its_close(inbox: Inbox) -> None:
    inbox.later_s = 60
    with (inbox.paths.inbox / "slow.json").open("wb", buffering=0) as file:
        file.write(TASK)
        waiting = inbox.none()
        assert waiting.look_again_s is not None
        inbox.later_s += 60
        inbox.none()
    assert inbox.one().payloads == ({"title": "Scan it"},)


def test_a_half_written_closed_file_waits_a_second_for_the_rest(inbox: Inbox) -> None:
    path = inbox.drop("slow.json", TASK[:7])
    waiting = inbox.none()
    assert waiting.look_again_s is not None
    assert 0 < waiting.look_again_s <= 1
    with path.open("ab") as file:
        file.write(TASK[7:])
    assert inbox.one().payloads == ({"title": "Scan it"},)


def test_a_half_written_file_is_refused_once_it_is_unchanged_for_a_second(inbox: Inbox) -> None:
    inbox.drop("cut.json", TASK[:7])
    inbox.none()
    inbox.later_s = 1.1
    drop = inbox.one()
    assert drop.problem is not None
    assert "cut off" in drop.problem.reason
    assert drop.problem.line == 1


def test_where_writers_cannot_be_seen_a_second_of_quiet_is_waited(tmp_path: Path) -> None:
    disk = FailingDisk()
    disk.fail = {"has_writer": errno.EINVAL}
    inbox = Inbox(tmp_path, disk)
    inbox.drop("scan.json")
    assert inbox.none().look_again_s
    inbox.later_s = 1.1
    assert inbox.one().payloads


def test_a_clock_that_went_back_does_not_hold_a_file_for_ever(inbox: Inbox) -> None:
    inbox.drop("cut.json", b"{")
    year_ago = time.time_ns() - 365 * 86400 * 10**9
    options: dict[str, Any] = {"at": AT, "next_number": 1}
    first = scan(inbox.disk, inbox.paths, now_ns=year_ago, monotonic_s=10.0, known={}, **options)
    assert first.drops == []
    second = scan(
        inbox.disk, inbox.paths, now_ns=year_ago, monotonic_s=11.1, known=first.known, **options
    )
    assert len(second.drops) == 1


@pytest.mark.parametrize(
    "name",
    [".hidden.json", "a.json~", ".a.json.swp", "b.swp", "c.json.tmp", "d.part", "#e.json#"],
)
def test_files_of_editors_and_copiers_are_left_alone(inbox: Inbox, name: str) -> None:
    path = inbox.drop(name)
    inbox.later_s = 10
    assert inbox.none().look_again_s is None
    assert path.read_bytes() == TASK


def test_an_editors_probe_of_the_folder_is_no_drop(inbox: Inbox) -> None:
    probe = inbox.drop("4913", b"")
    inbox.none()
    probe.unlink()
    inbox.later_s = 2
    assert inbox.none().faults == []


def test_yaml_and_json_lines_are_read_by_their_endings(inbox: Inbox) -> None:
    inbox.drop("a.yaml", b"title: Scan it\ndeadline: 2025-11-01\n")
    inbox.drop("b.jsonl", b'{"title": "one"}\n\n{"title": "two"}\n')
    first, second = inbox.scan().drops
    assert first.payloads == ({"title": "Scan it", "deadline": "2025-11-01"},)
    assert second.payloads == ({"title": "one"}, {"title": "two"})
    assert second.lines == (1, 3)


@pytest.mark.parametrize(
    ("data", "word"), [(b"[1]", "list"), (b"3", "number"), (b'"x"', "string"), (b"null", "null")]
)
def test_what_is_no_object_is_refused_with_a_word(inbox: Inbox, data: bytes, word: str) -> None:
    inbox.drop("a.json", data)
    inbox.later_s = 2
    problem = inbox.one().problem
    assert problem is not None
    assert word in problem.reason


@pytest.mark.parametrize("kind", ["symlink", "dangling", "loop", "fifo", "socket", "folder"])
def test_what_is_no_regular_file_is_moved_away_unopened(inbox: Inbox, kind: str) -> None:
    path = inbox.paths.inbox / "odd.json"
    secret = inbox.paths.root / "secret.json"
    secret.write_bytes(TASK)
    with contextlib.ExitStack() as stack:
        _make_odd(kind, path, secret, stack)
        inbox.later_s = 2
        drop = inbox.one()
        assert drop.payloads is None
        place = inbox.reject(drop)
    assert os.path.lexists(place)
    assert not os.path.lexists(path)
    assert place.parent == inbox.paths.rejected
    assert json.loads(Path(f"{place}.error.json").read_bytes())["file"] == "odd.json"
    assert secret.read_bytes() == TASK


def _make_odd(kind: str, path: Path, secret: Path, stack: contextlib.ExitStack) -> None:
    if kind == "symlink":
        path.symlink_to(secret)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        # A socket's path must be short, wherever the tests' folder is.
        folder = os.open(path.parent, os.O_PATH)
        stack.callback(os.close, folder)
        server.bind(f"/proc/self/fd/{folder}/{path.name}")


def test_a_huge_file_is_refused_unread(inbox: Inbox) -> None:
    path = inbox.drop("huge.json")
    os.truncate(path, 2 * 1024**3)
    drop = inbox.one()
    assert drop.problem is not None
    assert str(MAX_DROP_BYTES) in drop.problem.reason
    assert drop.sha256 == ""
    assert inbox.reject(drop).stat().st_size == 2 * 1024**3


@pytest.mark.parametrize(
    "name",
    [b"new\nline.json", b"caf\xe9.json", b"-rf", b";ls.json", "\u202eevil.json".encode(), b" "],
)
def test_odd_names_are_quoted_in_receipts_and_kept_in_rejected(inbox: Inbox, name: bytes) -> None:
    inbox.drop(name, b"{")
    inbox.later_s = 2
    drop = inbox.one()
    assert drop.receipt.isprintable()
    assert drop.receipt.encode()
    place = inbox.reject(drop)
    assert os.fsencode(place.name) == name
    assert place.read_bytes() == b"{"


def test_a_name_of_255_bytes_is_cut_with_its_ending_kept(inbox: Inbox) -> None:
    name = "ä" * 125 + ".json"
    inbox.drop(name, b"{")
    inbox.later_s = 2
    drop = inbox.one()
    assert drop.name == name
    assert drop.intake_path.name.endswith(".json")
    place = inbox.reject(drop)
    assert place.name.endswith("ä.json")
    assert Path(f"{place}.error.json").exists()


def test_rejected_files_lie_whole_beside_the_reason(inbox: Inbox) -> None:
    inbox.drop("bad.json", b'{"title": NaN}')
    inbox.later_s = 2
    drop = inbox.one()
    place = inbox.reject(drop)
    assert place == inbox.paths.rejected / "bad.json"
    assert place.read_bytes() == b'{"title": NaN}'
    reason = json.loads((inbox.paths.rejected / "bad.json.error.json").read_bytes())
    assert reason == {
        "file": "bad.json",
        "reason": "NaN is not a JSON number",
        "field": "title",
        "line": 1,
        "hint": "correct the file and drop it again",
        "at": AT,
        "receipt": "0000000001-bad.json",
    }
    assert list(inbox.paths.intake.iterdir()) == []


def test_rejecting_twice_is_rejecting_once(inbox: Inbox) -> None:
    inbox.drop("bad.json", b"{")
    inbox.later_s = 2
    drop = inbox.one()
    assert inbox.reject(drop) == inbox.reject(drop)
    assert sorted(path.name for path in inbox.paths.rejected.iterdir()) == [
        "bad.json",
        "bad.json.error.json",
    ]


def test_a_crash_between_reason_and_move_is_finished_later(tmp_path: Path) -> None:
    disk = FailingDisk()
    inbox = Inbox(tmp_path, disk)
    inbox.drop("bad.json", b"{")
    inbox.later_s = 2
    drop = inbox.one()
    disk.fail = {"rename_new": errno.EIO}
    with pytest.raises(OSError, match="Input/output"):
        inbox.reject(drop)
    disk.fail = {}
    (left,) = leftovers(disk, inbox.paths)
    assert left.receipt == drop.receipt
    place = inbox.reject(left)
    assert place.name == "bad.json"
    assert len(list(inbox.paths.rejected.iterdir())) == 2


def test_two_rejected_files_of_one_name_are_both_kept(inbox: Inbox) -> None:
    places = []
    for data in (b"{", b"{{"):
        inbox.drop("bad.json", data)
        inbox.later_s += 2
        places.append(inbox.reject(inbox.one()))
    assert [place.name for place in places] == ["bad.json", "bad-2.json"]
    assert [place.read_bytes() for place in places] == [b"{", b"{{"]
    assert Path(f"{places[1]}.error.json").exists()


def test_a_refused_file_moved_back_with_its_reason_gives_one_drop(inbox: Inbox) -> None:
    inbox.drop("bad.json", b"{")
    inbox.later_s = 2
    place = inbox.reject(inbox.one())
    Path(f"{place}.error.json").rename(inbox.paths.inbox / "bad.json.error.json")
    place.write_bytes(TASK)
    place.rename(inbox.paths.inbox / "bad.json")
    assert inbox.one().name == "bad.json"


def test_leftovers_come_back_with_their_numbers(inbox: Inbox) -> None:
    for name in ("b.json", "a.json"):
        inbox.drop(name)
        inbox.one()
    inbox.drop("c.json", b"[]")
    inbox.later_s = 2
    inbox.one()
    left = leftovers(inbox.disk, inbox.paths)
    assert [drop.receipt for drop in left] == [
        "0000000001-b.json",
        "0000000002-a.json",
        "0000000003-c.json",
    ]
    assert left[0].payloads == ({"title": "Scan it"},)
    assert left[2].problem is not None


def test_a_burst_is_taken_in_batches(inbox: Inbox) -> None:
    for number in range(25):
        inbox.drop(f"{number:02d}.json", b'{"title": "%d"}' % number)
    first = inbox.scan(limit=10)
    assert (len(first.drops), first.look_again_s) == (10, 0.0)
    rest = inbox.scan(limit=10).drops + inbox.scan(limit=10).drops
    titles = [drop.payloads[0]["title"] for drop in first.drops + rest if drop.payloads]
    assert titles == [str(number) for number in range(25)]


def test_removed_folders_are_made_again(inbox: Inbox) -> None:
    inbox.paths.inbox.rmdir()
    inbox.none()
    inbox.drop("a.json")
    assert inbox.one().payloads


def test_claims_are_made_durable_before_they_are_given_out(tmp_path: Path) -> None:
    disk = FailingDisk()
    inbox = Inbox(tmp_path, disk)
    inbox.drop("a.json")
    inbox.drop("b.json")
    assert len(inbox.scan().drops) == 2
    assert disk.calls.count("fsync_dir") == 2
    disk.calls.clear()
    inbox.none()
    assert disk.calls == []


def test_a_full_disk_leaves_drops_where_they_are(tmp_path: Path) -> None:
    disk = FailingDisk()
    inbox = Inbox(tmp_path, disk)
    path = inbox.drop("a.json")
    disk.fail = {"rename_new": errno.ENOSPC}
    found = inbox.none()
    assert "No space left" in found.faults[0]
    assert found.look_again_s == 1.0
    assert path.exists()
    disk.fail = {}
    assert inbox.one().payloads


def test_a_file_right_in_coordination_counts_after_a_second(inbox: Inbox) -> None:
    path = inbox.paths.coordination / "scan.json"
    path.write_bytes(TASK)
    assert inbox.none().look_again_s
    inbox.later_s = 1.1
    assert inbox.one().payloads == ({"title": "Scan it"},)
    assert not path.exists()


@pytest.mark.parametrize("name", ["task-queue.json", "x.json.error.json", "notes.txt"])
def test_documents_and_notes_in_coordination_are_no_drops(inbox: Inbox, name: str) -> None:
    path = inbox.paths.coordination / name
    path.write_bytes(TASK)
    inbox.later_s = 10
    assert inbox.none().look_again_s is None
    assert path.exists()


def test_a_request_to_edit_right_in_coordination_is_a_drop_and_no_copy_of_a_document(
    inbox: Inbox,
) -> None:
    """It has a document's list of rows."""
    data = b'{"kind": "edit", "file": "task-queue.json", "journal_seq": 3, "tasks": [{"id": "a"}]}'
    path = inbox.paths.coordination / "edit.json"
    path.write_bytes(data)
    inbox.later_s = 2
    assert inbox.one().problem is None


def test_a_copy_of_a_document_is_left_alone_with_one_note(inbox: Inbox) -> None:
    path = inbox.paths.coordination / "queue-backup.json"
    path.write_bytes(b'{"tasks": []}')
    inbox.later_s = 2
    inbox.none()
    note = inbox.paths.coordination / "queue-backup.json.error.json"
    assert "left alone" in json.loads(note.read_bytes())["reason"]
    first = note.stat()
    inbox.later_s = 4
    inbox.none()
    assert note.stat().st_ino == first.st_ino
    assert path.read_bytes() == b'{"tasks": []}'


def test_a_file_that_changed_after_its_note_is_looked_at_again(inbox: Inbox) -> None:
    path = inbox.paths.coordination / "plan.json"
    path.write_bytes(b'{"tasks": []}')
    inbox.later_s = 2
    inbox.none()
    note = inbox.paths.coordination / "plan.json.error.json"
    os.utime(note, ns=(0, note.stat().st_mtime_ns - 10**9))
    path.write_bytes(TASK)
    assert inbox.one().payloads == ({"title": "Scan it"},)


def test_an_unreadable_file_is_refused_whole(inbox: Inbox, request: pytest.FixtureRequest) -> None:
    node = f"{request.path}::{request.node.name}"
    if not passes_without(node, "dac_override", "dac_read_search"):
        return
    inbox.drop("a.json").chmod(0)
    inbox.later_s = 2
    drop = inbox.one()
    assert drop.problem is not None
    assert "may not read" in drop.problem.reason
