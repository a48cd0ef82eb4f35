"""Edits of the budget, the pool, the handoffs and the schedules."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.edit import Merged
from cortex.decide.entry import Entry
from cortex.model.errors import RequestError
from cortex.model.state import Task
from tests.unit.decide.editing import Desk, row_in
from tests.unit.deciding import World

Row = dict[str, Any]


def refused(merged: Merged) -> list[tuple[str, str | None]]:
    return [(refusal.where, refusal.field) for refusal in merged.refusals]


def started(world: World, **fields: Any) -> Task:
    task = world.task(**{"command": "true", "token_budget": 10_000, **fields})
    world.admit()
    world.run(world.state.workers[task.workers[0]])
    return task


# --- the budget


@pytest.fixture
def money() -> Desk:
    return Desk(name="token-budget.json")


def test_a_larger_total_goes_to_the_pool(money: Desk) -> None:
    copy = money.open()
    copy["total_budget"] += 60_000
    assert money.save(copy).changes == ["total_budget: 200,000 → 260,000"]
    assert money.world.state.budget.pool_total == 125_000
    assert money.save(copy) == Merged(), "the same edit seen twice"


def test_who_moves_the_sums_along_with_the_total_has_made_no_mistake(money: Desk) -> None:
    copy = money.open()
    copy["total_budget"] += 60_000
    copy["worker_pool"]["total"] += 60_000
    copy["worker_pool"]["available"] += 60_000
    assert money.save(copy).refusals == []


def test_the_total_goes_down_as_far_as_tokens_are_committed(money: Desk) -> None:
    started(money.world)
    copy = money.open()
    copy["total_budget"] = 140_000
    merged = money.save(copy)
    assert refused(merged) == [("token-budget.json", "total_budget")]
    assert "145000" in str(merged.refusals[0].hint)
    copy["total_budget"] = 145_000
    assert money.save(copy).refusals == []
    assert money.world.state.budget.pool_available == 0


@pytest.mark.parametrize("total", [-1, "many", 1.5, None, True, 10**30, [1]])
def test_a_total_that_is_no_count_is_refused(money: Desk, total: Any) -> None:
    copy = money.open()
    copy["total_budget"] = total
    assert refused(money.save(copy)) == [("token-budget.json", "total_budget")]
    assert money.world.state.budget.total == 200_000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("worker_pool", "available"), -5),
        (("worker_pool", "available"), 10**6),
        (("worker_pool", "spent"), 1),
        (("masters", "security", "allocated"), 99_000),
        (("masters", "mine"), {"allocated": 5}),
        (("emergency_reserve", "total"), 0),
        (("resets_at",), "2099-01-01T00:00:00Z"),
        (("alerts",), ["x"]),
    ],
)
def test_every_other_number_is_the_ledgers(money: Desk, path: tuple[str, ...], value: Any) -> None:
    copy = money.open()
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    copy["total_budget"] += 1000
    merged = money.save(copy)
    assert len(merged.refusals) == 1
    assert str(merged.refusals[0].field).startswith(".".join(path))
    assert "total_budget" in str(merged.refusals[0].hint)
    assert money.world.state.budget.total == 201_000, "the good part goes in"


def test_numbers_that_moved_since_are_old_echoes(money: Desk) -> None:
    copy = money.open()
    task = started(money.world)
    money.world.end(task.workers[0], 400)
    assert money.save(copy) == Merged()


def test_two_totals_at_once_are_a_conflict(money: Desk) -> None:
    mine, theirs = money.open(), money.open()
    mine["total_budget"], theirs["total_budget"] = 250_000, 300_000
    money.save(theirs)
    (refusal,) = money.save(mine).refusals
    assert (refusal.yours, refusal.now) == (250_000, 300_000)


def test_a_budget_without_its_head_is_refused_whole(money: Desk) -> None:
    with pytest.raises(RequestError, match="journal_seq"):
        money.save({"total_budget": 260_000})


# --- the pool


@pytest.fixture
def pool() -> Desk:
    return Desk(name="worker-pool.json")


def worker_in(copy: Row, ident: str) -> Row:
    return row_in(copy, ident, "active_workers", "worker_id")


def test_a_worker_refreshes_its_heartbeat_and_tokens_and_nothing_else(pool: Desk) -> None:
    task = started(pool.world)
    ident = task.workers[0]
    copy = pool.open()
    worker_in(copy, ident).update(last_heartbeat="2025-11-01T10:00:00Z", tokens_used=123)
    merged = pool.save(copy)
    assert (merged.heard, merged.refusals, merged.events) == ({ident: 123}, [], [])
    worker_in(copy, ident).update(status="completed", token_budget=10**6, note="x")
    merged = pool.save(copy)
    assert {field for _, field in refused(merged)} == {"status", "token_budget", "note"}
    assert merged.heard == {ident: 123}


@pytest.mark.parametrize(
    ("field", "value"),
    [("tokens_used", -1), ("tokens_used", "7"), ("tokens_used", True), ("tokens_used", 1.5),
     ("last_heartbeat", "now"), ("last_heartbeat", 7)],
)  # fmt: skip
def test_a_sign_of_life_that_is_none_is_refused(pool: Desk, field: str, value: Any) -> None:
    task = started(pool.world)
    copy = pool.open()
    worker_in(copy, task.workers[0])[field] = value
    merged = pool.save(copy)
    assert (refused(merged), merged.heard) == ([(task.workers[0], field)], {})


def test_a_running_worker_cannot_be_taken_out_and_an_ended_one_may(pool: Desk) -> None:
    task = started(pool.world)
    copy = pool.open()
    gone = pool.open()
    gone["active_workers"] = []
    merged = pool.save(gone)
    assert refused(merged) == [(task.workers[0], None)]
    assert "cancelled" in str(merged.refusals[0].hint)
    pool.world.end(task.workers[0], 5)
    assert pool.save(copy) == Merged(), "its row has moved on since"
    assert pool.save(gone) == Merged(), "by now it has ended"


def test_a_row_in_another_list_or_of_nobody_is_refused(pool: Desk) -> None:
    task = started(pool.world)
    copy = pool.open()
    row = copy["active_workers"].pop()
    copy["completed_workers"].append(row)
    copy["failed_workers"].append({"worker_id": "worker-cmd-099", "status": "failed"})
    assert refused(pool.save(copy)) == [(task.workers[0], "list"), ("worker-cmd-099", None)]


# --- handoffs, escalations, approvals


@pytest.fixture
def answers() -> Desk:
    return Desk(name="handoffs.json")


def handed_over(world: World, **fields: Any) -> Task:
    task = world.task(**{"command": "true", "hold": True, "handoff_id": "handoff-001", **fields})
    handoff = {
        "id": "handoff-001",
        "from_agent": "security-master",
        "to_agent": "development-master",
        "task_id": task.id,
        "created_at": world.now.at,
    }
    world.apply(Entry("test", "", [{"event": "handoff_created", "handoff": handoff}]))
    return task


def test_a_handoff_is_accepted_by_its_status(answers: Desk) -> None:
    task = handed_over(answers.world)
    copy = answers.open()
    row_in(copy, "handoff-001", "handoffs", "handoff_id")["status"] = "accepted"
    assert answers.save(copy).changes == ["handoff-001 accepted"]
    assert answers.world.state.handoffs["handoff-001"].status == "accepted"
    assert task.assigned_to == "development-master"
    assert answers.save(copy) == Merged()


def test_a_handoff_is_rejected_with_its_reason(answers: Desk) -> None:
    task = handed_over(answers.world)
    copy = answers.open()
    row = row_in(copy, "handoff-001", "handoffs", "handoff_id")
    row.update(status="rejected", reason="wrong team")
    assert answers.save(copy).refusals == []
    assert answers.world.state.handoffs["handoff-001"].reason == "wrong team"
    assert task.status == "cancelled"
    copy = answers.open()
    row_in(copy, "handoff-001", "handoffs", "handoff_id")["status"] = "accepted"
    assert refused(answers.save(copy)) == [("handoff-001", "status")]


def test_an_escalation_is_closed_by_its_status(answers: Desk) -> None:
    raised = {
        "id": "escalation-001",
        "subject": "short",
        "reason": "why",
        "created_at": answers.world.now.at,
    }
    answers.world.apply(Entry("test", "", [{"event": "escalation_raised", "escalation": raised}]))
    copy = answers.open()
    row_in(copy, "escalation-001", "escalations", "escalation_id").update(
        status="closed", comment="ordered more"
    )
    assert answers.save(copy).changes == ["escalation-001 closed: ordered more"]
    assert answers.world.state.escalations["escalation-001"].status == "closed"
    assert answers.save(copy) == Merged()


def waiting_for_a_yes(world: World) -> Task:
    return world.task(command="true", approval=True)


@pytest.mark.parametrize(
    ("status", "after"), [("approved", "in_progress"), ("denied", "cancelled")]
)
def test_an_approval_is_answered_by_its_status(answers: Desk, status: str, after: str) -> None:
    task = waiting_for_a_yes(answers.world)
    copy = answers.open()
    row = row_in(copy, "approval-001", "approvals", "approval_id")
    row.update(status=status, comment="seen")
    assert answers.save(copy).changes == [f"approval-001 {status}: seen"]
    assert task.status == after
    assert answers.save(copy) == Merged()


def test_answers_that_contradict_each_other_stop_at_the_first(answers: Desk) -> None:
    """A no cancels the task, and with it the handoff that the same edit accepts."""
    handed_over(answers.world, hold=False, approval=True)
    copy = answers.open()
    row_in(copy, "handoff-001", "handoffs", "handoff_id")["status"] = "accepted"
    row_in(copy, "approval-001", "approvals", "approval_id")["status"] = "denied"
    merged = answers.save(copy)
    assert merged.changes == ["handoff-001 accepted"]
    assert refused(merged) == [("approval-001", "status")]
    assert "by itself" in str(merged.refusals[0].hint)


def test_what_is_no_answer_is_refused_with_what_is(answers: Desk) -> None:
    handed_over(answers.world)
    copy = answers.open()
    row = row_in(copy, "handoff-001", "handoffs", "handoff_id")
    row.update(status="maybe", to_agent="me", reason="hm")
    copy["handoffs"].append({"handoff_id": "handoff-009", "status": "accepted"})
    copy["approvals"].append({"task_id": "task-001"})
    merged = answers.save(copy)
    assert refused(merged) == [
        ("handoff-001", "to_agent"),
        ("handoff-001", "status"),
        ("handoff-009", None),
        ("approvals, row 1", None),
    ]
    assert all("status" in str(r.hint) for r in merged.refusals[:2])


def test_a_pending_handoff_cannot_be_taken_out(answers: Desk) -> None:
    handed_over(answers.world)
    copy = answers.open()
    copy["handoffs"] = []
    assert refused(answers.save(copy)) == [("handoff-001", None)]


# --- schedules


@pytest.fixture
def plans() -> Desk:
    return Desk(name="schedules.json")


NIGHTLY = {"schedule": "daily@09:00", "worker_type": "scan-worker", "count": 3,
           "repositories": ["/srv/a", "/srv/b"]}  # fmt: skip


def test_schedules_are_added_changed_paused_and_taken_out(plans: Desk) -> None:
    copy = plans.open()
    copy["scheduled_workers"] += [NIGHTLY, {"id": "mine", "schedule": "@daily", "command": "true"}]
    assert plans.save(copy).changes == ["schedule-001 added", "mine added"]
    assert plans.save(copy) == Merged(), "the same buffer, saved again"
    copy = plans.open()
    row_in(copy, "mine", "scheduled_workers").update(schedule="daily@10:00", paused=True)
    copy["scheduled_workers"].remove(row_in(copy, "schedule-001", "scheduled_workers"))
    merged = plans.save(copy)
    assert merged.changes == ["schedule-001 taken out", "mine changed: schedule, paused"]
    assert list(plans.world.state.schedules) == ["mine"]
    assert plans.world.state.schedules["mine"].paused


def test_a_bad_schedule_is_refused_and_a_good_one_beside_it_goes_in(plans: Desk) -> None:
    copy = plans.open()
    copy["scheduled_workers"] += [{**NIGHTLY, "schedule": "at noon, perhaps"}, NIGHTLY, 7]
    merged = plans.save(copy)
    assert {field for _, field in refused(merged)} == {"schedule", None}
    assert len(plans.world.state.schedules) == 1


def test_what_tells_of_a_schedules_runs_is_the_daemons(plans: Desk) -> None:
    copy = plans.open()
    copy["scheduled_workers"].append({"id": "mine", "schedule": "@daily", "command": "true"})
    plans.save(copy)
    copy = plans.open()
    row_in(copy, "mine", "scheduled_workers")["runs"] = 7
    assert refused(plans.save(copy)) == [("mine", "runs")]
