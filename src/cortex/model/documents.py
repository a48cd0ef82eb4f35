"""The published files as models: what each field is, and which must be there.

From these the JSON Schemas in schemas/ are generated; a live home's documents validate against
them. Extra fields are allowed everywhere, because a person may keep their own. Nothing here reads
or writes a file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cortex.model.statuses import (
    FailedStatus,
    LiveStatus,
    StepStatus,
    TaskStatus,
    WaitingStatus,
)

__all__ = [
    "Document",
    "JournalLineDocument",
    "Open",
    "Priority",
    "Rejection",
    "SchedulesDocument",
    "TaskQueueDocument",
    "Time",
    "Tokens",
    "WorkerPoolDocument",
]

Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
Tokens = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Priority = Literal["low", "medium", "high", "critical"]


class Open(BaseModel):
    """An object that may have more fields than are named here."""

    model_config = ConfigDict(extra="allow")


class Document(Open):
    """What every published document says of itself."""

    version: Literal["1.0"] = Field(description="Version of the published format.")
    format: int = Field(ge=1, description="Number of the layout; newer ones are refused.")
    updated_at: Time = Field(description="When it was published.")
    journal_seq: int = Field(
        ge=0, description="The journal line it shows; an editor keeps it, as the base of an edit."
    )


# --- task-queue.json


class DaemonCondition(Open):
    """Something that is amiss with the daemon or its home; docs/faults.md has all names."""

    name: str
    degrading: bool = Field(description="False: it is only told.")
    cause: str
    since: Time
    remedy: str = Field(description="What to do about it.")


class BrokenDefinition(Open):
    """A file of agents/ that cannot be used as it is."""

    file: str = Field(description="Relative to the home.")
    problem: str
    in_force: str | None = Field(None, description="The name of its last good version, if any.")


class DaemonStatus(Open):
    """The daemon as it last saw itself; whether one runs now says its lock."""

    status: Literal["running", "stopped", "degraded"]
    pid: int | None = None
    version: str | None = None
    started_at: Time | None = None
    paused: bool = Field(False, description="True: the whole fleet starts nothing new.")
    cause: str | None = Field(None, description="Why it is degraded: the gravest condition.")
    since: Time | None = Field(None, description="Since when it is degraded.")
    conditions: list[DaemonCondition] = Field(
        default_factory=list, description="All that is amiss now, the gravest first."
    )
    broken: list[BrokenDefinition] = Field(
        default_factory=list, description="Definitions that cannot be used as they are written."
    )


class WorkerPlan(Open):
    """The plan in numbers."""

    total_workers: Count
    workers_spawned: Count
    workers_completed: Count
    estimated_tokens: Tokens


class StepRow(Open):
    """One step of a task's plan."""

    name: str
    worker_type: str
    status: StepStatus
    worker_id: str | None = None
    attempt: int | None = None
    needs: list[str] = Field(default_factory=list)
    optional: bool = False
    repository: str | None = None
    items: Count | None = Field(None, description="How many its worker takes, one by one.")
    reason: str | None = None


class WorkerResult(Open):
    """What one worker gave to its task."""

    worker_id: str | None = None
    status: str | None = None
    duration_minutes: float | None = None
    tokens_used: Tokens | None = None
    findings: Any = None


class Quote(Open):
    """What a plan was to take when it was made, in tokens, by what such work took before."""

    p50: Tokens
    p90: Tokens
    budget: Tokens = Field(description="The most that its workers may take, each once.")
    share_of_left: float | None = Field(
        None, description="p90 as a part of what the pool had left then."
    )


class ProposedStepRow(Open):
    """One step of a plan that has not begun."""

    name: str
    worker_type: str
    needs: list[str] = Field(default_factory=list)
    scope: dict[str, Any] = Field(default_factory=dict)
    command: list[str] | str | None = None
    token_budget: Tokens | None = None
    timeout: float | None = Field(None, description="Seconds.")


class PlanningRow(Open):
    """A model's part in the plan of a task."""

    status: Literal["asked", "accepted", "given up"]
    by: str = Field(description="The worker type that is asked.")
    worker_id: str | None = Field(None, description="Who made the last plan.")
    reason: str | None = Field(None, description="Why this plan, or why there is none.")
    refused: list[str] = Field(
        default_factory=list, description="What was wrong with the last plan that was refused."
    )
    steps: list[ProposedStepRow] = Field(
        default_factory=list, description="The plan, until the task has begun it."
    )


class KnownFinding(Open):
    """Findings that are not filed again, and what became of the task that they have."""

    task_id: str
    status: str
    title: str
    severity: str
    findings: int = Field(ge=1)
    told: str


class TaskRow(Open):
    """One task. Title, type, priority, scope, deadline, execution_mode, retries and hold may be
    edited in place, and status may be set to cancelled, pending (retry) or paused."""

    id: str
    title: str
    type: str
    priority: Priority
    status: TaskStatus
    execution_mode: Literal["workers", "direct"]
    assigned_to: str | None = Field(description="The master, as in security-master.")
    scope: dict[str, Any]
    deadline: str | None
    worker_plan: WorkerPlan
    created_at: Time
    started_at: Time | None = None
    ended_at: Time | None = None
    waiting_for: str | None = Field(None, description="In words, what an open task waits for.")
    blocked_on: str | None = Field(None, description="What must be configured.")
    reason: str | None = Field(None, description="Why it ended so.")
    summary: str | None = None
    partial: bool = Field(False, description="Completed although a step ended early.")
    findings: dict[str, Count] | None = Field(None, description="Findings by severity.")
    tokens_used: Tokens | None = None
    steps: list[StepRow] = Field(default_factory=list)
    items: Count | None = Field(None, description="How many the command is run for.")
    workers: list[str] = Field(default_factory=list, description="Ids of all attempts.")
    worker_results: list[WorkerResult] = Field(default_factory=list)
    result_location: str | None = Field(None, description="Folder, relative to the home.")
    follow_ups: list[str] = Field(default_factory=list, description="Tasks made from its result.")
    known: list[KnownFinding] = Field(
        default_factory=list, description="What it found that earlier tasks stand for."
    )
    handoff_id: str | None = None
    parent: str | None = None
    caused_by: str | None = Field(None, description="The task whose result made this one.")
    source: str | None = Field(None, description="Name of the dropped file.")
    key: str | None = None
    needs: list[str] = Field(default_factory=list)
    command: list[str] | str | None = None
    runtime: str | None = None
    token_budget: Tokens | None = None
    timeout: str | None = None
    retries: int | None = None
    hold: bool = False
    approval: bool = Field(False, description="It starts after a person's approve.")
    missed_deadline: Time | None = Field(None, description="Passed while the task was open.")
    quote: Quote | None = None
    planning: PlanningRow | None = Field(None, description="Where a model was asked for the plan.")
    run: int | None = Field(None, description="2 and more after a retry of the whole task.")
    context: dict[str, Any] = Field(default_factory=dict)


class TaskQueueDocument(Document):
    """coordination/task-queue.json: open tasks and recently ended ones."""

    daemon: DaemonStatus | None = None
    tasks: list[TaskRow]


# --- worker-pool.json


class QueuedWorker(Open):
    """A worker that is requested, queued or blocked."""

    id: str
    master_agent: str
    worker_type: str
    estimated_tokens: Tokens
    priority: Priority
    justification: str | None
    timeout: str
    status: WaitingStatus
    task_id: str
    step: str
    requested_at: Time
    waiting_for: str | None = None
    retry_of: str | None = None
    runtime: str | None = None
    repository: str | None = None
    max_parallel: int | None = Field(None, description="The most of its plan at once.")


class ActiveWorker(Open):
    """A worker that holds tokens: approved, starting or running."""

    worker_id: str
    worker_type: str
    spawned_by: str
    spawned_at: Time | None
    status: LiveStatus
    task_id: str
    token_budget: Tokens
    tokens_used: Tokens
    timeout_at: Time | None
    last_heartbeat: Time | None
    session_id: str | None
    step: str
    attempt: int = Field(ge=0)
    runtime: str
    fund: str = Field(description="pool, reserve or master:NAME: who pays.")
    metering: Literal["enforced", "reported"] = Field(
        description="enforced: a gateway stands before it; reported: its own word."
    )
    phase: Literal["ending", "collecting"] | None = None
    cause: str | None = None
    healthy: bool = True
    progress: float | None = Field(None, ge=0, le=1)
    message: str | None = None
    repository: str | None = None
    retry_of: str | None = None
    result_location: str | None = None


class Branch(Open):
    """What a worker committed: in the mirror once that has it, else in a bundle of its folder."""

    name: str
    base: str
    head: str
    commits: Count
    mirror: str | None = None
    bundle: str | None = None
    problem: str | None = None


class CompletedWorker(Open):
    """A worker whose results were collected."""

    worker_id: str
    status: Literal["completed"]
    tokens_used: Tokens
    duration_minutes: float = Field(ge=0)
    completed_at: Time | None
    result_location: str | None
    partial: bool = False
    review: Literal["pending", "accepted", "refused"] | None = None
    verdict: str | None = None
    summary: str | None = None
    branches: list[Branch] | None = None


class FailedWorker(Open):
    """A worker that ended in any other way."""

    worker_id: str
    status: FailedStatus
    tokens_used: Tokens
    error: str | None
    failed_at: Time | None
    permanent: bool = Field(False, description="True: another attempt would end the same way.")
    result_location: str | None = None


class WorkerPoolDocument(Document):
    """coordination/worker-pool.json: every attempt that is waiting, live or recently ended."""

    learned: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="How many at once get the most done, by lane: why, when."
    )
    queued_workers: list[QueuedWorker] = Field(default_factory=list)
    active_workers: list[ActiveWorker]
    completed_workers: list[CompletedWorker]
    failed_workers: list[FailedWorker]


# --- schedules.json


class ScheduledWorker(Open):
    """Work that comes back; other fields are those of the tasks that come of it."""

    id: str
    schedule: str = Field(description="A cron line, or words like daily@09:00 and every 6h.")
    timezone: str
    worker_type: str | None = None
    type: str | None = None
    count: int | None = Field(
        None, ge=1, description="Workers; with repositories, how many at once."
    )
    repositories: list[str] = Field(default_factory=list)
    overlap: Literal["skip", "allow"] = Field(
        description="What a run does while the task of the one before is open."
    )
    paused: bool
    next_run: Time | None = None
    last_run: Time | None = None
    last_task: str | None = None
    runs: int = Field(ge=0)
    source: str | None = Field(None, description="The file that asked for it.")
    created_at: Time


class SchedulesDocument(Document):
    """coordination/schedules.json."""

    scheduled_workers: list[ScheduledWorker]


# --- refusals, the journal


class RefusedPart(Open):
    """One part of an edit that was not taken up."""

    where: str = Field(description="The id of the row, or its place.")
    reason: str
    field: str | None = None
    yours: Any = Field(None, description="The value in the edit; a long one is cut.")
    now: Any = Field(None, description="The value that stands.")
    hint: str | None = Field(None, description="What to do next.")


class Rejection(Open):
    """rejected/NAME.error.json: why the drop or edit NAME was refused; NAME lies beside it."""

    file: str
    reason: str
    field: str | None = None
    line: int | None = None
    hint: str | None = Field(None, description="What to do next.")
    refused: list[RefusedPart] = Field(
        default_factory=list, description="Of an edit, each part that was refused."
    )
    taken: list[str] = Field(
        default_factory=list, description="Of an edit, the changes that were taken up, in words."
    )
    at: Time | None = None
    receipt: str | int | None = None


class JournalEvent(Open):
    """One event of a transaction; its other fields depend on its name."""

    event: str


class JournalLineDocument(Open):
    """One line of coordination/journal/YYYY-MM-DD.jsonl: an atomic transaction."""

    seq: int = Field(ge=1)
    prev: str = Field(pattern="^[0-9a-f]{8}$", description="The crc of the line before.")
    synced: int = Field(ge=0, description="The last seq known durable when it was written.")
    at: Time
    by: str = Field(description="Who decided it.")
    why: str
    events: list[JournalEvent]
    crc: str = Field(
        pattern="^[0-9a-f]{8}$", description='CRC-32 of the exact bytes before `,"crc"`.'
    )
    format: int | None = None
