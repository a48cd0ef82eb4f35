"""Things that are no plain files, names that nobody expects, and every way in which a plain file
comes into being: nothing is followed, nothing blocks, nothing is taken twice or by halves."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from refusals import Refusals, everything_below

from live_home import LiveHome

SECRET = b"only-the-system-may-read-this-0123456789"


@pytest.fixture
def fire(live: LiveHome) -> Refusals:
    return Refusals(live)


def make_socket(path: Path) -> None:
    """A socket's path must be short: it is made through the folder's descriptor."""
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def test_what_is_no_plain_file_is_neither_opened_nor_followed_and_lies_in_rejected(
    fire: Refusals, tmp_path: Path
) -> None:
    inbox, outside = fire.home.paths.inbox, tmp_path / "outside"
    outside.mkdir()
    (outside / "canary.json").write_text('{"id": "stolen", "command": "true"}')
    (outside / "secret").write_bytes(SECRET)
    targets = {
        "file": outside / "canary.json",
        "secret": outside / "secret",
        "folder": outside,
        "system": "/etc/passwd",
        "dangling": outside / "nobody.json",
        "device": "/dev/zero",
        "itself": inbox / "link-itself.json",
        "loop-a": inbox / "link-loop-b.json",
        "loop-b": inbox / "link-loop-a.json",
        "pipe": "/proc/self/fd/0",
    }
    for name, target in targets.items():
        (inbox / f"link-{name}.json").symlink_to(target)
    kinds = {f"link-{name}.json": "symlink" for name in targets}
    os.mkfifo(inbox / "fifo.json")
    make_socket(inbox / "socket.json")
    shutil.copytree(outside, tmp_path / "made" / "deeper" / "still", symlinks=True)
    (tmp_path / "made").rename(inbox / "folder.json")
    with (inbox / "sparse.json").open("wb") as file:
        file.truncate(2 << 30)
    kinds |= {"fifo.json": "fifo", "socket.json": "socket", "folder.json": "folder"}
    if os.geteuid() == 0:
        os.mknod(inbox / "device.json", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        kinds["device.json"] = "device"
    fire.settle()
    home = fire.home
    home.until(lambda: set(home.errors()) == {*kinds, "sparse.json"}, "all are refused")
    for name, kind in kinds.items():
        assert kind in home.errors()[name]["reason"]
        assert os.path.lexists(home.paths.rejected / name)
    assert (home.paths.rejected / "folder.json/deeper/still/secret").read_bytes() == SECRET
    shutil.rmtree(home.paths.rejected / "folder.json")
    assert (home.paths.rejected / "sparse.json").stat().st_size == 2 << 30
    (home.paths.rejected / "sparse.json").unlink()
    assert SECRET not in everything_below(home.root)
    assert home.task("stolen") == {}
    assert sorted(path.name for path in outside.iterdir()) == ["canary.json", "secret"]


def test_a_hard_link_is_taken_or_refused_and_its_other_name_keeps_the_file(
    fire: Refusals, tmp_path: Path
) -> None:
    home = fire.home
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"id": "linked", "command": "true"}')
    bad.write_bytes(SECRET)
    os.link(good, home.paths.inbox / "good.json")
    os.link(bad, home.paths.inbox / "bad.json")
    fire.bad["bad.json"] = SECRET
    fire.settle()
    assert home.until_ended("linked")[0]["status"] == "completed"
    assert good.read_text() == '{"id": "linked", "command": "true"}'
    assert bad.read_bytes() == SECRET
    segment = next(home.paths.journal.glob("*.jsonl"))
    os.link(segment, home.paths.inbox / "journal.jsonl")
    os.link(home.paths.task_queue, home.paths.inbox / "queue.json")
    fire.settle()
    home.stop()
    home.start()
    fire.settle()
    home.assert_replay_is_published()


ODD_NAMES = [
    *("-rf.json", "--help.json", "; touch never.json", "$(touch never).json", "`touch never`.json"),
    *("new\nline.json", "tab\there.json", "bell\x07.json", "clear\x1b[2J.json", "\x7f.json"),
    *(" .json", "  lead.json", "trail .json", "%s%n.json", "a\\b.json", "'quote'.json", '".json'),
    *("json", "noending", "UPPER.JSON", "x.json.json", "x.txt", "CON.json", "*.json", "?.json"),
    *("\u202egnp.json", "\U0001f600.json", "e\u0301.json", "\u00e9.json", "x" * 250 + ".json"),
    *(
        "\u65e5" * 83 + ".json",
        "0000000001-x.json",
        "x.error.json",
        "task-queue.json",
        "~.json",
        "&&.json",
    ),
    *(
        "bytes-\udcff\udcfe.json",
        "half-\udce6\udc97.json",
        "\udc80.yaml",
        "lock",
        "journal",
        "=.json",
    ),
]
LEFT_ALONE = [
    *(
        ".hidden.json",
        "x.json~",
        ".x.json.swp",
        ".x.json.swo",
        "x.json.swx",
        "x.tmp",
        "x.json.part",
    ),
    *("#x.json#", ".#x.json", "x.crdownload", "x.partial", "..json", "..."),
]


def test_odd_names_are_names_and_nothing_more(fire: Refusals) -> None:
    home = fire.home
    for number, name in enumerate(ODD_NAMES):
        fire.drop(name, json.dumps({"id": f"odd-{number}", "command": "true"}).encode())
    for name in LEFT_ALONE:
        (home.paths.inbox / name).write_bytes(b'{"id": "early", "command": "true"}')
    rows = home.until_ended(*(f"odd-{number}" for number in range(len(ODD_NAMES))))
    assert {row["status"] for row in rows} == {"completed"}
    assert all(row["source"].isprintable() for row in rows)
    for name in ODD_NAMES * 2:
        if not name.endswith(".error.json"):  # which would read as a reason in rejected/
            fire.drop_bad(name, b'{"title": ')
    fire.drop_good()
    home.until_ended(*fire.good)
    home.until(lambda: names_in(home.paths.inbox) == set(LEFT_ALONE), "none is left")
    home.until(
        lambda: len(home.errors()) == len(home.events("drop_rejected")) >= len(fire.bad),
        "all are refused",
    )
    for name in home.errors():
        assert (home.paths.rejected / name).read_bytes() == b'{"title": '
    assert not list(home.root.rglob("never*"))
    assert home.task("early") == {}
    log = (home.root / "daemon.log").read_bytes()
    assert b"\x1b[2J" not in log and b"\x07" not in log and b"Traceback" not in log
    home.stop()
    home.start()
    fire.drop_good()
    home.until_ended(*fire.good)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".intake"}


def task_text(ident: str) -> str:
    """A task whose title says whether the file came whole."""
    padding = hashlib.sha256(ident.encode()).hexdigest() * 6
    return json.dumps({"id": ident, "title": padding, "command": "true"}, indent=1)


#: The daemon waits for a second for the rest of a file that nobody has open.
PATIENCE_S = 0.9


class TooSlow(Exception):  # noqa: N818 - no error: the machine was busy
    """A hand rested for so long that its file may have been taken as it was."""


def by_cp(path: Path, text: str, aside: Path) -> None:
    (aside / path.name).write_text(text)
    subprocess.run(["cp", aside / path.name, path], check=True)


def by_cp_with_times(path: Path, text: str, aside: Path) -> None:
    (aside / path.name).write_text(text)
    os.utime(aside / path.name, (10**9, 10**9))
    subprocess.run(["cp", "-p", aside / path.name, path], check=True)


def by_mv(path: Path, text: str, aside: Path) -> None:
    (aside / path.name).write_text(text)
    subprocess.run(["mv", aside / path.name, path], check=True)


def by_redirection(path: Path, text: str, aside: Path) -> None:
    subprocess.run(["sh", "-c", 'cat > "$1"', "sh", path], input=text, text=True, check=True)


def by_pieces(path: Path, text: str, aside: Path) -> None:
    """One open file, written slowly."""
    with path.open("w") as file:
        for start in range(0, len(text), 60):
            file.write(text[start : start + 60])
            file.flush()
            time.sleep(0.02)  # the slow writer is what is tested


def by_appending(path: Path, text: str, aside: Path) -> None:
    """Opened and closed for each piece: between two of them nobody has it open."""
    written_s = [time.monotonic()]
    for start in range(0, len(text), 150):
        with path.open("a") as file:
            file.write(text[start : start + 150])
            file.flush()
            written_s.append(time.monotonic())
        time.sleep(0.02)  # the slow writer is what is tested
    if max(after - before for before, after in pairwise(written_s)) > PATIENCE_S:
        raise TooSlow


def by_editor_rename(path: Path, text: str, aside: Path) -> None:
    """A new file beside it, synced, renamed over it: what most editors do."""
    draft = path.with_name(f".{path.name}.Xy12Z")
    with draft.open("w") as file:
        file.write(text)
        os.fsync(file.fileno())
    draft.rename(path)


def by_editor_backup(path: Path, text: str, aside: Path) -> None:
    """The old one renamed to a backup, the new one written in its place: vim's other way."""
    began_s = time.monotonic()
    path.with_name("4913").touch()
    path.with_name("4913").unlink(missing_ok=True)  # others have such a probe too
    is_slow = time.monotonic() - began_s > PATIENCE_S
    path.with_name(f"{path.name}~").write_text("old")
    with path.open("w") as file:
        file.write(text[:100])
        file.flush()
        file.write(text[100:])
    path.with_name(f"{path.name}~").unlink()
    if is_slow:
        raise TooSlow


def by_hard_link(path: Path, text: str, aside: Path) -> None:
    """link and unlink: how mail is delivered."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text)
    os.link(draft, path)
    draft.unlink()


def by_writing_in_place(path: Path, text: str, aside: Path) -> None:
    """The length first, then the bytes, from the end on."""
    data = text.encode()
    with path.open("wb") as file:
        file.truncate(len(data))
        for start in range(len(data) // 100 * 100, -1, -100):
            os.pwrite(file.fileno(), data[start : start + 100], start)


WAYS: list[Callable[[Path, str, Path], None]] = [
    *(by_cp, by_cp_with_times, by_mv, by_redirection, by_pieces, by_appending),
    *(by_editor_rename, by_editor_backup, by_hard_link, by_writing_in_place),
]


def test_forty_hands_drop_in_ten_ways_at_once_and_each_file_is_taken_once_and_whole(
    live: LiveHome, tmp_path: Path
) -> None:
    chance = random.Random(7)
    jobs = [(way, f"{way.__name__.replace('_', '-')}-{n}") for way in WAYS for n in range(4)]
    chance.shuffle(jobs)
    failures: list[str] = []
    slow: set[str] = set()

    def hand(way: Callable[[Path, str, Path], None], ident: str) -> None:
        try:
            way(live.paths.inbox / f"{ident}.json", task_text(ident), tmp_path)
        except TooSlow:
            slow.add(ident)
        except Exception as error:
            failures.append(f"{ident}: {error!r}")

    hands = [threading.Thread(target=hand, args=job) for job in jobs]
    for thread in hands:
        thread.start()
    for thread in hands:
        thread.join()
    assert failures == []
    rows = live.until_ended(*(ident for _, ident in jobs if ident not in slow))
    assert {row["status"] for row in rows} == {"completed"}
    for row in rows:
        assert row["title"] == hashlib.sha256(row["id"].encode()).hexdigest() * 6, row["id"]
    taken = Counter(event["task"]["id"] for event in live.events("task_accepted"))
    assert set(taken.values()) == {1}
    assert slow or live.errors() == {}
    live.assert_started_once()


def test_a_file_that_is_dropped_again_before_it_was_taken_is_taken_as_either_version(
    live: LiveHome,
) -> None:
    path = live.paths.inbox / "again.json"
    versions = [task_text("first"), task_text("second") + " " * 3000, task_text("third")]
    for _ in range(5):
        for text in versions:
            path.write_text(text)
    live.until_ended("third")
    live.until(lambda: names_in(live.paths.inbox) == set(), "nothing is left")
    refused = [error["field"] for error in live.errors().values()]
    assert set(refused) <= {"id"}, "each version that was read was whole"
    accepted = [event["task"] for event in live.events("task_accepted")]
    for task in accepted:
        assert task["title"] == hashlib.sha256(task["id"].encode()).hexdigest() * 6
