"""Workers that a master asks for by a file: granted, queued or refused, and where the answer is."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.admit import waiting_reason
from cortex.decide.project import failed_row, queued_row
from cortex.model.errors import RequestError
from cortex.model.state import Task, Worker
from tests.unit.decide.fleet import Fleet, settings


def ask(fleet: Fleet, **fields: Any) -> Worker:
    """Drops a worker request; the worker that answers it."""
    before = set(fleet.state.workers)
    fleet.drop({"kind": "worker_request", **fields})
    (made,) = set(fleet.state.workers) - before
    return fleet.state.workers[made]


def refusal(fleet: Fleet, **fields: Any) -> RequestError:
    before = fleet.state.to_json()
    with pytest.raises(RequestError) as caught:
        fleet.drop({"kind": "worker_request", **fields})
    assert fleet.state.to_json() == before
    return caught.value


def a_scan(fleet: Fleet, **fields: Any) -> Task:
    return fleet.dropped(
        **{"type": "security-scan", "scope": {"repository": "/srv/a"}, "runtime": "agent", **fields}
    )


def short_of_tokens() -> Fleet:
    """A fleet whose pool has 2,000 of its tokens left, and nobody to move others from."""
    fleet = Fleet(settings(budget={"reallocate_steps": 0}))
    fleet.dropped(command="true", token_budget=63_000)
    fleet.admit()
    assert fleet.state.budget.pool_available == 2000
    return fleet


SCAN = {"master_agent": "security", "worker_type": "scan", "runtime": "agent"}


def test_a_request_without_a_task_is_a_small_task_of_that_master() -> None:
    fleet = Fleet()
    worker = ask(
        fleet,
        id="look-again",
        **SCAN,
        estimated_tokens=3000,
        priority="high",
        justification="the last one was cut short",
        timeout="4m",
        scope={"repository": "/srv/a"},
    )
    task = fleet.state.tasks["look-again"]
    assert (task.type, task.assigned_to, task.priority) == ("scan", "security-master", "high")
    assert task.source == "drop-1.json"
    assert [step.name for step in task.steps] == ["scan"]
    row = queued_row(worker)
    assert {name: row[name] for name in (
        "id", "master_agent", "worker_type", "estimated_tokens", "priority", "justification",
        "timeout",
    )} == {
        "id": "worker-scan-001", "master_agent": "security-master", "worker_type": "scan-worker",
        "estimated_tokens": 3000, "priority": "high", "justification": "the last one was cut short",
        "timeout": "4m",
    }  # fmt: skip
    assert worker.repository == "/srv/a"
    fleet.admit()
    assert worker.status == "approved" and worker.reserved == 3000
    fleet.finish(worker.id, 100)
    fleet.run_through(task)
    assert task.status == "completed"


def test_a_request_that_names_a_task_adds_a_step_to_its_plan() -> None:
    fleet = Fleet()
    task = a_scan(fleet)
    worker = ask(fleet, **SCAN, task_id=task.id, justification="one more look")
    assert [step.name for step in task.steps] == ["scan-a", "scan"]
    assert (worker.task_id, worker.step, worker.priority) == (task.id, "scan", "medium")
    assert worker.repository == "/srv/a", "a further worker works where its task does"
    assert worker.justification == "one more look"
    another = ask(fleet, **SCAN, task_id=task.id, priority="high", scope={"repository": "/srv/b"})
    assert (another.step, another.priority, another.repository) == ("scan-2", "high", "/srv/b")
    fleet.run_through(task)
    assert task.status == "completed"
    assert [row["status"] for row in task.worker_results] == ["completed"] * 3


def test_a_further_step_may_need_steps_of_its_task_and_gets_a_name_of_its_own() -> None:
    fleet = Fleet()
    task = a_scan(fleet)
    fleet.drop(
        {"kind": "worker_request", **SCAN, "task_id": task.id, "id": "again", "needs": ["scan-a"]}
    )
    again = task.step("again")
    assert (again.status, again.needs) == ("waiting", ["scan-a"])
    (first,) = task.workers
    fleet.admit()
    fleet.finish(first)
    assert again.status == "active"


def test_several_requests_may_stand_in_one_file() -> None:
    fleet = Fleet()
    task = a_scan(fleet)
    asked = {"kind": "worker_request", **SCAN}
    fleet.drop(
        {**asked, "task_id": task.id},
        {**asked, "task_id": task.id},
        {**asked, "scope": {"repository": "/srv/b"}},
        {**asked, "worker_type": "sacn"},
        {**asked, "worker_type": "sacn", "task_id": task.id},
        {"title": "beside", "command": "true"},
    )
    assert [step.name for step in task.steps] == ["scan-a", "scan", "scan-2"]
    assert len(fleet.workers("requested")) == 5
    assert fleet.workers("rejected") == ["worker-sacn-001", "worker-sacn-002"]
    assert "2 tasks" not in fleet.lines[-1].why


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"worker_type": "scna"}, "worker type scna-worker has no file; did you mean scan-worker?"),
        ({"worker_type": "pr"}, "security-master may not spawn a pr-worker; its file says spawns"),
        ({"estimated_tokens": 8001}, "asks for 8,001 tokens, and a scan-worker gets 8,000 at most"),
    ],
)
@pytest.mark.parametrize("with_task", [True, False])
def test_what_is_never_granted_is_a_rejected_worker_with_its_reason(
    wrong: dict[str, Any], words: str, with_task: bool
) -> None:
    fleet = Fleet()
    task = a_scan(fleet) if with_task else None
    named = {"task_id": task.id} if task else {"id": "mine"}
    fleet.drop({"kind": "worker_request", **SCAN, **named, "justification": "x", **wrong})
    (ident,) = fleet.workers("rejected")
    worker = fleet.state.workers[ident]
    row = failed_row(worker)
    assert words in row["error"] and row["permanent"]
    assert words in fleet.lines[-1].why or not with_task
    if task is None:
        mine = fleet.state.tasks["mine"]
        fleet.run_through(mine)
        assert mine.status == "failed"
        assert words in (mine.reason or "")
    else:
        assert ident in task.workers
        assert [step.name for step in task.steps] == ["scan-a"]
        fleet.run_through(task)
        assert task.status == "completed", "a refused wish does not fail the task"
    assert fleet.replayed().to_json() == fleet.state.to_json()


def test_a_refused_task_may_be_retried_once_the_type_is_there() -> None:
    fleet = Fleet()
    kind = fleet.catalog.types.pop("scan-worker")
    fleet.drop({"kind": "worker_request", **SCAN, "id": "mine"})
    mine = fleet.state.tasks["mine"]
    fleet.run_through(mine)
    assert mine.status == "failed"
    fleet.catalog.types["scan-worker"] = kind
    fleet.drop({"kind": "retry", "task_id": "mine"})
    fleet.run_through(mine)
    assert mine.status == "completed"


def test_a_request_waits_in_the_queue_while_the_pool_is_short() -> None:
    fleet = short_of_tokens()
    worker = ask(fleet, **SCAN, estimated_tokens=5000)
    fleet.admit()
    assert worker.status == "queued"
    assert "short by" in waiting_reason(fleet.state, worker)


def test_a_low_one_is_refused_while_the_pool_is_short_and_tried_again_after_the_reset() -> None:
    fleet = short_of_tokens()
    worker = ask(fleet, **SCAN, estimated_tokens=5000, priority="low", id="later")
    fleet.admit()
    assert worker.status == "rejected"
    task = fleet.state.tasks["later"]
    assert task.status == "in_progress"
    assert task.steps[0].status == "ready" and task.steps[0].not_before is not None


def test_only_masters_ask_and_only_for_tasks_of_their_own() -> None:
    fleet = Fleet()
    task = a_scan(fleet)
    error = refusal(fleet, **{**SCAN, "master_agent": "secruity"})
    assert (error.field, error.message) == ("master_agent", "secruity-master is no master here")
    assert error.hint == "did you mean 'security-master'?"
    error = refusal(fleet, master_agent="coordinator", worker_type="analysis", task_id=task.id)
    assert (
        error.message == f"{task.id} is security-master's; only that master asks for workers of it"
    )


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"task_id": "nobody"}, "worker_request names nobody, which is no task here"),
        ({"id": "scan-a"}, "task-001 has a step scan-a already"),
        ({"needs": ["x"]}, "needs 'x', which is no step of task-001"),
        (
            {"priority": "critical"},
            "is critical, and task-001 is medium: a worker is critical with its task",
        ),
    ],
)
def test_a_further_step_must_fit_its_task(fields: dict[str, Any], message: str) -> None:
    fleet = Fleet()
    task = a_scan(fleet)
    assert refusal(fleet, **{**SCAN, "task_id": task.id, **fields}).message == message


def test_a_task_that_is_over_or_has_no_plan_takes_no_further_worker() -> None:
    fleet = Fleet()
    held = fleet.dropped(type="security-scan", hold=True, id="held")
    words = "held takes no further worker: it is pending"
    assert refusal(fleet, **SCAN, task_id=held.id).message == words
    task = a_scan(fleet)
    fleet.run_through(task)
    assert "it is completed" in refusal(fleet, **SCAN, task_id=task.id).message
    direct = a_scan(fleet, execution_mode="direct")
    assert "direct mode" in refusal(fleet, **SCAN, task_id=direct.id).message


def test_an_id_that_is_taken_is_refused_as_for_a_task() -> None:
    fleet = Fleet()
    ask(fleet, **SCAN, id="mine")
    assert refusal(fleet, **SCAN, id="mine").field == "id"


def test_a_paused_task_takes_a_step_and_starts_it_when_it_goes_on() -> None:
    fleet = Fleet()
    task = a_scan(fleet)
    fleet.drop({"kind": "pause", "task_id": task.id})
    fleet.drop({"kind": "worker_request", **SCAN, "task_id": task.id})
    assert task.step("scan").status == "waiting"
    fleet.drop({"kind": "resume", "task_id": task.id})
    assert task.step("scan").status == "active"


def test_a_request_with_a_command_runs_it() -> None:
    fleet = Fleet(settings(limits={"tools": 1}))
    worker = ask(fleet, master_agent="coordinator", worker_type="command", command="make check")
    assert worker.runtime == "command"
    assert fleet.state.tasks[worker.task_id].steps[0].command == "make check"
