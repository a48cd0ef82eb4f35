"""How the state follows from the journal: one function per event, total and deterministic.

`evolve` reads nothing but its arguments, so that replaying a journal gives the state that wrote it.
Events carry every value they need; choosing those values is the work of the other modules here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.decide import (
    branches,
    definitions,
    evolve_edits,
    evolve_people,
    evolve_planning,
    known,
    ledger,
    pace,
)
from cortex.decide.evidence import learn
from cortex.decide.lifecycle import (
    STEP_EDGES,
    WORKER_EDGES,
    check,
)
from cortex.decide.lineage import count_attempt, count_end, count_task
from cortex.decide.transitions import count_id, set_task_status
from cortex.model.state import (
    Due,
    State,
    Step,
    Task,
    Worker,
)

__all__ = ["EVENTS", "UnknownEventError", "evolve"]

Event = dict[str, Any]


class UnknownEventError(KeyError):
    """The journal has an event that this version does not know: another one wrote it."""

    def __init__(self, name: object) -> None:
        super().__init__(f"the event {name!r}")
        self.name = name


def evolve(state: State, seq: int, at: str, events: list[Event]) -> None:
    """Applies one journal line to the state, in place.

    Raises InvalidTransitionError or KeyError for events that cannot follow from this state: the
    journal was written by another history, and going on would invent facts. UnknownEventError is
    the KeyError of an event that there is no function for.
    """
    moment = f"{at[:19]}Z"  # files tell whole seconds; the journal's own time orders lines
    for event in events:
        happen = EVENTS.get(event["event"])
        if happen is None:
            raise UnknownEventError(event["event"])
        happen(state, event, moment)
    state.seq = seq
    state.at = at


# --- intake


def _receipt_taken(state: State, event: Event, _at: str) -> None:
    state.receipts[event["receipt"]] = ""
    floor = event["floor"]
    if floor > state.receipt_floor:
        state.receipt_floor = floor
        for number in [number for number in state.receipts if number < floor]:
            del state.receipts[number]


def _drop_rejected(state: State, event: Event, _at: str) -> None:
    state.receipts[event["receipt"]] = event["reason"]


# --- tasks


def _task_accepted(state: State, event: Event, _at: str) -> None:
    task = Task.from_json(event["task"])
    state.tasks[task.id] = task
    count_task(state, task, 1)
    count_id(state, "task", task.id)
    state.index_task(task)
    state.touch("task", task.id)


def _task_routed(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.assigned_to = event["master"]
    task.blocked_on = task.waiting_for = None
    set_task_status(state, task, "assigned")


def _task_blocked(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.blocked_on = event["blocked_on"]
    task.assigned_to = event.get("master", task.assigned_to)
    set_task_status(state, task, "blocked")


def _task_unblocked(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.blocked_on = None
    for name in event.get("steps", []):
        task.step(name).missing = []
    if event.get("plan_again"):
        task.planning, task.approved = None, []  # no yes was for a plan that nobody knew
    set_task_status(state, task, "pending")


def _task_waiting(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.waiting_for = event["waiting_for"]
    state.touch("task", task.id)


def _task_planned(state: State, event: Event, at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.steps = [Step.from_json(step) for step in event["steps"]]
    task.execution_mode = event.get("execution_mode", task.execution_mode)
    task.quote = event.get("quote", task.quote)
    task.started_at = task.started_at or at
    task.waiting_for = None
    set_task_status(state, task, "in_progress")


def _task_aggregating(state: State, event: Event, _at: str) -> None:
    set_task_status(state, state.tasks[event["task_id"]], "aggregating")


def _task_ended(state: State, event: Event, at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.reason = event.get("reason")
    task.summary = event.get("summary", task.summary)
    task.partial = event.get("partial", False)
    task.worker_results = event.get("worker_results", task.worker_results)
    task.findings_count = event.get("findings_count", task.findings_count)
    task.result_location = event.get("result_location", task.result_location)
    task.aggregated_by = event.get("aggregated_by")
    task.follow_ups = event.get("follow_ups", task.follow_ups)
    task.known = event.get("known", [])
    task.handoff_id = event.get("handoff_id", task.handoff_id)
    task.ended_at = at
    task.blocked_on = task.waiting_for = None
    set_task_status(state, task, event["status"])


def _deadline_missed(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.missed_deadline = event["deadline"]
    state.touch("task", task.id)


def _task_linked(state: State, event: Event, _at: str) -> None:
    """Another drop or finding meant this task; its last few names are kept for whoever asks."""
    task = state.tasks[event["task_id"]]
    task.linked = [*task.linked, event["source"]][-20:]
    state.touch("task", task.id)


def _task_paused(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.resume_to = task.status
    set_task_status(state, task, "paused")


def _task_resumed(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    status, task.resume_to = task.resume_to or "pending", None
    # A hold keeps a task from its start; one that had begun was held by the pause alone.
    task.hold = task.hold and status in ("pending", "blocked")
    set_task_status(state, task, status)


def _task_released(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.hold = False
    task.waiting_for = None
    task.assigned_to = event.get("master", task.assigned_to)
    state.touch("task", task.id)


def _task_reopened(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    task.run += 1
    task.reason = task.ended_at = None
    task.assigned_to = event.get("master", task.assigned_to)
    task.waiting_for = event.get("waiting_for")
    task.hold = task.waiting_for is not None
    task.approved = []
    if not task.steps:
        task.planning = None
    for step in task.steps:
        if step.status not in ("done",):
            check(STEP_EDGES, step.status, "waiting", f"{task.id}/{step.name}")
            step.status, step.attempt, step.worker_id = "waiting", 0, None
            step.missing = []
            step.reason = step.not_before = None
            step.short_of_tokens = 0
    set_task_status(state, task, "assigned" if task.assigned_to else "pending")


def _step_added(state: State, event: Event, _at: str) -> None:
    """A further step; `before` needs it from now on, in place of what that needed before."""
    task = state.tasks[event["task_id"]]
    added = Step.from_json(event["step"])
    if "before" in event:
        task.steps.insert(task.steps.index(task.step(event["before"])), added)
        task.step(event["before"]).needs = [added.name]
    else:
        task.steps.append(added)
    state.touch("task", task.id)


def _step_removed(state: State, event: Event, _at: str) -> None:
    """A step that was asked for and refused; its rejected worker stays as the answer."""
    task = state.tasks[event["task_id"]]
    task.steps.remove(task.step(event["step"]))
    state.touch("task", task.id)


def _step_changed(state: State, event: Event, _at: str) -> None:
    task = state.tasks[event["task_id"]]
    step = task.step(event["step"])
    check(STEP_EDGES, step.status, event["status"], f"{task.id}/{step.name}")
    step.status = event["status"]
    step.reason = event.get("reason")
    step.missing = event.get("missing", [])
    step.made_of = event.get("made_of", "")
    due = event.get("not_before")
    step.not_before = Due(**due) if due else None
    step.short_of_tokens = event.get("short_of_tokens", 0)
    if step.status == "ready" and event.get("again"):
        step.attempt += 1
    if step.status != "active":
        step.worker_id = step.worker_id if step.status == "done" else None
    state.touch("task", task.id)


# --- workers


def _worker_requested(state: State, event: Event, _at: str) -> None:
    worker = Worker(**event["worker"])
    state.workers[worker.id] = worker
    count_attempt(state, worker)
    count_id(state, worker.id.rpartition("-")[0], worker.id)
    state.counters["order"] = max(state.counters.get("order", 0), worker.order)
    state.index_worker(worker)
    task = state.tasks[worker.task_id]
    task.workers.append(worker.id)
    step = task.step(worker.step)
    check(STEP_EDGES, step.status, "active", f"{task.id}/{step.name}")
    step.status, step.worker_id = "active", worker.id
    step.not_before, step.short_of_tokens = None, 0
    _touch_worker(state, worker)


def _touch_worker(state: State, worker: Worker) -> None:
    state.touch("worker", worker.id)
    state.touch("task", worker.task_id)


def _worker_status(state: State, worker: Worker, status: str) -> None:
    check(WORKER_EDGES, worker.status, status, worker.id)
    worker.status = status
    state.index_worker(worker)
    _touch_worker(state, worker)


def _worker_queued(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.reason = event["reason"]
    _worker_status(state, worker, "queued")


def _worker_preempted(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.reason, worker.preempted_by = event["reason"], event["preempted_by"]
    _worker_status(state, worker, "queued")


def _worker_blocked(state: State, event: Event, _at: str) -> None:
    """Its runtime has gone since it was asked for."""
    worker = state.workers[event["worker_id"]]
    worker.reason = event["reason"]
    _worker_status(state, worker, "blocked")


def _worker_unblocked(state: State, event: Event, _at: str) -> None:
    """It waits for its turn again, on the runtime that there is now."""
    worker = state.workers[event["worker_id"]]
    worker.reason = None
    for name in ("runtime", "lane", "uses_tokens", "heartbeats", "overhead_tokens"):
        setattr(worker, name, event[name])
    _worker_status(state, worker, "requested")


def _worker_approved(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.reason = None
    _worker_status(state, worker, "approved")


def _worker_spawning(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.boot_id = event["boot_id"]
    worker.runtime_dir = event["runtime_dir"]
    worker.nonce = event["nonce"]
    worker.folder = event["folder"]
    _worker_status(state, worker, "spawning")


def _worker_running(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.pid = event["pid"]
    worker.spawned_at = event["spawned_at"]
    worker.timeout_at = event["timeout_at"]
    worker.beside = pace.at_start(state, worker)
    _worker_status(state, worker, "running")


def _worker_ending(state: State, event: Event, _at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.cause = event["cause"]
    worker.reason = event.get("reason", worker.reason)
    _worker_status(state, worker, "ending")


def _worker_collecting(state: State, event: Event, _at: str) -> None:
    _worker_status(state, state.workers[event["worker_id"]], "collecting")


_OUTCOME = (
    "reason",
    "tokens_used",
    "partial",
    "review",
    "permanent",
    "exit_code",
    "exit_signal",
    "summary",
    "verdict",
    "findings",
    "branches",
    "duration_s",
)


def _worker_ended(state: State, event: Event, at: str) -> None:
    worker = state.workers[event["worker_id"]]
    for name in _OUTCOME:
        if name in event:
            setattr(worker, name, event[name])
    worker.ended_at = at
    worker.phase = None
    _worker_status(state, worker, event["status"])
    learn(state, worker)
    pace.take_end(state, worker)
    count_end(state, worker)


def _worker_cleaned(state: State, event: Event, at: str) -> None:
    worker = state.workers[event["worker_id"]]
    worker.cleaned_up_at = at
    state.touch("worker", worker.id)


# --- fleet


def _fleet_paused(state: State, event: Event, _at: str) -> None:
    state.paused = event["paused"]
    state.draining = state.draining and state.paused
    state.touch("fleet", "")
    for ident in state.waiting:
        _touch_worker(state, state.workers[ident])


def _fleet_draining(state: State, _event: Event, _at: str) -> None:
    state.draining = True
    state.touch("fleet", "")
    for ident in state.waiting:
        _touch_worker(state, state.workers[ident])


def _daemon_started(state: State, _event: Event, _at: str) -> None:
    """A drain ends with the daemon that drained."""
    state.draining = False


def _archived(state: State, event: Event, at: str) -> None:
    for ident in event["tasks"]:
        task = state.tasks.pop(ident)
        count_task(state, task, -1)
        state.ended_tasks.pop(ident, None)
        if task.key is not None and state.keys.get(task.key) == ident:
            del state.keys[task.key]
            known.remember(state, task.key, event, at)
        for need in task.needs:
            dependents = state.dependents.get(need, set())
            dependents.discard(ident)
            if not dependents:
                state.dependents.pop(need, None)
        state.touch("task", ident)
    for ident in event["workers"]:
        del state.workers[ident]
        state.touch("worker", ident)
    gone = [one.id for one in state.approvals.values() if one.task_id not in state.tasks]
    for ident in gone:
        del state.approvals[ident]
        state.touch("approval", ident)
    for ident in event.get("handoffs", []):
        del state.handoffs[ident]
        state.touch("handoff", ident)
    for ident in event.get("escalations", []):
        del state.escalations[ident]
        state.touch("escalation", ident)


def _noted(_state: State, _event: Event, _at: str) -> None:
    """Told for the record: changes nothing."""


EVENTS: dict[str, Callable[[State, Event, str], None]] = {
    "receipt_taken": _receipt_taken,
    "drop_rejected": _drop_rejected,
    "task_accepted": _task_accepted,
    "task_routed": _task_routed,
    "task_blocked": _task_blocked,
    "task_unblocked": _task_unblocked,
    "task_waiting": _task_waiting,
    "task_planned": _task_planned,
    "task_aggregating": _task_aggregating,
    "task_ended": _task_ended,
    "task_paused": _task_paused,
    "task_resumed": _task_resumed,
    "task_released": _task_released,
    "task_reopened": _task_reopened,
    "step_changed": _step_changed,
    "step_added": _step_added,
    "step_removed": _step_removed,
    "worker_requested": _worker_requested,
    "worker_queued": _worker_queued,
    "worker_preempted": _worker_preempted,
    "worker_blocked": _worker_blocked,
    "worker_unblocked": _worker_unblocked,
    "worker_approved": _worker_approved,
    "worker_spawning": _worker_spawning,
    "worker_running": _worker_running,
    "worker_ending": _worker_ending,
    "worker_collecting": _worker_collecting,
    "worker_ended": _worker_ended,
    "worker_cleaned": _worker_cleaned,
    "fleet_paused": _fleet_paused,
    "archived": _archived,
    "logs_removed": _noted,
    "day_opened": _noted,
    "usage_unusual": _noted,
    "fleet_draining": _fleet_draining,
    "daemon_started": _daemon_started,
    "daemon_stopped": _noted,
    "condition_began": _noted,
    "condition_ended": _noted,
    "task_linked": _task_linked,
    "deadline_missed": _deadline_missed,
    **evolve_edits.EVENTS,
    **branches.EVENTS,
    **definitions.EVENTS,
    **known.EVENTS,
    **ledger.EVENTS,
    **evolve_people.EVENTS,
    **pace.EVENTS,
    **evolve_planning.EVENTS,
}
