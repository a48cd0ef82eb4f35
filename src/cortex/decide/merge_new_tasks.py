"""New rows of an edited task-queue.json: each is a dropped task, accepted by the same rules."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cortex.decide.accept import accept_each
from cortex.decide.edit import Edit, Merged, Refusal
from cortex.decide.entry import Now
from cortex.model.errors import RequestError
from cortex.model.owners import TASK_OWNERS
from cortex.model.requests import TaskRequest, parse_request
from cortex.model.state import State

__all__ = ["add_tasks"]

Row = dict[str, Any]


def add_tasks(state: State, edit: Edit, rows: list[Row], now: Now, merged: Merged) -> None:
    """Adds to `merged` what the new rows come to: accepted or refused, each by itself."""
    requests: list[TaskRequest] = []
    names: list[str] = []
    counts: dict[str, int] = {}
    for row in rows:
        name = str(row.get("id") or row.get("title") or "a new row")
        try:
            requests.append(_request(row, edit, counts))
        except RequestError as error:
            merged.refusals.append(
                Refusal(name, error.message, error.field, hint=_again(error.hint))
            )
            continue
        names.append(name)
    outcomes = accept_each(state, requests, edit.file, now, edit.archived)
    for name, outcome in zip(names, outcomes, strict=True):
        if isinstance(outcome, RequestError):
            merged.refusals.append(
                Refusal(name, outcome.message, outcome.field, hint=_again(outcome.hint))
            )
            continue
        accepted = [event for event in outcome if event["event"] == "task_accepted"]
        merged.events += accepted
        merged.changes += [f"{e['task']['id']} added: {e['task']['title']}" for e in accepted]


def _again(hint: str | None) -> str | None:
    return hint.replace("drop the file again", "add the row again") if hint else None


def _request(row: Row, edit: Edit, counts: dict[str, int]) -> TaskRequest:
    """The row as a drop: what the daemon would fill in is left out, as in a copy of another row.

    A row without an id gets a key from its base and content, so that the same buffer saved twice
    makes one task.
    """
    if row.get("status") not in (None, "pending"):
        raise RequestError(
            f"a new task begins as pending, not as {row['status']!r}",
            field="status",
            hint="leave status out",
        )
    payload = {name: value for name, value in row.items() if _is_asked(name, value)}
    if edit.base is not None and not payload.get("id") and "key" not in payload:
        text = json.dumps(payload, sort_keys=True)
        counts[text] = counts.get(text, 0) + 1
        digest = hashlib.sha256(f"{counts[text]} {text}".encode()).hexdigest()[:12]
        payload["key"] = f"edit of line {edit.content.get('journal_seq')}: {digest}"
    request = parse_request({**payload, "kind": "task"})
    assert isinstance(request, TaskRequest)
    return request


_OF_DROPS = frozenset({"id", "key", "needs", "env", "max_parallel", "fallback", "approval"})


def _is_asked(name: str, value: Any) -> bool:
    if name == "workers":
        return isinstance(value, list) and all(isinstance(step, dict) for step in value)
    if name in _OF_DROPS or TASK_OWNERS.get(name, "person") in ("person", "before start"):
        return value is not None
    return False
