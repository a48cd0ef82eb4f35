"""What a person answered stands in the history of the task that asked: events, why, report."""

from __future__ import annotations

import os
import subprocess

from live_home import BIN, LiveHome


def cortex(home: LiveHome, *arguments: str) -> str:
    done = subprocess.run(
        [str(BIN / "cortex"), "--home", str(home.root), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_persons_yes_is_in_the_history_of_its_task_with_who_and_what_was_said(
    live: LiveHome,
) -> None:
    live.run("asks", "true", approval=True)
    live.until(lambda: live.task("asks").get("status") == "awaiting_approval", "a person is asked")
    cortex(live, "approve", "asks", "--reason", "looks right to me")
    live.until_ended("asks")

    (event,) = live.events("approval_answered")
    assert event["task_id"] == "asks"

    for told in (cortex(live, "events", "asks"), cortex(live, "why", "asks", "--all")):
        (line,) = (line for line in told.splitlines() if "looks right to me" in line)
        assert "person" in line
        assert "approval-001 approved" in line

    report = cortex(live, "report", "asks")
    (row,) = (line for line in report.splitlines() if line.startswith("| approval-001"))
    assert "by person: looks right to me" in row
    page = cortex(live, "report", "asks", "--format", "html")
    assert "by person: looks right to me" in page
    assert "approval-001 approved: looks right to me" in page
