"""How records look in the published files: the rows of the four documents.

Rows carry the public field names in a fixed order. Optional fields that say nothing are left out,
so that a person reads what is there; the fields that the format promises are always present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortex.decide.bounds import REVIEW_GATE
from cortex.decide.branches import branch_rows
from cortex.decide.budget import total_used
from cortex.decide.reserve import GATE as RESERVE_GATE
from cortex.model.funds import Opening
from cortex.model.owners import TASK_OWNERS
from cortex.model.state import Approval, Escalation, Handoff, Schedule, State, Step, Task, Worker
from cortex.model.times import format_time, write_duration

__all__ = [
    "Vitals",
    "active_row",
    "approval_row",
    "budget_document",
    "completed_row",
    "escalation_row",
    "failed_row",
    "handoff_row",
    "learned_counts",
    "queued_row",
    "schedule_row",
    "task_row",
]

Row = dict[str, Any]


@dataclass(slots=True)
class Vitals:
    """What a live worker's heartbeat last said; lives in memory only, never in the journal."""

    last_heartbeat: str | None = None
    tokens_used: int = 0
    progress: float | None = None
    message: str | None = None
    healthy: bool = True


def _tidy(row: Row, optional: Row) -> Row:
    row.update((key, value) for key, value in optional.items() if value not in (None, [], {}, ""))
    return row


def task_row(task: Task, state: State, waiting_for: str | None = None) -> Row:
    """A row of task-queue.json. `waiting_for` says in words what an open task waits for."""
    workers = [state.workers[ident] for ident in task.workers if ident in state.workers]
    row: Row = {
        "id": task.id,
        "title": task.title,
        "type": task.type,
        "priority": task.priority,
        "status": task.status,
        "execution_mode": task.execution_mode,
        "assigned_to": task.assigned_to,
        "scope": task.scope,
        "deadline": task.deadline,
        "worker_plan": {
            "total_workers": len(task.steps),
            "workers_spawned": sum(1 for worker in workers if worker.spawned_at),
            "workers_completed": sum(1 for step in task.steps if step.status == "done"),
            "estimated_tokens": task.quote.get("p90", 0)
            or sum(worker.token_budget for worker in workers),
        },
        "created_at": task.created_at,
    }
    used = sum(worker.tokens_used for worker in workers)
    # What the daemon says is never hidden by a field of the same name that a person brought along.
    own = {name: value for name, value in task.extra.items() if name not in TASK_OWNERS}
    return _tidy(row, {**_task_details(task, waiting_for, used), **own})


def _task_details(task: Task, waiting_for: str | None, used: int) -> Row:
    return {
        "waiting_for": waiting_for or task.waiting_for,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "blocked_on": task.blocked_on,
        "reason": task.reason,
        "summary": task.summary,
        "partial": task.partial or None,
        "quote": task.quote,
        "planning": _planning_row(task),
        "missed_deadline": task.missed_deadline,
        "findings": task.findings_count,
        "tokens_used": used,
        "steps": [_step_row(step) for step in task.steps],
        "workers": task.workers,
        "worker_results": task.worker_results,
        "result_location": task.result_location,
        "follow_ups": task.follow_ups,
        "known": task.known,
        "children": task.children,
        "linked": task.linked,
        "handoff_id": task.handoff_id,
        "parent": task.parent,
        "caused_by": task.caused_by,
        "source": task.source,
        "key": task.key,
        "needs": task.needs,
        "command": task.command,
        "items": len(task.items) or None,
        "batch": task.batch,
        "runtime": None if task.runtime == "auto" else task.runtime,
        "token_budget": task.token_budget,
        "timeout": write_duration(task.timeout_s) if task.timeout_s else None,
        "retries": task.retries,
        "hold": task.hold or None,
        "approval": task.approval or None,
        "run": task.run if task.run > 1 else None,
        "context": task.context,
    }


def _planning_row(task: Task) -> Row | None:
    """A model's part in the plan; its steps stand here until the task has them itself."""
    planning = task.planning
    if planning is None:
        return None
    status = "asked" if not planning.decided else "accepted" if planning.workers else "given up"
    steps = [] if task.steps else planning.workers
    return _tidy(
        {"status": status, "by": planning.step.worker_type},
        {
            "worker_id": planning.worker_id,
            "reason": planning.given_up or planning.reason,
            "refused": planning.refused,
            "steps": [_proposed_row(step) for step in steps],
        },
    )


def _proposed_row(step: Row) -> Row:
    names = ("name", "worker_type", "needs", "scope", "command", "token_budget", "timeout")
    return _tidy({}, {name: step.get(name) for name in names})


def _step_row(step: Step) -> Row:
    row: Row = {"name": step.name, "worker_type": step.worker_type, "status": step.status}
    return _tidy(
        row,
        {
            "worker_id": step.worker_id,
            "attempt": step.attempt if step.attempt else None,
            "needs": step.needs,
            "optional": step.optional or None,
            "repository": step.scope.get("repository"),
            "items": step.items[1] - step.items[0] if step.items else None,
            "reason": step.reason,
        },
    )


def active_row(worker: Worker, vitals: Vitals) -> Row:
    """A row of active_workers: collecting and ending show as running with a phase."""
    phase = worker.status if worker.status in ("ending", "collecting") else None
    row: Row = {
        "worker_id": worker.id,
        "worker_type": worker.worker_type,
        "spawned_by": worker.master,
        "spawned_at": worker.spawned_at,
        "status": "running" if phase else worker.status,
        "task_id": worker.task_id,
        "token_budget": worker.token_budget,
        "tokens_used": max(worker.tokens_used, vitals.tokens_used),
        "timeout_at": worker.timeout_at,
        "last_heartbeat": vitals.last_heartbeat,
        "session_id": f"{worker.boot_id}:{worker.pid}" if worker.pid else None,
        "step": worker.step,
        "attempt": worker.attempt,
        "runtime": worker.runtime,
        "fund": worker.fund,
        "metering": "reported",
    }
    return _tidy(
        row,
        {
            "phase": phase,
            "cause": worker.cause,
            "healthy": None if vitals.healthy else False,
            "progress": vitals.progress,
            "message": vitals.message,
            "repository": worker.repository,
            "retry_of": worker.retry_of,
            "result_location": worker.folder,
        },
    )


def queued_row(worker: Worker, waiting_for: str | None = None) -> Row:
    """A row of queued_workers, with the fields of a worker request (spec B1)."""
    row: Row = {
        "id": worker.id,
        "master_agent": worker.master,
        "worker_type": worker.worker_type,
        "estimated_tokens": worker.token_budget,
        "priority": worker.priority,
        "justification": worker.justification,
        "timeout": write_duration(worker.timeout_s),
        "status": worker.status,
        "task_id": worker.task_id,
        "step": worker.step,
        "requested_at": worker.requested_at,
    }
    more = {
        "waiting_for": waiting_for or worker.reason,
        "retry_of": worker.retry_of,
        "runtime": worker.runtime,
        "repository": worker.repository,
        "max_parallel": worker.max_parallel,
    }
    return _tidy(row, {**more, "preempted_by": worker.preempted_by})


def learned_counts(state: State) -> Row:
    """What worker-pool.json says before its lists: how many at once were learned, by lane."""
    names = ("count", "reason", "at")
    rows = {lane: {n: pace[n] for n in names} for lane, pace in state.pace.items() if "at" in pace}
    return {"learned": rows} if rows else {}


def _ended_row(worker: Worker) -> Row:
    return {
        "worker_id": worker.id,
        "status": worker.status,
        "tokens_used": worker.tokens_used,
    }


def _ended_details(worker: Worker) -> Row:
    return {
        "worker_type": worker.worker_type,
        "spawned_by": worker.master,
        "task_id": worker.task_id,
        "step": worker.step,
        "attempt": worker.attempt,
        "fund": worker.fund,
        "token_budget": worker.token_budget,
        "retry_of": worker.retry_of,
        "exit_code": worker.exit_code,
        "exit_signal": worker.exit_signal,
        "findings": worker.findings or None,
        "repository": worker.repository,
        "spawned_at": worker.spawned_at,
        "duration_s": worker.duration_s,
    }


def completed_row(worker: Worker) -> Row:
    """A row of completed_workers."""
    row = _ended_row(worker)
    row["duration_minutes"] = round((worker.duration_s or 0.0) / 60, 2)
    row["completed_at"] = worker.ended_at
    row["result_location"] = worker.folder
    return _tidy(
        row,
        {
            "partial": worker.partial or None,
            "review": worker.review,
            "verdict": worker.verdict,
            "summary": worker.summary,
            "branches": branch_rows(worker) or None,
            **_ended_details(worker),
        },
    )


def failed_row(worker: Worker) -> Row:
    """A row of failed_workers: every terminal status but completed."""
    row = _ended_row(worker)
    row["error"] = worker.reason
    row["failed_at"] = worker.ended_at
    return _tidy(
        row,
        {
            "permanent": worker.permanent or None,
            "result_location": worker.folder if worker.spawned_at else None,
            **_ended_details(worker),
        },
    )


def handoff_row(handoff: Handoff) -> Row:
    """A row of handoffs.json, as spec M9 has it."""
    row: Row = {
        "handoff_id": handoff.id,
        "from_agent": handoff.from_agent,
        "to_agent": handoff.to_agent,
        "task_id": handoff.task_id,
        "context": handoff.context,
        "status": handoff.status,
        "created_at": handoff.created_at,
    }
    return _tidy(
        row,
        {
            "source_task": handoff.source_task,
            "accepted_at": handoff.accepted_at,
            "ended_at": handoff.ended_at,
            "reason": handoff.reason,
        },
    )


def escalation_row(escalation: Escalation) -> Row:
    """A row of escalations."""
    row: Row = {
        "escalation_id": escalation.id,
        "subject": escalation.subject,
        "reason": escalation.reason,
        "status": escalation.status,
        "created_at": escalation.created_at,
    }
    return _tidy(row, {"task_id": escalation.task_id, "ended_at": escalation.ended_at})


#: What stands in the row of a question that starts no plan.
_OFFERS = {RESERVE_GATE: "would_open", REVIEW_GATE: "to_review"}


def approval_row(approval: Approval) -> Row:
    """A row of approvals."""
    row: Row = {
        "approval_id": approval.id,
        "task_id": approval.task_id,
        "status": approval.status,
        "reason": approval.reason,
        "created_at": approval.created_at,
    }
    return _tidy(
        row,
        {
            "step": approval.step,
            "gate": approval.gate.removeprefix(":") or None,
            _OFFERS.get(approval.gate, "would_start"): approval.offer or None,
            "comment": approval.comment,
            "answered_at": approval.answered_at,
            "escalation_id": approval.escalation_id,
        },
    )


def schedule_row(schedule: Schedule) -> Row:
    """A row of scheduled_workers: as it was asked for, and when it ran and runs."""
    last = None if schedule.last_run is None else format_time(schedule.last_run)
    row: Row = {
        "id": schedule.id,
        "schedule": schedule.schedule,
        "timezone": schedule.timezone,
        "worker_type": schedule.worker_type,
        "count": schedule.count,
        "repositories": schedule.repositories or None,
        **schedule.task,
        "overlap": schedule.overlap,
        "paused": schedule.paused,
        "next_run": None if schedule.paused else format_time(schedule.next_at),
        "last_run": last,
        "last_task": schedule.last_task,
        "runs": schedule.runs,
        "source": schedule.source,
        "created_at": schedule.created_at,
    }
    return {name: value for name, value in row.items() if value is not None}


def _opening_row(opening: Opening) -> Row:
    """A row of emergency_reserve.openings."""
    row: Row = {
        "task_id": opening.task_id,
        "opened_by": opening.opened_by,
        "opened_at": opening.opened_at,
        "why": opening.why,
        "workers": list(opening.workers),
        "tokens": opening.tokens,
        "spent": opening.spent,
    }
    more = {"preempted": list(opening.preempted), "approval_id": opening.approval_id}
    return _tidy(row, {**more, "closed_at": opening.closed_at})


def budget_document(state: State, vitals: dict[str, Vitals]) -> Row:
    """token-budget.json without its header: every number as the ledger has it this instant."""
    budget = state.budget
    used, own = total_used(state, {ident: seen.tokens_used for ident, seen in vitals.items()})
    own_percentage = int(own * 100 / used + 0.5) if used else 0
    return {
        "budget_period": budget.period,
        "period_start": format_time(budget.period_start),
        "resets_at": format_time(budget.resets_at),
        "total_budget": budget.total,
        "masters": {
            name: {
                "allocated": fund.allocated,
                "used": fund.used,
                "reserved": fund.reserved,
                "worker_pool": fund.share,
                "worker_pool_used": fund.share_used,
            }
            for name, fund in sorted(budget.masters.items())
        },
        "worker_pool": {
            "total": budget.pool_total,
            "allocated_to_workers": budget.pool_allocated,
            "spent": budget.pool_spent,
            "available": budget.pool_available,
        },
        "emergency_reserve": {
            "total": budget.reserve_total,
            "used": budget.reserve_allocated + budget.reserve_spent,
            "allocated": budget.reserve_allocated,
            "spent": budget.reserve_spent,
            "trigger_threshold": budget.trigger_threshold,
            "openings": [_opening_row(opening) for opening in budget.openings],
        },
        "overrun_tokens": budget.overrun,
        "usage_metrics": {
            "total_tokens_used_today": used,
            "masters_percentage": own_percentage,
            "workers_percentage": 100 - own_percentage if used else 0,
            "efficiency_score": round(budget.accepted_tokens / budget.ended_tokens, 3)
            if budget.ended_tokens
            else 1.0,
        },
        "alerts": list(budget.alerts),
    }
