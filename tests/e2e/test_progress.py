"""Following tasks of a real daemon, on a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cortex.cli.progress import follow_tasks
from cortex.home import Home
from live_home import LiveHome


@pytest.fixture
def home(live: LiveHome) -> Home:
    return live.home


def submit(home: Home, **fields: object) -> str:
    """The id of a new task, once the daemon has taken it up."""
    receipt = home.submit({"retries": 0, **fields})
    for _ in home.follow(every_s=0.5):
        outcome = home.find_submitted(receipt)
        if outcome is not None:
            assert outcome.rejection is None, outcome.rejection
            return outcome.task_ids[0]
    raise AssertionError("the watch ended")


def follow(home: Home, *ids: str, terminal: bool = False, **options: float) -> tuple[int, str]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=80, height=24, highlight=False)
    return follow_tasks(home, ids, console, **options), text.getvalue()


def test_a_completed_task_is_code_0_and_its_steps_are_named(home: Home) -> None:
    steps = [
        {"name": "first", "command": "echo done"},
        {"name": "then", "command": "true", "needs": ["first"]},
    ]
    code, text = follow(home, submit(home, title="Two steps", workers=steps))
    assert code == 0
    assert "\x1b" not in text
    assert "first  done" in text, "what the worker printed last is its summary"
    assert text.splitlines()[-1].startswith("task-001         completed")


def test_a_failed_task_is_code_1_and_says_why(home: Home) -> None:
    code, text = follow(home, submit(home, command="echo no such file; exit 3"))
    assert code == 1
    assert "exit 3: no such file" in text


def test_the_time_limit_is_code_3_and_leaves_the_task_running(live: LiveHome) -> None:
    home = live.home
    ident = submit(home, command="sleep 60")
    live.until_running(ident)
    code, _ = follow(home, ident, timeout_s=0.5)
    assert code == 3
    assert (home.task(ident) or {})["status"] == "in_progress"
    home.submit({"kind": "cancel", "task_id": ident})
    code, text = follow(home, ident)
    assert code == 1
    assert "cancelled" in text


def test_a_daemon_that_goes_away_is_code_4(live: LiveHome) -> None:
    ident = submit(live.home, command="sleep 60")
    live.kill()
    code, text = follow(live.home, ident)
    assert code == 4
    assert "no daemon runs any more" in text


def test_an_unknown_task_is_code_1_and_named(home: Home) -> None:
    code, text = follow(home, "task-999")
    assert code == 1
    assert "there is no task task-999" in text


def test_a_terminal_gets_a_view_that_is_drawn_in_place(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    ident = submit(home, command="printf '\\033[31mred'")
    code, text = follow(home, ident, terminal=True)
    assert code == 0
    assert "worker-cmd-001" in text
    assert "━" in text
    assert "\x1b[2K" in text, "it erases what it has drawn"
    assert "\x1b[31mred" not in text, "a worker's escapes do not reach the terminal"
