"""What several events have in common: a task's next status, and ids that are never given again."""

from __future__ import annotations

from cortex.decide.lifecycle import TASK_EDGES, check
from cortex.model.state import TERMINAL_TASK, State, Task

__all__ = ["count_id", "set_task_status"]


def count_id(state: State, prefix: str, ident: str) -> None:
    """Keeps a prefix's counter at or above the number that an id carries: no id is reused."""
    before, _, number = ident.rpartition("-")
    if before == prefix and number.isdigit() and len(number) <= 15:
        state.counters[prefix] = max(state.counters.get(prefix, 0), int(number))


def set_task_status(state: State, task: Task, status: str) -> None:
    """Moves a task along one edge of its life, and wakes those that need it once it has ended."""
    check(TASK_EDGES, task.status, status, task.id)
    task.status = status
    state.touch("task", task.id)
    if status in TERMINAL_TASK:
        state.ended_tasks[task.id] = None
        for dependent in sorted(state.dependents.get(task.id, ())):
            state.touch("task", dependent)
    else:
        state.ended_tasks.pop(task.id, None)
