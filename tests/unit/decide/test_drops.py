"""What a drop becomes: a task, a link to one, a line for a verb, or a refusal with remedy."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.decide.accept import accept_all
from cortex.model.errors import RequestError
from cortex.model.requests import parse_request
from tests.unit.decide.fleet import Fleet


def refused(fleet: Fleet, *payloads: dict[str, Any]) -> RequestError:
    with pytest.raises(RequestError) as error:
        fleet.drop(*payloads)
    assert error.value.hint or error.value.field
    return error.value


def test_ids_are_counted_with_three_digits_at_least() -> None:
    fleet = Fleet()
    assert fleet.drop(command="a") == ["task-001"]
    fleet.state.counters["task"] = 998
    assert fleet.drop({"command": "a"}, {"command": "b"}) == ["task-999", "task-1000"]


def test_a_persons_id_is_kept_and_the_count_goes_on_behind_it() -> None:
    fleet = Fleet()
    assert fleet.drop(id="task-0041", command="a") == ["task-0041"]
    assert fleet.drop(command="a") == ["task-042"]
    assert fleet.drop(id="nightly.scan_2", command="a") == ["nightly.scan_2"]


def test_an_id_is_never_given_twice_even_when_its_task_has_left() -> None:
    fleet = Fleet()
    task = fleet.dropped(command="a")
    fleet.drop(kind="cancel", task_id=task.id)
    event = {"event": "archived", "tasks": [task.id], "workers": list(task.workers)}
    from cortex.decide.entry import Entry

    fleet.apply(Entry("daemon", "", [event]))
    assert fleet.drop(command="b") == ["task-002"]
    assert fleet.state.tasks["task-002"].workers == ["worker-cmd-002"]


@pytest.mark.parametrize("digits", [10, 15, 16, 40])
def test_an_id_that_would_use_up_the_numbers_is_refused(digits: int) -> None:
    """The count goes on behind a person's number, and has to stay one that can be counted."""
    fleet = Fleet()
    error = refused(fleet, {"id": f"task-{'9' * digits}", "command": "a"})
    assert error.field == "id"
    assert fleet.drop({"command": "a"}, {"command": "b"}) == ["task-001", "task-002"]


def test_an_id_that_is_here_already_is_refused_with_what_to_do() -> None:
    fleet = Fleet()
    fleet.drop(id="mine", command="a")
    error = refused(fleet, {"id": "mine", "command": "b"})
    assert (error.message, error.field) == ("task mine is already here (in_progress)", "id")
    assert error.hint is not None and "retry" in error.hint


def test_an_archived_id_is_refused_too() -> None:
    fleet = Fleet()
    request = parse_request({"id": "old", "command": "a"})
    with pytest.raises(RequestError, match=r"task old is already here \(completed\)"):
        accept_all(fleet.state, [request], "x.json", fleet.now, {"old": "completed"})


def test_the_same_content_twice_is_two_tasks_and_the_same_key_is_one() -> None:
    fleet = Fleet()
    assert len(fleet.drop(command="a") + fleet.drop(command="a")) == 2
    (keyed,) = fleet.drop(command="a", key="nightly")
    assert fleet.drop(command="a", key="nightly") == []
    assert fleet.state.tasks[keyed].linked == ["drop-4.json"]


def test_a_key_stays_known_after_its_task_ended_and_after_it_was_archived() -> None:
    fleet = Fleet()
    (keyed,) = fleet.drop(command="a", key="nightly")
    fleet.run_through(fleet.state.tasks[keyed])
    assert fleet.drop(command="a", key="nightly") == []
    request = parse_request({"command": "a", "key": "older"})
    entry = accept_all(fleet.state, [request], "x", fleet.now, {"key:older": "task-900"})
    assert entry.events == []
    assert "task-900" in entry.why


def test_a_file_of_several_tasks_may_need_and_key_each_other() -> None:
    fleet = Fleet()
    made = fleet.drop(
        {"id": "build", "command": "make"},
        {"command": "make test", "needs": ["build"], "key": "k"},
        {"command": "make test", "key": "k"},
    )
    assert made == ["build", "task-001"]
    assert fleet.state.tasks["task-001"].waiting_for == "build (in_progress)"


def test_a_number_that_a_later_entry_names_is_not_given_to_an_earlier_one() -> None:
    fleet = Fleet()
    made = fleet.drop({"command": "a"}, {"id": "task-001", "command": "b"})
    assert sorted(made) == ["task-001", "task-002"]
    assert fleet.state.tasks["task-001"].command == "b"


def test_a_file_is_taken_whole_or_not_at_all() -> None:
    fleet = Fleet()
    error = refused(fleet, {"command": "a"}, {"command": "b", "needs": ["task-404"]})
    assert error.message.startswith("entry 2: needs 'task-404', which is no task here")
    assert not fleet.state.tasks


def test_only_tasks_and_worker_requests_stand_together_in_a_file() -> None:
    fleet = Fleet()
    error = refused(fleet, {"command": "a"}, {"kind": "pause"})
    assert "only tasks and worker requests may stand together" in error.message


def test_a_need_on_an_archived_task_counts_only_if_that_was_completed() -> None:
    fleet = Fleet()
    request = parse_request({"command": "a", "needs": ["old"]})
    entry = accept_all(fleet.state, [request], "x", fleet.now, {"old": "completed"})
    assert entry.events
    with pytest.raises(RequestError, match=r"needs 'old', which is archived as failed"):
        accept_all(fleet.state, [request], "x", fleet.now, {"old": "failed"})


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"command": ["make", "all"]}, "make all"),
        ({"command": "\n\nmake all\necho done"}, "make all"),
        ({"command": "x" * 200}, "x" * 80),
        ({"type": "scan", "scope": {"repository": "/srv/app/"}}, "scan of app"),
        (
            {"type": "scan", "scope": {"repositories": [f"/srv/r{n}" for n in range(5)]}},
            "scan of r0, r1, r2 and 2 more",
        ),
        ({"type": "scan"}, "scan"),
        ({"title": "My own", "command": "x"}, "My own"),
    ],
    ids=str,
)
def test_a_task_without_a_title_gets_one_that_tells_it_apart(
    fields: dict[str, Any], title: str
) -> None:
    assert Fleet().dropped(**fields).title == title


def test_unknown_fields_of_a_task_are_kept() -> None:
    task = Fleet().dropped(command="a", ticket="ABC-1", labels={"team": "x"})
    assert task.extra == {"ticket": "ABC-1", "labels": {"team": "x"}}


def test_everything_that_a_task_may_say_is_taken_over() -> None:
    task = Fleet().dropped(
        id="all",
        title="t",
        type="audit",
        priority="normal",
        deadline="2025-11-01T12:00:00Z",
        timeout="1h30m",
        retries=4,
        token_budget=77,
        runtime="command",
        command=["a", "b"],
        env={"K": "v"},
        execution_mode="direct",
        scope={"repository": "/srv/a", "paths": ["src"], "note": "kept"},
        max_parallel=2,
        fallback=True,
        key="k",
    )
    assert (task.priority, task.timeout_s, task.retries, task.token_budget) == (
        "medium",
        5400.0,
        4,
        77,
    )
    assert task.scope == {"repository": "/srv/a", "paths": ["src"], "note": "kept"}
    assert (task.command, task.env, task.execution_mode) == (["a", "b"], {"K": "v"}, "direct")
    assert (task.max_parallel, task.fallback, task.key, task.runtime) == (2, True, "k", "command")


# --- budget


def test_a_new_total_goes_to_the_pool_by_share() -> None:
    fleet = Fleet()
    fleet.drop(kind="budget", total_budget=330_000)
    ledger = fleet.state.budget
    assert (ledger.total, ledger.pool_total) == (330_000, 195_000)
    assert {name: fund.share for name, fund in ledger.masters.items()} == {
        "coordinator": 90_000,
        "development": 60_000,
        "security": 45_000,
    }


def test_a_total_below_what_is_committed_is_refused_with_the_least_that_is_possible() -> None:
    fleet = Fleet()
    fleet.dropped(command="a", token_budget=10_000)
    fleet.admit()
    error = refused(fleet, {"kind": "budget", "total_budget": 100_000})
    assert error.field == "total_budget"
    assert error.hint is not None and "the lowest total now is 145000" in error.hint
    fleet.drop(kind="budget", total_budget=145_000)
    assert fleet.state.budget.pool_available == 0


def test_a_task_that_needs_itself_is_told_so() -> None:
    error = refused(Fleet(), {"id": "self", "command": "a", "needs": ["self"]})
    assert error.message == "self needs itself, and would wait for ever"
    assert error.field == "needs"
