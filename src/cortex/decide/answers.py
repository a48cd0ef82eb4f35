"""What a person's answer does: yes or no to an approval, or that an escalation was seen."""

from __future__ import annotations

from typing import Any

from cortex.decide.ending import cancel_task
from cortex.decide.entry import Entry
from cortex.decide.escalate import end_escalation
from cortex.decide.overdue import close_overdue
from cortex.model.errors import RequestError
from cortex.model.requests import Answer
from cortex.model.state import Approval, State

__all__ = ["answer"]

Event = dict[str, Any]


def answer(state: State, request: Answer) -> Entry:
    """The line of a person's yes or no; RequestError where nothing waits for it."""
    if request.escalation_id is not None:
        return _seen(state, request)
    approval = _pending(state, request)
    status = "approved" if request.kind == "approve" else "denied"
    event: Event = {
        "event": "approval_answered",
        "approval_id": approval.id,
        "task_id": approval.task_id,
        "status": status,
    }
    if request.reason:
        event["comment"] = request.reason
    why = request.reason or f"a person {status} {approval.id} of {approval.task_id}"
    if status == "approved" or not approval.resume_to:
        return Entry("person", why, [event, *close_overdue(state, approval)])
    text = f"{approval.id} was denied" + (f": {request.reason}" if request.reason else "")
    ended = cancel_task(state, state.tasks[approval.task_id], text)
    rest = [one for one in ended if one.get("approval_id") != approval.id]
    return Entry("person", why, [event, *rest])


def _pending(state: State, request: Answer) -> Approval:
    for approval in state.approvals.values():
        named = request.approval_id == approval.id or request.task_id == approval.task_id
        if named and approval.status == "pending" and _is_waited_for(state, approval):
            return approval
    field = "approval_id" if request.approval_id is not None else "task_id"
    known = state.approvals.get(request.approval_id or "")
    if known is not None:
        status = f"{known.status} already"
        if known.status == "pending":
            status = f"asked no more: {known.task_id} is {state.tasks[known.task_id].status}"
        raise RequestError(f"{known.id} is {status}", field=field)
    raise RequestError(
        f"nothing of {request.approval_id or request.task_id} waits for a yes or no",
        field=field,
        hint="`cortex get approvals` lists what does",
    )


def _is_waited_for(state: State, approval: Approval) -> bool:
    """Whether a yes can let its task go on; not where a version before this one left it behind."""
    waits = ("awaiting_approval", "paused")
    return not approval.resume_to or state.tasks[approval.task_id].status in waits


def _seen(state: State, request: Answer) -> Entry:
    escalation = state.escalations.get(request.escalation_id or "")
    if escalation is None or escalation.status != "open":
        status = "closed already" if escalation is not None else "no escalation here"
        raise RequestError(
            f"{request.escalation_id} is {status}",
            field="escalation_id",
            hint="`cortex get escalations` lists the open ones",
        )
    why = request.reason or f"a person has seen {escalation.id}"
    event = end_escalation(escalation)
    if escalation.task_id is not None:
        event["task_id"] = escalation.task_id
    return Entry("person", why, [event])
