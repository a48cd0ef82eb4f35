"""A worker type that declares heartbeats is held to them; others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TYPE = """---
name: {name}-worker
description: Says that it lives, or does not.
heartbeats: {declares}
heartbeat_interval: 1500ms
---
Live.
"""
#: Far more often than it promised, for longer than silence is borne: three intervals.
BEATING = 'for i in $(seq 30); do touch "$CORTEX_HEARTBEAT"; sleep 0.2; done'


def step(name: str, command: str) -> dict[str, Any]:
    return {"name": name, "worker_type": name, "command": command, "retries": 0}


def test_silence_ends_only_those_who_promised_to_speak(live: Any) -> None:
    for name, declares in (("silent", "true"), ("beating", "true"), ("plain", "false")):
        path = live.paths.prompts / f"{name}-worker.md"
        path.write_text(TYPE.format(name=name, declares=declares))
    live.drop({"id": "silent", "workers": [step("silent", "sleep 60")]})
    live.drop({"id": "beating", "workers": [step("beating", BEATING)]})
    live.drop({"id": "plain", "workers": [step("plain", "sleep 6")]})
    live.until(
        lambda: any(row.get("healthy") is False for row in live.workers("active")),
        "the silent worker shows as unhealthy",
    )
    silent, beating, plain = live.until_ended("silent", "beating", "plain")
    assert silent["status"] == "failed"
    assert "no heartbeat for" in silent["reason"]
    assert (beating["status"], plain["status"]) == ("completed", "completed")


SAYS = """echo '{"tokens_used": 900}' > "$CORTEX_HEARTBEAT"; """


def test_what_a_heartbeat_said_was_used_stays_spent_however_the_worker_ends(live: Any) -> None:
    ends = {
        "fails": "exit 3",
        "rubbish": 'echo no > "$CORTEX_RESULTS"',
        "late": "sleep 60",
        "quiet": "true",
        "more": """echo '{"status": "failed", "tokens_used": 1200}' > "$CORTEX_RESULTS" """,
    }
    for name, end in ends.items():
        step = {"name": name, "command": SAYS + end, "token_budget": 4000, "retries": 0}
        late = {"timeout": "3s"} if name == "late" else {}
        live.drop({"id": name, "workers": [{**step, **late}]})
    live.until_ended(*ends)
    rows = live.workers("completed", "failed")
    used = {row["task_id"]: row["tokens_used"] for row in rows}
    assert used == {"fails": 900, "rubbish": 900, "late": 900, "quiet": 900, "more": 1200}
    assert live.read("token-budget")["worker_pool"]["spent"] == sum(
        row["tokens_used"] for row in rows
    )


def test_tokens_written_into_a_row_are_not_forgotten_over_an_older_heartbeat(
    live: Any, tmp_path: Path
) -> None:
    step = {"name": "a", "command": f"{SAYS} until [ -e {tmp_path}/go ]; do sleep 0.1; done; false"}
    live.drop({"id": "a", "workers": [{**step, "token_budget": 4000, "retries": 0}]})
    live.until(
        lambda: [row["tokens_used"] for row in live.workers("active")] == [900],
        "the heartbeat was taken in",
    )
    pool = live.read("worker-pool")
    pool["active_workers"][0]["tokens_used"] = 1500
    beside = tmp_path / "pool"
    beside.write_text(json.dumps(pool))
    beside.replace(live.paths.coordination / "worker-pool.json")
    live.until(
        lambda: live.read("token-budget")["usage_metrics"]["total_tokens_used_today"] == 1500,
        "the row was taken in",
    )
    (tmp_path / "go").touch()
    live.until_ended("a")
    assert [row["tokens_used"] for row in live.workers("failed")] == [1500]
