"""The command against a running daemon: what a person types, and what comes of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from live_home import BIN, LiveHome

DEADLINE_S = 40


class Fleet:
    """A home with its daemon, and the command that means it."""

    def __init__(self, live: LiveHome) -> None:
        self.home = live.home
        self.start, self.stop, self.told = live.start, live.stop, live.log
        self._live = live
        self.environ = {**os.environ, "CORTEX_HOME": str(live.root), "NO_COLOR": "1"}

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "cortex"), *arguments],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / "cortex"), *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        self._live.until(condition, "it has come so far", DEADLINE_S)

    def submit(self, *arguments: str) -> str:
        ran = self.run("submit", *arguments, "-o", "name")
        assert ran.returncode == 0, ran.stderr + self.told()
        return ran.stdout.strip()


@pytest.fixture
def fleet(live: LiveHome) -> Fleet:
    return Fleet(live)


def test_a_submitted_command_runs_and_is_told_from_every_side(fleet: Fleet) -> None:
    ident = fleet.submit("--title", "Greet", "--command", "echo hello there")
    ran = fleet.run("wait", ident, "--for", "completed", "--timeout", "30s")
    assert (ran.returncode, ran.stdout) == (0, f"{ident} completed\n"), ran.stderr + fleet.told()

    assert "completed" in fleet.run("get", "tasks").stdout
    assert "hello there" in fleet.run("logs", ident).stdout
    described = fleet.run("describe", ident).stdout
    assert "Greet" in described
    assert "agents/logs/workers/" in described
    why = fleet.run("why", ident).stdout
    assert " → " in why
    assert "Now: completed" in why
    row = json.loads(fleet.run("get", ident, "-o", "json").stdout)
    assert row["status"] == "completed"
    worker = json.loads(fleet.run("get", "workers", "--task", ident, "-o", "json").stdout)[0]
    assert worker["tokens_used"] == 0


def test_the_files_of_a_live_home_are_what_the_schemas_say(fleet: Fleet) -> None:
    ident = fleet.submit("--command", "true")
    failed = fleet.submit("--command", "false", "--retries", "0")
    fleet.run("wait", ident, failed, "--timeout", "30s")
    ran = fleet.run("validate")
    assert ran.returncode == 0, ran.stdout


def test_a_failing_task_fails_the_wait_and_can_be_retried(fleet: Fleet, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    ident = fleet.submit("--command", f"test -e {flag}", "--retries", "0")
    ran = fleet.run("wait", ident, "--for", "completed", "--timeout", "30s")
    assert ran.returncode == 1, ran.stderr
    assert "failed" in ran.stderr
    flag.touch()
    assert fleet.run("retry", ident).returncode == 0
    assert fleet.run("wait", ident, "--for", "completed", "--timeout", "30s").returncode == 0


def test_a_cancel_ends_the_worker(fleet: Fleet) -> None:
    ident = fleet.submit("--command", "sleep 600")
    fleet.until(lambda: bool(fleet.home.pool().get("active_workers")))
    ran = fleet.run("cancel", ident, "--reason", "not needed")
    assert ran.stdout == f"{ident} cancelled\n", ran.stderr
    ran = fleet.run("wait", ident, "--timeout", "30s")
    assert ran.stdout == f"{ident} cancelled\n"
    assert "not needed" in fleet.run("why", ident).stdout


def test_a_refused_drop_says_why_and_fails(fleet: Fleet, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"title": "x", "priority": "urgent"}')
    ran = fleet.run("submit", str(bad))
    assert ran.returncode == 1
    assert "priority" in ran.stderr
    assert "rejected/" in ran.stderr
    assert "bad" in fleet.run("get", "rejected").stdout


def test_the_same_key_gives_the_same_task(fleet: Fleet) -> None:
    first = fleet.submit("--command", "true", "--key", "nightly")
    assert fleet.submit("--command", "true", "--key", "nightly") == first


def test_several_tasks_in_one_file_give_several_ids(fleet: Fleet) -> None:
    lines = "".join(json.dumps({"title": f"n{n}", "command": "true"}) + "\n" for n in range(3))
    ran = fleet.run("submit", "-", stdin=lines)
    assert len(ran.stdout.split()) == 3, ran.stderr


def test_a_paused_fleet_starts_nothing_and_why_says_so(fleet: Fleet) -> None:
    assert fleet.run("pause").stdout == "the fleet paused\n"
    ident = fleet.submit("--command", "true")
    fleet.until(lambda: bool(fleet.home.pool().get("queued_workers")))
    why = fleet.run("why", ident).stdout
    assert "paused" in why
    assert "cortex resume" in why
    assert fleet.run("resume").returncode == 0
    assert fleet.run("wait", ident, "--timeout", "30s").returncode == 0


def test_a_larger_budget_goes_to_the_pool(fleet: Fleet) -> None:
    before = fleet.home.budget()
    total = before["total_budget"] + 60_000
    ran = fleet.run("budget", "--set-total", str(total))
    assert ran.returncode == 0, ran.stderr
    fleet.until(lambda: fleet.home.budget()["total_budget"] == total)
    assert fleet.home.budget()["worker_pool"]["total"] == before["worker_pool"]["total"] + 60_000


def test_following_events_sees_what_happens_and_ends_with_the_daemon(fleet: Fleet) -> None:
    follower = fleet.popen("events", "-f")
    ident = fleet.submit("--command", "true")
    fleet.run("wait", ident, "--timeout", "30s")
    fleet.stop()
    out, err = follower.communicate(timeout=DEADLINE_S)
    assert f"{ident} accepted" in out
    assert f"{ident} completed" in out
    assert follower.returncode == 4
    assert "no daemon" in err


def test_following_a_submission_ends_with_the_task(fleet: Fleet) -> None:
    ran = fleet.run("submit", "--command", "echo hello", "--follow")
    assert ran.returncode == 0, ran.stderr + fleet.told()
    assert "\x1b" not in ran.stdout


def test_what_is_submitted_without_a_daemon_is_taken_up_by_the_next(fleet: Fleet) -> None:
    fleet.stop()
    ran = fleet.run("submit", "--id", "later", "--command", "true")
    assert ran.returncode == 0
    assert "no daemon runs" in ran.stderr
    assert fleet.run("wait", "later").returncode == 1
    fleet.start()
    fleet.until(lambda: fleet.home.task("later") is not None)
    assert fleet.run("wait", "later", "--timeout", "30s").stdout == "later completed\n"


def test_watching_prints_a_line_for_each_change(fleet: Fleet) -> None:
    watcher = fleet.popen("get", "tasks", "--watch", "-o", "json")
    ident = fleet.submit("--command", "true")
    fleet.run("wait", ident, "--timeout", "30s")
    fleet.stop()
    out, _ = watcher.communicate(timeout=DEADLINE_S)
    assert watcher.returncode == 4
    # First all that was there when it began, and then each change.
    rows, end = json.JSONDecoder().raw_decode(out)
    last = [*rows, *map(json.loads, out[end:].splitlines()[1:])][-1]
    assert (last["id"], last["status"]) == (ident, "completed")


def test_a_submitted_file_of_any_kind_says_at_once_what_came_of_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    nightly = tmp_path / "nightly.yaml"
    nightly.write_text("kind: schedule\nid: nightly\nschedule: daily@09:00\ncommand: 'true'\n")
    ran = fleet.run("submit", str(nightly))
    assert ran.returncode == 0, ran.stderr
    assert "schedule taken up: nightly, next at 2" in ran.stderr
    why = fleet.run("why", "nightly").stdout
    assert "nightly set: daily@09:00" in why
    assert "Now: waiting" in why
    assert "its next run" in why
    assert "waiting" in fleet.run("describe", "nightly").stdout
    fleet.run("pause", "nightly")
    fleet.until(lambda: "`cortex resume nightly`" in fleet.run("why", "nightly").stdout)
    ran = fleet.run("submit", "-", stdin='{"kind": "pause", "task_id": "no-such-task"}')
    assert ran.returncode == 1
    assert "refused" in ran.stderr


def test_a_key_that_is_known_is_said_to_make_nothing_new(fleet: Fleet) -> None:
    first = fleet.submit("--command", "true", "--key", "build-1")
    again = fleet.run("submit", "--command", "true", "--key", "build-1")
    assert again.returncode == 0
    assert again.stdout.strip() == first
    assert f"nothing new: build-1 is {first} (" in again.stderr


def test_following_a_task_that_asks_prints_the_question_and_both_answers(fleet: Fleet) -> None:
    following = fleet.popen("submit", "--command", "echo did it", "--approval", "--follow")
    fleet.until(lambda: bool(fleet.home.approvals()))
    name = fleet.home.approvals()[0]["approval_id"]
    assert following.stdout is not None
    printed = []
    for line in following.stdout:
        printed.append(line.strip())
        if line.strip() == f"cortex deny {name}":
            break
    assert f"cortex approve {name}" in printed
    assert any(f"asks for a yes or no ({name})" in line for line in printed)
    assert fleet.run("approve", name).returncode == 0
    rest, errors = following.communicate(timeout=DEADLINE_S)
    assert following.returncode == 0, errors
    assert "did it" in rest


def test_a_command_that_fails_in_its_own_empty_folder_gets_a_hint(fleet: Fleet) -> None:
    ident = fleet.submit("--command", "ls Makefile", "--retries", "0")
    fleet.run("wait", ident)
    for command in ("why", "describe"):
        assert "empty folder of its own" in fleet.run(command, ident).stdout
