"""The editors and programs that people really use, on files that the daemon replaces all the time.

In each test somebody turns `pick me` into `picked` in task-queue.json, while other tasks come and
end. Their change must be there afterwards, and nothing else may be set back or refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from live_home import LiveHome

LIMIT_S = 60.0


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; scripts/setup dev brings it")


@contextmanager
def traffic(live: LiveHome) -> Iterator[Callable[[int], None]]:
    """Tasks come and end as long as it lasts; the value waits for so many more journal lines."""
    over = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not over.is_set():
            number += 1
            ident = live.run(f"busy-{number}", "true")
            while not over.is_set() and not _has_ended(live, ident):
                over.wait(0.02)

    def pass_by(lines: int) -> None:
        before = len(live.lines())
        live.until(lambda: len(live.lines()) >= before + lines, f"{lines} more lines", LIMIT_S)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        yield pass_by
    finally:
        over.set()
        thread.join()


def _has_ended(live: LiveHome, ident: str) -> bool:
    try:
        row = next((row for row in live.tasks() if row.get("id") == ident), {})
    except (ValueError, AttributeError):
        return False  # somebody's edit, half-way
    return bool(row.get("ended_at"))


class Terminal:
    """A program on a terminal of its own, for keys to be typed into."""

    def __init__(self, *argv: str, cwd: Path) -> None:
        self.screen = b""
        self._control, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": str(cwd)}

        self.process = subprocess.Popen(
            argv,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
        os.close(inner)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._control], [], [], seconds)
        if not ready:
            return False
        try:
            self.screen += os.read(self._control, 65536)
        except OSError:
            return False  # the program has closed its end
        return True

    def until(self, text: bytes) -> None:
        """Waits until the program has shown a text since the last key."""
        end = time.monotonic() + LIMIT_S
        while text not in self.screen:
            assert time.monotonic() < end, (text, self.screen[-2000:])
            assert self.process.poll() is None or self._read(0), self.screen[-2000:]
            self._read(0.05)

    def type(self, keys: bytes) -> None:
        """Types; what was shown before is forgotten."""
        while self._read(0.05):
            pass
        self.screen = b""
        os.write(self._control, keys)

    def leave(self, *answers: tuple[bytes, bytes]) -> None:
        """Waits for the program's end; each question that comes up gets its answer once."""
        end = time.monotonic() + LIMIT_S
        left = list(answers)
        while self.process.poll() is None:
            assert time.monotonic() < end, self.screen[-2000:]
            self._read(0.05)
            for question, answer in left:
                if question in self.screen:
                    left.remove((question, answer))
                    self.screen = b""
                    os.write(self._control, answer)
                    break
        os.close(self._control)
        assert self.process.returncode == 0, self.screen[-2000:]


def shell(script: str, live: LiveHome) -> None:
    subprocess.run(
        ["bash", "-euc", script], cwd=live.paths.coordination, check=True, timeout=LIMIT_S
    )


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts programs on terminals; none is left after the test."""
    opened: list[Terminal] = []

    def start(*argv: str, cwd: Path) -> Terminal:
        opened.append(Terminal(*argv, cwd=cwd))
        return opened[-1]

    yield start
    for each in opened:
        each.process.kill()
        each.process.wait(10)


@pytest.fixture
def picky(live: LiveHome) -> LiveHome:
    """A home with one task to be picked."""
    live.run("job", "sleep 300", title="pick me")
    live.until_running("job")
    live.until(lambda: live.task("job").get("title") == "pick me", "published")
    return live


def assert_picked(live: LiveHome, edits: int = 1) -> None:
    """The change is there, once, and nothing else was touched or refused."""
    live.until(lambda: len(live.events("file_edited")) >= edits, "taken up")
    live.until(lambda: live.task("job").get("title") == "picked", "published")
    assert [event["fields"] for event in live.events("task_edited")] == [{"title": "picked"}]
    assert live.errors() == {}
    assert live.events("file_edit_refused") == []
    assert live.running("job"), "nobody was disturbed"
    assert not any(event["status"] == "cancelled" for event in live.events("task_ended"))
    live.until(lambda: not list(live.paths.out.iterdir()), "no version is left over", LIMIT_S)


VIM_OPTIONS = [
    "set nobackup nowritebackup backupcopy=auto",
    "set backup writebackup backupcopy=no",
    "set backup writebackup backupcopy=yes",
    "set nobackup writebackup backupcopy=no noswapfile",
]


@pytest.mark.parametrize("options", VIM_OPTIONS)
def test_vim_saves_a_buffer_that_is_up_to_hundreds_of_lines_old(
    picky: LiveHome, terminal: Callable[..., Terminal], options: str
) -> None:
    needs("vim")
    with traffic(picky) as pass_by:
        vim = terminal(
            *("vim", "-N", "-u", "NONE", "-i", "NONE", "-c", options, "task-queue.json"),
            cwd=picky.paths.coordination,
        )
        vim.until(b"journal_seq")
        pass_by(200 if options == VIM_OPTIONS[0] else 40)
        vim.type(b":%s/pick me/picked/\r")
        vim.type(b":wq\r")
        vim.leave((b"(y/n)", b"y"))
        pass_by(20)
    assert_picked(picky)


def test_nano_saves_a_buffer_that_is_old(
    picky: LiveHome, terminal: Callable[..., Terminal]
) -> None:
    needs("nano")
    with traffic(picky) as pass_by:
        nano = terminal("nano", "--ignorercfiles", "task-queue.json", cwd=picky.paths.coordination)
        nano.until(b"journal_seq")
        pass_by(60)
        nano.type(b"\x1c")  # ^\ replaces
        nano.until(b"Search")
        nano.type(b"pick me\r")
        nano.until(b"Replace with")
        nano.type(b"picked\r")
        nano.until(b"this instance?")
        nano.type(b"A")
        nano.until(b"occurrence")
        nano.type(b"\x0f")  # ^O writes
        nano.until(b"File Name to Write")
        nano.type(b"\r")
        nano.until(b"disk has changed")  # continue saving?
        nano.type(b"Y")
        nano.until(b"Wrote")
        nano.type(b"\x18")  # ^X leaves
        nano.leave()
    assert_picked(picky)


SCRIPTS = {
    "sed": "sed -i 's/pick me/picked/' task-queue.json",
    "sed with a backup": "sed -i.orig 's/pick me/picked/' task-queue.json",
    "jq": """jq '(.tasks[] | select(.id == "job")).title = "picked"' task-queue.json > .t
             mv .t task-queue.json""",
    "a shell's >": """new=$(sed 's/pick me/picked/' task-queue.json)
                      echo "$new" > task-queue.json""",
    "emacs": """sed 's/pick me/picked/' task-queue.json > .new; mv task-queue.json task-queue.json~
                cat .new > task-queue.json""",
    "ed": "printf ',s/pick me/picked/\\nw\\nq\\n' | ed -s task-queue.json",
    "slow pieces": """sed 's/pick me/picked/' task-queue.json > .new
                      { head -c 700 .new; sleep 0.7; tail -c +701 .new | head -c 9; sleep 1.3;
                        tail -c +710 .new; } > task-queue.json""",
    "only what changes": """seq=$(jq .journal_seq task-queue.json)
        jq '.tasks |= map(if .id == "job" then {id, title: "picked"} else . end)' \\
            task-queue.json > .t; mv .t task-queue.json""",
}


@pytest.mark.parametrize("way", SCRIPTS)
def test_programs_save_while_the_daemon_writes(picky: LiveHome, way: str) -> None:
    for program in ("jq", "ed", "sed"):
        if program in SCRIPTS[way]:
            needs(program)
    with traffic(picky) as pass_by:
        pass_by(10)
        shell(SCRIPTS[way], picky)
        pass_by(10)
    assert_picked(picky)


def test_vs_code_truncates_and_writes_in_place(picky: LiveHome) -> None:
    """It reads, keeps the text for long, and writes it over what is there, in the same inode."""
    path = picky.paths.task_queue
    with traffic(picky) as pass_by:
        text = path.read_text()
        pass_by(60)
        with path.open("r+") as file:
            file.truncate(0)
            file.write(text.replace("pick me", "picked"))
        pass_by(10)
    assert_picked(picky)


def test_who_has_the_old_inode_open_may_still_write_into_it(picky: LiveHome) -> None:
    """Opened, the file replaced beneath it, and only then written: it must not stay hidden."""
    path = picky.paths.task_queue
    text = path.read_text()
    with path.open("r+") as file:
        with traffic(picky) as pass_by:
            pass_by(20)
        file.truncate(0)
        file.write(text.replace("pick me", "picked"))
    assert_picked(picky)


def test_git_checkout_of_an_older_version_reverts_nothing(picky: LiveHome) -> None:
    needs("git")
    git = "git -c user.name=x -c user.email=x@example.org"
    shell(f"git init -q . && git add task-queue.json && {git} commit -qm one", picky)
    picky.run("later", "true")
    picky.until_ended("later")
    before = len(picky.lines())
    old = picky.paths.task_queue.read_bytes()
    shell("git checkout -q -- task-queue.json", picky)
    picky.until(lambda: picky.task("later").get("status") == "completed", "as it was")
    picky.until(lambda: not list(picky.paths.out.iterdir()), "no version is left over", LIMIT_S)
    assert json.loads(old)["tasks"] == picky.tasks()
    words = {event["event"] for line in picky.lines()[before:] for event in line.events}
    assert words & {"file_edited", "file_edit_refused", "task_edited", "task_ended"} == set()
    assert picky.errors() == {}


def test_two_people_save_one_after_the_other_from_the_same_buffer(picky: LiveHome) -> None:
    text = picky.paths.task_queue.read_text()
    row = '"title": "pick me"'
    assert row in text
    with traffic(picky) as pass_by:
        for new in (text.replace("pick me", "picked"), text.replace(row, f'{row}, "seen": true')):
            hidden = picky.paths.coordination / ".mine"
            hidden.write_text(new)
            hidden.rename(picky.paths.task_queue)
            pass_by(20)
    picky.until(lambda: len(picky.events("file_edited")) == 2, "both are taken up")
    picky.until(lambda: picky.task("job").get("seen"), "published")
    assert picky.task("job")["title"] == "picked"
    assert picky.errors() == {}
