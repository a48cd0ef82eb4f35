"""Which ended work may leave the published files, and what of it the archive gets.

Leaving takes two steps: the rows are written to the archive, then one line takes the records out of
the state. When that is due is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from cortex.decide import project
from cortex.decide.branches import is_open
from cortex.decide.known import AGAIN_AFTER_S, remembered
from cortex.model.state import TERMINAL_TASK, State, Task

__all__ = ["Leaving", "leaving", "loose_ends", "may_leave"]

Row = dict[str, Any]
Kind = Literal["task", "worker", "handoff", "escalation"]
#: Rows for the archive, and the event that takes their records out of the state.
Leaving = tuple[list[tuple[Kind, str, Row]], Row]


def may_leave(state: State, task: Task) -> bool:
    """Whether nothing needs an ended task any more, and its workers' files are cleared and their
    branches kept.

    What its own retry would hold against it stays too: a parent looks at what became of its tasks,
    and whoever needs a task at whether that was completed.
    """
    dependents = (state.tasks.get(ident) for ident in state.dependents.get(task.id, ()))
    over = ("completed",) if task.status != "completed" else TERMINAL_TASK
    if any(one is not None and one.status not in over for one in dependents):
        return False
    if task.parent in state.tasks:
        return False
    workers = [state.workers[ident] for ident in task.workers if ident in state.workers]
    return all(worker.cleaned_up_at is not None and not is_open(worker) for worker in workers)


def loose_ends(state: State, before: str) -> tuple[list[str], list[str]]:
    """(handoffs, escalations) that ended before an instant and belong to no task that is here."""
    handoffs = [
        handoff.id
        for handoff in state.handoffs.values()
        if handoff.status != "pending"
        and handoff.task_id not in state.tasks
        and (handoff.ended_at or handoff.accepted_at or handoff.created_at) < before
    ]
    escalations = [
        escalation.id
        for escalation in state.escalations.values()
        if escalation.status == "closed"
        and escalation.task_id not in state.tasks
        and (escalation.ended_at or escalation.created_at) < before
    ]
    return handoffs, escalations


def leaving(
    state: State,
    tasks: Sequence[Task],
    handoffs: Sequence[str] = (),
    escalations: Sequence[str] = (),
    again_after: float = AGAIN_AFTER_S,
) -> Leaving:
    """What goes with these tasks: their workers, escalations and handoffs, but for a handoff that
    still waits for its answer. Handoffs and escalations may also be named by themselves. What
    became of follow-ups stays known, `again_after` seconds from their end.
    """
    ids = {task.id for task in tasks}
    rows: list[tuple[Kind, str, Row]] = []
    workers: list[str] = []
    for task in tasks:
        rows.append(("task", task.id, project.task_row(task, state)))
        for ident in task.workers:
            worker = state.workers.get(ident)
            if worker is None:
                continue
            completed = worker.status == "completed"
            row = project.completed_row(worker) if completed else project.failed_row(worker)
            rows.append(("worker", ident, row))
            workers.append(ident)
    own = (h.id for h in state.handoffs.values() if h.task_id in ids and h.status != "pending")
    all_handoffs = list(dict.fromkeys([*handoffs, *own]))
    told = (e.id for e in state.escalations.values() if e.task_id in ids)
    all_escalations = list(dict.fromkeys([*escalations, *told]))
    rows += [("handoff", i, project.handoff_row(state.handoffs[i])) for i in all_handoffs]
    rows += [
        ("escalation", i, project.escalation_row(state.escalations[i])) for i in all_escalations
    ]
    event = {
        "event": "archived",
        "tasks": sorted(ids),
        "workers": workers,
        "handoffs": all_handoffs,
        "escalations": all_escalations,
    }
    known = remembered(state, tasks, again_after)
    return rows, {**event, "known": known} if known else event
