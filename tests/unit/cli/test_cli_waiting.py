"""What waits for a person says so wherever it is listed."""

import json
from typing import Any

from cortex.cli.narrate import line_text
from cortex.model.journal_line import Line


def test_a_held_task_says_so_in_the_wide_list_and_in_top(
    cortex: Any, sample: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    task = sample.state.tasks["task-002"]
    task.status, task.hold, task.blocked_on = "pending", True, None
    sample.publish()
    assert "held: `cortex resume task-002`" in cortex("get", "tasks", "-o", "wide").out
    assert "held: `cortex resume task-002`" in cortex("top", "--once").out


def test_answered_approvals_are_listed_only_with_all(cortex: Any, sample: Any) -> None:
    rows = [
        {"approval_id": "approval-001", "task_id": "task-001", "status": "approved"},
        {"approval_id": "approval-002", "task_id": "task-002", "status": "pending"},
    ]
    document = json.loads(sample.paths.handoffs.read_bytes())
    sample.paths.handoffs.write_text(json.dumps(document | {"approvals": rows}))
    assert cortex("get", "approvals", "-o", "name").out.split() == ["approval-002"]
    both = cortex("get", "approvals", "--all", "-o", "name").out.split()
    assert both == ["approval-001", "approval-002"]
    answered = cortex("get", "approvals", "--status", "approved", "-o", "name").out.split()
    assert answered == ["approval-001"]


def test_an_attempt_that_ran_and_ended_in_one_line_is_told_once() -> None:
    events: list[dict[str, Any]] = [
        {"event": "worker_running", "worker_id": "worker-cmd-001"},
        {"event": "worker_ended", "worker_id": "worker-cmd-001", "status": "completed"},
    ]
    why, at = "worker-cmd-001 completed: hello", "2025-11-01T10:00:00.000Z"
    line = Line(
        seq=1, prev="", synced=0, at=at, by="security-master", why=why, events=events, crc=""
    )
    assert line_text(line)[2] == "worker-cmd-001 completed: hello"


def test_a_question_is_shown_with_what_a_yes_starts_and_costs(cortex: Any, sample: Any) -> None:
    steps = [
        {"name": "build", "worker_type": "fix-worker"},
        {"name": "check", "worker_type": "test-worker", "needs": ["build"]},
    ]
    offer = {"workers": 2, "p50": 8000, "p90": 12_000, "budget": 20_000, "share_of_left": 0.462}
    row = {"approval_id": "approval-001", "task_id": "task-002", "status": "pending"}
    row |= {"reason": "dear", "created_at": "2025-11-01T09:00:00Z"}
    document = json.loads(sample.paths.handoffs.read_bytes())
    document["approvals"] = [row | {"would_start": {**offer, "steps": steps}}]
    sample.paths.handoffs.write_text(json.dumps(document))
    price = "2 workers, 8,000 to 12,000 tokens, 46% of what was left"
    assert price in cortex("get", "approvals", "-o", "wide").out
    for ident in ("approval-001", "task-002"):
        shown = cortex("describe", ident).out
        assert price in shown
        assert [line.split()[:2] for line in shown.splitlines() if "-worker" in line][-2:] == [
            ["build", "fix-worker"],
            ["check", "test-worker"],
        ]
