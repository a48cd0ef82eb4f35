"""The life of tasks, steps, workers and handoffs as tables: what may follow what, and why.

The tables are data: a test drives every move by the cause that stands here, and the documentation
draws its diagrams and lists from them. Terminal statuses have no moves; a retry makes a new worker,
or reopens a task explicitly.
"""

from __future__ import annotations

__all__ = [
    "HANDOFF_EDGES",
    "HANDOFF_MOVES",
    "STEP_EDGES",
    "STEP_MOVES",
    "TASK_EDGES",
    "TASK_MOVES",
    "WORKER_EDGES",
    "WORKER_MOVES",
    "InvalidTransitionError",
    "check",
]

Edges = dict[str, frozenset[str]]
#: For each status what may follow it: who moves it, and on what.
Moves = dict[str, dict[str, str]]

_CANCELS = {"cancelled": "a person cancels it"}
_HOLDS = {"paused": "a person pauses it", **_CANCELS}
_CANCELS_PARTS = {"cancelled": "a person cancels it, or each of the tasks that it is made of"}
_CHANGED = "a person changes what its workers are made of, before one has started"

TASK_MOVES: Moves = {
    "pending": {
        "assigned": "the coordinator finds the master of its type, or a master accepts its handoff",
        "blocked": "the coordinator finds no master for its type, or that it is switched off",
        **_HOLDS,
    },
    "blocked": {
        "pending": "the coordinator sees that what it lacked is there, or a person retries it",
        **_HOLDS,
    },
    "awaiting_approval": {
        "assigned": "a person approves the whole of it",
        "in_progress": "a person approves a step of it",
        "pending": _CHANGED,
        "paused": "a person pauses it",
        "cancelled": "a person denies it, or cancels it",
    },
    "assigned": {
        "in_progress": "its master has a plan",
        "planning": "its master lets a worker plan",
        "blocked": "its master lacks something for the plan, or its children are open",
        "awaiting_approval": "its master may not start it without a yes",
        "pending": _CHANGED,
        **_HOLDS,
        **_CANCELS_PARTS,
    },
    "planning": {
        "in_progress": "its master accepts the plan, or goes on with one worker",
        "blocked": "its master gives planning up, and lacks something for one worker",
        "awaiting_approval": "its master may not start what was planned without a yes",
        "pending": _CHANGED,
        **_HOLDS,
    },
    "in_progress": {
        "aggregating": "its master sees that no step can move any more",
        "awaiting_approval": "its master may not start a step without a yes",
        "blocked": "its master sees that nothing can go on without what a worker lacked",
        "pending": _CHANGED,
        **_HOLDS,
    },
    "aggregating": {
        "completed": "its master reads the results: every step that is not optional is done",
        "failed": "its master reads the results: a step that is not optional is not done",
        **_HOLDS,
    },
    "paused": {
        "pending": "a person lets it go on, and it had not been routed",
        "blocked": "a person lets it go on, and it was blocked",
        "awaiting_approval": "a person lets it go on, and it was waiting for a yes",
        "assigned": "a person lets it go on, and it was approved meanwhile",
        "planning": "a person lets it go on, and it was being planned",
        "in_progress": "a person lets it go on, and it had steps",
        "aggregating": "a person lets it go on, and its steps had ended",
        **_CANCELS,
    },
    "completed": {},
    "failed": {"assigned": "a person retries it"},
    "cancelled": {
        "assigned": "a person retries it",
        "pending": "a person retries it, and it had no master yet",
    },
}

STEP_MOVES: Moves = {
    "waiting": {
        "ready": "its master sees that all it needs is done",
        "cancelled": "a person cancels its task, or a step that it needs did not succeed",
    },
    "ready": {
        "active": "its master asks for a worker",
        "cancelled": "a person cancels its task, or a step that it needs did not succeed",
    },
    "active": {
        "done": "its worker's results are accepted",
        "ready": "its worker ended without, and another may do better; or it could not be run",
        "failed": "its worker ended without; no attempt is left, or another would end the same",
        "cancelled": "a person cancels its task",
    },
    "done": {},
    "failed": {"waiting": "a person retries its task"},
    "cancelled": {"waiting": "a person retries its task"},
}

WORKER_MOVES: Moves = {
    "requested": {
        "approved": "admission has a slot and its tokens",
        "queued": "admission is short of tokens for it",
        "rejected": "its master may not have it; or tokens are short, and it is low or is to plan",
        "blocked": "its master sees that its runtime is no longer there",
        "cancelled": "a person cancels its task, or changes it",
    },
    "queued": {
        "approved": "admission has a slot and its tokens",
        "rejected": "admission is short of tokens, and it has low priority by now",
        "blocked": "its master sees that its runtime is no longer there",
        "cancelled": "a person cancels its task, or changes it",
    },
    "blocked": {
        "requested": "its master sees that its runtime is there again",
        "cancelled": "a person cancels its task, or changes it",
    },
    "approved": {
        "spawning": "the daemon starts it in the same turn",
        "queued": "admission takes its tokens back for work that is more urgent",
        "cancelled": "a person cancels its task, or changes it",
    },
    "spawning": {
        "running": "the daemon sees its claim",
        "collecting": "the daemon sees its end, or that it cannot be started",
        "queued": "the machine is short of something; no retry is spent",
        "approved": "no shim came, and the daemon wins the claim: it starts again",
        "ending": "a person cancels its task",
    },
    "running": {
        "collecting": "the daemon sees its end, or that nothing of it lives any more",
        "ending": "a person cancels its task, or its heartbeats stay away",
    },
    "ending": {"collecting": "the daemon sees its end, or that it never began"},
    "collecting": {
        "completed": "its master accepts its results",
        "failed": "its exit is not 0, its results are refused, or it could not be started",
        "timeout": "it ran over its timeout",
        "budget_exhausted": "it used more tokens than it had",
        "cancelled": "it was ended because its task was cancelled, or by a signal from outside",
        "lost": "nobody knows how it ended: it left no exit record",
    },
    "completed": {},
    "failed": {},
    "timeout": {},
    "budget_exhausted": {},
    "cancelled": {},
    "rejected": {},
    "lost": {},
}

HANDOFF_MOVES: Moves = {
    "pending": {
        "accepted": "the receiving master accepts it, or a person does in its stead",
        "rejected": "a person rejects it, or cancels one of its tasks",
    },
    "accepted": {
        "completed": "its task completed, some of its tasks perhaps cancelled",
        "rejected": "a person cancels its task, or each of the tasks in it",
    },
    "completed": {},
    "rejected": {},
}


def _edges(moves: Moves) -> Edges:
    return {status: frozenset(following) for status, following in moves.items()}


TASK_EDGES: Edges = _edges(TASK_MOVES)
STEP_EDGES: Edges = _edges(STEP_MOVES)
WORKER_EDGES: Edges = _edges(WORKER_MOVES)
HANDOFF_EDGES: Edges = _edges(HANDOFF_MOVES)


class InvalidTransitionError(Exception):
    """An event asks for an edge that the tables do not have: a fault of ours, never of a user."""


def check(table: Edges, before: str, after: str, what: str) -> None:
    """Raises InvalidTransitionError unless `after` may follow `before`; staying is allowed."""
    if before != after and after not in table[before]:
        raise InvalidTransitionError(f"{what}: {before} → {after} is no edge of its life")
