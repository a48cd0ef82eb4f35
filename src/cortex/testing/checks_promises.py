"""What no line of the journal may do, whatever came before it: starts that limits, claims,
questions, pauses or the order of steps forbid.

Held against the state that the journal gives, by rules of its own rather than by the deciding code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cortex.model.journal_line import Line
from cortex.model.settings import Settings
from cortex.model.state import State, Worker

__all__ = ["PromiseChecks"]

Event = dict[str, Any]


@dataclass(slots=True)
class PromiseChecks:
    """`settings` are those of the daemon that runs; `drains_after` is the last line of one that was
    told to drain."""

    settings: Settings = field(default_factory=Settings)
    drains_after: int | None = None
    _preempted: Counter[str] = field(default_factory=Counter)

    def begins(self, settings: Settings) -> None:
        """Another daemon takes over."""
        self.settings, self.drains_after = settings, None

    def take(self, line: Line, state: State) -> list[str]:
        """What is wrong with a line, given the state after it."""
        found: list[str] = []
        paid = {e["worker_id"] for e in line.events if e["event"] == "tokens_reserved"}
        for event in line.events:
            check = _CHECKS.get(event["event"])
            if check is not None:
                found += check(self, event, state)
            if event["event"] == "worker_approved" and event["worker_id"] in paid:
                found += self._granted(state.workers[event["worker_id"]], state, line.seq)
        return [f"line {line.seq}: {text}" for text in found]

    def _granted(self, worker: Worker, state: State, seq: int) -> list[str]:
        task = state.tasks[worker.task_id]
        found = []
        if state.paused:
            found.append("while the fleet is paused")
        if state.draining or (self.drains_after is not None and seq > self.drains_after):
            found.append("while the daemon drains")
        if task.status not in ("in_progress", "planning", "awaiting_approval"):
            found.append(f"while {task.id} is {task.status}")
        if task.step(worker.step).status != "active":
            found.append(f"for a step that is {task.step(worker.step).status}")
        others = [state.workers[i] for i in state.live if i != worker.id]
        found += self._over_limits(worker, [*others, worker])
        for other in others:
            if _meet(worker, other):
                found.append(f"and {other.id} of {other.task_id} writes there")
            if (other.task_id, other.step) == (worker.task_id, worker.step):
                found.append(f"and {other.id} lives for the same step")
        return [f"{worker.id} is granted {text}" for text in found]

    def _over_limits(self, worker: Worker, live: list[Worker]) -> list[str]:
        limits = self.settings.limits
        of_task = sum(1 for one in live if one.task_id == worker.task_id)
        of_type = sum(1 for one in live if one.worker_type == worker.worker_type)
        of_repository = sum(1 for one in live if one.repository == worker.repository)
        counts = (
            ("of its lane", sum(1 for one in live if one.lane == worker.lane),
             limits.tools if worker.lane == "tools" else limits.agents),
            ("of its task", of_task, worker.max_parallel),
            ("of its type", of_type, limits.per_type.get(worker.worker_type)),
            ("of its repository", of_repository if worker.repository else 0, limits.per_repository),
        )  # fmt: skip
        return [
            f"as number {count} {what}; {most} may live"
            for what, count, most in counts
            if most and count > most
        ]

    def _requested(self, event: Event, state: State) -> list[str]:
        worker = state.workers[event["worker"]["id"]]
        if worker.status == "rejected":
            return []  # a master's wish that was refused in the same line
        task = state.tasks[worker.task_id]
        steps = {step.name: step for step in task.every_step()}
        early = [
            need
            for need in steps[worker.step].needs
            if steps[need].status != "done"
            and not (steps[need].optional and steps[need].status in ("failed", "cancelled"))
        ]
        if early:
            return [f"{worker.id} is asked for before {', '.join(early)}"]
        open_question = [
            one.id
            for one in state.approvals.values()
            if one.task_id == task.id and one.status == "pending" and one.resume_to
        ]
        return [f"{worker.id} is asked for while {one} waits" for one in open_question]

    def _opened(self, event: Event, state: State) -> list[str]:
        worker = state.workers[event["worker_id"]]
        found = []
        if worker.priority != "critical":
            found.append(f"the reserve pays for {worker.id}, which is {worker.priority}")
        if self.settings.budget.reserve_needs_approval and not any(
            one.task_id == worker.task_id and one.gate == ":reserve" and one.status == "approved"
            for one in state.approvals.values()
        ):
            found.append(f"the reserve pays for {worker.id}, and nobody said yes")
        return found

    def _gave_way(self, event: Event, state: State) -> list[str]:
        self._preempted[event["worker_id"]] += 1
        if self._preempted[event["worker_id"]] > 1:
            return [f"{event['worker_id']} gives way a second time"]
        if state.workers[event["preempted_by"]].priority != "critical":
            return [f"{event['worker_id']} gives way to what is not critical"]
        return []

    def _alert(self, event: Event, state: State) -> list[str]:
        if state.budget.alerts.count(event["alert"]) > 1:
            return [f"{event['alert']} is told twice in a period"]
        return []

    def _over(self, event: Event, state: State) -> list[str]:
        task = state.tasks[event["task_id"]]
        left = [step.name for step in task.steps if step.status != "done" and not step.optional]
        if event["status"] == "completed" and left:
            return [f"{task.id} is completed without {', '.join(left)}"]
        return []


def _meet(one: Worker, other: Worker) -> bool:
    """Whether two workers of different tasks would write the same files."""
    if one.task_id == other.task_id or one.repository != other.repository:
        return False
    return any(
        "." in (mine, its) or f"{mine}/".startswith(f"{its}/") or f"{its}/".startswith(f"{mine}/")
        for mine in one.claims
        for its in other.claims
    )


_CHECKS: dict[str, Callable[[PromiseChecks, Event, State], list[str]]] = {
    "worker_requested": PromiseChecks._requested,
    "reserve_opened": PromiseChecks._opened,
    "worker_preempted": PromiseChecks._gave_way,
    "alert_raised": PromiseChecks._alert,
    "task_ended": PromiseChecks._over,
}
