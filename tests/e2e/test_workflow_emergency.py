"""E3: a critical task audits ten repositories at once as far as pool and reserve pay; a person
raises the total, the rest is granted, and what a tool can fix becomes patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.report_markdown import story_markdown
from cortex.home.story import story_of
from live_home import LiveHome, MakeHome, Row
from workflows import EXAMPLES, children_of, git, printed_by, proposals, repositories

LIMIT_S = 250.0
TEN = "[limits]\ntools = 10\n[workers]\ngrace = 0.5\n"


@pytest.fixture
def ten(tmp_path: Path) -> list[Path]:
    return repositories(tmp_path / "repositories", 10)


def emergency(ten: list[Path], gate: Path, **changes: Any) -> dict[str, Any]:
    """The example's task, whose audits wait until `gate` is there instead of some seconds."""
    task: dict[str, Any] = json.loads(printed_by("emergency.py", *ten))
    audit = f"while [ ! -e {gate} ]; do sleep 0.05; done; python3 {EXAMPLES}/audit.py jinja2 2.10.1"
    task["workers"] = [{**step, "command": audit, **changes} for step in task["workers"]]
    return task


def test_ten_audits_run_at_once_and_the_reserve_pays_what_the_pool_cannot(
    make_home: MakeHome, tmp_path: Path, ten: list[Path]
) -> None:
    live = make_home(settings=TEN)
    live.start()
    live.drop(emergency(ten, tmp_path / "gate", token_budget=8_000))
    live.until(lambda: len(live.running("emergency")) == 10, "all ten slots", LIMIT_S)
    pool = lambda: live.read("token-budget")["worker_pool"]["allocated_to_workers"]  # noqa: E731
    live.until(lambda: pool() == 64_000, "the pool pays eight")
    assert live.read("token-budget")["emergency_reserve"]["allocated"] == 16_000
    opened = live.events("reserve_opened")
    assert [(e["by"], e["task_id"], e["tokens"]) for e in opened] == [
        ("security-master", "emergency", 8_000)
    ] * 2
    assert all(e["why"] == "critical, and the pool has 1000 of the 8000 needed" for e in opened)
    (tmp_path / "gate").touch()
    (row,) = live.until_ended("emergency", limit_s=LIMIT_S)
    assert (row["status"], row["findings"]) == ("completed", {"critical": 10})
    end(live)


def test_what_pool_and_reserve_cannot_pay_waits_says_how_much_and_goes_on_with_a_raised_total(
    make_home: MakeHome, tmp_path: Path, ten: list[Path]
) -> None:
    live = make_home(settings=TEN)
    live.start()
    live.drop(emergency(ten, tmp_path / "gate"))
    live.until(lambda: len(live.running("emergency")) == 7, "five of the pool, two of the reserve")
    asked = live.until(lambda: told_of_shortage(live), "a person is told")
    assert asked["reason"] == "short by 31,000: 3 workers of emergency wait"
    assert len(live.events("reserve_opened")) == 2
    waiting = live.workers("queued")
    assert len(waiting) == 3
    assert all("short by 7000" in row["waiting_for"] for row in waiting)
    live.drop({"kind": "budget", "total_budget": 240_000, "reason": "an attack"})
    live.until(lambda: len(live.running("emergency")) == 10, "the rest is granted")
    live.until(lambda: told_of_shortage(live)["status"] == "closed", "that is over")
    (tmp_path / "gate").touch()
    (row,) = live.until_ended("emergency", limit_s=LIMIT_S)
    assert (row["status"], row["findings"]) == ("completed", {"critical": 10})
    results = json.loads((live.report_of("emergency") / "worker_results.json").read_bytes())
    assert [r["tokens_used"] for r in results["worker_results"]] == [11_900] * 10

    fixes = children_of(live, "emergency")
    assert [fix["runtime"] for fix in fixes] == ["tools"] * 10
    for fix in live.until_ended(*(fix["id"] for fix in fixes), limit_s=LIMIT_S):
        assert (fix["status"], fix["priority"]) == ("completed", "critical"), fix
        repo = Path(fix["scope"]["repository"])
        git(repo, "am", "--quiet", *map(str, proposals(live, fix)))
        assert "jinja2==2.10.1" in (repo / "requirements.txt").read_text()
    (parent,) = live.until_ended(live.task("emergency")["follow_ups"][0])
    assert parent["status"] == "completed"
    (handoff,) = live.read("handoffs")["handoffs"]
    assert handoff["status"] == "completed"
    live.assert_books()
    told = story_markdown(story_of(live.home, "emergency"))
    assert "120,000 tokens, of a budget of 120,000" in told
    assert "short by 31,000" in told.partition("## What a person was asked")[2]
    assert told.partition("## What followed")[2].count("\n  - task-") == 10


def test_audits_by_tools_wait_for_no_tokens_however_short_they_are(
    make_home: MakeHome, ten: list[Path]
) -> None:
    live = make_home(settings=f"{TEN}[budget]\ntotal = 110000\nemergency_reserve = 0\n")
    live.start()
    assert live.read("token-budget")["worker_pool"]["total"] == 0
    scope = {"repositories": [str(path) for path in ten], "scan_types": ["secrets"]}
    live.drop({"id": "audit", "type": "audit", "priority": "critical", "scope": scope})
    (row,) = live.until_ended("audit", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    story = [event["event"] for line in live.lines() for event in line.events]
    assert story[: story.index("worker_ended")].count("worker_spawning") == 10, "at once"
    assert live.events("reserve_opened") == []
    assert live.read("handoffs")["escalations"] == []


def told_of_shortage(live: LiveHome) -> Row:
    """The escalation of it; others tell that pool and reserve are nearly used up."""
    rows: list[Row] = live.read("handoffs")["escalations"]
    found = [row for row in rows if row["subject"] == "critical work is short of tokens"]
    assert len(found) <= 1
    return found[0] if found else {}


def end(live: LiveHome) -> None:
    """Withdraws the fix tasks: they are another test's."""
    parent = live.task("emergency")["follow_ups"][0]
    live.drop({"kind": "cancel", "task_id": parent, "cascade": True})
    live.until_idle()
