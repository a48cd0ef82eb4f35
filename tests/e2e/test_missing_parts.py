"""A worker that lacks something, on a real daemon: its task waits, says for what, and goes on."""

from __future__ import annotations

import json
import os
import subprocess

from live_home import BIN, LiveHome

SAYS = {"status": "failed", "outcome": "not_run", "missing": ["a licence file"], "permanent": True}


def cortex(home: LiveHome, *arguments: str) -> str:
    command = [str(BIN / "cortex"), "--home", str(home.root), *arguments]
    env = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_task_waits_for_what_its_worker_lacked_and_a_retry_runs_it(live: LiveHome) -> None:
    licence = live.root / "licence"
    lacks = f"printf %s '{json.dumps(SAYS)}' > \"$CORTEX_RESULTS\""
    live.run("build", f"test -e {licence} || {lacks}")
    live.until(lambda: live.task("build").get("status") == "blocked", "it waits")
    assert live.task("build")["blocked_on"] == "step main lacks a licence file"
    assert "a licence file" in cortex(live, "why", "build")
    assert "a licence file" in cortex(live, "get", "tasks", "-o", "wide")
    live.kill()
    live.start()
    licence.touch()
    cortex(live, "retry", "build")
    live.until_ended("build")
    row = live.task("build")
    assert (row["status"], row.get("run", 1), len(live.workers())) == ("completed", 1, 2)
    live.assert_started_once()
