"""Edits of task-queue.json: what each field, status, missing and new row comes to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.decide.edit import Edit, Merged
from cortex.decide.merge import merge
from cortex.model.errors import RequestError
from cortex.model.owners import TASK_OWNERS
from cortex.model.state import Task
from tests.unit.decide.editing import Desk, row_in
from tests.unit.decide.fleet import Fleet, settings

Row = dict[str, Any]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def refused(merged: Merged) -> list[tuple[str, str | None]]:
    return [(refusal.where, refusal.field) for refusal in merged.refusals]


def a_task(desk: Desk, **fields: Any) -> Task:
    return desk.world.task(**{"command": "true", "token_budget": 10, **fields})


def started(desk: Desk, **fields: Any) -> Task:
    """A task whose worker runs."""
    task = a_task(desk, **fields)
    desk.world.admit()
    desk.world.run(desk.world.state.workers[task.workers[0]])
    return task


# --- nothing changed


def test_a_file_that_was_saved_as_it_was_asks_for_nothing(desk: Desk) -> None:
    started(desk)
    copy = desk.open()
    desk.world.end("worker-cmd-001", 5)
    desk.world.reconcile()
    assert desk.look_at(copy) == Merged()


def test_the_order_of_rows_and_fields_says_nothing(desk: Desk) -> None:
    a_task(desk)
    a_task(desk)
    copy = desk.open()
    copy["tasks"] = [dict(reversed(row.items())) for row in reversed(copy["tasks"])]
    assert desk.look_at(copy) == Merged()


def test_a_row_may_be_cut_down_to_what_changes(desk: Desk) -> None:
    task = a_task(desk, hold=True, extra={"note": "mine"})
    copy = desk.open()
    copy["tasks"] = [{"id": task.id, "priority": "high"}]
    assert desk.save(copy).refusals == []
    assert (task.priority, task.hold, task.extra) == ("high", True, {"note": "mine"})


def test_an_old_value_of_the_daemons_own_field_is_an_echo(desk: Desk) -> None:
    task = a_task(desk)
    old = row_in(desk.open(), task.id)
    desk.world.admit()
    desk.world.run(desk.world.state.workers[task.workers[0]])
    copy = desk.open()
    desk.world.end(task.workers[0], 3)
    row_in(copy, task.id)["worker_plan"] = old["worker_plan"]
    merged = desk.look_at(copy)
    assert refused(merged) == [(task.id, "worker_plan")], "it never had that value since"
    copy = desk.open() | {"journal_seq": copy["journal_seq"]}
    assert desk.look_at(copy) == Merged(), "what it became since is no edit either"


# --- a person's own fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "another"),
        ("priority", "critical"),
        ("deadline", "2025-12-01T00:00:00Z"),
        ("retries", 5),
    ],
)
def test_a_persons_field_changes_while_the_task_runs(desk: Desk, field: str, value: Any) -> None:
    task = started(desk)
    copy = desk.open()
    row_in(copy, task.id)[field] = value
    merged = desk.save(copy)
    assert (refused(merged), getattr(task, field)) == ([], value)
    assert merged.changes == [f"{task.id} {field}: → {value}"]


def test_unknown_keys_are_kept_changed_and_taken_out(desk: Desk) -> None:
    task = a_task(desk, extra={"ticket": "A-1", "owner": "ann"})
    copy = desk.open()
    row = row_in(copy, task.id)
    row["ticket"] = "A-2"
    row["mood"] = {"of": ["the", "day"]}
    del row["owner"]
    desk.save(copy)
    assert task.extra == {"ticket": "A-2", "mood": {"of": ["the", "day"]}}
    assert row_in(desk.open(), task.id)["ticket"] == "A-2"


def test_another_priority_reaches_the_workers_that_wait(desk: Desk) -> None:
    first = a_task(desk, token_budget=60_000, priority="high")
    desk.world.admit()
    low = a_task(desk, token_budget=60_000, priority="low")
    other = a_task(desk, token_budget=60_000, priority="medium")
    copy = desk.open()
    row_in(copy, low.id)["priority"] = "high"
    row_in(copy, low.id)["deadline"] = "2025-11-01T01:00:00Z"
    desk.save(copy)
    worker = desk.world.state.workers[low.workers[0]]
    assert (worker.priority, worker.deadline) == ("high", "2025-11-01T01:00:00Z")
    desk.world.end(first.workers[0], 0)
    desk.world.admit()
    assert desk.world.state.workers[low.workers[0]].status == "approved"
    assert desk.world.state.workers[other.workers[0]].status in ("requested", "queued")


def test_more_retries_reach_the_steps_but_for_those_that_have_their_own(desk: Desk) -> None:
    plan = [
        {"name": "a", "worker_type": "command-worker", "command": "true"},
        {"name": "b", "worker_type": "command-worker", "command": "true", "retries": 1},
    ]
    task = a_task(desk, command=None, plan=plan)
    copy = desk.open()
    row_in(copy, task.id)["retries"] = 7
    desk.save(copy)
    assert [step.retries for step in task.steps] == [7, 1]


def test_what_two_people_changed_differently_is_refused_and_the_rest_goes_in(desk: Desk) -> None:
    task = a_task(desk)
    mine, theirs = desk.open(), desk.open()
    row_in(theirs, task.id)["priority"] = "low"
    desk.save(theirs)
    row_in(mine, task.id).update(priority="critical", title="renamed")
    merged = desk.save(mine)
    (refusal,) = merged.refusals
    assert (refusal.field, refusal.yours, refusal.now) == ("priority", "critical", "low")
    assert (task.priority, task.title) == ("low", "renamed")


def test_a_value_that_others_had_meanwhile_is_a_wish_all_the_same(desk: Desk) -> None:
    task = a_task(desk, priority="high")
    mine = changed(desk, task, priority="low")
    for value in ("low", "critical"):
        desk.save(changed(desk, task, priority=value))
    (refusal,) = desk.save(mine).refusals
    assert (refusal.field, refusal.yours, refusal.now) == ("priority", "low", "critical")
    assert task.priority == "critical"
    assert "somebody else" in refusal.reason


@pytest.mark.parametrize("taken_out", [False, True])
def test_a_wish_that_was_granted_and_undone_by_somebody_is_refused(
    desk: Desk, taken_out: bool
) -> None:
    task = a_task(desk, extra={"note": "theirs"})
    mine = changed(desk, task, note="mine")
    if taken_out:
        del row_in(mine, task.id)["note"]
    assert desk.save(mine).changes
    assert desk.save(mine) == Merged(), "once has the effect of twice"
    desk.save(changed(desk, task, note="theirs"))
    (refusal,) = desk.save(mine).refusals
    assert (refusal.field, refusal.now) == ("note", "theirs")
    assert "back" in refusal.reason
    assert task.extra == {"note": "theirs"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "normal"),
        ("timeout", "3m"),
        ("deadline", "2025-12-01T02:00:00+02:00"),
        ("scope", {"repository": "/srv/b", "paths": []}),
        ("hold", None),
    ],
)
def test_a_value_that_is_written_another_way_than_shown_is_taken_once(
    desk: Desk, field: str, value: Any
) -> None:
    task = a_task(desk, priority="high", hold=True)
    mine = changed(desk, task, **{field: value})
    assert desk.save(mine).refusals == []
    assert desk.save(mine) == Merged()


def test_what_two_people_changed_alike_is_no_conflict(desk: Desk) -> None:
    task = a_task(desk)
    mine, theirs = desk.open(), desk.open()
    for copy in (mine, theirs):
        row_in(copy, task.id)["priority"] = "low"
    assert desk.save(theirs).changes
    assert desk.save(mine) == Merged()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "urgent"),
        ("priority", None),
        ("title", ""),
        ("title", "two\nlines"),
        ("deadline", "tomorrow"),
        ("retries", -1),
        ("retries", "many"),
        ("hold", "yes, please"),
        ("scope", {"repository": ""}),
        ("type", "../etc"),
        ("execution_mode", "magic"),
        ("token_budget", -5),
    ],
)
def test_a_value_that_a_drop_could_not_have_is_refused_with_its_field(
    desk: Desk, field: str, value: Any
) -> None:
    task = a_task(desk)
    copy = desk.open()
    row_in(copy, task.id).update({field: value, "note": "kept"})
    merged = desk.save(copy)
    assert refused(merged) == [(task.id, field)]
    assert merged.refusals[0].hint
    assert task.extra == {"note": "kept"}


@pytest.mark.parametrize("field", [n for n, owner in TASK_OWNERS.items() if owner == "daemon"])
def test_the_daemons_own_fields_are_refused_by_name(desk: Desk, field: str) -> None:
    task = a_task(desk)
    copy = desk.open()
    if field == "id":
        return  # another id is another row
    row_in(copy, task.id)[field] = ["forged"]
    merged = desk.save(copy)
    assert refused(merged) == [(task.id, field)]
    assert merged.events == []


# --- what workers are made from


def test_scope_of_a_waiting_task_changes_and_it_is_planned_anew(desk: Desk) -> None:
    task = desk.world.task(type="security-scan", scope={"repository": "/srv/a"})
    before = list(task.workers)
    copy = desk.open()
    row_in(copy, task.id)["scope"] = {"repositories": ["/srv/b", "/srv/c"]}
    assert desk.save(copy).refusals == []
    assert [step.scope["repository"] for step in task.steps] == ["/srv/b", "/srv/c"]
    assert desk.world.state.workers[before[0]].status == "cancelled"
    assert task.status == "in_progress"
    assert len(task.workers) == len(before) + 2


def test_a_yes_is_for_the_plan_that_was_shown_and_not_for_one_of_another_scope() -> None:
    world = Fleet(settings(approvals={"workers_above": 1}))
    desk = Desk(world)
    task = world.dropped(type="scan", scope={"repositories": ["/a", "/b"]})
    world.drop(kind="approve", task_id=task.id)
    assert (task.status, len(task.workers)) == ("in_progress", 2)
    copy = desk.open()
    row_in(copy, task.id)["scope"] = {"repositories": [f"/{number}" for number in range(9)]}
    assert desk.save(copy).refusals == []
    assert task.status == "awaiting_approval"
    assert [one.offer["workers"] for one in world.state.approvals.values()] == [2, 9]


def test_a_worker_that_was_asked_for_beside_the_plan_is_not_lost_with_it() -> None:
    world = Fleet()
    desk = Desk(world)
    task = world.dropped(type="analysis", scope={"repository": "/r"})
    asked = {"kind": "worker_request", "master_agent": "coordinator", "worker_type": "analysis"}
    world.drop({**asked, "task_id": task.id, "id": "more"})
    copy = desk.open()
    row_in(copy, task.id)["scope"] = {"repository": "/q"}
    merged = desk.save(copy)
    assert refused(merged) == [(task.id, "scope")]
    assert "(more)" in merged.refusals[0].reason
    assert [step.name for step in task.steps] == ["analysis-r", "more"]


def test_another_type_goes_to_another_master(desk: Desk) -> None:
    task = desk.world.task(type="security-scan", scope={"repository": "/srv/a"})
    desk.world.admit()
    copy = desk.open()
    row_in(copy, task.id)["type"] = "analysis"
    desk.save(copy)
    assert task.assigned_to == "coordinator-master" or task.assigned_to != "security-master"
    assert {step.worker_type for step in task.steps} == {"analysis-worker"}
    assert desk.world.state.budget.pool_allocated == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("scope", {"repository": "/srv/b"}), ("type", "analysis"), ("execution_mode", "direct"),
     ("command", "false"), ("timeout", "3m"), ("token_budget", 77)],
)  # fmt: skip
def test_what_a_running_worker_is_made_from_does_not_change_under_it(
    desk: Desk, field: str, value: Any
) -> None:
    task = started(desk)
    copy = desk.open()
    row_in(copy, task.id)[field] = value
    merged = desk.save(copy)
    assert refused(merged) == [(task.id, field)]
    assert task.workers[0] in merged.refusals[0].reason
    assert "cancelled" in str(merged.refusals[0].hint)


def test_a_paused_task_that_has_not_started_is_planned_anew_when_it_goes_on(desk: Desk) -> None:
    task = a_task(desk)
    desk.save(changed(desk, task, status="paused"))
    desk.save(changed(desk, task, command="echo other"))
    assert (task.status, task.resume_to, task.steps) == ("paused", "pending", [])
    desk.save(changed(desk, task, status="pending"))
    assert task.steps[0].command == "echo other"


def changed(desk: Desk, task: Task, **fields: Any) -> Row:
    copy = desk.open()
    row_in(copy, task.id).update(fields)
    return copy


# --- hold


def test_hold_keeps_a_new_task_from_starting_and_its_removal_releases_it(desk: Desk) -> None:
    task = a_task(desk, hold=True)
    assert task.status == "pending"
    copy = desk.open()
    del row_in(copy, task.id)["hold"]
    desk.save(copy)
    assert (task.hold, task.status) == (False, "in_progress")


def test_hold_pauses_a_task_that_is_under_way_and_false_lets_it_go_on(desk: Desk) -> None:
    task = a_task(desk)
    desk.save(changed(desk, task, hold=True))
    assert (task.hold, task.status) == (True, "paused")
    desk.save(changed(desk, task, hold=False))
    assert (task.hold, task.status) == (False, "in_progress")


def test_pausing_and_holding_at_once_pauses_once(desk: Desk) -> None:
    task = a_task(desk)
    desk.save(changed(desk, task, hold=True, status="paused"))
    assert (task.status, task.resume_to) == ("paused", "in_progress")
    desk.save(changed(desk, task, hold=False, status="in_progress"))
    assert (task.hold, task.status) == (False, "in_progress")


# --- verbs


def test_cancelled_ends_a_task_and_its_worker(desk: Desk) -> None:
    task = started(desk)
    merged = desk.save(changed(desk, task, status="cancelled"))
    assert task.status == "cancelled"
    assert desk.world.state.workers[task.workers[0]].status == "ending"
    assert merged.changes == [f"{task.id} cancelled"]


def test_a_cancel_of_what_has_ended_meanwhile_is_refused(desk: Desk) -> None:
    task = started(desk)
    copy = changed(desk, task, status="cancelled", note="seen")
    desk.world.end(task.workers[0], 1)
    desk.world.apply(ended(task, "completed"))
    merged = desk.save(copy)
    assert refused(merged) == [(task.id, "status")]
    assert task.status == "completed"
    assert task.extra == {"note": "seen"}


def ended(task: Task, status: str) -> Any:
    from cortex.decide.entry import Entry

    events: list[Row] = [{"event": "task_ended", "task_id": task.id, "status": status}]
    if task.status != "aggregating":
        events.insert(0, {"event": "task_aggregating", "task_id": task.id})
    return Entry("test", "", events)


def failed(desk: Desk) -> Task:
    task = started(desk, retries=0)
    desk.world.end(task.workers[0], 1, code=1)
    desk.world.reconcile()
    desk.world.apply(ended(task, "failed"))
    return task


def test_pending_runs_a_failed_task_again_once(desk: Desk) -> None:
    task = failed(desk)
    copy = changed(desk, task, status="pending")
    assert desk.save(copy).changes == [f"{task.id} runs again"]
    assert (task.run, task.status) == (2, "in_progress")
    desk.world.apply(ended(task, "failed"))
    assert desk.save(copy) == Merged(), "the same buffer, saved again"
    assert task.run == 2


def test_a_retry_takes_other_fields_along(desk: Desk) -> None:
    task = failed(desk)
    assert refused(desk.save(changed(desk, task, priority="high"))) == [(task.id, "priority")]
    desk.save(changed(desk, task, priority="high", status="pending"))
    assert (task.run, task.priority) == (2, "high")


@pytest.mark.parametrize("status", ["completed", "failed", "in_progress", "done", 7, None])
def test_a_status_that_nobody_can_ask_for_is_refused_with_what_can(desk: Desk, status: Any) -> None:
    task = started(desk)
    copy = changed(desk, task, status=status)
    merged = desk.save(copy)
    if status == "in_progress":
        assert merged == Merged()
        return
    assert refused(merged) == [(task.id, "status")]
    assert "cancelled ends a task" in str(merged.refusals[0].hint)


def test_a_cancelled_parent_takes_its_children_along_once() -> None:
    fleet = Fleet()
    desk = Desk(fleet)
    for ident in ("parent", "child"):
        fleet.task(id=ident, command="true", parent="parent" if ident == "child" else None)
    fleet.state.tasks["parent"].children = ["child"]
    copy = desk.open()
    for row in copy["tasks"]:
        row["status"] = "cancelled"
    merged = desk.look_at(copy | {"journal_seq": fleet.state.seq})
    ends = [e["task_id"] for e in merged.events if e["event"] == "task_ended"]
    assert sorted(ends) == ["child", "parent"]


# --- rows that are missing, twice there, or odd


def test_a_row_that_was_taken_out_cancels_its_task(desk: Desk) -> None:
    task, other = a_task(desk), a_task(desk)
    copy = desk.open()
    copy["tasks"].remove(row_in(copy, task.id))
    assert desk.save(copy).changes == [f"{task.id} cancelled (its row was taken out)"]
    assert (task.status, other.status) == ("cancelled", "in_progress")


def test_a_row_of_an_ended_task_may_be_missing(desk: Desk) -> None:
    task = failed(desk)
    copy = desk.open()
    copy["tasks"].remove(row_in(copy, task.id))
    copy["tasks"].append({"title": "new"})
    merged = desk.save(copy)
    assert (merged.refusals, task.status) == ([], "failed")


def test_a_task_that_came_after_the_file_was_opened_is_not_missing(desk: Desk) -> None:
    a_task(desk)
    copy = desk.open()
    later = a_task(desk)
    assert desk.save(copy) == Merged()
    assert later.status == "in_progress"


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (2, 0), (8, 3), (8, 0), (100, 40)])
def test_many_missing_rows_at_once_are_refused_whole(desk: Desk, count: int, kept: int) -> None:
    for _ in range(count):
        a_task(desk)
    copy = desk.open()
    copy["tasks"] = copy["tasks"][:kept]
    if kept:
        copy["tasks"][0]["priority"] = "high"
    with pytest.raises(RequestError, match="missing"):
        desk.save(copy)
    assert all(task.status == "in_progress" for task in desk.world.state.tasks.values())


def test_a_few_missing_rows_of_many_are_cancels(desk: Desk) -> None:
    for _ in range(8):
        a_task(desk)
    copy = desk.open()
    copy["tasks"] = copy["tasks"][4:]
    assert len(desk.save(copy).changes) == 4


def test_a_row_that_stands_twice_counts_once(desk: Desk) -> None:
    task = a_task(desk)
    copy = desk.open()
    row = row_in(copy, task.id)
    copy["tasks"] += [dict(row), {**row, "priority": "low"}]
    merged = desk.save(copy)
    assert refused(merged) == [(task.id, "id")]
    assert task.priority == "medium"


def test_what_is_no_row_is_refused_and_stops_no_other(desk: Desk) -> None:
    task = a_task(desk)
    copy = changed(desk, task, priority="high")
    copy["tasks"] += [7, None, ["x"]]
    merged = desk.save(copy)
    assert [refusal.where for refusal in merged.refusals] == [
        "tasks, row 2",
        "tasks, row 3",
        "tasks, row 4",
    ]
    assert task.priority == "high"


@pytest.mark.parametrize("content", [{}, {"tasks": None}, {"tasks": {}}, {"tasks": []}])
def test_a_document_without_rows_is_refused_whole(desk: Desk, content: Row) -> None:
    with pytest.raises(RequestError):
        merge(desk.world.state, Edit("task-queue.json", content), desk.world.now)


# --- new rows


def test_a_new_row_is_a_task(desk: Desk) -> None:
    a_task(desk)
    copy = desk.open()
    copy["tasks"].append({"title": "new", "command": "make", "note": "mine", "priority": "normal"})
    copy["tasks"].append({"id": "my-own", "title": "named", "needs": ["task-001"]})
    merged = desk.save(copy)
    assert merged.changes == ["task-002 added: new", "my-own added: named"]
    task = desk.world.state.tasks["task-002"]
    assert (task.command, task.extra, task.priority) == ("make", {"note": "mine"}, "medium")
    assert task.source == "task-queue.json"


def test_the_same_buffer_saved_twice_adds_one_task(desk: Desk) -> None:
    copy = desk.open()
    copy["tasks"] += [{"title": "new"}, {"id": "own", "title": "new"}, {"title": "twin"}]
    copy["tasks"].append({"title": "twin"})
    assert len(desk.save(copy).changes) == 4
    assert desk.save(copy) == Merged()
    copy["tasks"].append({"title": "another"})
    assert desk.save(copy).changes == ["task-004 added: another"]


def test_a_copy_of_another_row_makes_a_task_like_it(desk: Desk) -> None:
    task = started(desk, priority="high")
    copy = desk.open()
    row = json.loads(json.dumps(row_in(copy, task.id)))
    del row["id"]
    row.update(title="again", status="pending")
    copy["tasks"].append(row)
    merged = desk.save(copy)
    assert merged.refusals == []
    new = desk.world.state.tasks["task-002"]
    assert (new.title, new.priority, new.command) == ("again", "high", "true")
    assert new.workers != task.workers


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"title": "x", "status": "completed"}, "status"),
        ({"title": "x", "priority": "urgent"}, "priority"),
        ({"id": "../x", "title": "x"}, "id"),
        ({"title": "x", "needs": ["nobody"]}, "needs"),
        ({}, None),
    ],
)
def test_a_bad_new_row_is_refused_by_itself(desk: Desk, row: Row, field: str | None) -> None:
    copy = desk.open()
    copy["tasks"] += [row, {"title": "good"}]
    merged = desk.save(copy)
    assert [refusal.field for refusal in merged.refusals] == [field]
    assert merged.changes == ["task-001 added: good"]


def test_an_edit_without_journal_seq_can_only_add(desk: Desk) -> None:
    task = a_task(desk)
    row = row_in(desk.open(), task.id)
    merged = desk.save({"tasks": [{**row, "priority": "low"}, {"title": "new"}]})
    assert refused(merged) == [(task.id, "priority")]
    assert "journal_seq" in merged.refusals[0].reason
    assert merged.changes == ["task-002 added: new"]
    assert task.priority == "medium"


def test_rows_of_tasks_that_have_left_for_the_archive_say_nothing(desk: Desk) -> None:
    from cortex.decide.entry import Entry

    task = failed(desk)
    copy = desk.open()
    archived = {"event": "archived", "tasks": [task.id], "workers": list(task.workers)}
    desk.world.apply(Entry("test", "", [archived]))
    assert desk.save(copy) == Merged()
    row_in(copy, task.id)["priority"] = "high"
    assert refused(desk.save(copy)) == [(task.id, "priority")]


def test_the_fleet_is_paused_by_the_daemons_own_row(desk: Desk) -> None:
    copy = desk.open()
    copy["daemon"]["paused"] = True
    assert desk.save(copy).changes == ["the fleet is paused"]
    assert desk.world.state.paused
    assert desk.save(copy) == Merged()


def test_every_field_of_a_task_row_has_an_owner() -> None:
    from cortex.model.documents import TaskRow
    from cortex.model.requests import TaskRequest

    assert set(TaskRow.model_fields) <= set(TASK_OWNERS)
    assert set(TaskRequest.model_fields) <= set(TASK_OWNERS)


def test_going_on_after_a_pause_ends_a_hold_that_came_after_the_start(desk: Desk) -> None:
    task = a_task(desk)
    desk.save(changed(desk, task, hold=True))
    desk.save(changed(desk, task, status="in_progress"))
    assert (task.hold, task.status) == (False, "in_progress")


def test_a_pause_that_ends_does_not_release_what_was_held(desk: Desk) -> None:
    task = a_task(desk, hold=True)
    desk.save(changed(desk, task, status="paused"))
    desk.save(changed(desk, task, status="pending"))
    assert (task.hold, task.status) == (True, "pending")
    desk.save(changed(desk, task, status="paused"))
    desk.save(changed(desk, task, hold=False))
    assert (task.hold, task.status) == (False, "paused")
