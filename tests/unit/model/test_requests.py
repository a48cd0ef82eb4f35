"""What may be dropped: each wrong field names itself and what to do, and nothing else raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.model.errors import RequestError
from cortex.model.requests import (
    KINDS,
    Answer,
    BudgetRequest,
    EditRequest,
    HandoffAnswer,
    ScheduleRequest,
    TaskRequest,
    VerbRequest,
    WorkerRequest,
    parse_request,
)


def refusal(payload: object) -> RequestError:
    with pytest.raises(RequestError) as refused:
        parse_request(payload)
    return refused.value


def task(**fields: Any) -> TaskRequest:
    request = parse_request(fields)
    assert isinstance(request, TaskRequest)
    return request


def test_addresses_with_a_user_alone_are_taken_and_a_refusal_says_no_password() -> None:
    for address in ("ssh://git@example.org:22/a", "https://ada@example.org/a", "git@example.org:a"):
        assert task(title="x", scope={"repository": address}).scope.repository == address
    refused = refusal({"title": "x", "scope": {"repository": "http://a:hunter2@example.org/b"}})
    assert "hunter2" not in f"{refused} {refused.hint}"


WORKERS = [{"name": "a", "command": "x"}]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"id": "a b"}, "id", "'a b' is no id; use letters, digits and . _ -"),
        ({"id": "../x"}, "id", "is no id"),
        ({"id": "a..b"}, "id", "is no id"),
        ({"id": "x" * 65}, "id", "at most 64"),
        ({"id": ""}, "id", "is no id"),
        ({"id": 5}, "id", "must be a text, is the number 5"),
        (
            {"title": "x", "scope": {"repository": "https://ada:hunter2@example.org/shop.git"}},
            "scope.repository",
            "name the variable that holds it as credentials of the worker type",
        ),
        (
            {"title": "x", "scope": {"repositories": ["https://ghp_0a1B@example.org/a.git"]}},
            "scope.repositories.0",
            "has a password or token in its address",
        ),
        (
            {"title": "x", "scope": {"repository": f"https://{'0a1B' * 10}@example.org/a.git"}},
            "scope.repository",
            "has a password or token in its address",
        ),
        (
            {"title": "x", "scope": {"repository": "https://example.org/a.git?private_token=abc"}},
            "scope.repository",
            "has a password or token in its address",
        ),
        (
            {"title": "x", "scope": {"remote": "https://ada:hunter2@example.org/shop.git"}},
            "scope",
            "has a password or token in its address",
        ),
        ({"title": ""}, "title", "is empty"),
        ({"title": "a\nb"}, "title", "control characters"),
        ({"title": "a\x1b[31m"}, "title", "control characters"),
        ({"title": "x" * 501}, "title", "at most 500"),
        ({"type": "a/b"}, "type", "is no id"),
        ({"priority": "urgent"}, "priority", "'low', 'medium', 'high' or 'critical'"),
        ({"priority": 3}, "priority", "'low', 'medium', 'high' or 'critical'"),
        ({"execution_mode": "fast"}, "execution_mode", "'workers' or 'direct'"),
        ({"deadline": "tomorrow"}, "deadline", "write it like 2025-11-01T10:15:00Z"),
        ({"deadline": "2025-11-01T10:15:00"}, "deadline", "has no time zone"),
        ({"deadline": "9999-12-31T23:59:59-14:00"}, "deadline", ""),
        ({"deadline": "0001-01-01T00:00:00+14:00"}, "deadline", ""),
        ({"timeout": "soon"}, "timeout", "write it like 90s, 15m or 1h30m"),
        ({"timeout": 0}, "timeout", "over 0"),
        ({"timeout": -5}, "timeout", "over 0"),
        ({"timeout": "400d"}, "timeout", "at most 366d"),
        ({"timeout": 10**400}, "timeout", "at most 366d"),
        ({"timeout": float("nan")}, "timeout", "out of range"),
        ({"timeout": True}, "timeout", "number with a unit"),
        ({"timeout": []}, "timeout", ""),
        ({"retries": -1}, "retries", "must be at least 0, is the number -1"),
        ({"retries": 101}, "retries", "must be at most 100, is the number 101"),
        ({"retries": "2"}, "retries", "must be a whole number, is the text '2'"),
        ({"retries": True}, "retries", "must be a whole number, is true"),
        ({"token_budget": -1}, "token_budget", "must be at least 0, is the number -1"),
        ({"token_budget": 10**10}, "token_budget", "must be at most 1000000000"),
        ({"token_budget": 1.5}, "token_budget", "a whole number, is the number 1.5"),
        ({"runtime": ""}, "runtime", "is empty"),
        ({"command": ""}, "command", "is empty"),
        ({"command": []}, "command", "is empty"),
        ({"command": ["", "x"]}, "command", "is empty"),
        ({"command": ["a", 5]}, "command", ""),
        ({"command": "a\0b"}, "command", "NUL"),
        ({"env": {"1A": "x"}}, "env", "'1A' cannot be set"),
        ({"env": {"CORTEX_TASK_ID": "x"}}, "env", "cannot be set for a worker"),
        ({"env": {"A": "\0"}}, "env", "NUL"),
        ({"env": {"A": 5}}, "env.A", "must be a text, is the number 5"),
        ({"needs": "task-1"}, "needs", "must be a list, is the text 'task-1'"),
        ({"needs": ["a b"]}, "needs.0", "is no id"),
        ({"hold": "maybe"}, "hold", "must be true or false, is the text 'maybe'"),
        ({"max_parallel": 0}, "max_parallel", "must be at least 1, is the number 0"),
        ({"scope": {"repository": "a", "repositories": ["b"]}}, "scope", "keep one of them"),
        ({"scope": {"repositories": ["b", "b"]}}, "scope", "twice"),
        ({"scope": {"repository": ""}}, "scope", "empty or impossible"),
        ({"scope": {"repositories": []}}, "scope.repositories", "is empty"),
        ({"scope": {"paths": ["../x"]}}, "scope", "leaves the repository"),
        ({"scope": {"paths": ["/etc"]}}, "scope", "leaves the repository"),
        ({"scope": {"parts": [{"paths": ["x"]}]}}, "scope.parts.0.name", "is missing"),
        ({"scope": {"parts": [{"name": "a", "paths": ["../x"]}]}}, "scope", "leaves the repo"),
        ({"scope": {"parts": [{"name": "a", "needs": ["b"]}]}}, "scope", "is not in the plan"),
        ({"scope": {"parts": [{"name": "a"}, {"name": "a"}]}}, "scope", "names are unique"),
        ({"scope": {"scan_types": ["viruses"]}}, "scope.scan_types.0", "'secrets'"),
        ({"scope": "all"}, "scope", ""),
        ({"workers": [{"name": "a b"}]}, "workers.0.name", "is no id"),
        ({"workers": [{"command": "x"}]}, "workers.0.name", "is missing"),
        ({"workers": [*WORKERS, *WORKERS]}, None, "two of them are named 'a'"),
        ({"workers": [{"name": "a", "needs": ["b"]}]}, None, "needs 'b', which is not in the plan"),
        ({"workers": [{"name": "a", "needs": ["a"]}]}, None, "in a circle; break it"),
        ({"workers": WORKERS, "command": "x"}, None, "both command and workers"),
        ({"workers": [{"name": "a", "worker_type": "a/b"}]}, "workers.0.worker_type", "is no id"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_field_names_itself_and_says_what_is_wrong(
    fields: dict[str, Any], field: str | None, says: str
) -> None:
    error = refusal({"title": "t", **fields})
    assert error.field is not None or field is None
    assert (error.field or "").split(".[")[0].startswith(field or "")
    assert says in error.message
    assert error.hint


@pytest.mark.parametrize("payload", [{}, {"priority": "high"}, {"scope": {"repository": "/a"}}])
def test_a_task_says_what_is_to_be_done(payload: dict[str, Any]) -> None:
    assert "a task needs a title, a type or a command" in refusal(payload).message


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (None, "holds null, not an object"),
        ([], "holds a list, not an object"),
        ("x", "holds a text, not an object"),
        (5, "holds a number, not an object"),
        (True, "holds true or false, not an object"),
    ],
)
def test_what_is_no_object_is_refused_by_its_kind(payload: object, says: str) -> None:
    error = refusal(payload)
    assert error.message == says
    assert error.hint is not None and '"command"' in error.hint


@pytest.mark.parametrize(
    ("payload", "field", "hint"),
    [
        ({"kind": "cancle", "task_id": "x"}, "kind", "did you mean 'cancel'?"),
        ({"kind": "zzz"}, "kind", "known kinds: task, cancel"),
        ({"kind": 5}, "kind", "known kinds"),
        ({"kind": None}, "kind", "known kinds"),
        ({"kind": "cancel", "task": "x"}, None, "also wrong"),
        ({"kind": "cancel", "task_id": "x", "resaon": "y"}, "resaon", "did you mean reason?"),
        ({"kind": "budget", "total_budget": 5, "zzz": 1}, "zzz", "known here: kind, total_budget"),
        (
            {"title": "t", "workers": [{"name": "a", "comand": "x"}]},
            "workers.0.comand",
            "did you mean command?",
        ),
        (
            {"title": "t", "workers": [{"name": "a", "worker_typ": "x"}]},
            "workers.0.worker_typ",
            "did you mean worker_type?",
        ),
    ],
    ids=str,
)
def test_a_misspelt_name_is_answered_with_the_right_one(
    payload: dict[str, Any], field: str | None, hint: str
) -> None:
    error = refusal(payload)
    if field is not None:
        assert error.field == field
        assert error.hint is not None and hint in error.hint
    else:
        assert error.field == "task"


def test_a_worker_request_names_master_and_worker_type_in_any_of_their_forms() -> None:
    names = {"kind": "worker_request", "master_agent": "security", "worker_type": "impl"}
    asked = parse_request({**names, "timeout": "4m"})
    assert isinstance(asked, WorkerRequest)
    assert asked.master_agent == "security-master"
    assert asked.worker_type == "implementation-worker"
    assert asked.timeout == 240
    assert refusal({"kind": "worker_request", "worker_type": "scan"}).field == "master_agent"
    error = refusal(
        {"kind": "worker_request", "master_agent": "a", "worker_type": "b", "needs": ["c"]}
    )
    assert "no task_id" in error.message


def test_other_wrong_fields_are_named_too() -> None:
    error = refusal({"title": "t", "retries": -1, "timeout": "x", "priority": "?"})
    assert error.hint is not None
    named = {"retries", "timeout", "priority"} - {str(error.field)}
    assert all(name in error.hint for name in named)


@pytest.mark.parametrize("kind", ["cancel", "retry"])
def test_cancel_and_retry_need_a_task(kind: str) -> None:
    assert f"{kind} needs task_id" in refusal({"kind": kind}).message


def test_every_kind_can_be_asked_for() -> None:
    right: dict[str, dict[str, Any]] = {
        "task": {"title": "t"},
        "cancel": {"task_id": "task-001", "cascade": True},
        "retry": {"task_id": "task-001"},
        "pause": {},
        "resume": {"reason": "go on"},
        "handoff": {"handoff_id": "handoff-001", "status": "accepted"},
        "budget": {"total_budget": 1000},
        "drain": {"reason": "upgrade"},
        "edit": {"file": "task-queue.json", "journal_seq": 7},
        "approve": {"task_id": "task-001"},
        "deny": {"approval_id": "approval-001", "reason": "no"},
        "schedule": {"schedule": "daily@09:00", "command": "true"},
        "worker_request": {"master_agent": "security", "worker_type": "scan"},
    }
    assert set(right) == set(KINDS)
    made = [type(parse_request({"kind": kind, **fields})) for kind, fields in right.items()]
    kinds = {TaskRequest, VerbRequest, HandoffAnswer, BudgetRequest, ScheduleRequest, Answer}
    kinds |= {EditRequest, WorkerRequest}
    assert set(made) == kinds


# --- what is brought into one form


def test_words_that_mean_the_same_read_the_same() -> None:
    assert task(title="t", priority="normal").priority == "medium"
    assert task(title="t", timeout="1h30m").timeout == task(title="t", timeout=5400).timeout
    assert task(scope={"command": "x"}).command == "x"
    rows = [{"name": "a", "worker_type": name} for name in ("impl", "implementation")]
    types = {task(title="t", workers=[row]).workers[0].worker_type for row in rows}
    assert types == {"implementation-worker"}


@pytest.mark.parametrize(
    "written",
    [
        "2025-11-01T10:15:00Z",
        "2025-11-01T11:15:00+01:00",
        "2025-11-01 10:15:00.000Z",
        "20251101T101500Z",
    ],
)
def test_a_deadline_is_kept_as_utc(written: str) -> None:
    assert task(title="t", deadline=written).deadline == "2025-11-01T10:15:00Z"


def test_unknown_fields_of_a_task_and_its_scope_are_kept() -> None:
    request = task(title="t", ticket=5, scope={"depth": "full"})
    assert request.model_extra == {"ticket": 5}
    assert request.scope.model_extra == {"depth": "full"}


# --- nothing but a refusal

_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**400)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["15m", "2025-11-01T10:15:00Z", "task-001", "high", "direct", "scan"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
_names = sorted({name for model in KINDS.values() for name in model.model_fields})


@given(
    kind=st.sampled_from(sorted(KINDS)),
    fields=st.dictionaries(st.sampled_from(_names), _values, max_size=5),
)
def test_whatever_stands_in_a_field_the_answer_is_a_request_or_a_refusal(
    kind: str, fields: dict[str, Any]
) -> None:
    """Anything else that is raised would stop the intake."""
    try:
        request = parse_request({**fields, "kind": kind})
    except RequestError as error:
        assert error.message
        assert error.hint
    else:
        assert isinstance(request, KINDS[kind])


@given(payload=_values)
def test_whatever_a_file_holds_the_answer_is_a_request_or_a_refusal(payload: object) -> None:
    with pytest.raises(RequestError):
        parse_request(payload)
