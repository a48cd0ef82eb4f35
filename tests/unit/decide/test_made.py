"""What a person is shown who is to review what the workers of a task made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cortex.decide.project import approval_row
from cortex.model.definitions import read_master
from cortex.model.handoffs_document import ApprovalRow
from tests.unit.decide.fleet import Fleet, finding
from tests.unit.deciding import builtin_catalog

STEPS = """
  - {name: a, worker_type: fix, runtime: tools}
  - {name: b, worker_type: fix, runtime: tools}
  - {name: join, worker_type: integration, needs: [a, b]}
  - {name: look, worker_type: review, needs: [join]}
"""
COMMIT = "0123456789" * 4


def branch(name: str) -> dict[str, Any]:
    return {"name": name, "bundle": "x.bundle", "base": COMMIT, "head": COMMIT, "commits": 1}


def reviewed(**last: Any) -> Fleet:
    """A fleet with a task whose four steps are done, the last one with this in its results."""
    front = f"name: ops\nroutes: [ops]\nplans:\n- types: [ops]\n  review: person\n  steps: {STEPS}"
    catalog = builtin_catalog()
    master = read_master(f"---\n{front}---\n\nOps.\n", Path("ops-master.md"))
    catalog.masters[master.name] = master
    fleet = Fleet(catalog=catalog)
    task = fleet.dropped(type="ops", scope={"repository": "/srv/shop", "allow_untested": True})
    for name in ("a", "b", "join", "look"):
        fleet.admit()
        step = task.step(name)
        results = {"branches": [branch(name)]} if name != "look" else last
        fleet.finish(step.worker_id or "", results={"status": "completed", **results})
    return fleet


def test_the_question_names_verdict_findings_and_the_branch_that_the_plan_came_to() -> None:
    fleet = reviewed(verdict="request_changes", findings=[finding("S1", "a.py")])
    (approval,) = fleet.state.approvals.values()
    assert approval.reason.endswith(": look says request_changes; 1 finding; cortex/task-001/join")
    row = approval_row(approval)
    assert ApprovalRow.model_validate(row)
    assert "would_start" not in row
    assert row["to_review"]["branches"] == ["cortex/task-001/join"]
    said = {step["name"]: step.get("verdict") for step in row["to_review"]["steps"]}
    assert said == {"a": None, "b": None, "join": None, "look": "request_changes"}


def test_a_verdict_that_is_none_is_not_kept() -> None:
    fleet = reviewed(verdict={"odd": 1})
    (approval,) = fleet.state.approvals.values()
    assert approval.reason.endswith("made: no findings; cortex/task-001/join")


def test_the_verdict_is_there_after_a_replay() -> None:
    fleet = reviewed(verdict="approve")
    assert fleet.replayed().workers["worker-review-001"].verdict == "approve"
