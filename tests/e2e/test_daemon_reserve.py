"""Critical work on a real daemon whose pool is short: a place taken, a glass broken with a yes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_home import BIN, LiveHome

if TYPE_CHECKING:
    from conftest import MakeHome


def cortex(live: LiveHome, *arguments: str) -> str:
    """What a command of the program prints."""
    clean = {name: value for name, value in os.environ.items() if name[:7] != "CORTEX_"}
    done = subprocess.run(
        [str(BIN / "cortex"), *arguments, "--home", str(live.root)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, "COLUMNS": "400", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def until_told(path: Path) -> str:
    """A command that ends when somebody makes this file."""
    return f"until test -e {path}; do sleep 0.05; done"


def openings(live: LiveHome) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = live.read("token-budget")["emergency_reserve"]["openings"]
    return found


def conditions(live: LiveHome) -> list[str]:
    rows = live.read("task-queue")["daemon"].get("conditions", [])
    return [row["name"] for row in rows]


def test_the_reserve_opens_after_a_yes_and_is_shown_until_it_is_closed(
    make_home: MakeHome, tmp_path: Path
) -> None:
    live = make_home(settings="[budget]\nreserve_needs_approval = true\nreallocate_steps = 0\n")
    live.start()
    live.run("holds", until_told(tmp_path / "first"), token_budget=60_000)
    live.until_running("holds")
    live.run("audit", until_told(tmp_path / "second"), token_budget=8_000, priority="critical")
    (asked,) = live.until(lambda: live.read("handoffs").get("approvals"), "a person is asked")
    assert (asked["gate"], asked["status"]) == ("reserve", "pending")
    live.until(lambda: live.task("audit").get("status") == "in_progress", "it is published")
    assert f"`cortex approve {asked['approval_id']}`: the reserve pays" in cortex(
        live, "why", "audit"
    )
    live.until(lambda: "reserve_asked" in conditions(live), "the question stands in the status")
    told = cortex(live, "status")
    assert f"audit waits for a yes to {asked['approval_id']}" in told
    assert "answers  1 approval: cortex get approvals" in told
    price = "1 worker, 8,000 tokens, 32% of what the reserve had left"
    assert price in cortex(live, "get", "approvals", "-o", "wide")
    cortex(live, "approve", asked["approval_id"])
    live.until_running("audit")
    live.until(lambda: "reserve_asked" not in conditions(live), "it stands no more")
    (opening,) = live.until(lambda: openings(live), "the opening is published")
    assert (opening["task_id"], opening["tokens"]) == ("audit", 8_000)
    assert opening["approval_id"] == asked["approval_id"]
    live.until(lambda: "reserve_open" in conditions(live), "the condition stands")
    assert live.read("task-queue")["daemon"]["status"] == "running", "it degrades nothing"
    assert "reserve: OPEN" in cortex(live, "budget")
    live.kill()
    live.start()
    live.until(lambda: "reserve_open" in conditions(live), "the condition stands again")
    (tmp_path / "second").touch()
    live.until(lambda: openings(live)[0].get("closed_at"), "the reserve is closed")
    live.until(lambda: "reserve_open" not in conditions(live), "the condition is over")
    assert len(live.events("reserve_opened")) == len(live.events("reserve_closed")) == 1
    told = cortex(live, "events", "-o", "json")
    assert "reserve_closed" in told
    (tmp_path / "first").touch()
    live.until_ended("holds", "audit")
    live.assert_books()
    live.assert_replay_is_published()


def test_why_tells_on_both_sides_who_gave_way(make_home: MakeHome, tmp_path: Path) -> None:
    live = make_home(settings="[limits]\ntools = 1\n")
    command = until_told(tmp_path / "done")
    rows = [{"id": f"many-{n}", "command": command} for n in range(120)]
    rows.append({"id": "urgent", "command": command, "priority": "critical"})
    live.drop("\n".join(map(json.dumps, rows)), "many.jsonl")
    live.start()
    live.until_running("urgent")
    (gave_way,) = live.events("worker_preempted")
    first = live.task("many-0")["workers"]
    assert [gave_way["worker_id"]] == first
    for ident in (*first, gave_way["preempted_by"]):
        told = cortex(live, "why", ident)
        assert f"{first[0]} gives way" in told
    row = next(row for row in live.workers("queued") if row["id"] == first[0])
    assert row["preempted_by"] == gave_way["preempted_by"]
    live.drop({"kind": "pause"})
    (tmp_path / "done").touch()
    live.until_ended("urgent")
