"""Says in a few words what a journal event is. Data in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from cortex.cli.ages import clock
from cortex.cli.terminal import one_line
from cortex.model.journal_line import Line

__all__ = ["alert_parts", "line_text", "phrase"]

Event = dict[str, Any]


def _task_accepted(event: Event) -> str:
    task = event.get("task") or {}
    return f"{task.get('id')} accepted ({task.get('type')}, {task.get('priority')})"


def _worker_requested(event: Event) -> str:
    worker = event.get("worker") or {}
    again = f", retry of {worker['retry_of']}" if worker.get("retry_of") else ""
    return f"{worker.get('id')} requested for step {worker.get('step')}{again}"


def _handoff_created(event: Event) -> str:
    handoff = event.get("handoff") or {}
    return f"{handoff.get('id')}: {handoff.get('task_id')} handed to {handoff.get('to_agent')}"


def _escalation_raised(event: Event) -> str:
    escalation = event.get("escalation") or {}
    return f"{escalation.get('id')}: {escalation.get('subject')}"


def _schedule_set(event: Event) -> str:
    schedule = event.get("schedule") or {}
    return f"{schedule.get('id')} set: {schedule.get('schedule')}"


def _worker_ended(event: Event) -> str:
    used = event.get("tokens_used")
    return f"{event.get('worker_id')} {event.get('status')}" + (
        f", used {used:,}" if isinstance(used, int) and used else ""
    )


def _step_changed(event: Event) -> str:
    """Steps that go as they should are told by their workers."""
    if event.get("status") in ("ready", "active", "done"):
        return ""
    return f"{event.get('task_id')} step {event.get('step')} {event.get('status')}"


def _step_added(event: Event) -> str:
    before = f" before {event['before']}" if event.get("before") else ""
    return f"{event.get('task_id')} gets step {(event.get('step') or {}).get('name')}{before}"


def _task_planned(event: Event) -> str:
    steps = len(event.get("steps") or [])
    return f"{event.get('task_id')} planned as {steps} step{'s' if steps != 1 else ''}"


def _tokens(event: Event, name: str) -> str:
    value = event.get(name)
    return f"{value:,}" if isinstance(value, int) else str(value)


#: With more of them in one line only their number is told, as at the first start of a home.
_DEFINITIONS_NAMED = 3
_FUNDS = {"pool": "the worker pool", "reserve": "the emergency reserve"}
_LEVELS = {
    "alert": "filling up",
    "escalation": "nearly used up",
    "reserve_next": "so full that the emergency reserve is next",
}
_PHRASES: dict[str, Callable[[Event], str]] = {
    "receipt_taken": lambda _event: "",
    "drop_rejected": lambda event: f"{event.get('name') or event.get('file', 'a drop')} refused",
    "task_accepted": _task_accepted,
    "task_routed": lambda event: f"{event.get('task_id')} goes to {event.get('master')}",
    "task_blocked": lambda event: f"{event.get('task_id')} blocked",
    "task_unblocked": lambda event: f"{event.get('task_id')} can go on",
    "task_waiting": lambda event: f"{event.get('task_id')} waits: {event.get('waiting_for')}",
    "task_planned": _task_planned,
    "task_planning": lambda event: f"{event.get('task_id')} is to be planned by a worker",
    "plan_proposed": lambda event: f"{event.get('worker_id')} hands in a plan",
    "plan_accepted": lambda event: f"the plan of {event.get('worker_id')} is accepted",
    "plan_refused": lambda event: f"the plan of {event.get('worker_id')} is refused",
    "planning_given_up": lambda event: f"{event.get('task_id')} gets no plan of a model",
    "task_ended": lambda event: f"{event.get('task_id')} {event.get('status')}",
    "follow_up_known": lambda event: f"{event.get('task_id')} found again: {event.get('told')}",
    "follow_up_released": lambda event: (
        f"{event.get('task_id')} is done again by the next scan that finds it"
    ),
    "task_linked": lambda event: (
        f"{event.get('source', 'a drop')} brings nothing new: {event.get('task_id')} stands for it"
    ),
    "usage_unusual": lambda event: (
        f"{event.get('worker_id')} used {_tokens(event, 'used')} tokens; "
        f"half of its kind used {_tokens(event, 'median')} or less"
    ),
    "deadline_missed": lambda event: f"{event.get('task_id')} missed its deadline",
    "step_added": _step_added,
    "step_removed": lambda _event: "",  # its worker's rejection stands in the same line
    "step_changed": _step_changed,
    "worker_collecting": lambda _event: "",  # its end stands in the same line
    "file_edited": lambda event: (
        f"{event.get('file')} edited: {'; '.join(event.get('changes') or ['by hand'])}"
    ),
    "file_edit_refused": lambda event: (
        f"an edit of {event.get('file')} refused: "
        f"{(event.get('refusal') or {}).get('reason', 'it lies in rejected/')}"
    ),
    "task_edited": lambda event: (
        f"{event.get('task_id')} changed: {', '.join(event.get('fields') or ())}"
    ),
    "task_replanned": lambda event: f"{event.get('task_id')} is planned anew",
    "worker_requested": _worker_requested,
    "workers_at_once_set": lambda event: f"{event.get('lane')}: {event.get('count')} at once",
    "worker_ended": _worker_ended,
    "worker_cleaned": lambda event: f"{event.get('worker_id')} cleaned up",
    "tokens_reserved": lambda event: (
        f"{_tokens(event, 'tokens')} reserved from the {event.get('fund')}"
        if event.get("tokens")
        else ""
    ),
    "tokens_returned": lambda event: f"{event.get('worker_id')} gives its tokens back",
    "tokens_settled": lambda event: (
        f"{_tokens(event, 'used')} tokens spent" if event.get("used") else ""
    ),
    "handoff_created": _handoff_created,
    "handoff_changed": lambda event: f"{event.get('handoff_id')} {event.get('status')}",
    "escalation_raised": _escalation_raised,
    "approval_answered": lambda event: f"{event.get('approval_id')} {event.get('status')}",
    "escalation_ended": lambda event: f"{event.get('escalation_id')} closed",
    "schedule_set": _schedule_set,
    "check_in_planned": lambda _event: "",
    "master_checked_in": lambda event: f"{event.get('master')} checks in",
    "schedule_fired": lambda event: f"{event.get('schedule_id')} makes {event.get('task_id')}",
    "schedule_moved": lambda event: (
        f"{event.get('schedule_id')} {'paused' if event.get('paused') else 'goes on'}"
    ),
    "branches_kept": lambda event: (
        f"branches of {event.get('worker_id')} "
        + (f"are in {event['mirror']}" if event.get("mirror") else "stay in their bundles")
    ),
    "fleet_draining": lambda _event: "nothing new starts, the daemon leaves when idle",
    "fleet_paused": lambda event: "fleet paused" if event.get("paused") else "fleet goes on",
    "definition_changed": lambda event: (
        f"{event.get('kind')} {event.get('name')} {event.get('change')} ({event.get('file')})"
    ),
    "budget_configured": lambda event: f"budget of {_tokens(event, 'total')} set up",
    "budget_changed": lambda event: f"budget now {_tokens(event, 'total')}",
    "budget_reset": lambda _event: "a new budget period",
    "tokens_reallocated": lambda event: (
        f"{_tokens(event, 'tokens')} tokens moved from {event.get('from')} to {event.get('to')}"
    ),
    "worker_preempted": lambda event: (
        f"{event.get('worker_id')} gives way to {event.get('preempted_by')}"
    ),
    "reserve_opened": lambda event: (
        f"{event.get('by')} opens the emergency reserve for {event.get('task_id')}: "
        f"{_tokens(event, 'tokens')} tokens"
    ),
    "reserve_closed": lambda event: (
        f"the emergency reserve is closed again for {event.get('task_id')}, "
        f"{_tokens(event, 'tokens')} tokens used"
    ),
    "alert_raised": lambda event: f"alert: {_alert_text(event.get('alert'))}",
    "condition_began": lambda event: str(event.get("condition")).replace("_", " "),
    "condition_ended": lambda event: (
        f"{str(event.get('condition')).replace('_', ' ')} over after {event.get('lasted_s')} s"
    ),
    "archived": lambda event: (
        f"{len(event.get('tasks') or [])} tasks and {len(event.get('workers') or [])} "
        "workers archived"
    ),
    "logs_removed": lambda event: (
        f"logs of before {event.get('until')} removed: {event.get('tasks')} tasks, "
        f"{event.get('workers')} workers, {event.get('rejected')} refused drops"
    ),
    "day_opened": lambda _: "a new day of the journal",
}


def alert_parts(alert: object) -> tuple[str, str] | None:
    """The fund and the level of an alert of token-budget.json in words; None of an odd one."""
    fund, _, level = str(alert).rpartition(":")
    named = _FUNDS.get(fund) or f"the {fund.removeprefix('master:')} master"
    return (named, _LEVELS[level]) if fund and level in _LEVELS else None


def _alert_text(alert: object) -> str:
    """As it was when it was raised: `pool:alert` is `the worker pool is filling up`."""
    parts = alert_parts(alert)
    return one_line(alert) if parts is None else " is ".join(parts)


def phrase(event: Event) -> str:
    """What happened, like `worker-scan-001 approved`; empty for what people need not see."""
    name = str(event.get("event"))
    known = _PHRASES.get(name)
    if known is not None:
        return one_line(known(event))
    subject, _, verb = name.partition("_")
    ident = event.get(f"{subject}_id")
    words = verb.replace("_", " ")
    return one_line(f"{ident} {words}" if ident else name.replace("_", " "))


def _few_definitions(events: list[Event]) -> tuple[list[Event], list[str]]:
    """The events, and in their stead the number of definitions that changed where they are many."""
    changed = [event for event in events if event["event"] == "definition_changed"]
    if len(changed) <= _DEFINITIONS_NAMED:
        return events, []
    words = Counter(str(event.get("change")) for event in changed)
    said = ", ".join(f"{count} {word}" for word, count in words.items())
    return [event for event in events if event not in changed], [f"definitions: {said}"]


def line_text(line: Line) -> tuple[str, str, str]:
    """Time, who, and what with why, each on one line."""
    why = one_line(line.why)
    ended = {event.get("worker_id") for event in line.events if event["event"] == "worker_ended"}
    told = [
        event
        for event in line.events
        if event["event"] != "worker_running" or event.get("worker_id") not in ended
    ]
    told, counted = _few_definitions(told)
    said = counted + [text for event in told if (text := phrase(event)) and text not in why]
    what = "; ".join(dict.fromkeys(said))
    text = f"{what}: {why}" if what and why and why not in what else what or why
    return clock(line.at), one_line(line.by), text
