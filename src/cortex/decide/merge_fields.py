"""Edits of a task's own fields: which may change when, and what follows for its plan.

Title, priority, deadline, retries, hold and unknown keys change at any time while the task is open.
What its workers are made from (type, scope, …) changes until one of them has started; the plan is
then made anew.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.approvals import withdraw_approvals
from cortex.decide.edit import Difference, Merged, Refusal
from cortex.decide.ending import cancel_worker
from cortex.decide.handoffs import check_release
from cortex.decide.lineage import GATE as LINEAGE_GATE
from cortex.decide.not_run import changes_the_plan, waits_for_parts
from cortex.decide.overdue import close_overdue
from cortex.decide.reserve import GATE as RESERVE_GATE
from cortex.decide.shortage import of_priority
from cortex.model.errors import RequestError
from cortex.model.owners import TASK_OWNERS
from cortex.model.requests import TaskRequest, parse_request
from cortex.model.state import PLANNER, TERMINAL_TASK, TERMINAL_WORKER, WAITING_WORKER, State, Task

__all__ = ["edit_fields", "is_said_by"]

Event = dict[str, Any]
#: The names of a request where a row and a record have others.
_RECORD_NAMES = {"timeout": "timeout_s"}
#: What these are when a person takes them out of a row.
_EMPTY: dict[str, Any] = {"scope": {}, "runtime": "auto", "retries": None, "deadline": None,
                          "token_budget": None, "timeout": None, "command": None}  # fmt: skip


def edit_fields(
    state: State, task: Task, asked: list[Difference], merged: Merged, verbs: set[str]
) -> None:
    """Adds to `merged` what the changed fields of one task come to.

    `verbs` names the events that the same edit makes of the task's status, before these.
    """
    fields: dict[str, Any] = {}
    extra = dict(task.extra)
    replan = False
    hold: bool | None = None
    for each in asked:
        try:
            value = _checked(each)
            _may_change(state, task, each.name, verbs)
            if each.name == "hold" and not value:
                check_release(state, task)
        except RequestError as error:
            now = _record_value(task, each.name)
            merged.refusals.append(
                Refusal(task.id, error.message, each.name, each.yours, now, error.hint)
            )
            continue
        if each.name not in TASK_OWNERS:
            extra.pop(each.name, None)
            if each.yours is not None:
                extra[each.name] = each.yours
            fields["extra"] = extra
        elif each.name == "hold":
            hold = value
        else:
            fields[_RECORD_NAMES.get(each.name, each.name)] = value
            replan = replan or TASK_OWNERS[each.name] == "before start"
        merged.changes.append(f"{task.id} {each.name}: {_short(each)}")
    if replan and waits_for_parts(task):
        replan = changes_the_plan(task, fields)
    if "priority" in fields:
        merged.events += of_priority(state, task, fields["priority"])
    if replan:
        merged.events += _plan_anew(state, task, "type" in fields)
    if fields:
        merged.events.append(_edited(task, fields))
    if hold is not None:
        merged.events += _hold(task, hold, verbs)


def is_said_by(task: Task, name: str, value: Any) -> bool:
    """Whether a value says what the task's field is already, in other words than its row: `normal`
    for `medium`, an instant of another zone."""
    if TASK_OWNERS.get(name) not in ("person", "before start"):
        return False
    try:
        return bool(_checked(Difference(name, value, None)) == _record_value(task, name))
    except RequestError:
        return False


def _checked(each: Difference) -> Any:
    """The value as a drop would have it; RequestError where a drop would be refused."""
    if each.name not in TASK_OWNERS:
        return each.yours
    if each.yours is None and each.name in _EMPTY:
        return _EMPTY[each.name]
    if each.yours is None and each.name == "hold":
        return False
    payload = {"title": "x", "kind": "task", each.name: each.yours}
    try:
        request = parse_request(payload)
    except RequestError as error:
        hint = None if error.hint and "drop the file" in error.hint else error.hint
        raise RequestError(error.message, hint=hint or "correct it in the file") from None
    assert isinstance(request, TaskRequest)
    if each.name == "scope":
        return request.scope.model_dump(exclude_none=True, exclude={"command"})
    value = getattr(request, each.name)
    if value is None:
        raise RequestError("cannot be empty", hint="write a value, or leave the row as it was")
    return value


def _may_change(state: State, task: Task, name: str, verbs: set[str]) -> None:
    if name not in TASK_OWNERS or name == "title":
        return
    if "task_ended" in verbs:
        raise RequestError("the same edit cancels the task", hint="one or the other")
    if task.status in TERMINAL_TASK and "task_reopened" not in verbs:
        raise RequestError(
            f"the task has ended ({task.status}); its {name} changes nothing any more",
            hint="set its status to pending too, and it runs again"
            if task.status != "completed"
            else "drop it again as a new task",
        )
    if TASK_OWNERS[name] != "before start":
        return
    if task.children:
        raise RequestError(
            "the task has no workers of its own; its work is in other tasks",
            hint=f"edit {', '.join(task.children[:5])}",
        )
    if task.status == "aggregating":
        raise RequestError("all its steps have ended; its results are being gathered")
    if waits_for_parts(task):
        return  # nothing of it runs, and this is what it waits for
    asked = next((step.name for step in task.steps if step.asked), None)
    if asked is not None:
        raise RequestError(
            f"a worker was asked for beside its plan ({asked}), and a new plan would be without it",
            hint=f"set the status of {task.id} to cancelled, and add a row with another {name}",
        )
    started = next((ident for ident in task.workers if _has_started(state, ident)), None)
    if started is not None:
        raise RequestError(
            f"{started} has started already; what it works on does not change under it",
            hint=f"set the status of {task.id} to cancelled, and add a row with another {name}",
        )


def _has_started(state: State, worker_id: str) -> bool:
    worker = state.workers.get(worker_id)
    if worker is not None and worker.step == PLANNER and worker.status in TERMINAL_WORKER:
        return False  # its plan is made anew with the rest
    if worker is None or worker.spawned_at is not None:
        return True
    return worker.status not in (*WAITING_WORKER, "approved", "rejected", "cancelled")


def _plan_anew(state: State, task: Task, type_changed: bool) -> list[Event]:
    """Takes back what was asked for and has not started, where there is a plan at all."""
    planned = bool(task.steps) or task.planning is not None
    if not planned and task.status in ("pending", "blocked") and not type_changed:
        return []
    events: list[Event] = []
    for ident in task.workers:
        worker = state.workers[ident]
        if worker.status not in TERMINAL_WORKER:
            events += cancel_worker(worker, "its task was changed before it started")
    for approval in state.approvals.values():
        if approval.task_id == task.id and approval.status == "pending":
            events += close_overdue(state, approval)
    events += withdraw_approvals(state, task.id)  # the new plan asks anew
    keeps = task.assigned_to if task.handoff_id or not type_changed else None
    replanned: Event = {"event": "task_replanned", "task_id": task.id, "assigned_to": keeps}
    of_no_plan = [said for said in task.approved if said in (LINEAGE_GATE, RESERVE_GATE)]
    return [*events, {**replanned, "approved": of_no_plan}]


def _edited(task: Task, fields: dict[str, Any]) -> Event:
    event: Event = {"event": "task_edited", "task_id": task.id, "fields": fields}
    retries = fields.get("retries")
    if retries is not None:
        own = {row["name"] for row in task.plan if "retries" in row}
        event["retries"] = {s.name: retries for s in task.steps if s.name not in own}
    return event


def _hold(task: Task, hold: bool, verbs: set[str]) -> list[Event]:
    """A held task starts nothing new: one that has a plan already is paused by it."""
    if not hold:
        events: list[Event] = [{"event": "task_released", "task_id": task.id}]
        was_held_by_it = task.status == "paused" and task.resume_to not in ("pending", "blocked")
        if was_held_by_it and "task_resumed" not in verbs:
            events.append({"event": "task_resumed", "task_id": task.id})
        return events
    events = [{"event": "task_edited", "task_id": task.id, "fields": {"hold": True}}]
    is_paused = task.status == "paused" and "task_resumed" not in verbs
    if task.status not in ("pending", "blocked") and not is_paused and "task_paused" not in verbs:
        events.append({"event": "task_paused", "task_id": task.id})
    return events


def _record_value(task: Task, name: str) -> Any:
    return getattr(task, _RECORD_NAMES.get(name, name), task.extra.get(name))


def _short(each: Difference) -> str:
    if each.yours is None:
        return "taken out"
    text = str(each.yours)
    return f"→ {text[:60]}" + ("…" if len(text) > 60 else "")
