"""What waiting work lacks, and who is told: tokens, a slot, or both."""

from __future__ import annotations

from typing import Any

from cortex.decide.admit import waiting_reason
from cortex.model.state import Task, Worker
from tests.unit.decide.editing import Desk, row_in
from tests.unit.decide.fleet import Fleet, settings


def full(tools: int = 1, **budget: Any) -> tuple[Fleet, Task]:
    """A fleet whose slots and all but 5,000 tokens of the pool are held by one task."""
    changed = {"reallocate_steps": 0, "emergency_reserve": 0, **budget}
    fleet = Fleet(settings(budget=changed, limits={"tools": tools}))
    pool = fleet.state.budget.pool_available
    steps = [{"name": f"s{n}", "command": "x", "token_budget": 1} for n in range(tools - 1)]
    steps.append({"name": "last", "command": "x", "token_budget": pool - 5_000 - tools + 1})
    holder = fleet.dropped(title="holds", workers=steps)
    fleet.admit()
    for ident in holder.workers:
        fleet.run(fleet.state.workers[ident])
    return fleet, holder


def critical(fleet: Fleet, *tokens: int, **fields: Any) -> tuple[Task, list[Worker]]:
    steps = [{"name": f"a{n}", "command": "x", "token_budget": one} for n, one in enumerate(tokens)]
    task = fleet.dropped(title="urgent", priority="critical", workers=steps, **fields)
    fleet.admit()
    return task, [fleet.state.workers[ident] for ident in task.workers]


def told(fleet: Fleet, status: str = "open") -> list[str]:
    rows = fleet.state.escalations.values()
    return [row.reason for row in rows if row.status == status]


def test_critical_work_without_a_slot_is_told_to_be_short_of_tokens_at_once() -> None:
    fleet, _ = full()
    task, (first, second) = critical(fleet, 8_000, 4_000)
    assert told(fleet) == [f"short by 7,000: 2 workers of {task.id} wait, for a slot too"]
    assert (first.status, second.status) == ("queued", "requested")
    assert waiting_reason(fleet.state, first) == (
        "needs 8000 tokens, the pool has 5000 available (short by 3000), and a free slot"
    )
    assert fleet.admit() == [], "it is said once"


def test_the_first_that_is_short_is_found_behind_those_that_are_not() -> None:
    fleet, _ = full()
    task, (first, second, _) = critical(fleet, 4_000, 8_000, 9_000)
    assert told(fleet) == [f"short by 16,000: 3 workers of {task.id} wait, for a slot too"]
    assert (first.status, second.status) == ("requested", "queued")


def test_critical_work_that_lacks_a_slot_alone_is_no_matter_for_people() -> None:
    fleet, _ = full()
    _, (worker,) = critical(fleet, 4_000)
    assert told(fleet) == []
    assert waiting_reason(fleet.state, worker).startswith("a free slot")


def test_what_the_reserve_will_pay_waits_for_a_slot_alone() -> None:
    fleet, _ = full(emergency_reserve=25_000)
    _, (worker,) = critical(fleet, 8_000)
    assert told(fleet) == []
    assert waiting_reason(fleet.state, worker).startswith("a free slot")


def test_tokens_that_are_given_before_the_slot_is_there_close_the_matter() -> None:
    fleet, holder = full()
    _, (worker,) = critical(fleet, 8_000)
    fleet.drop(kind="budget", total_budget=fleet.state.budget.total + 3_000)
    (line,) = fleet.admit()
    assert [event["event"] for event in line.events] == ["worker_queued", "escalation_ended"]
    assert waiting_reason(fleet.state, worker) == "a free slot; its tokens are there"
    fleet.finish(holder.workers[0])
    fleet.admit()
    assert worker.status == "approved"


def test_tokens_for_one_of_several_leave_the_matter_open() -> None:
    fleet, _ = full()
    critical(fleet, 8_000, 8_000)
    fleet.drop(kind="budget", total_budget=fleet.state.budget.total + 3_000)
    fleet.admit()
    assert len(told(fleet)) == 1
    fleet.drop(kind="budget", total_budget=fleet.state.budget.total + 8_000)
    fleet.admit()
    assert told(fleet) == [], "the second may be the one that looks for tokens"


def test_a_slot_without_the_tokens_leaves_the_word_that_tokens_are_short() -> None:
    fleet, holder = full(tools=2)
    _, (worker,) = critical(fleet, 8_000)
    fleet.finish(holder.workers[0], 1)
    fleet.admit()
    assert waiting_reason(fleet.state, worker).endswith("(short by 3000)")
    assert len(told(fleet)) == 1


def test_the_reserve_is_asked_about_before_there_is_a_slot() -> None:
    fleet, holder = full(emergency_reserve=25_000, reserve_needs_approval=True)
    _, (worker,) = critical(fleet, 8_000)
    (asked,) = fleet.state.approvals.values()
    fleet.drop(kind="approve", approval_id=asked.id)
    fleet.admit()
    assert waiting_reason(fleet.state, worker) == "a free slot; its tokens are there"
    fleet.finish(holder.workers[0], 60_000)
    fleet.admit()
    assert (worker.status, worker.fund) == ("approved", "reserve")


def test_the_price_of_opening_the_reserve_is_as_far_as_it_goes() -> None:
    fleet, _ = full(emergency_reserve=25_000, reserve_needs_approval=True)
    critical(fleet, 8_000, 8_000, 8_000, 8_000)
    (asked,) = fleet.state.approvals.values()
    assert asked.offer == {
        "workers": 3,
        "waiting": 4,
        "tokens": 24_000,
        "share_of_reserve": 0.96,
    }


def test_direct_work_is_short_of_its_masters_tokens_and_asks_for_no_reserve() -> None:
    fleet = Fleet(settings(budget={"reserve_needs_approval": True}))
    first = fleet.dropped(command="x", execution_mode="direct", token_budget=45_000)
    fleet.admit()
    fleet.run(fleet.state.workers[first.workers[0]])
    task = fleet.dropped(
        command="x", execution_mode="direct", token_budget=8_000, priority="critical"
    )
    fleet.admit()
    assert told(fleet) == [f"short by 3,000: 1 worker of {task.id} waits"]
    assert fleet.state.approvals == {}, "it never pays for a master's own work"


def test_direct_work_that_has_its_masters_tokens_waits_for_a_slot() -> None:
    fleet, _ = full()
    task = fleet.dropped(command="x", execution_mode="direct", token_budget=8_000)
    fleet.admit()
    worker = fleet.state.workers[task.workers[0]]
    assert waiting_reason(fleet.state, worker).startswith("a free slot")


def test_what_uses_no_tokens_waits_for_none() -> None:
    fleet, _ = full()
    task = fleet.dropped(type="scan", scope={"repository": "/srv/a"}, priority="critical")
    fleet.admit()
    worker = fleet.state.workers[task.workers[0]]
    assert waiting_reason(fleet.state, worker).startswith("a free slot")
    assert told(fleet) == []


def test_each_task_that_waits_for_a_slot_is_asked_about() -> None:
    fleet, _ = full(emergency_reserve=25_000, reserve_needs_approval=True)
    large, _ = critical(fleet, 30_000)
    small, (worker,) = critical(fleet, 8_000)
    (asked,) = fleet.state.approvals.values()
    assert asked.task_id == small.id, "of the other the reserve could not pay"
    assert waiting_reason(fleet.state, worker).endswith(f"a yes to {asked.id}")
    assert [row.task_id for row in fleet.state.escalations.values()] == [large.id]
    (line,) = [line for line in fleet.lines if line.events[0]["event"] == "approval_asked"]
    assert line.why == asked.reason


def edited(fleet: Fleet, task: Task, **fields: Any) -> None:
    """A person changes fields of a task in the published file."""
    desk = Desk(fleet)
    copy = desk.open()
    row_in(copy, task.id).update(fields)
    assert desk.save(copy).refusals == []
    fleet.admit()


def with_a_slot() -> Fleet:
    """A fleet with a free slot and 5,000 tokens."""
    fleet, holder = full(tools=2)
    fleet.finish(holder.workers[0], 1)
    return fleet


def waits_for_tokens(fleet: Fleet, priority: str) -> Task:
    task = fleet.dropped(command="x", token_budget=20_000, priority=priority)
    fleet.admit()
    assert fleet.workers_of(task, "queued")
    return task


def test_waiting_work_that_becomes_critical_is_told_of() -> None:
    fleet = with_a_slot()
    task = waits_for_tokens(fleet, "high")
    assert told(fleet) == []
    edited(fleet, task, priority="critical")
    assert told(fleet) == [f"short by 15,000: 1 worker of {task.id} waits"]
    assert fleet.admit() == [], "it is said once"


def test_what_is_critical_no_more_is_told_of_no_longer() -> None:
    fleet = with_a_slot()
    task = waits_for_tokens(fleet, "critical")
    assert len(told(fleet)) == 1
    edited(fleet, task, priority="high")
    assert (len(told(fleet)), len(told(fleet, "closed"))) == (0, 1)


def test_a_new_priority_and_a_new_plan_come_in_one_edit() -> None:
    fleet = with_a_slot()
    task = waits_for_tokens(fleet, "high")
    edited(fleet, task, priority="critical", token_budget=30_000)
    assert told(fleet) == [f"short by 25,000: 1 worker of {task.id} waits"]


def test_less_urgent_work_says_whom_the_tokens_are_kept_for() -> None:
    fleet = with_a_slot()
    urgent = waits_for_tokens(fleet, "high")
    task = fleet.dropped(command="x", token_budget=4_000)
    fleet.admit()
    assert waiting_reason(fleet.state, fleet.state.workers[task.workers[0]]) == (
        f"5000 tokens of the pool are kept for {urgent.workers[0]} of {urgent.id}, "
        "which is high and needs 20000"
    )


def test_tokens_of_a_master_are_kept_for_its_own_more_urgent_work() -> None:
    fleet = Fleet()
    own = {"command": "x", "execution_mode": "direct"}
    first = fleet.dropped(**own, token_budget=45_000)
    fleet.admit()
    fleet.run(fleet.state.workers[first.workers[0]])
    urgent = fleet.dropped(**own, token_budget=20_000, priority="high")
    task = fleet.dropped(**own, token_budget=4_000)
    fleet.admit()
    assert waiting_reason(fleet.state, fleet.state.workers[task.workers[0]]) == (
        f"5000 tokens of coordinator's own are kept for {urgent.workers[0]} of {urgent.id}, "
        "which is high and needs 20000"
    )
