"""Which features a simulated run has reached, told from its journal.

A feature that no run reaches is one that the simulation says nothing of; `scripts/sim --reached`
counts them. Nothing is checked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cortex.decide.claims import in_the_way
from cortex.model.journal_line import Line
from cortex.model.state import State

__all__ = ["FEATURES", "Reached"]

Event = dict[str, Any]
_GATES = {"": "a task", ":tokens": "tokens of a task", ":lineage": "a ceiling", ":review": "an end",
          ":reserve": "the reserve"}  # fmt: skip
#: Events that are a feature by themselves.
_PLAIN = {
    "fleet_draining": "drain",
    "fleet_paused": "pause of the fleet",
    "task_paused": "pause of a task",
    "task_reopened": "retry of a task",
    "task_replanned": "change of what a plan is made of",
    "task_linked": "task of a known key",
    "plan_accepted": "plan of a model accepted",
    "plan_refused": "plan of a model refused",
    "planning_given_up": "planning given up",
    "step_added": "worker request for a task",
    "approval_overdue": "approval without an answer in time",
    "schedule_fired": "schedule fires",
    "schedule_skipped": "schedule skips a run",
    "schedule_removed": "schedule taken out",
    "reserve_closed": "reserve opened and closed",
    "worker_preempted": "critical work takes a place",
    "worker_queued": "worker waits for tokens",
    "worker_blocked": "worker type gone while its worker waits",
    "worker_unblocked": "worker type back",
    "tokens_reallocated": "tokens move between masters",
    "deadline_missed": "deadline missed",
    "master_checked_in": "check-in of a master",
    "follow_up_known": "finding that is known",
    "branches_kept": "branches kept",
    "escalation_ended": "escalation closed",
    "workers_at_once_set": "number at once learned",
    "alert_raised": "alert of a fund",
    "archived": "archive",
    "file_edited": "edit taken up",
}
#: Every feature that a run may reach, in the order in which they are counted.
FEATURES = (
    *_PLAIN.values(),
    *(f"question about {what}" for what in (*_GATES.values(), "a step")),
    *(f"question {how}" for how in ("approved", "denied", "withdrawn", "answered in the file")),
    *(f"handoff {how}" for how in ("accepted", "rejected", "completed")),
    "batches of items",
    "direct mode",
    "fallback to direct mode",
    "path claim in the way",
    "low priority refused",
    "low priority goes on before the reset",
    "what is missing blocks a task",
    "what was missing is there",
    "task without its master's file",
    "review by a worker type",
    "cancel of many tasks",
    "budget raised",
    "budget lowered",
    "reset with running workers",
    "task left out by a cancel",
    "other settings after a restart",
)


@dataclass(slots=True)
class Reached:
    """The features of one run."""

    features: set[str] = field(default_factory=set)
    _refused: dict[tuple[str, str], int] = field(default_factory=dict)
    _resets: int = 0
    _total: int = 0

    def take(self, line: Line, state: State) -> None:
        """Takes in a line, and the state after it."""
        names = [event["event"] for event in line.events]
        for event in line.events:
            plain = _PLAIN.get(event["event"])
            if plain is not None:
                self.features.add(plain)
            told = _TOLD.get(event["event"])
            if told is not None:
                self.features.update(told(event, line, state))
        if line.by == "person" and names.count("task_ended") > 1:
            self.features.add("cancel of many tasks")
        self._budget(line, state)
        self._refusals(line)

    def _budget(self, line: Line, state: State) -> None:
        total = state.budget.total
        by_hand = any(event["event"] == "budget_changed" for event in line.events)
        if by_hand and total != self._total:
            self.features.add("budget raised" if total > self._total else "budget lowered")
        self._total = total

    def _refusals(self, line: Line) -> None:
        """Steps whose worker was refused, and whether they were asked for again so soon."""
        for event in line.events:
            if event["event"] == "budget_reset":
                self._resets += 1
            elif event["event"] == "step_changed" and event.get("short_of_tokens"):
                self._refused[event["task_id"], event["step"]] = self._resets
                self.features.add("low priority refused")
            elif event["event"] == "worker_requested":
                worker = event["worker"]
                refused = self._refused.pop((worker["task_id"], worker["step"]), None)
                if refused == self._resets:
                    self.features.add("low priority goes on before the reset")


def _asked(event: Event, _line: Line, _state: State) -> Iterator[str]:
    asked = event["approval"]
    yield f"question about {'a step' if asked.get('step') else _GATES[asked.get('gate', '')]}"


def _answered(event: Event, line: Line, _state: State) -> Iterator[str]:
    yield f"question {event['status']}"
    if any(other["event"] == "file_edited" for other in line.events):
        yield "question answered in the file"


def _handed(event: Event, _line: Line, _state: State) -> Iterator[str]:
    yield f"handoff {event['status']}"


def _planned(event: Event, line: Line, state: State) -> Iterator[str]:
    task = state.tasks[event["task_id"]]
    if task.execution_mode == "direct":
        yield "direct mode"
    if "dropped for direct mode" in line.why:
        yield "fallback to direct mode"
    if any(step.items for step in task.steps):
        yield "batches of items"
    if any(step.name.startswith("review") for step in task.steps):
        yield "review by a worker type"


def _requested(event: Event, _line: Line, state: State) -> Iterator[str]:
    worker = state.workers[event["worker"]["id"]]
    live = (state.workers[ident] for ident in state.live)
    if worker.claims and in_the_way(worker, live) is not None:
        yield "path claim in the way"


def _blocked(event: Event, _line: Line, state: State) -> Iterator[str]:
    if any(step.missing for step in state.tasks[event["task_id"]].steps):
        yield "what is missing blocks a task"
    if "has no file any more" in event["blocked_on"]:
        yield "task without its master's file"


def _unblocked(event: Event, _line: Line, _state: State) -> Iterator[str]:
    if event.get("steps"):
        yield "what was missing is there"


def _reset(event: Event, _line: Line, _state: State) -> Iterator[str]:
    if event["charged"]:
        yield "reset with running workers"


def _ended(event: Event, _line: Line, state: State) -> Iterator[str]:
    task = state.tasks.get(event["task_id"])
    if task is not None and task.children and task.status == "completed" and event.get("partial"):
        yield "task left out by a cancel"


_TOLD = {
    "approval_asked": _asked,
    "approval_answered": _answered,
    "handoff_changed": _handed,
    "task_planned": _planned,
    "worker_requested": _requested,
    "task_blocked": _blocked,
    "task_unblocked": _unblocked,
    "budget_reset": _reset,
    "task_ended": _ended,
}
