"""The emergency reserve: who opens it, when a person is asked, and when it is closed again."""

from __future__ import annotations

from typing import Any

from cortex.decide import budget
from cortex.decide.admit import waiting_reason
from cortex.decide.entry import Entry
from cortex.decide.overdue import next_overdue
from cortex.model.state import Approval, State, Task
from tests.unit.decide.fleet import Fleet, settings


def tight(**changed: Any) -> Fleet:
    """A fleet whose pool has 5,000 left, held by what runs, and idle masters that give nothing."""
    fleet = Fleet(settings(budget={"reallocate_steps": 0, **changed}))
    running = fleet.dropped(command="true", token_budget=60_000)
    fleet.admit()
    fleet.run(fleet.state.workers[running.workers[0]])
    return fleet


def audits(fleet: Fleet, count: int, tokens: int = 8_000) -> Task:
    steps = [{"name": f"s{n}", "command": "x", "token_budget": tokens} for n in range(count)]
    task = fleet.dropped(title="audits", priority="critical", workers=steps)
    fleet.admit()
    return task


def funds(fleet: Fleet, task: Task) -> list[str]:
    return [fleet.state.workers[ident].fund for ident in task.workers]


def question(fleet: Fleet) -> Approval:
    (asked,) = fleet.state.approvals.values()
    return asked


def test_an_opening_says_who_for_what_how_much_and_when_it_is_closed() -> None:
    fleet = tight()
    task = audits(fleet, 4)
    (opening,) = fleet.state.budget.openings
    assert (opening.task_id, opening.opened_by) == (task.id, "coordinator-master")
    assert (opening.tokens, opening.spent, opening.closed_at) == (24_000, 0, None)
    assert opening.why == "critical, and the pool has 5000 of the 8000 needed"
    assert opening.opened_at == fleet.now.at
    fleet.wall += 600
    paid = [ident for ident in task.workers if fleet.state.workers[ident].fund == "reserve"]
    for ident in paid:
        assert opening.closed_at is None
        fleet.finish(ident, 6_000)
        fleet.admit()
    assert (opening.tokens, opening.spent) == (18_000, 18_000)
    assert opening.closed_at == fleet.now.at
    (line,) = [line for line in fleet.lines if line.events[0]["event"] == "reserve_closed"]
    assert line.events[0]["tokens"] == 18_000


def test_a_task_that_opens_it_again_has_another_opening() -> None:
    fleet = tight()
    first = audits(fleet, 1)
    fleet.finish(first.workers[0], 100)
    fleet.admit()
    audits(fleet, 1)
    closed, opened = fleet.state.budget.openings
    assert closed.closed_at is not None
    assert opened.closed_at is None


def test_what_could_not_be_started_counts_no_more() -> None:
    fleet = tight()
    task = audits(fleet, 1)
    fleet.drop(kind="cancel", task_id=task.id)
    fleet.admit()
    (opening,) = fleet.state.budget.openings
    assert (opening.tokens, opening.workers) == (0, [])
    assert opening.closed_at is not None


def test_an_opening_goes_on_over_the_reset_with_what_is_still_held() -> None:
    fleet = tight()
    gone = audits(fleet, 1)
    fleet.finish(gone.workers[0], 100)
    fleet.admit()
    task = audits(fleet, 1)
    fleet.run(fleet.state.workers[task.workers[0]])
    fleet.wall = fleet.state.budget.resets_at
    used = {task.workers[0]: 3_000}
    events = budget.reset(fleet.state, fleet.settings, fleet.wall, used)
    fleet.apply(Entry("coordinator-master", "", events))
    (opening,) = fleet.state.budget.openings
    assert (opening.task_id, opening.tokens, opening.spent) == (task.id, 5_000, 0)
    fleet.finish(task.workers[0], 7_000)
    fleet.admit()
    assert (opening.spent, fleet.state.budget.reserve_spent) == (4_000, 4_000)
    assert opening.closed_at is not None


# --- with a person's yes


def test_the_reserve_waits_for_a_yes_where_that_is_asked_for() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 2)
    asked = question(fleet)
    assert asked.reason == (
        f"it would open the emergency reserve: {task.workers[0]} needs 8,000 tokens, "
        "the pool has 5,000, the reserve 25,000"
    )
    assert task.status == "in_progress", "what the pool can pay goes on"
    worker = fleet.state.workers[task.workers[0]]
    assert waiting_reason(fleet.state, worker).endswith(
        f"the reserve pays after a yes to {asked.id}"
    )
    assert fleet.admit() == [], "asked once"
    fleet.drop(kind="approve", approval_id=asked.id)
    fleet.admit()
    assert funds(fleet, task) == ["reserve", "reserve"]
    (opening,) = fleet.state.budget.openings
    assert opening.approval_id == asked.id
    assert task.status == "in_progress"


def test_a_no_leaves_the_task_waiting_and_is_not_asked_for_again_in_the_period() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 1)
    fleet.drop(kind="deny", task_id=task.id)
    fleet.admit()
    assert (question(fleet).status, task.status) == ("denied", "in_progress")
    assert funds(fleet, task) == ["pool"]
    assert fleet.workers_of(task, "queued")
    fleet.drop(kind="budget", total_budget=201_000)
    fleet.admit()
    assert len(fleet.state.approvals) == 1
    fleet.drop(kind="budget", total_budget=210_000)
    fleet.admit()
    assert fleet.workers_of(task, "approved"), "the pool pays now"


def test_a_new_period_asks_anew() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 1, tokens=9_000)
    fleet.drop(kind="deny", task_id=task.id)
    fleet.wall = fleet.state.budget.resets_at
    fleet.apply(Entry("", "", budget.reset(fleet.state, fleet.settings, fleet.wall, {})))
    fleet.admit()
    assert len(fleet.state.approvals) == 2


def test_the_question_is_taken_back_once_the_pool_pays() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 1)
    fleet.drop(kind="budget", total_budget=260_000)
    fleet.admit()
    assert fleet.workers_of(task, "approved")
    assert question(fleet).status == "withdrawn"


def _eases(fleet: Fleet, task: Task) -> None:
    edited = {"event": "task_edited", "task_id": task.id, "fields": {"priority": "medium"}}
    fleet.apply(Entry("person", "", [edited]))


def test_the_question_is_taken_back_once_the_work_is_no_longer_critical() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 1)
    fleet.wall += 3_600
    late = settings(approvals={"deadline": "30m"})
    overdue = next_overdue(fleet.state, late, fleet.now)
    assert overdue is not None
    fleet.apply(overdue)
    _eases(fleet, task)
    fleet.admit()
    assert question(fleet).status == "withdrawn"
    told = fleet.state.escalations[question(fleet).escalation_id or ""]
    assert told.status != "open"
    assert fleet.workers_of(task, "queued"), "it waits on, for the pool alone"
    assert fleet.replayed().to_json() == fleet.state.to_json()


def test_no_question_outlives_its_task() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 1)
    _eases(fleet, task)
    (hog,) = (ident for ident in fleet.state.live if ident not in task.workers)
    fleet.finish(hog, 10)
    fleet.run_through(task)
    fleet.admit()
    assert (task.status, question(fleet).status) == ("completed", "withdrawn")
    fleet.wall += 90 * 86_400
    assert next_overdue(fleet.state, settings(approvals={"deadline": "1h"}), fleet.now) is None


def test_a_question_stays_while_other_critical_work_of_its_task_waits() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 2)
    fleet.drop(kind="budget", total_budget=204_000)
    fleet.admit()
    assert len(fleet.workers_of(task, "approved")) == 1
    assert question(fleet).status == "pending"


def test_nobody_is_asked_for_what_the_reserve_cannot_pay() -> None:
    fleet = tight(reserve_needs_approval=True)
    task = audits(fleet, 1, tokens=30_000)
    assert fleet.state.approvals == {}
    assert fleet.workers_of(task, "queued")


def test_a_smaller_one_behind_one_that_is_too_large_is_asked_for() -> None:
    fleet = tight(reserve_needs_approval=True)
    audits(fleet, 1, tokens=30_000)
    small = audits(fleet, 1)
    assert question(fleet).task_id == small.id


def test_a_question_does_not_count_as_a_task_that_waits() -> None:
    fleet = tight(reserve_needs_approval=True)
    fleet.settings = fleet.settings.model_copy(
        update={"approvals": fleet.settings.approvals.model_copy(update={"waiting_at_most": 1})}
    )
    audits(fleet, 1)
    other = fleet.dropped(command="true", token_budget=10)
    assert other.status == "in_progress"


def test_openings_and_questions_outlive_a_restart() -> None:
    fleet = tight(reserve_needs_approval=True)
    audits(fleet, 1)
    fleet.drop(kind="approve", approval_id=question(fleet).id)
    fleet.admit()
    assert State.from_json(fleet.state.to_json()).to_json() == fleet.state.to_json()
    assert fleet.replayed().to_json() == fleet.state.to_json()
