"""Follow-ups and handoffs: made by the line that ends a task, answered once, never doubled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortex.decide.archiving import leaving
from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry
from cortex.decide.known import remember
from cortex.model.definitions import read_master
from cortex.model.errors import RequestError
from cortex.model.state import Handoff, State, Task
from tests.unit.decide.editing import Desk
from tests.unit.decide.fleet import Fleet, finding, settings
from tests.unit.deciding import builtin_catalog


def asking_catalog(accept: bool = False, **rule: Any) -> Catalog:
    """The built-in masters; a person answers for development, and security's rule is changed."""
    catalog = builtin_catalog()
    masters = dict(catalog.masters)
    development = masters["development-master"]
    masters["development-master"] = development.model_copy(update={"accept_handoffs": accept})
    security = masters["security-master"]
    changed = security.follow_ups[0].model_copy(update=rule)
    masters["security-master"] = security.model_copy(update={"follow_ups": [changed]})
    return replace(catalog, masters=masters)


def scanned(fleet: Fleet, *rows: dict[str, Any], **fields: Any) -> Task:
    """A scan that has ended with these findings."""
    task = fleet.dropped(**{"type": "scan", "scope": {"repository": "/srv/a"}, **fields})
    fleet.admit()
    fleet.finish(task.workers[0])
    fleet.gather(task, *rows)
    return task


def handed_over(fleet: Fleet, task: Task) -> tuple[Handoff, Task, list[Task]]:
    handoff = fleet.state.handoffs[task.handoff_id or ""]
    parent = fleet.state.tasks[handoff.task_id]
    return handoff, parent, [fleet.state.tasks[ident] for ident in parent.children]


SQL, XSS = finding("sql", "a.py"), finding("xss", "b.py", cwe="CWE-79", severity="critical")


# --- follow-ups


def test_one_line_ends_the_task_and_makes_its_follow_ups_and_handoff() -> None:
    fleet = Fleet(catalog=asking_catalog())
    task = scanned(fleet, SQL, XSS)
    (line,) = (line for line in fleet.lines if any(e["event"] == "task_ended" for e in line.events))
    assert [event["event"] for event in line.events] == [
        "task_ended",
        "task_accepted",
        "task_accepted",
        "task_accepted",
        "handoff_created",
    ]
    handoff, parent, fixes = handed_over(fleet, task)
    assert (handoff.from_agent, handoff.to_agent) == ("security-master", "development-master")
    assert handoff.source_task == parent.caused_by == task.id
    assert task.follow_ups == [parent.id]
    assert [fix.parent for fix in fixes] == [parent.id] * 2
    assert [fix.priority for fix in fixes] == ["critical", "high"], "most urgent first"
    assert handoff.context["worker_results"] == ["worker-scan-001"]
    assert [issue["rule"] for issue in handoff.context["priority_issues"]] == ["xss", "sql"]
    assert handoff.context["summary"].startswith("Fix 2 findings in 2 tasks. 2 findings")


def test_a_follow_up_of_findings_of_no_repository_names_none() -> None:
    fleet = Fleet(catalog=asking_catalog())
    scan = fleet.dropped(type="scan", workers=[{"name": "look", "command": "true"}])
    fleet.admit()
    fleet.finish(scan.workers[0])
    fleet.gather(scan, SQL, repository="")
    _, _, (fix,) = handed_over(fleet, scan)
    assert fix.scope == {"paths": ["a.py"]}


def test_findings_below_the_rules_severity_make_no_task() -> None:
    fleet = Fleet(catalog=asking_catalog())
    task = scanned(fleet, finding("style", "a.py", severity="low"))
    assert (task.status, task.follow_ups, task.handoff_id) == ("completed", [], None)
    assert task.findings_count == {"low": 1}


def test_the_same_finding_tomorrow_is_linked_to_the_open_task() -> None:
    fleet = Fleet(catalog=asking_catalog())
    first = scanned(fleet, SQL)
    _, _, (fix,) = handed_over(fleet, first)
    second = scanned(fleet, finding("sql", "other.py"))
    assert second.follow_ups == [fix.id]
    assert second.handoff_id is None
    assert fix.linked == [second.id]
    assert len(fleet.state.handoffs) == 1


def archived(fleet: Fleet, *tasks: Task) -> None:
    """Time passes until these are in the archive."""
    after = fleet.catalog.again_after
    fleet.apply(Entry("daemon", "", [leaving(fleet.state, tasks, again_after=after)[1]]))


def ended_fix(fleet: Fleet, end: str) -> tuple[Task, Task]:
    """A fix, and its parent, that ended so."""
    _, parent, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    if end == "completed":
        fleet.run_through(fix)
    elif end == "cancelled":
        fleet.drop(kind="cancel", task_id=fix.id, reason="not now")
    else:
        fleet.admit()
        fleet.fail(fix.workers[0])
        fleet.gather(fix)
    assert fix.status == end
    return fix, parent


@pytest.mark.parametrize("in_archive", [False, True])
@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("completed", "was completed on 2025-11-01, not merged yet as far as the scan sees"),
        ("cancelled", "was cancelled on 2025-11-01: not now"),
    ],
)
def test_what_a_task_ended_for_is_linked_and_not_filed_again_for_two_weeks(
    end: str, told: str, in_archive: bool
) -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    fix, parent = ended_fix(fleet, end)
    if in_archive:
        archived(fleet, parent, fix)
    for day in (2, 14):
        fleet.at(23, day=day)
        again = scanned(fleet, SQL)
        (known,) = again.known
        assert again.handoff_id is None and again.follow_ups == [fix.id]
        assert (known["task_id"], known["status"], known["findings"]) == (fix.id, end, 1)
        assert known["told"] == (
            f"{fix.id} {told}; it is filed again from 2025-11-15 on, or after "
            f"`cortex retry {fix.id}`"
        )
        assert again.summary == "1 finding (1 high), 1 known"
    fleet.state = fleet.replayed()
    fleet.state = State.from_json(json.loads(json.dumps(fleet.state.to_json())))
    fleet.at(0, 1, day=15)
    _, _, (anew,) = handed_over(fleet, scanned(fleet, SQL))
    assert (anew.key, anew.id != fix.id) == (fix.key, True)


@pytest.mark.parametrize("in_archive", [False, True])
def test_what_a_task_failed_for_is_filed_again(in_archive: bool) -> None:
    fleet = Fleet(settings(workers={"retries": 0}), catalog=asking_catalog(accept=True))
    fix, parent = ended_fix(fleet, "failed")
    if in_archive:
        archived(fleet, parent, fix)
    _, _, (anew,) = handed_over(fleet, scanned(fleet, SQL))
    assert anew.id != fix.id


def test_a_fix_that_failed_after_one_that_was_completed_is_the_newest_word() -> None:
    fleet = Fleet(settings(workers={"retries": 0}), catalog=asking_catalog(accept=True))
    archived(fleet, *reversed(ended_fix(fleet, "completed")))
    fleet.at(0, 1, day=16)
    archived(fleet, *reversed(ended_fix(fleet, "failed")))
    assert scanned(fleet, SQL).known == []


def test_a_new_finding_of_a_kind_that_was_fixed_is_filed() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    fix, _ = ended_fix(fleet, "completed")
    task = scanned(fleet, SQL, finding("sql", "new.py"))
    assert task.known == []
    _, _, (anew,) = handed_over(fleet, task)
    assert (anew.key, anew.scope["paths"]) == (fix.key, ["a.py", "new.py"])


def test_what_handed_over_a_branch_says_which() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    fix, _ = ended_fix(fleet, "completed")
    fleet.state.workers[fix.workers[-1]].branches = [{"name": "cortex/task-003/pr", "commits": 1}]
    (known,) = scanned(fleet, SQL).known
    assert f"{fix.id} handed over branch cortex/task-003/pr on 2025-11-01" in known["told"]


@pytest.mark.parametrize("in_archive", [False, True])
def test_a_person_has_it_done_again_by_the_next_scan(in_archive: bool) -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    fix, parent = ended_fix(fleet, "completed")
    if in_archive:
        archived(fleet, parent, fix)
    fleet.drop(kind="retry", task_id=fix.id)
    with pytest.raises(RequestError):
        fleet.drop(kind="retry", task_id=fix.id)
    _, _, (anew,) = handed_over(fleet, scanned(fleet, SQL))
    assert anew.id != fix.id


def test_what_is_remembered_is_bounded_and_forgotten_in_time() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True, again_after=3600.0))
    fix, parent = ended_fix(fleet, "completed")
    archived(fleet, parent, fix)
    assert list(fleet.state.remembered) == [fix.key]
    fleet.at(2)
    scanned(fleet, SQL)
    other = next(t for t in fleet.state.tasks.values() if t.parent)
    fleet.drop(kind="cancel", task_id=other.id)
    archived(fleet, fleet.state.tasks[other.parent or ""], other)
    assert [row["task_id"] for row in fleet.state.remembered.values()] == [other.id]
    for number in range(1100):
        event = {"event": "archived", "known": {}, "at": ""}
        row = {**fleet.state.remembered[next(iter(fleet.state.remembered))], "task_id": "x"}
        event["known"] = {f"key-{number}": row}
        remember(fleet.state, f"key-{number}", event, fleet.now.at)
    assert len(fleet.state.remembered) == 1000


def test_new_groups_beside_known_ones_get_a_task_each_and_no_more() -> None:
    fleet = Fleet(catalog=asking_catalog())
    _, _, (sql,) = handed_over(fleet, scanned(fleet, SQL))
    second = scanned(fleet, SQL, XSS)
    _, parent, (xss,) = handed_over(fleet, second)
    assert second.follow_ups == [sql.id, parent.id]
    assert xss.context["cwe"] == "CWE-79"


def test_fan_out_is_bounded_and_the_rest_is_one_task() -> None:
    fleet = Fleet(catalog=asking_catalog(max_items=3))
    rows = [finding(f"r{n}", f"f{n}.py", cwe=f"CWE-{n + 100}") for n in range(20)]
    _, parent, fixes = handed_over(fleet, scanned(fleet, *rows))
    assert len(fixes) == 4
    assert fixes[-1].title == "17 findings of 17 other kinds"
    assert parent.title == "Fix 20 findings in 4 tasks"


def test_follow_ups_of_follow_ups_end_at_the_depth_limit() -> None:
    fleet = Fleet(catalog=asking_catalog(max_depth=1))
    _, parent, _ = handed_over(fleet, scanned(fleet, SQL))
    assert parent.depth == 1
    deep = fleet.dropped(type="scan", scope={"repository": "/srv/b"})
    deep.depth = 1
    fleet.admit()
    fleet.finish(deep.workers[0])
    fleet.gather(deep, SQL, repository="/srv/b")
    assert (deep.status, deep.follow_ups) == ("completed", [])


def test_what_a_follow_up_leaves_as_it_was_is_not_at_work_in_itself() -> None:
    fleet = Fleet(catalog=asking_catalog(item_type="scan", to="security-master", max_depth=3))
    _, _, (again,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.admit()
    fleet.finish(again.workers[0])
    fleet.gather(again, SQL)
    assert again.status == "completed"
    _, parent, (third,) = handed_over(fleet, again)
    assert again.follow_ups == [parent.id], "and not itself"
    assert third.key == again.key


def test_a_failed_task_makes_no_follow_ups() -> None:
    fleet = Fleet(settings(workers={"retries": 0}), catalog=asking_catalog())
    task = fleet.dropped(type="scan", scope={"repositories": ["/srv/a", "/srv/b"]})
    fleet.admit()
    fleet.finish(task.workers[0])
    fleet.fail(task.workers[1])
    fleet.gather(task, SQL)
    assert (task.status, task.follow_ups) == ("failed", [])
    assert task.findings_count == {"high": 1}


def test_a_title_that_names_an_unknown_field_is_refused_when_the_file_is_read() -> None:
    """Found at the end of a scan it would stop the daemon."""
    text = """---
name: odd
follow_ups:
  - {types: [scan], to: development, title: "Fix {number} things"}
---
"""
    with pytest.raises(Exception, match=r"odd\.md:4: follow_ups.*title.*only"):
        read_master(text, Path("odd.md"))


# --- the answer


def test_a_master_that_accepts_handoffs_takes_the_same_tasks_over() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    task = scanned(fleet, SQL, XSS)
    handoff, parent, fixes = handed_over(fleet, task)
    assert handoff.status == "accepted"
    assert [fix.assigned_to for fix in fixes] == ["development-master"] * 2
    assert parent.status == "blocked"
    assert parent.blocked_on == "2 of its 2 tasks are not done yet"
    for fix in fixes:
        fleet.run_through(fix)
    assert (parent.status, parent.summary) == ("completed", "2 of 2 tasks completed")
    assert handoff.status == "completed"


def test_a_pending_handoff_says_whom_its_tasks_wait_for() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, parent, fixes = handed_over(fleet, scanned(fleet, SQL))
    assert handoff.status == "pending"
    for task in (parent, *fixes):
        assert (task.status, task.hold) == ("pending", True)
        assert task.waiting_for == f"development-master to accept {handoff.id}"


def test_a_person_accepts_for_the_receiver() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="accepted")
    assert (handoff.status, handoff.accepted_at) == ("accepted", fleet.now.at)
    assert (fix.assigned_to, fix.status) == ("development-master", "in_progress")


def test_a_rejected_handoff_cancels_its_tasks_and_tells_a_person() -> None:
    fleet = Fleet(catalog=asking_catalog())
    task = scanned(fleet, SQL)
    handoff, parent, fixes = handed_over(fleet, task)
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="rejected", reason="no time")
    assert (handoff.status, handoff.reason) == ("rejected", "no time")
    assert [t.status for t in (parent, *fixes)] == ["cancelled", "cancelled"]
    (told,) = fleet.state.escalations.values()
    assert told.task_id == task.id
    assert "no time" in told.reason


def test_a_rejected_handoff_ends_workers_of_tasks_that_a_person_had_released() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    # A version before this one let a person resume it while the handoff was pending.
    fleet.apply(Entry("person", "", [{"event": "task_released", "task_id": fix.id}]))
    fleet.reconcile()
    fleet.admit()
    worker = fleet.state.workers[fix.workers[0]]
    fleet.run(worker)
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="rejected")
    assert fix.status == "cancelled"
    assert worker.status == "ending"
    assert fix.step("fix").status == "cancelled"


@pytest.mark.parametrize("answer", ["accepted", "rejected"])
def test_an_answer_that_comes_too_late_is_refused(answer: str) -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, _, _ = handed_over(fleet, scanned(fleet, SQL))
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="rejected")
    with pytest.raises(RequestError, match="is rejected already; the answer comes too late"):
        fleet.drop(kind="handoff", handoff_id=handoff.id, status=answer)


def test_an_answer_to_an_unknown_handoff_is_refused() -> None:
    with pytest.raises(RequestError, match="handoff-404 is no handoff here"):
        Fleet().drop(kind="handoff", handoff_id="handoff-404", status="accepted")


def test_an_accepted_handoff_whose_task_failed_stays_accepted_and_is_escalated() -> None:
    fleet = Fleet(settings(workers={"retries": 0}), catalog=asking_catalog(accept=True))
    handoff, parent, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.admit()
    fleet.fail(fix.workers[0])
    fleet.gather(fix)
    assert (parent.status, handoff.status) == ("failed", "accepted")
    (told,) = fleet.state.escalations.values()
    assert told.task_id == parent.id
    assert handoff.id in told.subject


def test_a_paused_follow_up_becomes_the_receivers_when_it_is_resumed() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.drop(kind="pause", task_id=fix.id)
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="accepted")
    fleet.drop(kind="resume", task_id=fix.id)
    assert (fix.assigned_to, fix.status) == ("development-master", "in_progress")


def to_coordinator() -> Fleet:
    """A fleet in which fixes go to a master that their type does not route to, after a yes."""
    catalog = asking_catalog(to="coordinator-master")
    coordinator = catalog.masters["coordinator-master"].model_copy(
        update={"accept_handoffs": False}
    )
    return Fleet(
        catalog=replace(catalog, masters={**catalog.masters, "coordinator-master": coordinator})
    )


def test_a_paused_follow_up_becomes_the_receivers_whatever_its_type_says() -> None:
    fleet = to_coordinator()
    handoff, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.drop(kind="pause", task_id=fix.id)
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="accepted")
    assert fix.status == "paused"
    fleet.drop(kind="resume", task_id=fix.id)
    assert fix.assigned_to == "coordinator-master"


def test_a_follow_up_that_was_cancelled_before_the_yes_becomes_the_receivers_by_a_retry() -> None:
    fleet = to_coordinator()
    handoff, _, (fix, other) = handed_over(fleet, scanned(fleet, SQL, XSS))
    fleet.drop(kind="cancel", task_id=fix.id)
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="accepted")
    assert other.assigned_to == "coordinator-master"
    fleet.drop(kind="retry", task_id=fix.id)
    assert fix.assigned_to == "coordinator-master"
    assert fleet.replayed().tasks[fix.id].to_json() == fix.to_json()


def test_handoffs_that_are_rejected_by_one_edit_are_told_of_each() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handed = [handed_over(fleet, scanned(fleet, found))[0] for found in (SQL, XSS)]
    desk = Desk(fleet, name="handoffs.json")
    copy = desk.open()
    for row in copy["handoffs"]:
        row["status"] = "rejected"
    assert desk.save(copy).refusals == []
    told = list(fleet.state.escalations.values())
    assert [one.id for one in told] == ["escalation-001", "escalation-002"]
    for handoff, one in zip(handed, told, strict=True):
        assert handoff.id in one.subject


def test_a_handoff_to_a_master_that_is_switched_off_waits_in_its_tasks() -> None:
    fleet = Fleet(
        settings(masters={"development": {"enabled": False}}), catalog=asking_catalog(accept=True)
    )
    _, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    assert fix.status == "blocked"
    assert fix.blocked_on is not None and "masters.development.enabled" in fix.blocked_on
    fleet.settings = settings()
    fleet.reconcile()
    assert fix.status == "in_progress"


def test_what_a_person_did_by_hand_does_not_fail_the_rest() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    handoff, parent, (first, second) = handed_over(fleet, scanned(fleet, SQL, XSS))
    fleet.drop(kind="cancel", task_id=first.id, reason="done by hand")
    assert parent.status == "blocked"
    fleet.run_through(second)
    assert (parent.status, parent.partial, parent.reason) == ("completed", True, None)
    assert parent.summary == "1 of 2 tasks completed, 1 cancelled"
    assert handoff.status == "completed"
    assert not fleet.state.escalations


def test_a_parent_fails_with_a_child_that_failed_though_others_were_cancelled() -> None:
    fleet = Fleet(settings(workers={"retries": 0}), catalog=asking_catalog(accept=True))
    handoff, parent, (first, second) = handed_over(fleet, scanned(fleet, SQL, XSS))
    fleet.drop(kind="cancel", task_id=first.id)
    fleet.admit()
    fleet.fail(second.workers[0])
    fleet.gather(second)
    assert (parent.status, parent.reason) == ("failed", f"{second.id} failed")
    assert parent.summary == "0 of 2 tasks completed, 1 cancelled"
    assert handoff.status == "accepted"


def test_an_answer_to_an_accepted_handoff_says_how_to_take_its_work_back() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    handoff, parent, _ = handed_over(fleet, scanned(fleet, SQL))
    with pytest.raises(RequestError) as refused:
        fleet.drop(kind="handoff", handoff_id=handoff.id, status="rejected")
    assert f"cortex cancel {parent.id}" in str(refused.value.hint)


def test_the_retry_of_one_whose_tasks_were_all_cancelled_runs_them_again() -> None:
    fleet = Fleet(catalog=asking_catalog(accept=True))
    handoff, parent, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.drop(kind="cancel", task_id=fix.id, reason="not now")
    assert (parent.status, handoff.status) == ("cancelled", "rejected")
    fleet.drop(kind="retry", task_id=parent.id)
    fleet.run_through(fix)
    assert (fix.status, parent.status, handoff.status) == ("completed", "completed", "rejected")


def test_a_resume_does_not_walk_around_a_pending_handoff() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, parent, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    for task in (parent, fix):
        with pytest.raises(RequestError, match=f"to accept {handoff.id}") as refused:
            fleet.drop(kind="resume", task_id=task.id)
        assert f"cortex handoff accept {handoff.id}" in str(refused.value.hint)
    fleet.drop(kind="pause", task_id=fix.id)
    fleet.drop(kind="resume", task_id=fix.id)
    assert (fix.status, fix.hold) == ("pending", True), "as before the pause"
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="accepted")
    assert fix.status == "in_progress"


def test_a_retry_does_not_walk_around_a_pending_handoff() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    fleet.drop(kind="cancel", task_id=fix.id)
    fleet.drop(kind="retry", task_id=fix.id)
    assert (fix.status, fix.hold) == ("pending", True)
    assert fix.waiting_for == f"development-master to accept {handoff.id}"
    fleet.drop(kind="handoff", handoff_id=handoff.id, status="accepted")
    assert (fix.status, fix.assigned_to) == ("in_progress", "development-master")


def test_an_edit_does_not_walk_around_a_pending_handoff() -> None:
    fleet = Fleet(catalog=asking_catalog())
    handoff, _, (fix,) = handed_over(fleet, scanned(fleet, SQL))
    desk = Desk(fleet)
    copy = desk.open()
    (row,) = (row for row in copy["tasks"] if row["id"] == fix.id)
    del row["hold"]
    (refusal,) = desk.save(copy).refusals
    assert refusal.field == "hold"
    assert f"cortex handoff accept {handoff.id}" in str(refusal.hint)
    assert (fix.hold, fix.status) == (True, "pending")
