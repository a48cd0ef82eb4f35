"""`cortex why` for each thing that can be waited for, as a real daemon tells it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from live_home import BIN, LiveHome, MakeHome


def why(home: LiveHome, ident: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(BIN / "cortex"), "why", ident, "-o", "json", "--home", str(home.root)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def waits(home: LiveHome, ident: str) -> tuple[str, str]:
    """(what it waits for, what would free it), as text."""
    told = why(home, ident)["waits_for"]
    assert told["since"]
    return told["reason"], "\n".join(told["freed_by"])


def test_what_is_waited_for_since_when_and_what_would_free_it(make_home: MakeHome) -> None:
    home = make_home(
        settings="[limits]\ntools = 2\n[workers]\nbackoff = 600\nbackoff_max = 600\ngrace = 0.5\n"
    )
    home.start()
    home.run("dear", "sleep 300", token_budget=40_000)
    home.run("fails", "exit 3")
    home.until_running("dear")
    home.until(lambda: home.events("worker_ended"), "the first attempt has failed")
    home.run("short", "sleep 300", token_budget=40_000)
    home.run("held", "true", hold=True)
    home.run("needs", "true", needs=["held"])
    home.run("fill", "sleep 300")
    home.until_running("fill")
    home.run("slot", "sleep 300")
    home.until(lambda: home.task("slot").get("waiting_for"), "the last one waits, as published")
    home.drop("{bad", "odd.json")
    home.until(lambda: "odd.json" in home.errors(), "odd.json is refused")

    reason, ways = waits(home, "short")
    assert "needs 40000 tokens" in reason
    assert "worker-cmd-001 of dear, which may give back 40,000 tokens" in ways
    assert "`cortex budget --set-total 215000`" in ways
    assert "the reset at" in ways

    reason, ways = waits(home, "fails")
    assert "the time before step main is tried again, after: exit 3" in reason
    assert "the next attempt comes at" in ways

    reason, ways = waits(home, "slot")
    assert reason == "a free slot: limits.tools allows 2, and 2 run"
    assert "of dear" in ways
    assert "of fill" in ways

    assert "held" in waits(home, "held")[0]
    assert waits(home, "held")[1] == "`cortex resume held`"
    assert waits(home, "needs")[1] == "held (pending) to complete"
    assert why(home, "odd.json")["status"] == "rejected"

    home.kill()
    assert f"cortexd --home {home.root}" in waits(home, "slot")[1]
