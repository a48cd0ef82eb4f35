"""The rule of the worker contract: what an ended attempt amounts to, whatever anybody said."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.entry import Entry
from cortex.decide.project import budget_document
from cortex.decide.review import backoff_s
from cortex.model.settings import Settings
from cortex.model.state import Task, Worker
from tests.unit.decide.fleet import Fleet, settings

DONE = {"status": "completed", "summary": "all well"}
TYPED = {"deliverables": ("scan_results.json",)}


def started(fleet: Fleet | None = None, **fields: Any) -> tuple[Fleet, Task, Worker]:
    fleet = fleet or Fleet()
    task = fleet.dropped(**{"command": "true", "token_budget": 1_000, **fields})
    fleet.admit()
    worker = fleet.state.workers[task.workers[0]]
    fleet.run(worker)
    return fleet, task, worker


def ended(used: int = 0, **observed: Any) -> tuple[str, str | None]:
    """(status, reason or summary) of a worker that was seen to end so."""
    fleet, _, worker = started()
    fleet.end(worker.id, used, **observed)
    return worker.status, worker.summary if worker.status == "completed" else worker.reason


# --- exit codes and results


@pytest.mark.parametrize(
    ("observed", "status", "says"),
    [
        ({"code": 0, "results": DONE}, "completed", "all well"),
        ({"code": 0, "tail": "3 passed\n"}, "completed", "3 passed"),
        ({"code": 0, "tail": ""}, "completed", None),
        (
            {"code": 0, **TYPED},
            "failed",
            "exit 0, but it wrote no results.json, as its type demands",
        ),
        (
            {"code": 0, "demands_results": True},
            "failed",
            "exit 0, but it wrote no results.json, as its type demands",
        ),
        ({"code": 1, "results": DONE}, "failed", "exit 1"),
        ({"code": 2, "tail": "a\nno rule to make target\n"}, "failed", "exit 2: no rule to make"),
        ({"code": 3, "results": {**DONE, "error": "boom"}}, "failed", "exit 3: boom"),
        ({"code": 0, "results": {"status": "failed", "error": "no"}}, "failed", "no"),
        ({"code": 0, "results": {"status": "failed", "summary": "so"}}, "failed", "so"),
        ({"code": 0, "results": {"status": "failed"}}, "failed", "it says that it failed"),
        (
            {"code": 0, "problems": ("not JSON: line 1",)},
            "failed",
            "results refused: not JSON: line 1",
        ),
        (
            {"code": 0, "results": DONE, "missing_deliverables": ("a.md", "b.md"), **TYPED},
            "failed",
            "deliverables missing from artifacts/: a.md, b.md",
        ),
        ({"code": None, "signal": 11, "tail": "dumped"}, "failed", "ended by signal 11: dumped"),
        ({"code": None, "signal": 15, "cause": "timeout"}, "timeout", "ran over its timeout"),
        ({"code": None, "signal": 15, "cause": "stop"}, "cancelled", "ended by a signal from"),
        ({"spawn_error": "no such program: x"}, "failed", "no such program: x"),
        ({"lost": True, "code": None}, "lost", "its end is unknown"),
    ],
    ids=str,
)
def test_the_outcome_follows_from_what_was_seen(
    observed: dict[str, Any], status: str, says: str | None
) -> None:
    found, text = ended(**observed)
    assert found == status
    assert text == says or (says is not None and text is not None and text.startswith(says))


def test_invalid_results_fail_whatever_the_exit_code() -> None:
    for code in (0, 1):
        assert ended(code=code, results=None, problems=("too deep",))[0] == "failed"


def test_a_partial_result_is_done_where_policy_accepts_it_and_failed_where_not() -> None:
    partial = {"status": "partial", "summary": "half"}
    fleet, task, worker = started()
    fleet.finish(worker.id, results=partial)
    assert (worker.status, worker.partial, worker.review) == ("completed", True, "accepted")
    fleet.gather(task)
    assert (task.status, task.partial) == ("completed", True)
    strict = Fleet(settings(workers={"accept_partial": False, "retries": 0}))
    _, task, worker = started(strict)
    strict.finish(worker.id, results=partial)
    assert (worker.status, worker.partial) == ("failed", False)
    assert task.step("main").status == "failed"


def test_a_timed_out_worker_whose_program_ended_well_in_the_grace_keeps_its_outcome() -> None:
    fleet, task, worker = started()
    fleet.drop(kind="cancel", task_id=task.id)
    assert worker.status == "ending"
    fleet.end(worker.id, 10, code=0, results=DONE)
    assert worker.status == "completed"
    assert task.status == "cancelled", "the person's word stays"


def test_a_cancelled_worker_is_cancelled_with_the_reason_given() -> None:
    fleet, task, worker = started()
    fleet.drop(kind="cancel", task_id=task.id, reason="not needed")
    fleet.end(worker.id, 10, code=None, signal=15, cause="stop")
    assert (worker.status, worker.reason) == ("cancelled", "not needed")
    assert fleet.state.budget.pool_spent == 10


def test_a_worker_cancelled_before_any_shim_came_costs_nothing() -> None:
    fleet, task, worker = started()
    fleet.drop(kind="cancel", task_id=task.id)
    fleet.end(worker.id, 500, never_started=True)
    assert (worker.status, fleet.state.budget.pool_spent) == ("cancelled", 0)


# --- tokens


@pytest.mark.parametrize("reported", [-5, -(10**30), True, "900", 1.5, None, [], {}])
def test_a_report_that_is_no_count_of_tokens_counts_as_none(reported: Any) -> None:
    fleet, _, worker = started()
    fleet.end(worker.id, 0, results={**DONE, "tokens_used": reported})
    assert (worker.status, worker.tokens_used) == ("completed", 0)
    assert fleet.state.budget.pool_available == 65_000


@pytest.mark.parametrize("reported", [1_001, 10**30])
def test_a_report_above_the_reservation_is_clamped_and_the_work_refused(reported: int) -> None:
    fleet, task, worker = started()
    fleet.end(worker.id, 0, results={**DONE, "tokens_used": reported})
    assert worker.status == "budget_exhausted"
    assert worker.reason == f"reported {reported} tokens of 1000"
    assert worker.tokens_used == 1_000
    assert fleet.state.budget.pool_spent == 1_000
    assert task.step("main").status == "failed", "more of the same would cost the same"


def test_tokens_of_a_worker_that_was_given_none_are_refused_with_what_to_name() -> None:
    fleet, _, worker = started(token_budget=None)
    fleet.end(worker.id, 0, results={**DONE, "tokens_used": 10})
    said = "reported 10 tokens of 0; its step, task or type names no token_budget"
    assert (worker.status, worker.reason) == ("budget_exhausted", said)


def test_what_a_worker_says_of_itself_is_kept_raw_and_moves_no_number_of_the_books() -> None:
    """`overrun_tokens` is what a provider reported above R; a worker's own word is clamped."""
    fleet, _, worker = started()
    fleet.end(worker.id, 0, results={**DONE, "tokens_used": 10**18})
    settled = [e for line in fleet.lines for e in line.events if e["event"] == "tokens_settled"]
    assert settled[0]["tokens_reported"] == 10**18
    document = budget_document(fleet.state, {})
    assert document["overrun_tokens"] == 0
    assert document["usage_metrics"]["total_tokens_used_today"] == 1_000


def test_the_larger_of_reported_and_metered_tokens_is_spent() -> None:
    fleet, _, worker = started()
    fleet.end(worker.id, 700, results={**DONE, "tokens_used": 300})
    assert fleet.state.budget.pool_spent == 700


def test_unspent_tokens_return_on_every_kind_of_end() -> None:
    ends: list[dict[str, Any]] = [
        {"results": DONE},
        {"code": 1},
        {"code": None, "signal": 9},
        {"code": None, "signal": 15, "cause": "timeout"},
        {"code": None, "signal": 15, "cause": "stop"},
        {"spawn_error": "x"},
    ]
    for observed in ends:
        fleet, _, worker = started()
        fleet.end(worker.id, 400, **observed)
        ledger = fleet.state.budget
        assert (ledger.pool_allocated, ledger.pool_spent) == (0, 400), observed


def test_a_lost_worker_has_spent_all_that_it_held() -> None:
    fleet, task, worker = started()
    fleet.end(worker.id, 10, lost=True, code=None)
    assert fleet.state.budget.pool_spent == 1_000
    assert task.step("main").status == "ready", "its end is unknown, and it may be tried again"


def test_a_lost_worker_of_a_runtime_without_tokens_has_spent_none() -> None:
    fleet, _, worker = started(type="scan", command=None, scope={"repository": "/srv/a"})
    assert worker.runtime == "tools"
    fleet.end(worker.id, 0, lost=True, code=None)
    assert fleet.state.budget.pool_spent == 0


# --- what the step does next


@pytest.mark.parametrize(
    "observed",
    [
        {"code": 1, "results": {"status": "failed", "permanent": True}},
        {"code": 0, "results": {"status": "failed", "permanent": True, "error": "gone"}},
        {"spawn_error": "no such program"},
        {"code": 0, "results": {**DONE, "tokens_used": 5_000}},
    ],
    ids=str,
)
def test_what_is_permanent_is_not_tried_again(observed: dict[str, Any]) -> None:
    fleet, task, worker = started(retries=5)
    fleet.end(worker.id, 0, **observed)
    assert task.step("main").status == "failed"


def test_a_start_that_may_work_later_is_tried_again() -> None:
    fleet, task, worker = started()
    fleet.end(worker.id, 0, spawn_error="out of processes", retryable=True)
    assert task.step("main").status == "ready"


def test_a_timeout_is_tried_again_as_often_as_policy_says() -> None:
    fleet = Fleet(settings(workers={"retries": 5, "retry_timeouts": 1, "backoff": 0.0}))
    _, task, worker = started(fleet)
    late = {"code": None, "signal": 15, "cause": "timeout", "results": None}
    fleet.finish(worker.id, **late)
    fleet.admit()
    assert len(task.workers) == 2
    fleet.finish(task.workers[1], **late)
    assert task.step("main").status == "failed"


def test_an_end_that_comes_after_the_tasks_end_changes_the_worker_alone() -> None:
    fleet, task, worker = started()
    fleet.drop(kind="cancel", task_id=task.id)
    before = task.to_json()
    fleet.end(worker.id, 1, code=1)
    assert task.to_json() == before
    assert worker.ended_at is not None


def test_a_late_end_of_an_earlier_attempt_does_not_move_the_step() -> None:
    fleet, task, worker = started()
    task.step("main").worker_id = "worker-cmd-999"
    fleet.end(worker.id, 1, code=1)
    assert task.step("main").status == "active"


def test_backoff_doubles_up_to_its_ceiling_and_never_leaves_half_to_whole() -> None:
    policy = Settings.model_validate({"workers": {"backoff": "2s", "backoff_max": "5m"}})
    for attempt in range(1, 101):
        ceiling = min(2.0 * 2 ** (attempt - 1), 300.0)
        assert backoff_s(attempt, policy, 0.0) == ceiling / 2
        assert backoff_s(attempt, policy, 1.0) == ceiling


def test_what_was_seen_stands_in_the_record() -> None:
    fleet, task, worker = started()
    rows = [{"rule": "x"}, {"rule": "y"}]
    fleet.finish(worker.id, 30, code=0, duration_s=61.23456, results={**DONE, "findings": rows})
    assert (worker.exit_code, worker.exit_signal, worker.findings) == (0, None, 2)
    assert worker.duration_s == 61.235
    fleet.gather(task)
    (row,) = task.worker_results
    assert row["status"] == "completed"
    assert (row["duration_s"], row["tokens_used"], row["findings"]) == (61.235, 30, 2)
    assert (row["aggregated_by"], row["aggregated_at"]) == ("coordinator-master", fleet.now.at)


def test_unspent_tokens_of_a_start_that_is_put_back_return_in_full() -> None:
    """The daemon's own line for a machine that is short of processes."""
    fleet, _, worker = started()
    worker.status = "spawning"
    events = [
        {"event": "tokens_returned", "worker_id": worker.id},
        {"event": "worker_queued", "worker_id": worker.id, "reason": "EAGAIN"},
    ]
    fleet.apply(Entry("test", "", events))
    assert fleet.state.budget.pool_available == 65_000
    fleet.admit()
    assert worker.status == "approved"
    assert fleet.state.budget.pool_available == 64_000


def test_the_summary_of_a_long_output_begins_at_a_line_or_says_that_it_is_cut() -> None:
    lines = "\n".join(f"line {number}" for number in range(500))
    summary = str(ended(code=0, tail=lines)[1])
    assert summary.startswith("line ")
    assert summary.endswith("line 499")
    assert len(summary) <= 500
    assert ended(code=0, tail="x" * 900) == ("completed", "…" + "x" * 499)


@pytest.mark.parametrize(
    "conflicts", [5, True, "a.py", {"a.py": 1}, [None, ["a"], 10 * "long" * 99]]
)
def test_a_conflict_that_names_its_files_wrongly_is_a_conflict_all_the_same(conflicts: Any) -> None:
    results = {"status": "failed", "outcome": "conflict", "error": "meets", "conflicts": conflicts}
    fleet, task, worker = started()
    fleet.end(worker.id, 0, code=0, results=results)
    assert worker.status == "failed"
    assert len(task.steps[0].reason or "") < 1_000


def test_of_a_long_summary_the_beginning_is_told() -> None:
    status, said = ended(code=0, results={**DONE, "summary": "s" * 5_000_000})
    assert (status, said) == ("completed", "s" * 1_999 + "…")
