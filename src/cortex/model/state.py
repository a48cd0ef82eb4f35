"""The daemon's state as plain records: what the journal's events build up.

A record holds only values that JSON can hold, so a checkpoint is these records and nothing else.
How they change is `decide.evolve`; how they look to people is `decide.project`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cortex.model.funds import Budget, MasterFund, Opening
from cortex.model.record import Record
from cortex.model.statuses import (
    LIVE,
    OPEN_TASK,
    TERMINAL_TASK,
    TERMINAL_WORKER,
    WAITING_WORKER,
)

__all__ = [
    "LIVE",
    "OPEN_TASK",
    "PLANNER",
    "TERMINAL_TASK",
    "TERMINAL_WORKER",
    "WAITING_WORKER",
    "Approval",
    "Budget",
    "Due",
    "Escalation",
    "Handoff",
    "MasterFund",
    "Opening",
    "Record",
    "Schedule",
    "State",
    "Step",
    "Task",
    "Worker",
]


@dataclass(slots=True)
class Due(Record):
    """A stored instant: exact within its boot, clamped to its length on another one."""

    boot_id: str
    boottime: float
    wall: float
    length_s: float


@dataclass(slots=True)
class Step(Record):
    """One piece of a task's plan; its attempts are workers. `asked`: for it by a request, beside
    the plan."""

    name: str
    worker_type: str
    needs: list[str] = field(default_factory=list)
    optional: bool = False
    runtime: str = "auto"
    command: list[str] | str | None = None
    env: dict[str, str] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    token_budget: int | None = None
    timeout_s: float | None = None
    retries: int = 2
    approval: bool = False
    accept_partial: bool | None = None
    priority: str | None = None
    justification: str | None = None
    items: list[int] = field(default_factory=list)
    status: str = "waiting"
    attempt: int = 0
    worker_id: str | None = None
    not_before: Due | None = None
    short_of_tokens: int = 0
    reason: str | None = None
    missing: list[str] = field(default_factory=list)
    made_of: str = ""
    asked: bool = False

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Step:
        """As `Record.from_json`, with its instant."""
        step = cls(**data)
        step.not_before = _due(data.get("not_before"))
        return step


#: How the step is called that asks a model for a plan; no step of a plan can have this name.
PLANNER = "(plan)"


@dataclass(slots=True)
class Planning(Record):
    """A model's part in a task's plan: the step that asks it, and what it said so far.

    `proposal` is its last word and `problem` why there is none; `refused` are the reasons against
    the last one that was refused. `workers` are the steps of the accepted plan, as a task's own
    `workers` has them, and `given_up` says why there will be none.
    """

    step: Step
    worker_id: str | None = None
    proposal: Any = None
    problem: str | None = None
    refusals: int = 0
    refused: list[str] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None
    given_up: str | None = None

    @property
    def decided(self) -> bool:
        """Whether the model is asked no more: there is a plan, or there will be none of its."""
        return bool(self.workers) or self.given_up is not None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Planning:
        """As `Record.from_json`, with the step."""
        planning = cls(**data)
        planning.step = Step.from_json(data["step"])
        return planning


@dataclass(slots=True)
class Task(Record):
    """One dropped or derived piece of work, from acceptance to its terminal status."""

    id: str
    title: str
    type: str
    priority: str
    created_at: str
    status: str = "pending"
    execution_mode: str = "workers"
    assigned_to: str | None = None
    scope: dict[str, Any] = field(default_factory=dict)
    deadline: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    token_budget: int | None = None
    runtime: str = "auto"
    command: list[str] | str | None = None
    env: dict[str, str] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    key: str | None = None
    plan: list[dict[str, Any]] = field(default_factory=list)
    max_parallel: int | None = None
    items: list[str] = field(default_factory=list)
    batch: int | None = None
    fallback: bool | None = None
    hold: bool = False
    approval: bool = False
    approved: list[str] = field(default_factory=list)
    source: str | None = None
    parent: str | None = None
    caused_by: str | None = None
    root: str | None = None
    depth: int = 0
    context: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    run: int = 1
    planning: Planning | None = None
    steps: list[Step] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    worker_results: list[dict[str, Any]] = field(default_factory=list)
    follow_ups: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)
    file_again: bool = False
    handoff_id: str | None = None
    blocked_on: str | None = None
    waiting_for: str | None = None
    resume_to: str | None = None
    not_before: Due | None = None
    reason: str | None = None
    summary: str | None = None
    quote: dict[str, Any] = field(default_factory=dict)
    partial: bool = False
    findings_count: dict[str, int] = field(default_factory=dict)
    result_location: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    missed_deadline: str | None = None
    aggregated_by: str | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Task:
        """As `Record.from_json`, with nested steps and instants."""
        task = cls(**data)
        task.steps = [Step.from_json(step) for step in data.get("steps", [])]
        task.planning = Planning.from_json(data["planning"]) if data.get("planning") else None
        task.not_before = _due(data.get("not_before"))
        return task

    def step(self, name: str) -> Step:
        """The step of that name, the one that plans too; KeyError if there is none."""
        for step in self.every_step():
            if step.name == name:
                return step
        raise KeyError(f"{self.id} has no step {name!r}")

    def every_step(self) -> list[Step]:
        """The steps of the plan, and the one that asks a model for it where there is one."""
        return self.steps if self.planning is None else [*self.steps, self.planning.step]


def _due(data: Any) -> Due | None:
    return Due(**data) if isinstance(data, dict) else data


@dataclass(slots=True)
class Worker(Record):
    """One attempt at one step: one process, one reservation, started at most once."""

    id: str
    worker_type: str
    task_id: str
    step: str
    master: str
    attempt: int
    priority: str
    requested_at: str
    status: str = "requested"
    runtime: str = "command"
    lane: str = "tools"
    uses_tokens: bool = True
    heartbeats: bool = False
    fund: str = "pool"
    token_budget: int = 0
    overhead_tokens: int = 0
    reserved: int = 0
    charged: int = 0
    tokens_used: int = 0
    timeout_s: float = 900.0
    deadline: str | None = None
    repository: str | None = None
    claims: list[str] = field(default_factory=list)
    max_parallel: int | None = None
    master_parallel: int | None = None
    retry_of: str | None = None
    made_of: str = ""
    preempted_by: str | None = None
    justification: str | None = None
    reason: str | None = None
    queued_wall: float = 0.0
    order: int = 0
    beside: int = 0
    folder: str | None = None
    nonce: int = 0
    boot_id: str | None = None
    runtime_dir: str | None = None
    pid: int | None = None
    spawned_at: str | None = None
    timeout_at: str | None = None
    cause: str | None = None
    phase: str | None = None
    partial: bool = False
    review: str | None = None
    permanent: bool = False
    exit_code: int | None = None
    exit_signal: int | None = None
    summary: str | None = None
    verdict: str | None = None
    findings: int = 0
    branches: list[dict[str, Any]] = field(default_factory=list)
    duration_s: float | None = None
    ended_at: str | None = None
    cleaned_up_at: str | None = None


@dataclass(slots=True)
class Handoff(Record):
    """A transfer of work between masters; `task_id` is the task that the receiver gets."""

    id: str
    from_agent: str
    to_agent: str
    task_id: str
    created_at: str
    source_task: str | None = None
    status: str = "pending"
    context: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    accepted_at: str | None = None
    ended_at: str | None = None


@dataclass(slots=True)
class Escalation(Record):
    """Something that a person must know or decide."""

    id: str
    subject: str
    reason: str
    created_at: str
    task_id: str | None = None
    status: str = "open"
    ended_at: str | None = None


@dataclass(slots=True)
class Approval(Record):
    """A person's yes or no that a task waits for, to the whole of it or to a `step` and to `also`.

    Without `resume_to` the task goes on meanwhile, and a no ends nothing. `offer` is what a yes
    would start and cost; `lifts` is how far it would let a line of tasks go on (`decide.lineage`).
    """

    id: str
    task_id: str
    reason: str
    created_at: str
    resume_to: str
    step: str | None = None
    also: list[str] = field(default_factory=list)
    gate: str = ""
    offer: dict[str, Any] = field(default_factory=dict)
    lifts: dict[str, int] = field(default_factory=dict)
    status: str = "pending"
    comment: str | None = None
    answered_at: str | None = None
    escalation_id: str | None = None


@dataclass(slots=True)
class Schedule(Record):
    """Work that comes back. Instants are seconds since 1970; `set_at` is when `next_at` was set."""

    id: str
    schedule: str
    timezone: str
    created_at: str
    created: float
    next_at: float
    set_at: float
    worker_type: str | None = None
    count: int | None = None
    repositories: list[str] = field(default_factory=list)
    task: dict[str, Any] = field(default_factory=dict)
    overlap: str = "skip"
    paused: bool = False
    runs: int = 0
    last_run: float | None = None
    last_task: str | None = None
    source: str | None = None


@dataclass(slots=True)
class State:
    """Everything that the journal has said so far, and indexes that are derived from it.

    `receipts` are the numbers of drops whose files may still be there, each with the reason if it
    was refused. `usage` are samples of tokens by worker type (and repository), `failing` counts
    failures in a row, `lineages` holds attempts, tokens and tasks by the first task of a line of
    descent, `remembered` what became of archived follow-ups by key, `definitions` file and hash of
    what is in force of agents/ by `kind/name`. `touched` collects `(kind, id)`
    of the records that changed since it was last emptied: the publisher encodes those rows, the
    loop reconciles those keys. It is no truth.
    """

    seq: int = 0
    at: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    handoffs: dict[str, Handoff] = field(default_factory=dict)
    escalations: dict[str, Escalation] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    receipts: dict[int, str] = field(default_factory=dict)
    receipt_floor: int = 0
    edits: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    paused: bool = False
    draining: bool = False
    usage: dict[str, list[int]] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    lineages: dict[str, list[int]] = field(default_factory=dict)
    check_ins: dict[str, dict[str, Any]] = field(default_factory=dict)
    pace: dict[str, dict[str, Any]] = field(default_factory=dict)
    remembered: dict[str, dict[str, Any]] = field(default_factory=dict)
    definitions: dict[str, dict[str, str]] = field(default_factory=dict)
    # derived
    keys: dict[str, str] = field(default_factory=dict)
    live: dict[str, None] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    dependents: dict[str, set[str]] = field(default_factory=dict)
    ended_tasks: dict[str, None] = field(default_factory=dict)
    touched: dict[tuple[str, str], None] = field(default_factory=dict)

    def scalars(self) -> dict[str, Any]:
        """What a checkpoint holds beside the records."""
        return {
            "seq": self.seq,
            "at": self.at,
            "counters": dict(self.counters),
            "budget": self.budget.to_json(),
            "receipts": [[number, self.receipts[number]] for number in sorted(self.receipts)],
            "receipt_floor": self.receipt_floor,
            "edits": dict(self.edits),
            "paused": self.paused,
            "draining": self.draining,
            "usage": self.usage,
            "failing": self.failing,
            "lineages": self.lineages,
            "check_ins": self.check_ins,
            "pace": self.pace,
            "remembered": self.remembered,
            "definitions": self.definitions,
        }

    def to_json(self) -> dict[str, Any]:
        """The state as one JSON object, for a checkpoint; derived fields are left out."""
        return {
            **self.scalars(),
            "tasks": [task.to_json() for task in self.tasks.values()],
            "workers": [worker.to_json() for worker in self.workers.values()],
            "handoffs": [handoff.to_json() for handoff in self.handoffs.values()],
            "escalations": [escalation.to_json() for escalation in self.escalations.values()],
            "approvals": [approval.to_json() for approval in self.approvals.values()],
            "schedules": [schedule.to_json() for schedule in self.schedules.values()],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """The state of an object made by `to_json`, with its indexes built anew."""
        state = cls(
            seq=data["seq"],
            at=data["at"],
            counters=dict(data["counters"]),
            budget=Budget.from_json(data["budget"]),
            receipts=dict(data["receipts"]),
            receipt_floor=data["receipt_floor"],
            edits=dict(data.get("edits", {})),
            paused=data["paused"],
            draining=data.get("draining", False),
            usage=dict(data.get("usage", {})),
            failing=dict(data.get("failing", {})),
            lineages=dict(data.get("lineages", {})),
            check_ins=dict(data.get("check_ins", {})),
            pace=dict(data.get("pace", {})),
            remembered=dict(data.get("remembered", {})),
            definitions=dict(data.get("definitions", {})),
        )
        for row in data["tasks"]:
            state.tasks[row["id"]] = Task.from_json(row)
        for row in data["workers"]:
            state.workers[row["id"]] = Worker(**row)
        for row in data["handoffs"]:
            state.handoffs[row["id"]] = Handoff(**row)
        for row in data["escalations"]:
            state.escalations[row["id"]] = Escalation(**row)
        for row in data.get("approvals", []):
            state.approvals[row["id"]] = Approval(**row)
        for row in data.get("schedules", []):
            state.schedules[row["id"]] = Schedule(**row)
        state.index()
        return state

    def index(self) -> None:
        """Builds the derived indexes anew from the records."""
        for index in (self.keys, self.live, self.waiting, self.dependents, self.ended_tasks):
            index.clear()
        for task in self.tasks.values():
            self.index_task(task)
        ended = [task for task in self.tasks.values() if task.status in TERMINAL_TASK]
        for task in sorted(ended, key=lambda task: (task.ended_at or "", task.id)):
            self.ended_tasks[task.id] = None
        for worker in self.workers.values():
            self.index_worker(worker)

    def index_task(self, task: Task) -> None:
        """Takes a new task into the indexes."""
        if task.key is not None:
            self.keys[task.key] = task.id
        for need in task.needs:
            self.dependents.setdefault(need, set()).add(task.id)

    def index_worker(self, worker: Worker) -> None:
        """Files a worker under what its status says."""
        if worker.status in LIVE:
            self.waiting.pop(worker.id, None)
            self.live[worker.id] = None
        elif worker.status in WAITING_WORKER:
            self.live.pop(worker.id, None)
            self.waiting[worker.id] = None
        else:
            self.live.pop(worker.id, None)
            self.waiting.pop(worker.id, None)

    def touch(self, kind: str, key: str) -> None:
        """Marks a record as changed."""
        self.touched[kind, key] = None
