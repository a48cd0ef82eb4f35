"""`cortex status` and the word of a degraded daemon elsewhere, from the files alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunDaemon = Callable[[Path], None]
CAUSE = "the published files cannot be written:\x1b[31m no space"


@pytest.fixture
def degraded(sample: Any, run_daemon: RunDaemon) -> Any:
    """A home whose daemon runs and says that it is degraded, with a note beside."""
    document = json.loads(sample.paths.task_queue.read_bytes())
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 720))
    rows = [
        {"name": "publish_failing", "degrading": True, "cause": CAUSE, "since": since,
         "remedy": "Make space."},
        {"name": "clock_jumped", "degrading": False, "cause": "it was set", "since": since,
         "remedy": "None."},
    ]  # fmt: skip
    document["daemon"] |= {"status": "degraded", "cause": CAUSE, "since": since, "conditions": rows}
    sample.paths.task_queue.write_text(json.dumps(document, indent=2))
    run_daemon(sample.root)
    return sample


def test_without_a_daemon_it_is_not_well(cortex: Any, sample: Any) -> None:
    ran = cortex("status")
    assert ran.code == 1
    assert "no daemon runs" in ran.out
    told = json.loads(cortex("status", "-o", "json").out)
    assert (told["is_well"], told["cause"]) == (False, "no daemon runs")


def test_a_daemon_that_has_nothing_to_say_is_well(
    cortex: Any, sample: Any, run_daemon: RunDaemon
) -> None:
    run_daemon(sample.root)
    ran = cortex("status")
    assert ran.code == 0, ran.out
    assert ran.out.startswith("running")
    assert len(ran.out.splitlines()) <= 6
    assert json.loads(cortex("status", "-o", "json").out)["is_well"]


def test_a_learned_number_is_told_where_the_settings_ask_for_it(
    cortex: Any, sample: Any, run_daemon: RunDaemon
) -> None:
    run_daemon(sample.root)
    path = sample.paths.worker_pool
    document = json.loads(path.read_bytes())
    reason = "2 at once stay: 2 at once end 12 a minute, 3 ended 12.1"
    row = {"count": 2, "reason": reason, "at": sample.at(1100)}
    path.write_text(json.dumps({**document, "learned": {"tools": row}}))
    assert "learned  tools" not in cortex("status").out
    (sample.root / "cortex.toml").write_text('[spawn]\npolicy = "learned"\n')
    assert f"learned  tools: {reason}" in cortex("status").out
    assert json.loads(cortex("status", "-o", "json").out)["learned"]["tools"]["count"] == 2


def test_conditions_are_told_with_cause_and_remedy(cortex: Any, degraded: Any) -> None:
    ran = cortex("status")
    assert ran.code == 1
    assert ran.out.startswith("degraded")
    assert "publish failing for 12m" in ran.out
    assert "→ Make space." in ran.out
    assert "\x1b[31m no space" not in ran.out
    assert ran.out.index("publish failing") < ran.out.index("clock jumped")


@pytest.mark.parametrize("command", [["get", "tasks"], ["get", "budget"], ["describe", "task-001"]])
def test_whoever_looks_is_told_on_stderr(cortex: Any, degraded: Any, command: list[str]) -> None:
    ran = cortex(*command)
    assert ran.code == 0
    assert ran.err.count("\n") == 1
    assert "degraded for 12m" in ran.err
    assert "\x1b" not in ran.err


def test_top_shows_each_condition_in_a_line(cortex: Any, degraded: Any) -> None:
    out = cortex("top", "--once").out
    assert "degraded" in out
    assert "no space" in out
    assert "it was set" in out


def test_a_file_that_lies_in_the_inbox_for_long_is_seen_from_outside(
    cortex: Any, sample: Any, run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that hangs cannot say so itself."""
    run_daemon(sample.root)
    (sample.paths.inbox / "task.json").write_text("{}")
    assert cortex("status").code == 0
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    told = json.loads(cortex("status", "-o", "json").out)
    assert told["status"] == "degraded"
    assert any("inbox/task.json" in text for text in told["seen"])
    (sample.paths.inbox / "task.json").unlink()


def test_forms_that_are_for_lists_are_refused(cortex: Any, sample: Any) -> None:
    ran = cortex("status", "-o", "wide")
    assert ran.code == 2
    assert "json" in ran.err


def test_top_tells_what_is_seen_of_a_hung_daemon_as_status_does(
    cortex: Any, sample: Any, run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_daemon(sample.root)
    (sample.paths.inbox / "task.json").write_text("{}")
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    out = cortex("top", "--once").out
    assert "cortex degraded" in out
    assert "inbox/task.json" in out
    (sample.paths.inbox / "task.json").unlink()


def test_a_new_home_has_no_budget_yet_rather_than_none_left(cortex: Any, tmp_path: Path) -> None:
    assert cortex("init", str(tmp_path / "new")).code == 0
    for command in (("status",), ("top", "--once")):
        out = cortex("--home", str(tmp_path / "new"), *command).out
        assert "none yet" in out or "no budget yet" in out
        assert "reset in" not in out


def test_a_first_daemon_that_has_published_nothing_yet_is_told_without_blanks(
    cortex: Any, tmp_path: Path, run_daemon: RunDaemon
) -> None:
    assert cortex("init", str(tmp_path / "new")).code == 0
    run_daemon(tmp_path / "new")
    out = cortex("--home", str(tmp_path / "new"), "status").out
    assert "has published nothing yet" in out.splitlines()[0]
    assert "None" not in out


def test_a_handoff_that_waits_for_somebodys_yes_is_told(
    cortex: Any, sample: Any, run_daemon: RunDaemon
) -> None:
    path = sample.paths.handoffs
    document = json.loads(path.read_bytes())
    document["handoffs"] = [{"handoff_id": "handoff-009", "status": "pending"},
                            {"handoff_id": "handoff-008", "status": "accepted"}]  # fmt: skip
    path.write_text(json.dumps(document))
    run_daemon(sample.root)
    assert "1 handoff: cortex get handoffs" in cortex("status").out


def test_the_budget_line_says_how_much_of_what_is_free_workers_may_have(
    cortex: Any, sample: Any, run_daemon: RunDaemon
) -> None:
    run_daemon(sample.root)
    available = json.loads(sample.paths.token_budget.read_bytes())["worker_pool"]["available"]
    assert f" free, {available:,} of it in the worker pool, reset in" in cortex("status").out
    told = json.loads(cortex("status", "-o", "json").out)
    assert told["budget"]["pool_free"] == available
