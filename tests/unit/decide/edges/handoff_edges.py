"""How handoffs move: a receiver accepts, a person rejects, and what comes of either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.model.state import Handoff, Task
from cortex.testing import Behaviour
from tests.unit.decide.edges.registry import edge
from tests.unit.decide.edges.stage import Home, Stage, shipped
from tests.unit.decide.edges.task_edges import change
from tests.unit.decide.fleet import finding


def asking() -> Catalog:
    """The masters that come with Cortex; a person answers for the one that develops."""
    catalog = shipped()
    development = catalog.masters["development-master"]
    changed = development.model_copy(update={"accept_handoffs": False})
    return replace(catalog, masters={**catalog.masters, "development-master": changed})


def handed_over(home: Home) -> tuple[Task, Handoff, Task, Task]:
    """A scan that found one thing: the scan, its handoff, the handoff's task and the fix in it."""
    home.behave["scan-worker"] = Behaviour(findings=(finding("sql", "a.py"),))
    scan = home.dropped(type="scan", scope={"repository": str(home.paths.root)})
    home.wait(lambda: scan.status == "completed")
    (handoff,) = home.state.handoffs.values()
    parent = home.state.tasks[handoff.task_id]
    return scan, handoff, parent, home.state.tasks[parent.children[0]]


def answer(home: Home, handoff: Handoff, status: str, **fields: Any) -> None:
    home.drop(kind="handoff", handoff_id=handoff.id, status=status, **fields)


def refusals(home: Home) -> list[str]:
    return [text for text in home.state.receipts.values() if text]


@edge("handoff", "pending", "accepted")
@edge("task", "pending", "assigned")
def the_receiving_master_accepts(stage: Stage) -> None:
    _, handoff, _, fix = handed_over(stage.home())
    assert handoff.status in ("accepted", "completed")
    assert fix.assigned_to == "development-master"


@edge("handoff", "pending", "accepted")
@edge("handoff", "accepted", "completed")
def a_person_accepts_in_its_stead(stage: Stage) -> None:
    home = stage.home(asking())
    _, handoff, parent, fix = handed_over(home)
    assert (handoff.status, fix.status) == ("pending", "pending")
    answer(home, handoff, "accepted")
    assert (handoff.status, fix.assigned_to) == ("accepted", "development-master")
    change(home, fix, command="make fix")
    home.wait(lambda: parent.status == "completed")
    assert handoff.status == "completed"


@edge("handoff", "pending", "rejected")
def a_person_rejects_and_the_sender_hears_why(stage: Stage) -> None:
    home = stage.home(asking())
    scan, handoff, parent, fix = handed_over(home)
    answer(home, handoff, "rejected", reason="not ours")
    assert [task.status for task in (parent, fix)] == ["cancelled"] * 2
    (escalation,) = home.state.escalations.values()
    assert (escalation.task_id, escalation.reason) == (scan.id, "not ours")
    assert "development-master rejected" in escalation.subject
    answer(home, handoff, "accepted")
    assert (handoff.status, fix.status) == ("rejected", "cancelled")
    assert any("rejected already; the answer comes too late" in text for text in refusals(home))


@edge("handoff", "pending", "rejected")
def a_handed_over_task_is_cancelled(stage: Stage) -> None:
    home = stage.home(asking())
    _, handoff, parent, _ = handed_over(home)
    home.drop(kind="cancel", task_id=parent.id, reason="not ours")
    assert handoff.reason == f"{parent.id} was cancelled: not ours"


@edge("handoff", "accepted", "rejected")
def a_person_cancels_the_task_of_an_accepted_handoff(stage: Stage) -> None:
    home = stage.home(asking())
    _, handoff, parent, fix = handed_over(home)
    answer(home, handoff, "accepted")
    home.drop(kind="cancel", task_id=parent.id, reason="not now")
    assert (handoff.status, fix.status) == ("rejected", "cancelled")
    assert handoff.reason == f"{parent.id} was cancelled: not now"
    assert not home.state.escalations, "who cancelled it knows"


@edge("handoff", "accepted", "rejected")
@edge("task", "assigned", "cancelled")
def a_person_cancels_each_task_of_an_accepted_handoff(stage: Stage) -> None:
    home = stage.home(asking())
    _, handoff, parent, fix = handed_over(home)
    answer(home, handoff, "accepted")
    home.drop(kind="cancel", task_id=fix.id, reason="done by hand")
    home.wait(lambda: parent.status == "cancelled")
    assert parent.reason == "its task was cancelled: done by hand"
    assert handoff.status == "rejected"
    assert handoff.reason is not None and handoff.reason.endswith("done by hand")
    assert not home.state.escalations


@edge("handoff", "pending", "accepted")
def an_accepted_handoff_whose_task_fails_stays_accepted_and_is_escalated(stage: Stage) -> None:
    home = stage.home(workers={"retries": 0})
    home.behave["command-worker"] = Behaviour(end="exit 1")
    _, handoff, parent, fix = handed_over(home)
    change(home, fix, command="make fix")
    home.wait(lambda: parent.status == "failed")
    assert (fix.status, handoff.status) == ("failed", "accepted")
    (escalation,) = home.state.escalations.values()
    assert escalation.task_id == parent.id
    assert escalation.subject.endswith("and its task failed")
