"""What a dropped request becomes: journal events, or a refusal with reason and remedy.

The request itself is well formed already; here it is held against what is there. Ids of archived
work are given by the caller, because the state holds only what is open or recently ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortex.decide import budget
from cortex.decide.ending import cancel_task, reopen_task
from cortex.decide.entry import Entry, Now
from cortex.decide.handoffs import accept_handoff, reject_handoff
from cortex.model.errors import RequestError
from cortex.model.requests import (
    BudgetRequest,
    HandoffAnswer,
    Request,
    TaskRequest,
    VerbRequest,
)
from cortex.model.state import TERMINAL_TASK, State, Task

__all__ = ["accept"]

Event = dict[str, Any]
BY = "inbox"


def accept(
    state: State, request: Request, source: str, now: Now, archived: Mapping[str, str]
) -> Entry:
    """The journal line of a request, without its receipt; RequestError where it is refused.

    `archived` maps ids (and `key:…`) of archived tasks that the request names to their status or,
    for a key, to the task's id.
    """
    if isinstance(request, TaskRequest):
        return _task(state, request, source, now, archived)
    if isinstance(request, HandoffAnswer):
        return _handoff(state, request)
    if isinstance(request, BudgetRequest):
        why = request.reason or f"a person set the total budget to {request.total_budget:,}"
        return Entry("person", why, budget.change_total(state, request.total_budget))
    return _verb(state, request)


def _task(
    state: State, request: TaskRequest, source: str, now: Now, archived: Mapping[str, str]
) -> Entry:
    if request.key is not None:
        known = state.keys.get(request.key) or archived.get(f"key:{request.key}")
        if known is not None:
            event = {"event": "task_linked", "task_id": known, "source": source}
            events = [event] if known in state.tasks else []
            return Entry(BY, f"{source} has the key of {known}: nothing new", events)
    if request.id is not None and (request.id in state.tasks or request.id in archived):
        status = archived.get(request.id) or state.tasks[request.id].status
        raise RequestError(
            f"task {request.id} is already here ({status})",
            field="id",
            hint="leave the id out or choose another; `retry` runs the same task again",
        )
    for need in request.needs:
        if need not in state.tasks and need not in archived:
            raise RequestError(
                f"needs {need!r}, which is no task here", field="needs", hint="drop that one first"
            )
    task = _record(state, request, source, now)
    return Entry(BY, f"{source} asks for it", [{"event": "task_accepted", "task": task.to_json()}])


def _record(state: State, request: TaskRequest, source: str, now: Now) -> Task:
    task_type = request.type or ("command" if request.command or request.workers else "general")
    return Task(
        id=request.id or f"task-{state.counters.get('task', 0) + 1:03d}",
        title=request.title or _title(task_type, request),
        type=task_type,
        priority=request.priority,
        created_at=now.at,
        execution_mode=request.execution_mode,
        scope=request.scope.model_dump(exclude_none=True, exclude={"command"}),
        deadline=request.deadline,
        timeout_s=request.timeout,
        retries=request.retries,
        token_budget=request.token_budget,
        runtime=request.runtime,
        command=request.command,
        env=request.env,
        needs=list(dict.fromkeys(request.needs)),
        key=request.key,
        plan=[step.model_dump(exclude_none=True) for step in request.workers],
        max_parallel=request.max_parallel,
        fallback=request.fallback,
        hold=request.hold,
        source=source,
        extra=request.model_extra or {},
    )


def _title(task_type: str, request: TaskRequest) -> str:
    if request.command is not None:
        words = request.command
        return (words if isinstance(words, str) else " ".join(words)).split("\n")[0][:80]
    scope = request.scope
    names = scope.repositories or ([scope.repository] if scope.repository else [])
    if not names:
        return task_type
    shown = ", ".join(name.rstrip("/").rpartition("/")[2] for name in names[:3])
    return f"{task_type} of {shown}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _open(state: State, task_id: str, verb: str) -> Task:
    task = state.tasks.get(task_id)
    if task is None:
        raise RequestError(
            f"{verb} names {task_id}, which is no task here",
            field="task_id",
            hint="`cortex get tasks` lists them; archived tasks cannot be changed",
        )
    return task


def _verb(state: State, request: VerbRequest) -> Entry:
    reason = request.reason or f"a person asked to {request.kind}"
    if request.task_id is None:
        paused = request.kind == "pause"
        return Entry("person", reason, [{"event": "fleet_paused", "paused": paused}])
    task = _open(state, request.task_id, request.kind)
    if request.kind == "retry":
        return Entry("person", reason, reopen_task(state, task))
    if task.status in TERMINAL_TASK and not (request.kind == "cancel" and request.cascade):
        raise RequestError(
            f"{task.id} has ended already ({task.status})",
            field="task_id",
            hint=f"`retry` runs it again; there is nothing to {request.kind}",
        )
    if request.kind == "cancel":
        return Entry("person", reason, cancel_task(state, task, reason, request.cascade))
    if request.kind == "pause":
        if task.status == "paused":
            raise RequestError(f"{task.id} is paused already", field="task_id")
        return Entry("person", reason, [{"event": "task_paused", "task_id": task.id}])
    if task.status == "paused":
        return Entry("person", reason, [{"event": "task_resumed", "task_id": task.id}])
    if task.hold:
        return Entry("person", reason, [{"event": "task_released", "task_id": task.id}])
    raise RequestError(f"{task.id} is not paused ({task.status})", field="task_id")


def _handoff(state: State, request: HandoffAnswer) -> Entry:
    handoff = state.handoffs.get(request.handoff_id)
    if handoff is None:
        raise RequestError(f"{request.handoff_id} is no handoff here", field="handoff_id")
    if handoff.status != "pending":
        raise RequestError(
            f"{handoff.id} is {handoff.status} already; the answer comes too late",
            field="handoff_id",
        )

    reason = request.reason or f"a person {request.status} it"
    if request.status == "accepted":
        return Entry("person", reason, accept_handoff(state, handoff))
    return Entry("person", reason, reject_handoff(state, handoff, reason))
