"""Records as JSON: what is left out is read back as it was."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from cortex.model.state import Budget, Due, Escalation, Handoff, MasterFund, Step, Task, Worker

DUE = Due("boot", 1.5, 2.5, 3.5)
RECORDS = [
    Task("task-001", "t", "scan", "low", "x"),
    Step("main", "scan-worker"),
    Worker("worker-scan-001", "scan-worker", "task-001", "main", "security-master", 1, "low", "x"),
    Handoff("handoff-001", "a", "b", "task-001", "x"),
    Escalation("escalation-001", "s", "r", "x"),
    MasterFund(1, 2, 3, 4),
    Budget(),
]


def read_back(record: Any) -> Any:
    return type(record).from_json(json.loads(json.dumps(record.to_json())))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_read_back_as_it_was(record: Any) -> None:
    assert read_back(record) == record


#: One value per declared type that is empty, and yet says something.
SPEAKING = {
    "int": 0,
    "float": 0.0,
    "str": "",
    "bool": False,
}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_zero_is_not_the_same_as_unsaid(record: Any) -> None:
    """`retries: 0` and `token_budget: 0` are what a person asked for, not a missing field."""
    for known in fields(record):
        for kind, value in SPEAKING.items():
            if kind in str(known.type).replace(" ", "").split("|"):
                changed = replace(record, **{known.name: value})
                assert getattr(read_back(changed), known.name) == value, known.name


def test_nested_records_come_back_as_records() -> None:
    task = replace(RECORDS[0], steps=[Step("a", "scan-worker", not_before=DUE)], not_before=DUE)
    assert read_back(task) == task
    budget = replace(RECORDS[-1], masters={"security": MasterFund(0, 0, 0, 0)})
    assert read_back(budget) == budget
