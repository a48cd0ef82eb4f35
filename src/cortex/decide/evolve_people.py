"""Events of what goes between masters and people: handoffs, escalations, approvals, schedules.

As `evolve`, of which it is a part: total, deterministic, and nothing but its arguments is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.decide.lifecycle import HANDOFF_EDGES, check
from cortex.decide.lineage import lift
from cortex.decide.transitions import count_id, set_task_status
from cortex.model.state import Approval, Escalation, Handoff, Schedule, State

__all__ = ["EVENTS"]

Event = dict[str, Any]


# --- handoffs, escalations


def _handoff_created(state: State, event: Event, _at: str) -> None:
    handoff = Handoff(**event["handoff"])
    state.handoffs[handoff.id] = handoff
    count_id(state, "handoff", handoff.id)
    state.touch("handoff", handoff.id)


def _handoff_changed(state: State, event: Event, at: str) -> None:
    handoff = state.handoffs[event["handoff_id"]]
    check(HANDOFF_EDGES, handoff.status, event["status"], handoff.id)
    handoff.status = event["status"]
    handoff.reason = event.get("reason", handoff.reason)
    if handoff.status == "accepted":
        handoff.accepted_at = at
    else:
        handoff.ended_at = at
    state.touch("handoff", handoff.id)
    state.touch("task", handoff.task_id)


def _escalation_raised(state: State, event: Event, _at: str) -> None:
    escalation = Escalation(**event["escalation"])
    state.escalations[escalation.id] = escalation
    count_id(state, "escalation", escalation.id)
    state.touch("escalation", escalation.id)


def _escalation_ended(state: State, event: Event, at: str) -> None:
    escalation = state.escalations[event["escalation_id"]]
    escalation.status, escalation.ended_at = "closed", at
    state.touch("escalation", escalation.id)


# --- approvals


def _approval_asked(state: State, event: Event, _at: str) -> None:
    approval = Approval(**event["approval"])
    state.approvals[approval.id] = approval
    count_id(state, "approval", approval.id)
    state.touch("approval", approval.id)
    if approval.resume_to:
        set_task_status(state, state.tasks[approval.task_id], "awaiting_approval")
    else:
        state.touch("task", approval.task_id)


def _approval_answered(state: State, event: Event, at: str) -> None:
    """A yes lets the task go on where it was; what a no or a withdrawal means stands beside it."""
    approval = state.approvals[event["approval_id"]]
    approval.status, approval.answered_at = event["status"], at
    approval.comment = event.get("comment")
    state.touch("approval", approval.id)
    if approval.status != "approved":
        return
    task = state.tasks[approval.task_id]
    task.approved += [approval.gate or approval.step or "", *approval.also]
    if approval.lifts:
        lift(state, task, approval.lifts)
    if not approval.resume_to:
        state.touch("task", task.id)
    elif task.status == "paused":
        task.resume_to = approval.resume_to
        state.touch("task", task.id)
    else:
        set_task_status(state, task, approval.resume_to)


def _approval_overdue(state: State, event: Event, _at: str) -> None:
    approval = state.approvals[event["approval_id"]]
    approval.escalation_id = event["escalation_id"]
    state.touch("approval", approval.id)


# --- schedules


def _schedule_set(state: State, event: Event, _at: str) -> None:
    schedule = Schedule(**event["schedule"])
    state.schedules[schedule.id] = schedule
    count_id(state, "schedule", schedule.id)
    state.touch("schedule", schedule.id)


def _schedule_moved(state: State, event: Event, _at: str) -> None:
    """The next instant is another one: after a run, a skip, a pause or a clock set back."""
    schedule = state.schedules[event["schedule_id"]]
    schedule.next_at, schedule.set_at = event["next_at"], event["set_at"]
    schedule.paused = event.get("paused", schedule.paused)
    if "task_id" in event:
        schedule.runs += 1
        schedule.last_run, schedule.last_task = event["set_at"], event["task_id"]
    state.touch("schedule", schedule.id)


def _schedule_removed(state: State, event: Event, _at: str) -> None:
    del state.schedules[event["schedule_id"]]
    state.touch("schedule", event["schedule_id"])


def _check_in_planned(state: State, event: Event, _at: str) -> None:
    fields = ("words", "next_at", "set_at")
    state.check_ins[event["master"]] = {name: event[name] for name in fields}


EVENTS: dict[str, Callable[[State, Event, str], None]] = {
    "handoff_created": _handoff_created,
    "handoff_changed": _handoff_changed,
    "escalation_raised": _escalation_raised,
    "escalation_ended": _escalation_ended,
    "approval_asked": _approval_asked,
    "approval_answered": _approval_answered,
    "approval_overdue": _approval_overdue,
    "check_in_planned": _check_in_planned,
    "master_checked_in": _check_in_planned,
    "schedule_set": _schedule_set,
    "schedule_fired": _schedule_moved,
    "schedule_skipped": _schedule_moved,
    "schedule_moved": _schedule_moved,
    "schedule_removed": _schedule_removed,
}
