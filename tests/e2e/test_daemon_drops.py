"""Every way in which a file comes into a home, and what becomes of the bad ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from live_home import LiveHome

SLOW_WRITER = """
import sys
with open(sys.argv[1], "w") as file:
    for line in sys.stdin:
        file.write(line)
        file.flush()
        print("written", flush=True)
"""
QUIET_S = 1.6


def test_a_file_that_is_copied_or_moved_in_is_taken_once_under_its_own_name(
    live: LiveHome, tmp_path: Path
) -> None:
    for name in ("copied", "moved"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"id": name, "command": "true"}))
    subprocess.run(["cp", tmp_path / "copied.json", live.paths.inbox], check=True)
    subprocess.run(["mv", tmp_path / "moved.json", live.paths.inbox], check=True)
    rows = live.until_ended("copied", "moved")
    assert [row["status"] for row in rows] == ["completed"] * 2
    assert [row["source"] for row in rows] == ["copied.json", "moved.json"]
    assert len(live.events("task_accepted")) == 2
    live.until(lambda: [p.name for p in live.paths.inbox.rglob("*")] == [".intake"], "inbox empty")


@pytest.mark.parametrize("where", ["inbox", "coordination"])
def test_a_writer_who_takes_his_time_is_waited_for_even_when_a_piece_reads_as_a_whole(
    live: LiveHome, where: str
) -> None:
    folder = live.paths.inbox if where == "inbox" else live.paths.coordination
    writer = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, folder / "slow.json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin is not None and writer.stdout is not None
    pieces = ['{"id": "slow", "command": "true"}\n', " \n", "\n"]
    for number, piece in enumerate(pieces):
        writer.stdin.write(piece)
        writer.stdin.flush()
        writer.stdout.readline()
        mark = f"mark-{number}"
        # Two tasks that each take longer than the second after which a file counts as quiet:
        # whatever would take the open file up has had the time to do so.
        live.run(mark, f"sleep {QUIET_S / 2}")
        live.until_ended(mark)
        assert live.task("slow") == {}, "taken while its writer had it open"
        assert (folder / "slow.json").exists()
    writer.communicate("")
    (row,) = live.until_ended("slow")
    assert row["status"] == "completed"


def test_a_piecewise_writer_whose_pieces_are_no_json_is_taken_whole(live: LiveHome) -> None:
    target = live.paths.inbox / "pieces.json"
    text = json.dumps({"id": "pieces", "title": "x" * 200, "command": "true"}, indent=1)
    with target.open("w") as file:
        for start in range(0, len(text), 40):
            file.write(text[start : start + 40])
            file.flush()
            live.run(f"between-{start}", "true")
            live.until_ended(f"between-{start}")
    (row,) = live.until_ended("pieces")
    assert row["title"] == "x" * 200
    assert live.errors() == {}


def test_yaml_and_json_lines_are_read_as_json_is(live: LiveHome) -> None:
    live.drop("id: yaml\ncommand: [echo, hello]\nretries: 0\n", "y.yaml")
    lines = [{"id": f"line-{n}", "command": "true"} for n in range(3)]
    live.drop("".join(json.dumps(line) + "\n" for line in lines), "lines.jsonl")
    rows = live.until_ended("yaml", "line-0", "line-1", "line-2")
    assert {row["status"] for row in rows} == {"completed"}


def test_a_json_lines_file_with_one_bad_line_is_refused_whole_and_names_the_line(
    live: LiveHome,
) -> None:
    text = '{"id": "good", "command": "true"}\n{"id": "bad", "command": "true", "priority": "x"}\n'
    live.drop(text, "two.jsonl")
    error = live.until(lambda: live.errors().get("two.jsonl"), "refused") or {}
    assert (error["line"], error["field"]) == (2, "priority")
    assert (live.paths.rejected / "two.jsonl").read_text() == text
    assert live.task("good") == {}


def test_a_task_dropped_straight_into_coordination_is_taken_and_documents_are_left_alone(
    live: LiveHome,
) -> None:
    coordination = live.paths.coordination
    copy = coordination / "backup-of-queue.json"
    shutil.copy(live.paths.task_queue, copy)
    before = copy.read_bytes()
    (coordination / "straight.json").write_text('{"id": "straight", "command": "true"}')
    (row,) = live.until_ended("straight")
    assert row["status"] == "completed"
    note = coordination / "backup-of-queue.json.error.json"
    live.until(note.exists, "a note says where it belongs")
    assert json.loads(note.read_bytes())["hint"]
    assert copy.read_bytes() == before
    assert live.errors() == {}


BAD: dict[str, tuple[bytes, str | None]] = {
    "truncated.json": (b'{"title": "x"', None),
    "comma.json": (b'{"title": "x",}', None),
    "nan.json": (b'{"title": NaN}', None),
    "twice.json": (b'{"title": "x", "title": "y"}', "title"),
    "latin.json": (b'{"title": "\xe9"}', None),
    "empty.json": (b"", None),
    "scalar.json": (b"3", None),
    "list.json": (b"[1]", None),
    "priority.json": (b'{"title": "x", "priority": "urgent"}', "priority"),
    "retries.json": (b'{"title": "x", "retries": "many"}', "retries"),
    "nested.json": (b'{"title": "x", "scope": {"scan_types": ["all"]}}', "scope.scan_types"),
    "id.json": (b'{"title": "x", "id": "../up"}', "id"),
    "kind.json": (b'{"kind": "cancle", "task_id": "task-001"}', "kind"),
    "needs.json": (b'{"title": "x", "needs": ["nobody"]}', "needs"),
    "circle.json": (b'{"workers": [{"name": "a", "command": "true", "needs": ["a"]}]}', None),
    "deep.json": (b"[" * 100_000, None),
    "odd\nname.json": (b"{", None),
}


def test_three_hundred_at_once_are_all_taken_or_refused_with_their_reasons(
    live: LiveHome,
) -> None:
    bad = BAD | {f"more-{n}.json": (b'{"command": "true", "x": %d' % n, None) for n in range(83)}
    for name, (data, _) in bad.items():
        (live.paths.inbox / name).write_bytes(data)
    good = [f"good-{n}" for n in range(200)]
    for ident in good:
        live.run(ident, "true")
    rows = live.until_ended(*good, limit_s=100)
    assert {row["status"] for row in rows} == {"completed"}

    live.until(lambda: len(live.events("drop_rejected")) == len(bad), "all bad ones are refused")
    live.until(lambda: len(live.errors()) == len(bad), "all bad ones lie in rejected/")
    errors = live.errors()
    for name, (data, field) in bad.items():
        live.until((live.paths.rejected / name).exists, f"{name!r} lies in rejected/")
        assert (live.paths.rejected / name).read_bytes() == data, "byte for byte"
        error = errors[name]
        assert error["reason"] and error["hint"], error
        assert (error["field"] or "").startswith(field or ""), error
        assert "\n" not in error["file"]
    whys = [line.why for line in live.lines() if line.by == "inbox"]
    assert any(why.startswith("priority: must be 'low', 'medium'") for why in whys), "the field too"
    live.assert_books()
    live.assert_started_once()


def test_odd_things_are_neither_opened_nor_followed_and_the_rest_goes_on(
    live: LiveHome, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"id": "stolen", "command": "true"}')
    os.mkfifo(live.paths.inbox / "fifo.json")
    (live.paths.inbox / "link.json").symlink_to(secret)
    (live.paths.inbox / "folder.json").mkdir()
    with (live.paths.inbox / "sparse.json").open("wb") as file:
        file.truncate(2 << 30)
    live.run("after", "true")
    assert live.until_ended("after")[0]["status"] == "completed"
    names = {"fifo.json", "link.json", "folder.json", "sparse.json"}
    live.until(lambda: set(live.errors()) == names, "all four are refused")
    assert live.task("stolen") == {}
    assert secret.exists()


def test_what_editors_are_not_done_with_is_left_alone(live: LiveHome) -> None:
    names = [".hidden.json", "x.json~", ".x.json.swp", "x.tmp", "x.json.part", "#x.json#"]
    for name in names:
        (live.paths.inbox / name).write_text('{"command": "true"}')
    live.run("after", "sleep 1.2")
    live.until_ended("after")
    assert {p.name for p in live.paths.inbox.iterdir()} == {*names, ".intake"}
    assert len(live.tasks()) == 1


def test_the_same_id_twice_in_one_burst_is_one_task_and_one_refusal(live: LiveHome) -> None:
    for name in ("one.json", "two.json"):
        (live.paths.inbox / name).write_text('{"id": "twin", "command": "true"}')
    live.until_ended("twin")
    live.until(lambda: len(live.errors()) == 1, "one is refused")
    (error,) = live.errors().values()
    assert error["field"] == "id"
    assert "retry" in error["hint"]


def test_drops_from_many_hands_at_once_become_one_task_each(live: LiveHome) -> None:
    def hand(number: int) -> None:
        for n in range(10):
            path = live.paths.inbox / f"hand-{number}-{n}.json"
            path.write_text(json.dumps({"id": f"h-{number}-{n}", "command": "true"}))

    hands = [threading.Thread(target=hand, args=(number,)) for number in range(5)]
    for thread in hands:
        thread.start()
    for thread in hands:
        thread.join()
    idents = [f"h-{number}-{n}" for number in range(5) for n in range(10)]
    live.until_ended(*idents)
    assert len(live.events("task_accepted")) == 50
    assert live.errors() == {}


def test_files_dropped_while_no_daemon_runs_wait_for_the_next_one(live: LiveHome) -> None:
    live.stop()
    live.run("early", "true")
    live.drop(b"{", "bad.json")
    live.start()
    assert live.until_ended("early")[0]["status"] == "completed"
    assert live.until(lambda: live.errors().get("bad.json"), "the bad one is refused")


def test_a_drop_whose_name_is_no_utf8_becomes_a_task_that_completes(live: LiveHome) -> None:
    """Its report could not be written, again and again."""
    name = b"caf\xe9.json".decode("utf-8", "surrogateescape")
    (live.paths.inbox / name).write_text('{"id": "odd", "command": "true"}')
    (row,) = live.until_ended("odd")
    assert (row["status"], row["source"]) == ("completed", r"caf\udce9.json")
