"""The facts of some recorded days: what came from outside, and what became of each attempt.

Everything else in a journal was decided by Cortex, and is left out: a rerun decides it again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cortex.decide.evolve import evolve
from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.model.state import LIVE, State
from cortex.model.times import format_time, parse_time
from cortex.store.journal_scan import opened_day, read_lines
from cortex.store.replaying import state_of

__all__ = ["Attempt", "Fact", "Recording", "Spell", "record"]

Event = dict[str, Any]
#: (task id, step name, the how-manieth attempt at that step it is, from 0)
AttemptKey = tuple[str, str, int]

#: Beside the end of a task, what its line says of what came of its findings.
_BROUGHT = ("task_accepted", "handoff_created", "task_linked", "follow_up_known")
#: What a rerun decides by itself. Any other event is a fact, and is told to it as it was.
_DECIDED = frozenset(
    (
        *("receipt_taken", "drop_rejected", "archived", "logs_removed", "file_edited"),
        *("file_edit_refused", "condition_began", "condition_ended", "day_opened"),
        *("daemon_started", "daemon_stopped", "deadline_missed", "usage_unusual"),
        "approval_overdue",
        *("task_routed", "task_blocked", "task_unblocked"),
        *(
            "follow_up_known",
            "task_waiting",
            "task_planned",
            "task_aggregating",
            "task_ended",
            "task_reopened",
        ),
        *("task_planning", "plan_proposed", "plan_accepted", "plan_refused", "planning_given_up"),
        *("step_changed", "handoff_created", "handoff_changed", "escalation_raised"),
        *("escalation_ended", "approval_asked", "alert_raised", "reserve_opened", "budget_reset"),
        *("budget_changed", "budget_configured", "tokens_reserved", "tokens_returned"),
        *("tokens_settled", "tokens_reallocated", "worker_requested", "worker_queued"),
        *("worker_blocked", "worker_unblocked", "worker_approved"),
        *("worker_spawning", "worker_running"),
        *("worker_ending", "worker_collecting", "worker_ended", "worker_cleaned"),
        "workers_at_once_set",
        "definition_changed",
        "branches_kept",
    )
)

_AT_A_START = ("budget_configured", "definition_changed")


@dataclass(slots=True)
class Attempt:
    """How one attempt went; times in seconds since 1970. `ended_at` None: it was still at it.

    `end` is its `worker_ended` event, with the `plan` that it handed in; `backoff_s` is what its
    step waited before the next attempt.
    """

    worker_type: str
    approved_at: float
    claimed_at: float | None = None
    ending_at: float | None = None
    ended_at: float | None = None
    end: Event = field(default_factory=dict)
    backoff_s: float | None = None
    number: int = 1

    @property
    def start_s(self) -> float:
        """From its approval to its process."""
        return max(0.0, (self.claimed_at or self.approved_at) - self.approved_at)


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that came from outside. `kind` is events, cancel, retry, total, handoff or
    configured; `events` are those of its line that matter."""

    at_s: float
    kind: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which no daemon ran, in seconds since 1970."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Recording:
    """Some days of one home. `start` is the state before them, as a checkpoint has it."""

    start: dict[str, Any]
    start_s: float
    end_s: float
    facts: list[Fact] = field(default_factory=list)
    attempts: dict[AttemptKey, Attempt] = field(default_factory=dict)
    conclusions: dict[str, tuple[float | None, tuple[Event, ...]]] = field(default_factory=dict)
    downs: list[Spell] = field(default_factory=list)
    lines: list[tuple[float, list[Event]]] = field(default_factory=list)
    final: State = field(default_factory=State)

    def down_until(self, at_s: float) -> float:
        """When decisions go on: the end of the spell without a daemon, or the instant itself."""
        for spell in self.downs:
            if spell.start_s < at_s < spell.end_s:
                return spell.end_s
        return at_s

    def was_down_between(self, start_s: float, end_s: float) -> bool:
        """Whether no daemon ran for a part of that time."""
        return any(spell.start_s < end_s and spell.end_s > start_s for spell in self.downs)


def record(disk: Disk, paths: HomePaths, since_s: float, until_s: float | None) -> Recording:
    """The facts of the lines from `since_s` on, up to `until_s` (None: the last line).

    Raises JournalDamaged where the journal cannot tell.
    """
    day = opened_day(disk, paths.journal, format_time(max(0.0, since_s), precise=True))
    state, after = State(), None
    if day is not None:
        state = state_of(paths.journal / day.position.segment, day.state, day.line.written_by)
        evolve(state, day.line.seq, day.line.at, day.line.events)
        after = day.position
    reader = _Reader(since_s, state)
    for line in read_lines(disk, paths.journal, after):
        at_s = parse_time(line.at)
        if until_s is not None and at_s > until_s:
            break
        reader.take(line, at_s)
    return reader.result(until_s)


class _Reader:
    """Takes the lines in, one after another."""

    def __init__(self, since_s: float, state: State) -> None:
        self._since_s = since_s
        self._state = state
        self._start: dict[str, Any] | None = None
        self._recording = Recording({}, since_s, since_s)
        self._keys: dict[str, AttemptKey] = {}
        self._types: dict[str, str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._attempts: dict[str, Attempt] = {}
        self._aggregating: dict[str, float] = {}
        self._before = self._last = parse_time(state.at) if state.at else 0.0
        for worker in state.workers.values():
            self._know(worker.id, worker.task_id, worker.step, worker.worker_type)
            if worker.status in LIVE:
                since = parse_time(worker.spawned_at or worker.requested_at)
                claimed = since if worker.spawned_at else None
                known = Attempt(worker.worker_type, since, claimed, number=worker.attempt)
                self._attempts[worker.id] = known

    def _know(self, ident: str, task_id: str, step: str, worker_type: str) -> None:
        """Counts a worker as the next attempt at its step."""
        place = (task_id, step)
        self._keys[ident] = (*place, self._counts[place])
        self._types[ident] = worker_type
        self._counts[place] += 1

    def take(self, line: Line, at_s: float) -> None:
        """One line of the journal."""
        inside = at_s >= self._since_s
        if inside and self._start is None:
            self._start = self._state.to_json()
        for event in line.events:
            self._attempt(event, at_s)
            self._span(event, at_s)
        if inside:
            self._recording.lines.append((at_s, line.events))
            self._fact(line, at_s)
        evolve(self._state, line.seq, line.at, line.events)
        # A start begins with the line of definitions and budget, where one has changed.
        if not any(event["event"] in _AT_A_START for event in line.events):
            self._before = at_s
        self._last = at_s

    def result(self, until_s: float | None) -> Recording:
        """The recording up to here."""
        recording = self._recording
        recording.start = self._state.to_json() if self._start is None else self._start
        first_s = recording.lines[0][0] if recording.lines else self._last
        recording.start_s = first_s if self._nothing_before(recording) else self._since_s
        recording.end_s = until_s if until_s is not None else max(self._last, recording.start_s)
        recording.attempts = {
            self._keys[ident]: attempt
            for ident, attempt in self._attempts.items()
            if ident in self._keys
        }
        recording.final = self._state
        return recording

    def _nothing_before(self, recording: Recording) -> bool:
        return not recording.start.get("seq")

    def _span(self, event: Event, at_s: float) -> None:
        name = event["event"]
        if name == "daemon_started" and self._before:
            self._recording.downs.append(Spell(self._before, at_s))
        elif name == "task_aggregating":
            self._aggregating[event["task_id"]] = at_s

    def _attempt(self, event: Event, at_s: float) -> None:
        name, ident = event["event"], event.get("worker_id", "")
        if name == "worker_requested":
            worker = event["worker"]
            self._know(worker["id"], worker["task_id"], worker["step"], worker["worker_type"])
        elif name == "worker_approved":
            number = self._state.workers[ident].attempt if ident in self._state.workers else 1
            kind = self._types.get(ident, "")
            self._attempts[ident] = Attempt(kind, at_s, number=number)
        elif name == "step_changed":
            self._backoff(event)
        elif ident in self._attempts:
            attempt = self._attempts[ident]
            if name == "worker_running":
                attempt.claimed_at = at_s
            elif name == "worker_ending":
                attempt.ending_at = at_s
            elif name == "worker_ended":
                attempt.ended_at, attempt.end = at_s, event
            elif name == "plan_proposed":
                attempt.end = {**attempt.end, "plan": event.get("proposal")}

    def _backoff(self, event: Event) -> None:
        """What a failed attempt's step waits stands beside its end."""
        due = event.get("not_before")
        task = self._state.tasks.get(event["task_id"])
        if due is None or not event.get("again") or task is None:
            return
        ident = task.step(event["step"]).worker_id
        if ident in self._attempts:
            self._attempts[ident].backoff_s = due["length_s"]

    def _fact(self, line: Line, at_s: float) -> None:
        """Puts what came from outside into the recording, and what a task's end brought."""
        names = {event["event"] for event in line.events}
        ended = [event for event in line.events if event["event"] == "task_ended"]
        cancelled = tuple(event for event in ended if event["status"] == "cancelled")
        if cancelled:
            self._add(at_s, "cancel", cancelled)
        elif ended:
            self._conclusion(line.events, ended[0], at_s)
        elif "handoff_changed" in names:
            if line.by == "person":
                changed = [e for e in line.events if e["event"] == "handoff_changed"]
                self._add(at_s, "handoff", tuple(changed))
        else:
            self._by_event(line, at_s)

    def _by_event(self, line: Line, at_s: float) -> None:
        kinds = {"task_reopened": "retry", "budget_changed": "total"}
        if line.by == "person":
            kinds["task_unblocked"] = "retry"
        for name, kind in {**kinds, "budget_configured": "configured"}.items():
            chosen = tuple(event for event in line.events if event["event"] == name)
            if chosen:
                self._add(at_s, kind, chosen)
        told = tuple(event for event in line.events if event["event"] not in _DECIDED)
        if told:
            self._add(at_s, "events", told)

    def _add(self, at_s: float, kind: str, events: tuple[Event, ...]) -> None:
        self._recording.facts.append(Fact(at_s, kind, events))

    def _conclusion(self, events: list[Event], ended: Event, at_s: float) -> None:
        """The follow-ups of a task stand in the line that ended it."""
        began = self._aggregating.get(ended["task_id"])
        brought = tuple(event for event in events if event is ended or event["event"] in _BROUGHT)
        gather_s = None if began is None else at_s - began
        self._recording.conclusions[ended["task_id"]] = (gather_s, brought)
