"""One ceiling for all that comes of a dropped task: its attempts, and those of its descendants.

Retries and follow-ups are bounded each by themselves; together they may still run away. At the
ceiling the next worker waits for a person's yes.
"""

from __future__ import annotations

from cortex.model.settings import Settings
from cortex.model.state import State, Task, Worker

__all__ = ["GATE", "at_ceiling", "count_attempt", "count_end", "count_task", "root_of"]

#: How `Task.approved` names that a task may go on past the ceiling; no step is called so.
GATE = ":lineage"


def root_of(task: Task) -> str:
    """The task that everything of this line came out of."""
    return task.root or task.id


def count_task(state: State, task: Task, more: int) -> None:
    """Counts a task that is new (1) or was archived (-1); a line without tasks is forgotten.

    Like the other counts a part of `evolve`.
    """
    sums = _count(state, task, (0, 0, more))
    if sums[2] <= 0:
        del state.lineages[root_of(task)]


def count_attempt(state: State, worker: Worker) -> None:
    """Counts a worker that was asked for."""
    _count(state, state.tasks[worker.task_id], (1, 0, 0))


def count_end(state: State, worker: Worker) -> None:
    """Counts what an ended worker used; one that was rejected was no attempt."""
    attempts = -1 if worker.status == "rejected" else 0
    _count(state, state.tasks[worker.task_id], (attempts, worker.tokens_used, 0))


def _count(state: State, task: Task, more: tuple[int, int, int]) -> list[int]:
    sums = state.lineages.get(root_of(task), [0, 0, 0])
    state.lineages[root_of(task)] = sums = [
        one + other for one, other in zip(sums, more, strict=True)
    ]
    return sums


def at_ceiling(state: State, task: Task, settings: Settings) -> str | None:
    """Why no further worker of this line starts without a yes; None below the ceiling."""
    if GATE in task.approved:
        return None
    attempts, tokens, _ = state.lineages.get(root_of(task), [0, 0, 0])
    limits = settings.limits
    whose = "it has" if root_of(task) == task.id else f"{root_of(task)} and what came of it have"
    if limits.attempts_per_lineage and attempts >= limits.attempts_per_lineage:
        limit = f"limits.attempts_per_lineage is {limits.attempts_per_lineage}"
        return f"{whose} had {attempts} attempts; {limit}"
    if limits.tokens_per_lineage and tokens >= limits.tokens_per_lineage:
        limit = f"limits.tokens_per_lineage is {limits.tokens_per_lineage:,}"
        return f"{whose} used {tokens:,} tokens; {limit}"
    return None
