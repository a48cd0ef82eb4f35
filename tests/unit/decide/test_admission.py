"""Who gets a slot and tokens next: order, limits, funds, and what is said to those who wait."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.admit import waiting_reason
from cortex.decide.project import task_row
from cortex.decide.queue import AdmissionQueue
from cortex.decide.slots import adaptive_count
from cortex.model.state import Task, Worker
from tests.unit.decide.fleet import Fleet, settings


def one_at_a_time(**more: Any) -> Fleet:
    return Fleet(settings(limits={"tools": 1}, **more))


def command(fleet: Fleet, **fields: Any) -> Task:
    return fleet.dropped(**{"command": "true", "token_budget": 100, **fields})


def begin_all(fleet: Fleet) -> None:
    """Everything approved starts: nothing of it can give way any more."""
    for ident in fleet.workers("approved"):
        fleet.run(fleet.state.workers[ident])


def agents(count: int, **fields: Any) -> list[dict[str, Any]]:
    row = {"worker_type": "implementation-worker", "runtime": "agent", "token_budget": 100}
    return [{"name": f"a{number}", **row, **fields} for number in range(count)]


def served(fleet: Fleet) -> list[str]:
    """Tasks in the order in which one slot serves them."""
    order = []
    while fleet.admit():
        (ident,) = fleet.workers("approved")
        order.append(fleet.state.workers[ident].task_id)
        fleet.finish(ident)
    return order


# --- order


def test_the_most_urgent_work_goes_first_and_equals_in_the_order_of_arrival() -> None:
    fleet = one_at_a_time()
    for ident, priority in enumerate(["low", "high", "medium", "critical", "high"]):
        command(fleet, id=f"t{ident}", priority=priority)
    assert served(fleet) == ["t3", "t1", "t4", "t2", "t0"]


def test_within_a_priority_the_earliest_deadline_goes_first() -> None:
    fleet = one_at_a_time()
    command(fleet, id="late", deadline="2025-11-01T18:00:00Z")
    command(fleet, id="soon", deadline="2025-11-01T12:00:00Z")
    command(fleet, id="urgent", priority="high", deadline="2025-12-01T12:00:00Z")
    assert served(fleet) == ["urgent", "soon", "late"]


def test_work_without_a_deadline_is_due_a_day_after_it_was_asked_for() -> None:
    """Else a stream of work that has deadlines would keep it waiting for ever."""
    fleet = one_at_a_time()
    command(fleet, id="none")
    command(fleet, id="today", deadline="2025-11-01T23:00:00Z")
    command(fleet, id="tomorrow", deadline="2025-11-02T01:00:00Z")
    assert served(fleet) == ["today", "none", "tomorrow"]


def test_deadlines_are_compared_as_instants_whatever_their_time_zone() -> None:
    fleet = one_at_a_time()
    command(fleet, id="at-ten", deadline="2025-11-01T12:00:00+02:00")
    command(fleet, id="at-eleven", deadline="2025-11-01T11:00:00Z")
    command(fleet, id="at-nine", deadline="2025-11-01T18:00:00.5+09:00")
    assert served(fleet) == ["at-nine", "at-ten", "at-eleven"]


def test_waiting_long_enough_lifts_low_work_over_newer_and_more_urgent_work() -> None:
    fleet = one_at_a_time(spawn={"aging": "30m"})
    command(fleet, id="old", priority="low")
    fleet.at(1)
    command(fleet, id="new", priority="medium")
    command(fleet, id="newer", priority="high")
    assert served(fleet) == ["old", "newer", "new"]


def test_nothing_starves_behind_a_stream_of_more_urgent_work() -> None:
    fleet = one_at_a_time(spawn={"aging": "30m"})
    old = command(fleet, id="old", priority="low")
    for minute in range(0, 180, 5):
        fleet.at(minute // 60, minute % 60)
        command(fleet, priority="high")
        fleet.admit()
        for ident in fleet.workers("approved"):
            fleet.finish(ident)
        if not fleet.workers_of(old, "requested", "queued"):
            break
    assert minute <= 60, "two priorities of 30 minutes each, then it is its turn"


def test_age_never_makes_work_critical() -> None:
    fleet = one_at_a_time(spawn={"aging": "1m"})
    command(fleet, id="old", priority="high")
    fleet.at(23)
    command(fleet, id="new", priority="critical")
    assert served(fleet) == ["new", "old"]


def test_a_worker_that_waits_again_is_not_lifted_twice_at_once() -> None:
    """A start that failed for want of memory puts the worker back into the queue."""
    fleet = one_at_a_time(spawn={"aging": "30m"})
    again = command(fleet, id="again", priority="low")
    fleet.admit()
    worker = fleet.state.workers[again.workers[0]]
    for _ in range(4):
        fleet.queue.discard(worker.id)
        fleet.queue.push(worker, fleet.wall)
    fleet.at(2)
    fleet.queue.age(fleet.wall)
    assert fleet.queue._where[worker.id].level == 2, "high, where aging ends"


# --- limits


def test_tools_and_commands_share_one_limit_and_the_next_starts_when_one_ends() -> None:
    fleet = Fleet(settings(limits={"tools": 2}))
    for _ in range(4):
        command(fleet)
    fleet.admit()
    assert len(fleet.workers("approved")) == 2
    fleet.finish(fleet.workers("approved")[0])
    fleet.admit()
    assert len(fleet.workers("approved")) == 2


def test_a_task_has_three_agents_at_once_and_a_critical_one_all_ten() -> None:
    fleet = Fleet()
    normal = fleet.dropped(title="n", type="feature", workers=agents(5))
    fleet.admit()
    begin_all(fleet)
    assert len(fleet.workers_of(normal, "running")) == 3
    critical = fleet.dropped(title="c", type="feature", priority="critical", workers=agents(12))
    fleet.admit()
    assert len(fleet.workers_of(critical, "approved")) == 7, "ten in all"


def test_agents_do_not_take_the_slots_of_tools() -> None:
    fleet = Fleet(settings(limits={"tools": 1, "agents": 1}))
    fleet.dropped(title="a", type="feature", workers=agents(2))
    command(fleet)
    fleet.admit()
    lanes = sorted(fleet.state.workers[ident].lane for ident in fleet.workers("approved"))
    assert lanes == ["agent", "tools"]


@pytest.mark.parametrize(
    "limit",
    [
        {"per_master": {"coordinator": 2}},
        {"per_master": {"coordinator-master": 2}},
        {"per_type": {"command": 2}},
        {"per_type": {"command-worker": 2}},
        {"per_type": {"cmd": 2}},
        {"per_repository": 2},
        {"per_runtime": {"command": 2}},
    ],
    ids=str,
)
def test_a_narrow_limit_holds_for_what_it_names_and_for_nothing_else(limit: Any) -> None:
    fleet = Fleet(settings(limits=limit))
    for _ in range(4):
        command(fleet, scope={"repository": "/srv/a"})
    other = fleet.dropped(type="scan", scope={"repository": "/srv/b"})
    fleet.admit()
    held = [fleet.state.workers[i] for i in fleet.workers("approved")]
    assert sum(worker.worker_type == "command-worker" for worker in held) == 2
    assert fleet.workers_of(other, "approved")
    assert len(fleet.workers("requested")) == 2


def test_max_parallel_of_a_plan_bounds_its_own_workers() -> None:
    fleet = Fleet()
    rows = [{"name": f"s{n}", "command": "true", "token_budget": 10} for n in range(6)]
    task = fleet.dropped(title="p", workers=rows, max_parallel=4)
    fleet.admit()
    assert len(fleet.workers_of(task, "approved")) == 4


def test_work_behind_a_full_limit_does_not_stop_other_work() -> None:
    fleet = Fleet(settings(limits={"tools": 8, "per_repository": 1}))
    for _ in range(20):
        command(fleet, priority="high", scope={"repository": "/srv/a"})
    free = command(fleet, priority="low", scope={"repository": "/srv/b"})
    fleet.admit()
    assert fleet.workers_of(free, "approved")
    assert len(fleet.workers("approved")) == 2


def test_a_smaller_worker_that_is_let_pass_keeps_to_the_narrow_limits_too() -> None:
    """What is granted in another's stead had not been held against its own limits."""
    fleet = Fleet(settings(limits={"per_repository": 1}))
    command(fleet, scope={"repository": "/srv/a"}, token_budget=1_000)
    fleet.admit()
    command(fleet, id="big", scope={"repository": "/srv/b"}, token_budget=80_000)
    small = command(fleet, scope={"repository": "/srv/a"}, token_budget=1_000)
    fits = command(fleet, scope={"repository": "/srv/c"}, token_budget=1_000)
    fleet.admit()
    assert not fleet.workers_of(small, "approved")
    assert fleet.workers_of(fits, "approved")


def test_what_waits_behind_a_held_worker_comes_before_less_urgent_work() -> None:
    fleet = Fleet(settings(limits={"tools": 2, "per_repository": 1}))
    command(fleet, scope={"repository": "/srv/a"})
    fleet.admit()
    command(fleet, priority="high", scope={"repository": "/srv/a"})
    second = command(fleet, priority="high", scope={"repository": "/srv/b"})
    lesser = fleet.dropped(type="fix", command="true", token_budget=1)
    fleet.admit()
    assert fleet.workers_of(second, "approved")
    assert not fleet.workers_of(lesser, "approved")


def test_direct_work_that_its_master_can_never_pay_holds_nobody_up() -> None:
    fleet = Fleet()
    never = command(fleet, priority="critical", execution_mode="direct", token_budget=70_000)
    pooled = command(fleet, priority="high")
    direct = command(fleet, priority="low", execution_mode="direct")
    fleet.admit()
    assert never.status == "blocked"
    assert fleet.workers_of(pooled, "approved")
    assert fleet.workers_of(direct, "approved")


@pytest.mark.parametrize(
    ("depth", "count"), [(0, 1), (1, 1), (2, 1), (3, 3), (9, 3), (10, 5), (400, 5)]
)
def test_adaptive_counts_follow_the_depth_of_the_queue(depth: int, count: int) -> None:
    assert adaptive_count(settings(spawn={"policy": "adaptive"}), depth) == count


@pytest.mark.parametrize(("dropped", "started"), [(1, 1), (2, 1), (3, 3), (9, 3), (10, 5)])
def test_the_adaptive_policy_starts_as_many_as_the_depth_says(dropped: int, started: int) -> None:
    fleet = Fleet(settings(spawn={"policy": "adaptive"}))
    for _ in range(dropped):
        command(fleet)
    fleet.admit()
    assert len(fleet.workers("approved")) == started


def test_a_paused_fleet_starts_nothing_and_goes_on_when_resumed() -> None:
    fleet = Fleet()
    task = command(fleet)
    fleet.drop(kind="pause")
    assert fleet.admit() == []
    assert "paused" in waiting_reason(fleet.state, fleet.state.workers[task.workers[0]])
    fleet.drop(kind="resume")
    assert fleet.admit()


def test_a_paused_tasks_workers_wait_and_say_so() -> None:
    fleet = Fleet()
    task = command(fleet)
    fleet.drop(kind="pause", task_id=task.id)
    assert fleet.admit() == []
    assert task.id in waiting_reason(fleet.state, fleet.state.workers[task.workers[0]])
    fleet.drop(kind="resume", task_id=task.id)
    assert fleet.admit()


# --- tokens


def test_a_worker_that_does_not_fit_lets_smaller_ones_of_its_level_pass() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    command(fleet, token_budget=10_000)
    fleet.admit()
    big = command(fleet, token_budget=60_000)
    small = command(fleet, token_budget=1_000)
    fleet.admit()
    assert fleet.workers_of(big, "queued")
    assert fleet.workers_of(small, "approved")
    reason = fleet.state.workers[big.workers[0]].reason
    assert reason == "needs 60000 tokens, the pool has 54000 available (short by 6000)"


def test_one_that_fits_is_found_however_many_wait_before_it_that_do_not() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    for _ in range(30):
        command(fleet, token_budget=60_000)
    small = command(fleet, token_budget=1_000)
    free = command(fleet, token_budget=0)
    fleet.admit()
    assert len(fleet.workers("approved")) == 3
    assert fleet.workers_of(small, "approved")
    assert fleet.workers_of(free, "approved")


@pytest.mark.parametrize("kind", ["command", "fix"], ids=["its own master's", "another's"])
def test_a_large_worker_is_not_passed_for_ever_by_a_stream_of_small_ones(kind: str) -> None:
    fleet = Fleet(settings(limits={"tools": 4}, spawn={"aging": "30m"}))
    for _ in range(4):
        command(fleet, type=kind, priority="high", token_budget=8_000)
    fleet.admit()
    large = command(fleet, priority="high", token_budget=60_000)
    for minute in range(10, 180, 5):
        fleet.at(minute // 60, minute % 60)
        command(fleet, type=kind, priority="high", token_budget=8_000)
        fleet.finish(fleet.workers("approved")[0])
        fleet.admit()
        if fleet.workers_of(large, "approved"):
            break
    assert fleet.workers_of(large, "approved")


def test_what_can_never_fit_is_passed_however_long_it_has_waited() -> None:
    fleet = Fleet(settings(spawn={"aging": "30m"}, budget={"reallocate_steps": 0}))
    command(fleet, token_budget=10_000)
    fleet.admit()
    command(fleet, priority="high", token_budget=60_000)
    fleet.drop(kind="budget", total_budget=190_000)
    fleet.at(20)
    small = command(fleet, priority="high", token_budget=8_000)
    fleet.admit()
    assert fleet.workers_of(small, "approved")


def test_less_urgent_work_waits_while_running_work_could_free_enough() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    running = command(fleet, token_budget=60_000)
    fleet.admit()
    urgent = command(fleet, priority="high", token_budget=10_000)
    lesser = command(fleet, priority="medium", token_budget=1_000)
    fleet.admit()
    assert not fleet.workers_of(lesser, "approved")
    fleet.finish(running.workers[0])
    fleet.admit()
    assert fleet.workers_of(urgent, "approved")
    assert fleet.workers_of(lesser, "approved")


def test_low_priority_is_refused_when_the_pool_is_short_and_tried_after_the_reset() -> None:
    fleet = Fleet()
    command(fleet, token_budget=60_000)
    fleet.admit()
    task = command(fleet, priority="low", token_budget=6_000)
    fleet.admit()
    fleet.reconcile()
    (worker,) = (fleet.state.workers[ident] for ident in task.workers)
    assert worker.status == "rejected"
    assert worker.reason is not None and "short by 1000" in worker.reason
    step = task.step("main")
    assert (step.status, step.attempt) == ("ready", 0), "no retry is spent"
    assert step.not_before is not None
    assert step.not_before.wall == fleet.state.budget.resets_at
    assert len(task.workers) == 1, "not asked for again before the reset"
    fleet.wall = fleet.state.budget.resets_at + 1
    fleet.reconcile()
    assert len(task.workers) == 2
    assert fleet.state.workers[task.workers[1]].retry_of is None


def test_only_critical_work_opens_the_reserve_and_says_who_and_why() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    command(fleet, token_budget=60_000)
    fleet.admit()
    begin_all(fleet)
    high = command(fleet, priority="high", token_budget=8_000)
    fleet.admit()
    assert fleet.workers_of(high, "queued")
    critical = command(fleet, priority="critical", token_budget=8_000)
    lines = fleet.admit()
    (opened,) = [e for line in lines for e in line.events if e["event"] == "reserve_opened"]
    assert (opened["task_id"], opened["tokens"]) == (critical.id, 8_000)
    assert opened["why"] == "critical, and the pool has 5000 of the 8000 needed"
    assert fleet.state.workers[critical.workers[0]].fund == "reserve"
    assert fleet.state.budget.reserve_available == 17_000


def test_critical_work_takes_the_pool_first() -> None:
    fleet = Fleet()
    task = command(fleet, priority="critical", token_budget=8_000)
    fleet.admit()
    assert fleet.state.workers[task.workers[0]].fund == "pool"


def test_critical_work_that_nothing_pays_for_is_escalated_once() -> None:
    fleet = Fleet()
    task = fleet.dropped(
        title="audits",
        priority="critical",
        workers=[{"name": f"s{n}", "command": "x", "token_budget": 90_000} for n in range(2)],
    )
    fleet.admit()
    fleet.drop(kind="budget", total_budget=201_000)
    fleet.admit()
    assert fleet.workers_of(task, "queued")
    (told,) = fleet.state.escalations.values()
    assert (told.reason, told.status) == (f"short by 115,000: 2 workers of {task.id} wait", "open")
    fleet.drop(kind="budget", total_budget=400_000)
    fleet.admit()
    assert len(fleet.workers_of(task, "approved")) == 2
    assert told.status == "closed"


def test_a_runtime_without_tokens_never_waits_for_them() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    command(fleet, token_budget=65_000)
    fleet.admit()
    scan = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    fleet.admit()
    (worker,) = (fleet.state.workers[ident] for ident in scan.workers)
    assert (worker.status, worker.reserved) == ("approved", 0)


def test_a_direct_worker_without_tokens_never_waits_for_its_masters_tokens() -> None:
    fleet = Fleet()
    scan = fleet.dropped(
        type="scan",
        execution_mode="direct",
        scope={"repository": "/srv/a"},
        token_budget=31_000,
    )
    fleet.admit()
    (worker,) = (fleet.state.workers[ident] for ident in scan.workers)
    assert (worker.status, worker.fund, worker.reserved) == ("approved", "master:security", 0)


def test_a_direct_worker_is_paid_by_its_master_alone() -> None:
    fleet = Fleet()
    fits = command(fleet, execution_mode="direct", token_budget=50_000)
    waits = command(fleet, execution_mode="direct", token_budget=1)
    fleet.admit()
    assert fleet.state.workers[fits.workers[0]].fund == "master:coordinator"
    waiting = fleet.state.workers[waits.workers[0]]
    assert waiting.status == "queued"
    assert waiting.reason == "needs 1 tokens of coordinator's own, 0 are free"
    assert fleet.state.budget.pool_available == 65_000


def test_the_master_that_used_least_of_its_share_goes_first_when_the_pool_is_short() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    command(fleet, token_budget=40_000)
    fleet.admit()
    own = command(fleet, id="coordinators", token_budget=20_000)
    other = fleet.dropped(type="fix", id="developments", command="true", token_budget=20_000)
    fleet.admit()
    assert fleet.workers_of(other, "approved"), "development has used nothing of its 20,000"
    assert fleet.workers_of(own, "queued")


def test_any_master_may_take_what_is_free_while_nobody_else_waits() -> None:
    fleet = Fleet()
    task = fleet.dropped(type="fix", command="true", token_budget=60_000)
    fleet.admit()
    assert fleet.workers_of(task, "approved"), "its share is 20,000"


def test_idle_masters_give_one_step_a_period_and_never_to_low_work() -> None:
    fleet = Fleet()
    command(fleet, token_budget=65_000)
    fleet.admit()
    low = fleet.dropped(type="fix", command="true", priority="low", token_budget=3_000)
    fleet.admit()
    assert fleet.workers_of(low, "rejected")
    first = fleet.dropped(type="fix", command="true", token_budget=3_000)
    second = fleet.dropped(type="fix", command="true", token_budget=3_000)
    fleet.admit()
    assert fleet.workers_of(first, "approved"), "3,000 of security's own"
    assert fleet.workers_of(second, "queued")
    assert fleet.state.budget.masters["security"].allocated == 27_000


# --- many


def test_ten_thousand_workers_behind_one_limit_cost_little() -> None:
    """Counted, not timed: how many records a further admission looks at."""
    fleet = Fleet(settings(limits={"tools": 100, "per_repository": 1}, budget={"total": 10**12}))
    rows = [{"name": f"s{n}", "command": "true", "token_budget": 1} for n in range(1_000)]
    for _ in range(10):
        fleet.dropped(title="many", workers=rows, scope={"repository": "/srv/a"})
    fleet.admit()
    (running,) = fleet.workers("approved")
    looked_at = 0

    class Counting(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().__getitem__(key)

    fleet.finish(running)
    free = fleet.dropped(title="free", command="true", token_budget=1)
    fleet.state.workers = Counting(fleet.state.workers)
    assert fleet.admit_one() is not None
    assert fleet.admit_one() is not None
    assert fleet.admit_one() is None
    assert fleet.workers_of(free, "approved")
    assert looked_at < 200, "not one look for each of ten thousand"


def test_a_task_row_says_in_words_what_it_waits_for() -> None:
    fleet = Fleet()
    command(fleet, token_budget=60_000)
    fleet.admit()
    task = command(fleet, token_budget=61_000)
    fleet.admit()
    worker = fleet.state.workers[task.workers[0]]
    row = task_row(task, fleet.state, waiting_reason(fleet.state, worker))
    assert row["waiting_for"].startswith("needs 61000 tokens, the pool has 5000")


def test_workers_that_started_leave_nothing_in_the_queue() -> None:
    queue = AdmissionQueue(1800.0)
    for number in range(5000):
        worker = Worker(f"worker-cmd-{number}", "command-worker", "t", "main", "m", 1, "low", "")
        queue.push(worker, 0.0)
        queue.discard(worker.id)
    assert len(queue._rises) < 500


def test_those_that_have_left_the_queue_hide_nobody_who_waits_behind_the_first() -> None:
    queue = AdmissionQueue(1800.0)
    for number in range(20):
        ident = f"worker-cmd-{number}"
        queue.push(
            Worker(ident, "command-worker", "t", "main", "m", 1, "low", "", order=number), 0.0
        )
    for number in range(1, 19):
        queue.discard(f"worker-cmd-{number}")
    assert queue.following("worker-cmd-0", 16) == ["worker-cmd-19"]


def test_what_uses_no_tokens_starts_while_the_pool_is_kept_for_critical_work() -> None:
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    command(fleet, token_budget=60_000)
    fleet.admit()
    begin_all(fleet)
    critical = command(fleet, priority="critical", token_budget=62_000)
    fleet.admit()
    other = command(fleet, token_budget=100)
    scan = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    fleet.admit()
    (worker,) = (fleet.state.workers[ident] for ident in scan.workers)
    assert (worker.status, worker.reserved) == ("approved", 0)
    (held,) = (fleet.state.workers[ident] for ident in other.workers)
    assert held.status == "requested", "running work could give back what critical work needs"
    assert waiting_reason(fleet.state, held) == (
        f"5000 tokens of the pool are kept for {critical.workers[0]} of {critical.id}, "
        "which is critical and needs 62000"
    )
