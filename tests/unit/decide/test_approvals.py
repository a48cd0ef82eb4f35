"""A person's yes or no: what waits for one, what an answer does, what is never asked twice."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.accept import accept_all
from cortex.decide.overdue import next_overdue
from cortex.decide.snapshot import documents
from cortex.model.errors import RequestError
from cortex.model.requests import parse_request
from cortex.model.settings import Settings
from cortex.model.state import State
from tests.unit.deciding import World


def say(world: World, **fields: Any) -> None:
    world.apply(accept_all(world.state, [parse_request(fields)], "x.json", world.now, {}))


def world_with(**approvals: Any) -> World:
    return World(Settings.model_validate({"approvals": approvals}))


def submitted(world: World, **fields: Any) -> Any:
    say(world, **{"title": "t", "command": "true", **fields})
    world.reconcile()
    return list(world.state.tasks.values())[-1]


def pending(world: World) -> list[str]:
    return [one.reason for one in world.state.approvals.values() if one.status == "pending"]


def test_a_task_dropped_with_approval_starts_after_the_yes() -> None:
    world = World()
    task = submitted(world, approval=True)
    assert task.status == "awaiting_approval"
    assert not world.state.workers
    say(world, kind="approve", task_id=task.id, reason="go")
    world.reconcile()
    assert task.status == "in_progress"
    assert world.state.approvals["approval-001"].comment == "go"


def test_a_no_cancels_the_task_with_its_reason() -> None:
    world = World()
    task = submitted(world, approval=True)
    say(world, kind="deny", approval_id="approval-001", reason="too dear")
    assert (task.status, task.reason) == ("cancelled", "approval-001 was denied: too dear")
    assert world.state.approvals["approval-001"].status == "denied"


@pytest.mark.parametrize(
    ("approvals", "fields", "reason"),
    [
        ({"types": ["deploy"]}, {"type": "deploy"}, "approvals.types in cortex.toml names deploy"),
        ({"tokens_above": 9000}, {"token_budget": 9001}, "may use 9,001 tokens"),
        (
            {"workers_above": 1},
            {"command": None, "workers": [{"name": n, "command": "true"} for n in "ab"]},
            "it has 2 workers",
        ),
    ],
)
def test_policy_lets_a_task_wait_and_says_which_key_it_was(
    approvals: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    world = world_with(**approvals)
    said = {name: value for name, value in {"command": "true", **fields}.items() if value}
    say(world, title="t", **said)
    world.reconcile()
    assert [reason in one for one in pending(world)] == [True]
    again = submitted(world_with(**approvals), type="other")
    assert again.status == "in_progress"


def test_a_step_waits_until_nothing_else_of_its_task_can_start() -> None:
    world = World()
    steps = [
        {"name": "build", "command": "make"},
        {"name": "push", "command": "make push", "needs": ["build"], "approval": True},
    ]
    say(world, title="t", workers=steps)
    world.reconcile()
    task = world.state.tasks["task-001"]
    assert task.status == "in_progress"
    world.admit()
    world.end("worker-cmd-001", 0)
    world.reconcile()
    assert task.status == "awaiting_approval"
    assert pending(world) == ["step push asks for it"]
    say(world, kind="approve", approval_id="approval-001")
    world.reconcile()
    assert (task.status, task.step("push").status) == ("in_progress", "active")


def test_a_retry_asks_again() -> None:
    world = World()
    task = submitted(world, approval=True)
    say(world, kind="deny", task_id=task.id)
    say(world, kind="retry", task_id=task.id)
    world.reconcile()
    assert task.status == "awaiting_approval"
    assert list(world.state.approvals) == ["approval-001", "approval-002"]


def test_a_paused_task_that_is_approved_stays_paused() -> None:
    world = World()
    task = submitted(world, approval=True)
    say(world, kind="pause", task_id=task.id)
    say(world, kind="approve", task_id=task.id)
    assert task.status == "paused"
    say(world, kind="resume", task_id=task.id)
    world.reconcile()
    assert task.status == "in_progress"


def test_a_cancel_withdraws_the_question_and_a_second_answer_says_so() -> None:
    world = World()
    task = submitted(world, approval=True)
    say(world, kind="cancel", task_id=task.id)
    assert world.state.approvals["approval-001"].status == "withdrawn"
    with pytest.raises(RequestError, match="withdrawn already"):
        say(world, kind="approve", approval_id="approval-001")
    with pytest.raises(RequestError, match="nothing of task-001 waits"):
        say(world, kind="approve", task_id=task.id)


def test_a_replayed_state_asks_the_same() -> None:
    world = World()
    submitted(world, approval=True)
    again = State.from_json(world.state.to_json())
    assert again.approvals == world.state.approvals
    (row,) = documents(again)["handoffs.json"]["approvals"]
    assert (row["task_id"], row["status"]) == ("task-001", "pending")


def test_no_further_work_of_a_kind_starts_while_too_many_wait_for_a_person() -> None:
    world = world_with(waiting_at_most=2)
    for _ in range(2):
        submitted(world, type="deploy", approval=True)
    third = submitted(world, type="deploy")
    assert third.status == "pending"
    assert third.waiting_for is not None
    assert "approval-001, approval-002: 2 of type deploy wait already" in third.waiting_for
    assert submitted(world, type="other").status == "in_progress"
    say(world, kind="approve", approval_id="approval-001")
    world.reconcile()
    assert third.status == "in_progress"


def test_consent_comes_with_the_plan_and_its_price() -> None:
    world = world_with(tokens_above=20_000)
    steps = [
        {"name": "build", "worker_type": "fix-worker", "token_budget": 9000, "runtime": "agent"},
        {"name": "check", "worker_type": "fix-worker", "token_budget": 13_000, "needs": ["build"]},
    ]
    task = submitted(world, command=None, workers=[{**step, "runtime": "agent"} for step in steps])
    assert task.status == "awaiting_approval"
    (row,) = documents(world.state)["handoffs.json"]["approvals"]
    left = world.state.budget.pool_available
    assert row["would_start"] == {
        "workers": 2,
        "p50": 22_000,
        "p90": 22_000,
        "budget": 22_000,
        "share_of_left": round(22_000 / left, 3),
        "steps": [
            {"name": "build", "worker_type": "fix-worker"},
            {"name": "check", "worker_type": "fix-worker", "needs": ["build"]},
        ],
    }


def test_a_step_that_asks_on_its_own_offers_that_step_alone() -> None:
    world = World()
    steps = [{"name": n, "worker_type": "command", "command": "true"} for n in ("one", "two")]
    submitted(world, command=None, workers=[steps[0], {**steps[1], "approval": True}])
    (started,) = world.state.workers
    world.admit()
    world.end(started, 0, results={"status": "completed"})
    world.reconcile()
    (asked,) = world.state.approvals.values()
    assert (asked.step, asked.offer["workers"]) == ("two", 1)
    assert [step["name"] for step in asked.offer["steps"]] == ["two"]


@pytest.mark.parametrize("kind", ["approve", "deny"])
def test_all_steps_that_ask_at_once_are_one_question(kind: str) -> None:
    world = World()
    asking = [f"propose-{n}" for n in range(6)]
    plain = {"worker_type": "command", "command": "true"}
    plan = [{"name": name, **plain, "approval": True} for name in asking]
    late = {"name": "late", **plain, "approval": True, "needs": ["propose-5"]}
    task = submitted(world, command=None, workers=[*plan, late])
    (asked,) = world.state.approvals.values()
    assert [asked.step, *asked.also] == asking
    assert asked.reason == (
        "step propose-0 asks for it; propose-1, propose-2, propose-3 and 2 more with it"
    )
    assert [step["name"] for step in asked.offer["steps"]] == asking
    say(world, kind=kind, task_id=task.id)
    world.reconcile()
    if kind == "deny":
        assert task.status == "cancelled"
        return
    assert sorted(worker.step for worker in world.state.workers.values()) == asking
    for worker in list(world.state.workers.values()):
        world.admit()
        world.end(worker.id, 0, results={"status": "completed"})
    world.reconcile()
    *_, second = world.state.approvals.values()
    assert (second.step, second.also) == ("late", []), "it could not start then"


def test_of_a_long_plan_the_first_steps_are_offered_and_all_are_counted() -> None:
    world = world_with(workers_above=50)
    steps = [{"name": f"s{n}", "worker_type": "command", "command": "true"} for n in range(60)]
    submitted(world, command=None, workers=steps)
    (asked,) = world.state.approvals.values()
    assert (asked.offer["workers"], len(asked.offer["steps"])) == (60, 50)


def overdue(world: World) -> list[str]:
    """Escalations that are raised by now, one line each."""
    subjects = []
    while (entry := next_overdue(world.state, world.settings, world.now)) is not None:
        world.apply(entry)
        subjects.append(entry.why)
    return subjects


def test_an_approval_that_nobody_answers_is_escalated_once_and_its_task_stays() -> None:
    world = world_with(deadline="2h")
    first, second = submitted(world, approval=True), submitted(world, approval=True)
    world.wall += 7199
    assert overdue(world) == []
    world.wall += 1
    assert overdue(world) == [
        "approval-001 of task-001 has no answer after 2h 00m",
        "approval-002 of task-002 has no answer after 2h 00m",
    ]
    world.wall += 86_400
    assert overdue(world) == []
    assert (first.status, second.status) == ("awaiting_approval",) * 2
    assert world.state.approvals["approval-001"].escalation_id == "escalation-001"
    say(world, kind="approve", task_id=first.id)
    say(world, kind="deny", task_id=second.id)
    assert {one.status for one in world.state.escalations.values()} == {"closed"}
    again = State.from_json(world.state.to_json())
    assert again.approvals == world.state.approvals


def test_a_reminder_stands_while_other_work_of_the_task_is_granted() -> None:
    world = world_with(deadline="1m")
    steps = [
        {"name": "look", "command": "true"},
        {"name": "push", "command": "make push", "approval": True},
    ]
    say(world, title="t", priority="critical", workers=steps)
    world.reconcile()
    world.wall += 100
    assert len(overdue(world)) == 1
    world.admit()
    assert not world.state.waiting
    (told,) = world.state.escalations.values()
    assert told.status == "open", "the answer is still owed"


def test_without_a_deadline_nobody_is_reminded() -> None:
    world = world_with()
    submitted(world, approval=True)
    world.wall += 10**7
    assert overdue(world) == []


def test_who_is_reminded_and_says_that_it_was_seen_still_owes_the_answer() -> None:
    world = world_with(deadline="1m")
    task = submitted(world, approval=True)
    world.wall += 60
    overdue(world)
    say(world, kind="approve", escalation_id="escalation-001")
    assert (task.status, overdue(world)) == ("awaiting_approval", [])
    say(world, kind="approve", approval_id="approval-001")
    world.reconcile()
    assert task.status == "in_progress"
