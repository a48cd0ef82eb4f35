"""Workers that masters ask for by files, through the real daemon and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from live_home import LiveHome, MakeHome


def cortex(home: LiveHome, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("cortex"))
    return subprocess.run(
        [program, *words, "--home", str(home.root)],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )


def request(**fields: Any) -> str:
    return json.dumps(
        {"kind": "worker_request", "master_agent": "coordinator", "worker_type": "command"} | fields
    )


def test_a_wish_is_granted_as_a_task_of_its_own_and_says_its_justification(live: LiveHome) -> None:
    wish = request(id="extra", command="echo overflow", justification="the queue is long")
    done = cortex(live, "submit", "-", given=wish)
    assert (done.returncode, done.stdout) == (0, "extra\n"), done.stderr
    (row,) = live.until_ended("extra")
    assert (row["status"], row["assigned_to"]) == ("completed", "coordinator-master")
    assert row["title"] == "the queue is long"
    assert row["summary"] == "overflow"
    live.assert_books()
    live.assert_replay_is_published()


def test_a_further_worker_joins_a_task_that_runs_and_waits_in_the_queue(
    make_home: MakeHome,
) -> None:
    live = make_home("wishes", settings="[limits]\ntools = 1\n")
    live.start()
    gate = live.root / "gate"
    live.run("task", f"while [ ! -e {gate} ]; do sleep 0.02; done", timeout="60s")
    live.until_running("task")
    wish = request(task_id="task", command="echo more", priority="high", justification="more eyes")
    done = cortex(live, "submit", "-", given=wish)
    assert (done.returncode, done.stdout) == (0, "task\n"), done.stderr
    waits = live.until(lambda: next(iter(live.workers("queued")), None), "it waits") or {}
    assert {name: waits[name] for name in ("master_agent", "worker_type", "priority")} == {
        "master_agent": "coordinator-master",
        "worker_type": "command-worker",
        "priority": "high",
    }
    assert waits["justification"] == "more eyes"
    why = cortex(live, "why", waits["id"]).stdout
    assert "limits.tools allows 1, and 1 run" in " ".join(why.split()), why
    gate.touch()
    (row,) = live.until_ended("task")
    assert row["status"] == "completed"
    assert [step["name"] for step in row["steps"]] == ["main", "cmd"]
    live.assert_started_once()


def test_a_refused_wish_is_told_at_once_and_found_again(live: LiveHome) -> None:
    done = cortex(live, "submit", "-", given=request(id="odd", worker_type="sacn"))
    assert done.returncode == 1
    words = "worker type sacn-worker has no file; did you mean scan-worker?"
    assert words in done.stderr
    (row,) = live.until_ended("odd")
    assert row["status"] == "failed" and words in row["reason"]
    (worker,) = live.workers("failed")
    assert (worker["status"], worker["error"]) == ("rejected", words)
    assert words in " ".join(cortex(live, "why", worker["worker_id"]).stdout.split())
    assert worker["worker_id"] in cortex(live, "get", "workers").stdout
    live.assert_books()
    live.assert_replay_is_published()


def test_a_wish_of_nobody_lies_in_rejected(live: LiveHome) -> None:
    done = cortex(live, "submit", "-", given=request(master_agent="boss", command="true"))
    assert done.returncode == 1
    assert "boss-master is no master here" in done.stderr
    (error,) = live.until(live.errors, "it lies in rejected/").values()
    assert error["field"] == "master_agent"
    assert not live.tasks()
