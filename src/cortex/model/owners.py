"""Who owns which field of a published row: what a person may edit in place, and when.

Beside the models of the documents, and like them part of the public format. What becomes of an
edit is decided in `decide.merge`; here is only the table.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "ANSWER_OWNERS",
    "SCHEDULE_OWNERS",
    "TASK_OWNERS",
    "WORKER_OWNERS",
    "Owner",
    "schedule_owner",
    "task_owner",
]

#: `person`: yours at any time. `before start`: yours until a worker of the task has started.
#: `verb`: the daemon's, but some values ask for something (a status of `cancelled`). `worker`:
#: refreshed by the worker itself. `daemon`: a change of it is refused. `derived`: as `daemon`,
#: but it changes without a journal line, so that an edit of it says nothing and is passed over.
Owner = Literal["person", "before start", "verb", "worker", "daemon", "derived"]

TASK_OWNERS: dict[str, Owner] = {
    "id": "daemon",
    "title": "person",
    "type": "before start",
    "priority": "person",
    "status": "verb",
    "execution_mode": "before start",
    "assigned_to": "daemon",
    "scope": "before start",
    "deadline": "person",
    "worker_plan": "daemon",
    "created_at": "daemon",
    "started_at": "daemon",
    "ended_at": "daemon",
    "waiting_for": "derived",
    "blocked_on": "daemon",
    "reason": "daemon",
    "summary": "daemon",
    "partial": "daemon",
    "findings": "daemon",
    "tokens_used": "daemon",
    "steps": "daemon",
    "workers": "daemon",
    "worker_results": "daemon",
    "result_location": "daemon",
    "follow_ups": "daemon",
    "known": "daemon",
    "children": "daemon",
    "linked": "daemon",
    "handoff_id": "daemon",
    "parent": "daemon",
    "caused_by": "daemon",
    "source": "daemon",
    "key": "daemon",
    "needs": "daemon",
    "command": "before start",
    "runtime": "before start",
    "token_budget": "before start",
    "timeout": "before start",
    "retries": "person",
    "hold": "person",
    "run": "daemon",
    "missed_deadline": "daemon",
    "quote": "daemon",
    "planning": "daemon",
    "context": "daemon",
    # Of a drop, and not shown in rows.
    "kind": "daemon",
    "env": "daemon",
    "max_parallel": "daemon",
    "items": "daemon",
    "batch": "daemon",
    "fallback": "daemon",
    "approval": "daemon",
}

#: Of handoffs.json, by list: an answer, and the words to it. All else is the daemon's.
ANSWER_OWNERS: dict[str, dict[str, Owner]] = {
    "handoffs": {"status": "verb", "reason": "verb", "comment": "verb"},
    "escalations": {"status": "verb", "comment": "verb", "answer": "verb"},
    "approvals": {"status": "verb", "comment": "verb"},
}

SCHEDULE_OWNERS: dict[str, Owner] = {
    "id": "daemon",
    "next_run": "derived",
    "last_run": "daemon",
    "last_task": "daemon",
    "runs": "daemon",
    "source": "daemon",
    "created_at": "daemon",
}

WORKER_OWNERS: dict[str, Owner] = {
    "last_heartbeat": "worker",
    "tokens_used": "worker",
    "healthy": "derived",
    "progress": "derived",
    "message": "derived",
    "waiting_for": "derived",
}


def schedule_owner(field: str) -> Owner:
    """The owner of a schedule row's field: a person's, but for what tells of its runs."""
    return SCHEDULE_OWNERS.get(field, "person")


def task_owner(field: str) -> Owner:
    """The owner of a task row's field; unknown ones are a person's own, kept and shown."""
    return TASK_OWNERS.get(field, "person")
