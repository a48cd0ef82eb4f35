"""What a real daemon tells of unusual work: a type that keeps failing, usage above the past."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from live_home import LiveHome, Row

SETTINGS = "[workers]\nretries = 0\n"


def works(live: LiveHome, ident: str, command: str) -> Row:
    """A fix worker whose work is done by a command; the task's row once it has ended."""
    step = {"name": "fix", "worker_type": "fix-worker", "token_budget": 6000}
    step |= {"runtime": "command", "command": command}
    live.drop({"id": ident, "title": ident, "workers": [step]}, f"{ident}.json")
    (row,) = live.until_ended(ident)
    return row


def says(tokens: int) -> str:
    results = json.dumps({"status": "completed", "tokens_used": tokens})
    return f"echo '{results}' > $CORTEX_RESULTS"


def escalations(live: LiveHome) -> list[Row]:
    rows: list[Row] = live.read("handoffs")["escalations"]
    return [row for row in rows if row["subject"] == "fix-worker keeps failing"]


def test_a_type_that_keeps_failing_is_told_once_over_a_restart_and_closed_by_a_success(
    live: LiveHome,
) -> None:
    live.stop()
    live.paths.settings.write_text(SETTINGS)
    live.start()
    for number in range(4):
        works(live, f"fails-{number}", "exit 1")
    assert escalations(live) == []
    live.kill()
    live.start()
    works(live, "fails-4", "exit 1")
    live.until(lambda: escalations(live), "it is told")
    works(live, "fails-5", "exit 1")
    (told,) = escalations(live)
    assert (told["status"], told["reason"][:8]) == ("open", "5 in a r")
    works(live, "succeeds", says(100))
    live.until(lambda: escalations(live)[0]["status"] == "closed", "a success closes it")
    assert len(escalations(live)) == 1


def test_what_was_learned_survives_a_restart_and_unusual_usage_is_told(live: LiveHome) -> None:
    for number in range(5):
        works(live, f"usual-{number}", says(1000))
    live.kill()
    live.start()
    row = works(live, "unusual", says(3001))
    (told,) = live.events("usage_unusual")
    assert (told["worker_id"], told["used"]) == (row["workers"][0], 3001)
    assert (told["median"], told["samples"]) == (1000, 5)
    granted = [
        line.why
        for line in live.lines()
        if any(event.get("worker_id") == row["workers"][0] for event in line.events)
        and any(event["event"] == "worker_approved" for event in line.events)
    ]
    assert granted[0].endswith(
        "; of 5 such, nine in ten took 1000 or less, and 100% stayed within 6000"
    )
    live.assert_books()


@pytest.mark.parametrize("command", [None, "true"])
def test_the_folder_of_a_user_whom_nobody_knows_fails_its_task_and_not_the_daemon(
    live: LiveHome, command: str | None
) -> None:
    asked = {"id": "lost", "title": "Lost", "type": "scan", "retries": 0, "command": command}
    live.drop({**asked, "scope": {"repository": "~nobody-is-called-so/shop"}}, "lost.json")
    (row,) = live.until_ended("lost")
    assert row["status"] == "failed"
    assert "~nobody-is-called-so/shop" in json.dumps(row)
    live.stop()  # asserts that it ran until now


def test_a_number_that_is_too_large_for_a_float_is_a_heartbeat_like_another(
    live: LiveHome, tmp_path: Path
) -> None:
    beat, seen = "1" + 399 * "0", tmp_path / "seen"
    command = f"echo '{{\"progress\": {beat}}}' > $CORTEX_HEARTBEAT; "
    command += f"until [ -e {seen} ]; do sleep 0.05; done"
    live.drop({"id": "beats", "title": "Beats", "command": command}, "beats.json")
    live.until(lambda: [row.get("progress") for row in live.running()] == [1.0], "it is heard")
    seen.touch()
    (row,) = live.until_ended("beats")
    assert row["status"] == "completed"


def test_results_that_nobody_thought_of_fail_their_task_and_not_the_daemon(live: LiveHome) -> None:
    said = {"status": "failed", "outcome": "conflict", "conflicts": 5, "missing": 5, "branches": 5}
    command = f"echo '{json.dumps(said)}' > $CORTEX_RESULTS"
    live.drop({"id": "odd", "title": "Odd", "command": command, "retries": 0}, "odd.json")
    live.until(lambda: bool(live.workers("failed")), "it is judged")
    live.stop()  # asserts that it ran until now
