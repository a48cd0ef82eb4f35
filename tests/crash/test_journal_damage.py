"""Journal and checkpoint torn, flipped, cut short, lost or exchanged under a real daemon: what was
never durable is cut off; whatever else is missing stops it with file and line, untouched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cortex.store.disk import RealDisk
from cortex.store.history import check_home
from cortex.store.journal import recover
from live_home import LiveHome, MakeHome

SETTINGS = "[workers]\nbackoff = 0.1\ngrace = 0.5\n"


class Damaged:
    """A home with ended and running work, whose daemon is gone."""

    def __init__(self, home: LiveHome, gate: Path) -> None:
        self.home = home
        self.gate = gate
        begin_yesterday(home)
        home.start()
        home.run("done", "true")
        home.run("bad", "exit 3", retries=0, token_budget=70)
        home.until_ended("done", "bad")
        home.run("open", f"until test -e {gate}; do sleep 0.02; done; exit 0", token_budget=500)
        home.until_running("open")
        self.yesterday, self.today = sorted(home.paths.journal.glob("*.jsonl"))

    def stop(self) -> None:
        """Told to stop, so that there is a checkpoint of all."""
        self.home.stop()

    def kill(self) -> None:
        """Killed once the published files say all that the journal does; no checkpoint then."""
        home = self.home
        home.until(self.is_published, "published")
        home.kill()
        while not self.is_published():  # a line came in between
            home.start()
            home.until(self.is_published, "published")
            home.kill()

    def is_published(self) -> bool:
        told = self.home.read("task-queue")["journal_seq"]
        return bool(told == self.home.lines()[-1].seq)

    def bytes(self) -> dict[str, bytes]:
        paths = self.home.paths
        files = [*paths.journal.iterdir(), *paths.state.glob("checkpoint*")]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    def refuses_to_start(self, *words: str) -> str:
        """The daemon leaves with what it says, and nothing of the truth has changed."""
        before = self.bytes()
        log = self.home.root / "daemon.log"
        start = log.stat().st_size
        assert self.home.popen().wait(30) > 0
        said = log.read_bytes()[start:].decode()
        for word in words:
            assert word in said, said
        assert "Traceback" not in said
        assert self.bytes() == before, "a refusal changes nothing"
        assert self.problems(), "fsck sees it too"
        return said

    def problems(self) -> list[object]:
        found = check_home(RealDisk(), self.home.paths).problems
        return [problem for problem in found if not getattr(problem, "note", False)]

    def goes_on(self) -> None:
        """The next daemon adopts the running worker, and the books are exact."""
        home = self.home
        home.start()
        assert [row["task_id"] for row in home.running()] == ["open"]
        self.gate.touch()
        assert home.until_ended("open")[0]["status"] == "completed"
        home.assert_started_once()
        assert home.assert_books()["worker_pool"]["spent"] in (0, 70)
        home.assert_replay_is_published()
        home.stop()
        assert self.problems() == []


def begin_yesterday(home: LiveHome) -> None:
    """A first line of yesterday, so that the journal has two segments."""
    journal = recover(RealDisk(), home.paths.journal, ballast=home.paths.ballast).journal
    event = {"event": "daemon_stopped", "workers": 0}
    journal.append(datetime.now(UTC) - timedelta(days=1), "daemon", "told to stop", [event])
    journal.commit()
    journal.close()


@pytest.fixture
def damaged(make_home: MakeHome, tmp_path: Path) -> Damaged:
    return Damaged(make_home(settings=SETTINGS), tmp_path / "gate")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]


@pytest.mark.parametrize("tail", [b'{"seq":', b"\0" * 300, b"}\n", b"\n", b"\xff\xfe garbage\n"])
def test_a_torn_tail_is_cut_kept_and_said_and_nothing_else_changes(
    damaged: Damaged, tail: bytes
) -> None:
    damaged.kill()
    whole = damaged.today.read_bytes()
    damaged.today.write_bytes(whole + tail)
    damaged.goes_on()
    assert damaged.today.read_bytes().startswith(whole)
    torn = damaged.home.paths.journal / f"{damaged.today.name}.torn"
    assert torn.read_bytes() == tail
    assert "torn" in damaged.home.log()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_last_line_that_was_published_and_is_torn_stops_the_daemon(
    damaged: Damaged, end: str
) -> None:
    getattr(damaged, end)()
    whole = damaged.today.read_bytes()
    damaged.today.write_bytes(whole[:-20])
    line = whole.count(b"\n")
    damaged.refuses_to_start(f"{damaged.today.name}:{line}")
    damaged.today.write_bytes(whole)
    damaged.goes_on()


@pytest.mark.parametrize(
    ("end", "part"), [("kill", 0.0), ("kill", 0.4), ("kill", 0.9), ("stop", 0.6)]
)
def test_a_flipped_bit_stops_the_daemon_with_file_and_line_while_workers_live(
    damaged: Damaged, end: str, part: float
) -> None:
    getattr(damaged, end)()
    whole = damaged.today.read_bytes()
    at = int(len(whole) * part)
    damaged.today.write_bytes(flipped(whole, at))
    line = whole[:at].count(b"\n") + 1
    # A flipped newline spoils the line that it ended.
    damaged.refuses_to_start(f"{damaged.today.name}:{line}", "fsck")
    assert damaged.home.worker_processes(), "its worker lives on"
    damaged.today.write_bytes(whole)
    damaged.goes_on()


def cut_lines(data: bytes, count: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[:-count])


def without_line(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :])


def turned(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[:3], lines[4], lines[3], *lines[5:]])


LOSSES: dict[str, Callable[[bytes], bytes]] = {
    "the last five lines": lambda data: cut_lines(data, 5),
    "one in the middle": without_line,
    "two in each other's place": turned,
    "one that comes twice": lambda data: data + data.splitlines(keepends=True)[-1],
    "all of them": lambda data: b"",
}


@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("loss", LOSSES)
def test_lines_that_are_lost_or_in_another_order_stop_the_daemon(
    damaged: Damaged, end: str, loss: str
) -> None:
    getattr(damaged, end)()
    whole = damaged.today.read_bytes()
    damaged.today.write_bytes(LOSSES[loss](whole))
    if loss == "one that comes twice":
        damaged.goes_on()  # whole lines after the end were never believed: they are set aside
        return
    damaged.refuses_to_start(damaged.today.name)
    damaged.today.write_bytes(whole)
    damaged.goes_on()


@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("which", ["yesterday", "today", "both"])
def test_a_segment_that_is_missing_stops_the_daemon_and_no_token_is_invented(
    damaged: Damaged, tmp_path: Path, end: str, which: str
) -> None:
    getattr(damaged, end)()
    gone = [damaged.yesterday] if which != "today" else []
    gone += [damaged.today] if which != "yesterday" else []
    for path in gone:
        shutil.move(path, tmp_path / path.name)
    damaged.refuses_to_start("journal")
    for path in gone:
        shutil.move(tmp_path / path.name, path)
    damaged.goes_on()


def test_a_whole_journal_that_is_gone_stops_the_daemon(damaged: Damaged, tmp_path: Path) -> None:
    damaged.stop()
    shutil.move(damaged.home.paths.journal, tmp_path / "journal")
    assert damaged.home.popen().wait(30) > 0
    assert "journal" in damaged.home.log()
    if damaged.home.paths.journal.exists():
        damaged.home.paths.journal.rmdir()
    shutil.move(tmp_path / "journal", damaged.home.paths.journal)
    damaged.goes_on()


# --- the checkpoint


def test_a_missing_checkpoint_is_rebuilt_from_the_journal(damaged: Damaged) -> None:
    damaged.stop()
    for path in damaged.home.paths.state.glob("checkpoint*"):
        path.unlink()
    damaged.goes_on()
    assert damaged.home.paths.checkpoint.exists()


def test_an_older_checkpoint_is_brought_up_to_the_journal(damaged: Damaged, tmp_path: Path) -> None:
    home = damaged.home
    damaged.stop()
    shutil.copy(home.paths.checkpoint, tmp_path / "older")
    home.start()
    home.run("later", "true")
    home.until_ended("later")
    home.stop()
    shutil.copy(tmp_path / "older", home.paths.checkpoint)
    home.paths.previous_checkpoint.unlink(missing_ok=True)
    damaged.goes_on()
    assert home.task("later")["status"] == "completed"


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "a folder"])
def test_a_damaged_checkpoint_is_said_and_not_used(damaged: Damaged, how: str) -> None:
    damaged.stop()
    path = damaged.home.paths.checkpoint
    whole = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    else:
        spoilt = {"cut": whole[:-30], "flipped": flipped(whole, len(whole) // 2), "empty": b""}
        path.write_bytes(spoilt[how])
    damaged.home.start()
    assert "checkpoint.json" in damaged.home.log()
    if how == "a folder":
        path.rmdir()
    damaged.home.stop()
    damaged.goes_on()


def test_a_checkpoint_that_is_ahead_of_the_journal_is_never_trusted_over_it(
    damaged: Damaged,
) -> None:
    damaged.stop()
    whole = damaged.today.read_bytes()
    for path in damaged.home.paths.documents:
        path.unlink()  # it is the checkpoint alone that says more than the journal
    damaged.today.write_bytes(cut_lines(whole, 2))
    damaged.refuses_to_start(damaged.today.name, "checkpoint")
    damaged.today.write_bytes(whole)
    damaged.goes_on()


def test_a_checkpoint_of_another_home_is_flagged(damaged: Damaged, make_home: MakeHome) -> None:
    other = make_home("other", settings=SETTINGS)
    other.start()
    other.run("foreign", "true")
    other.until_ended("foreign")
    other.stop()
    damaged.stop()
    own = damaged.home.paths.checkpoint.read_bytes()
    damaged.home.paths.checkpoint.write_bytes(other.paths.checkpoint.read_bytes())
    damaged.refuses_to_start("checkpoint")
    damaged.home.paths.checkpoint.write_bytes(own)
    damaged.goes_on()
    assert damaged.home.task("foreign") == {}
