"""What people may drop into a home: tasks, and the verbs on them.

Each payload has a `kind` (a task is the default). `parse_request` turns read JSON into one of the
types below or raises RequestError naming the field and the remedy. Whether a request fits what is
already there (a second task of one id, an unknown need) is decided elsewhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from cortex.model.branches import holds_a_secret, tidy_address
from cortex.model.calendar import check_schedule, check_timezone
from cortex.model.errors import RequestError
from cortex.model.ids import is_user_id, master_name, priority_of, worker_type_name
from cortex.model.plan_graph import graph_problems
from cortex.model.times import format_time, parse_duration, parse_time
from cortex.model.wrong_fields import Misplaced, wrong_fields

__all__ = [
    "KINDS",
    "Answer",
    "BudgetRequest",
    "EditRequest",
    "HandoffAnswer",
    "Request",
    "ScheduleRequest",
    "StepRequest",
    "TaskRequest",
    "VerbRequest",
    "WorkerRequest",
    "parse_request",
]

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Further wrong fields that a refusal names.
_OTHERS_AT_MOST = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _user_id(value: str) -> str:
    if not is_user_id(value):
        raise ValueError(f"{value!r} is no id; use letters, digits and . _ - (at most 64)")
    return value


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str | int | float) else value


def _time(value: str) -> str:
    return format_time(parse_time(value))


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("holds control characters; write one line of plain text")
    return value


def _worker_type(value: str) -> str:
    return worker_type_name(_user_id(value))


def _environment(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _ENV_NAME.fullmatch(name) or name.startswith("CORTEX_"):
            raise ValueError(f"{name!r} cannot be set for a worker; use a plain variable name")
        if "\0" in text:
            raise ValueError(f"{name} holds a NUL character")
    return value


def _address(value: str) -> str:
    if holds_a_secret(value):
        raise ValueError(
            "has a password or token in its address, which specs, logs and the journal would keep; "
            "leave it out, and name the variable that holds it as credentials of the worker type"
        )
    return tidy_address(value)


def _argv(value: list[str] | str) -> list[str] | str:
    words = value if isinstance(value, list) else [value]
    if not words or not words[0].strip():
        raise ValueError("is empty; write a shell line or a list of program and arguments")
    if any("\0" in word for word in words):
        raise ValueError("holds a NUL character")
    return value


Id = Annotated[str, AfterValidator(_user_id)]
Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_one_line)]
Line = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]
Priority = Annotated[
    Literal["low", "medium", "high", "critical"],
    BeforeValidator(lambda value: priority_of(value) if isinstance(value, str) else value),
]
Timeout = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
Moment = Annotated[str, AfterValidator(_time)]
Environment = Annotated[dict[str, str], AfterValidator(_environment)]
Command = Annotated[list[str] | str, AfterValidator(_argv)]
TokenCount = Annotated[int, Field(ge=0, le=10**9, strict=True)]
WorkerType = Annotated[str, AfterValidator(_worker_type)]
Master = Annotated[Id, AfterValidator(master_name)]
Retries = Annotated[int, Field(ge=0, le=100, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Repository = Annotated[str, AfterValidator(_address)]


class Part(BaseModel):
    """One part of a feature, for plans that are made of parts; other keys go to its worker."""

    model_config = ConfigDict(extra="allow")

    name: Id
    paths: list[str] = Field(default_factory=list, max_length=1000)
    needs: list[Id] = Field(default_factory=list, max_length=1000)
    command: Command | None = None


class Scope(BaseModel):
    """What a piece of work may look at; other keys are kept and handed to the worker."""

    model_config = ConfigDict(extra="allow")

    repository: Repository | None = Field(None, max_length=4096)
    repositories: list[Repository] | None = Field(None, min_length=1, max_length=1000)
    paths: list[str] | None = Field(None, max_length=10_000)
    parts: list[Part] | None = Field(None, min_length=1, max_length=100)
    scan_types: list[Literal["dependencies", "vulnerabilities", "secrets"]] | None = None
    command: Command | None = None
    workspace: Literal["in place", "clone"] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Scope:
        if self.repository is not None and self.repositories is not None:
            raise ValueError("has both repository and repositories; keep one of them")
        for repository in [self.repository, *(self.repositories or [])]:
            if repository is not None and (not repository or "\0" in repository):
                raise ValueError("has an empty or impossible repository; write a path or URL")
        remote = (self.model_extra or {}).get("remote")
        if isinstance(remote, str):
            _address(remote)
        if self.repositories and len(set(self.repositories)) != len(self.repositories):
            raise ValueError("names a repository twice; name each once")
        for path in [
            *(self.paths or []),
            *(path for part in self.parts or [] for path in part.paths),
        ]:
            if path.startswith("/") or ".." in path.split("/") or "\0" in path:
                raise ValueError(f"path {path!r} leaves the repository; write it relative to it")
        _check_plan(self.parts or [], "parts")
        return self


class StepRequest(BaseModel):
    """One worker of a task's own plan."""

    model_config = ConfigDict(extra="forbid")

    name: Id
    worker_type: WorkerType = "command-worker"
    needs: list[Id] = Field(default_factory=list, max_length=1000)
    optional: Flag = False
    runtime: Name = "auto"
    command: Command | None = None
    env: Environment = Field(default_factory=dict)
    scope: Scope = Field(default_factory=Scope)
    token_budget: TokenCount | None = None
    timeout: Timeout | None = None
    retries: Retries | None = None
    approval: Flag = False


class TaskRequest(BaseModel):
    """A dropped task. It needs a title, a type or a command; the rest is optional."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["task"] = "task"
    id: Id | None = None
    title: Line | None = None
    type: Id | None = None
    priority: Priority = "medium"
    scope: Scope = Field(default_factory=Scope)
    execution_mode: Literal["workers", "direct"] = "workers"
    deadline: Moment | None = None
    timeout: Timeout | None = None
    retries: Retries | None = None
    token_budget: TokenCount | None = None
    runtime: Name = "auto"
    command: Command | None = None
    env: Environment = Field(default_factory=dict)
    needs: list[Id] = Field(default_factory=list, max_length=1000)
    key: Line | None = None
    hold: Flag = False
    approval: Flag = False
    fallback: Flag | None = None
    max_parallel: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    items: list[Line] = Field(default_factory=list, max_length=10_000)
    batch: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    workers: list[StepRequest] = Field(default_factory=list, max_length=1000)

    @model_validator(mode="after")
    def _sound(self) -> TaskRequest:
        if self.command is None and self.scope.command is not None:
            self.command = self.scope.command
        if self.title is None and self.type is None and self.command is None and not self.workers:
            raise ValueError("a task needs a title, a type or a command")
        if self.command is not None and self.workers:
            raise ValueError("has both command and workers; put the command into one of them")
        if self.items and self.command is None:
            raise ValueError("has items and no command to run for each of them")
        _check_plan(self.workers, "workers")
        return self


def _check_plan(steps: Sequence[Part | StepRequest], where: str) -> None:
    wrong = list(graph_problems(steps))
    if wrong:
        raise Misplaced(*((one.text, (where, *one.place)) for one in wrong))


class ScheduleRequest(BaseModel):
    """Work that comes back. It needs `schedule`, and a worker type, a type or a command.

    With a worker type there is one worker for each repository, else `count` workers; with
    repositories `count` says how many of them run at once. Other fields of a task are those of
    each task that comes of it.
    """

    model_config = ConfigDict(extra="allow")

    kind: Literal["schedule"]
    id: Id | None = None
    schedule: Annotated[str, Field(max_length=200), AfterValidator(check_schedule)]
    timezone: Annotated[str, Field(max_length=64), AfterValidator(check_timezone)] | None = None
    worker_type: WorkerType | None = None
    type: Id | None = None
    title: Line | None = None
    count: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    repositories: list[Repository] = Field(default_factory=list, max_length=1000)
    scope: Scope = Field(default_factory=Scope)
    command: Command | None = None
    env: Environment = Field(default_factory=dict)
    priority: Priority = "medium"
    token_budget: TokenCount | None = None
    timeout: Timeout | None = None
    retries: Retries | None = None
    runtime: Name = "auto"
    overlap: Literal["skip", "allow"] = "skip"
    paused: Flag = False

    @model_validator(mode="after")
    def _sound(self) -> ScheduleRequest:
        if self.worker_type is None and self.type is None and self.command is None:
            raise ValueError("a schedule needs a worker_type, a type or a command")
        if self.repositories and (self.scope.repository or self.scope.repositories):
            raise ValueError("names repositories twice: in repositories and in scope")
        return self


class WorkerRequest(BaseModel):
    """A master asks for one worker; the coordinator grants, queues or refuses it.

    With `task_id` it is a further step of that task, else a small task of its own; `id` is the name
    of what is made. Without a priority it has its task's.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["worker_request"]
    id: Id | None = None
    master_agent: Master
    worker_type: WorkerType
    estimated_tokens: TokenCount | None = None
    priority: Priority | None = None
    justification: Line | None = None
    timeout: Timeout | None = None
    task_id: Id | None = None
    needs: list[Id] = Field(default_factory=list, max_length=1000)
    scope: Scope = Field(default_factory=Scope)
    command: Command | None = None
    env: Environment = Field(default_factory=dict)
    runtime: Name = "auto"
    retries: Retries | None = None

    @model_validator(mode="after")
    def _sound(self) -> WorkerRequest:
        if self.needs and self.task_id is None:
            raise ValueError("has needs, which are steps of a task, and no task_id")
        return self


class VerbRequest(BaseModel):
    """cancel, retry, pause or resume one task; pause and resume without one: the fleet. drain:
    nothing new starts, and the daemon leaves once what runs has ended.

    With `schedule_id`: cancel, pause or resume a schedule.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["cancel", "retry", "pause", "resume", "drain"]
    task_id: Id | None = None
    schedule_id: Id | None = None
    reason: Line | None = None
    cascade: Flag = False

    @model_validator(mode="after")
    def _sound(self) -> VerbRequest:
        if self.kind == "drain" and (self.task_id or self.schedule_id):
            raise ValueError("drain is for the whole fleet; it names no task or schedule")
        if self.schedule_id is not None:
            if self.task_id is not None:
                raise ValueError("has both task_id and schedule_id; keep one of them")
            if self.kind == "retry":
                raise ValueError("a schedule cannot be retried; retry the task that came of it")
            return self
        if self.task_id is None and self.kind in ("cancel", "retry"):
            raise ValueError(f"{self.kind} needs task_id: the task that is meant")
        return self


class HandoffAnswer(BaseModel):
    """A receiver's or person's answer to a handoff."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["handoff"]
    handoff_id: Id
    status: Literal["accepted", "rejected"]
    reason: Line | None = None


class Answer(BaseModel):
    """A person's yes (`approve`) or no (`deny`) to what waits for it.

    An approval is named by its own id or its task's. An escalation is answered by `approve`: it
    was seen, and is closed.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["approve", "deny"]
    approval_id: Id | None = None
    task_id: Id | None = None
    escalation_id: Id | None = None
    reason: Line | None = None

    @model_validator(mode="after")
    def _sound(self) -> Answer:
        named = [self.approval_id, self.task_id, self.escalation_id]
        if sum(one is not None for one in named) != 1:
            raise ValueError("needs one of approval_id, task_id and escalation_id")
        if self.escalation_id is not None and self.kind == "deny":
            raise ValueError("an escalation cannot be denied; approve it when you have seen it")
        return self


class BudgetRequest(BaseModel):
    """A person's change of the budget: a new total; the difference goes to the worker pool."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["budget"]
    total_budget: TokenCount
    reason: Line | None = None


class EditRequest(BaseModel):
    """Changes of rows of a published file, as an edit of it in place; what is not named stays.

    Beside these fields stand the document's own: `tasks` with rows of an `id` and what changes, or
    `total_budget`. It is taken whole or not at all.
    """

    model_config = ConfigDict(extra="allow")

    kind: Literal["edit"]
    file: Literal[
        "task-queue.json", "worker-pool.json", "token-budget.json", "handoffs.json",
        "schedules.json",
    ]  # fmt: skip
    journal_seq: Annotated[int, Field(ge=0, strict=True)]
    reason: Line | None = None


Request = (
    TaskRequest
    | VerbRequest
    | HandoffAnswer
    | BudgetRequest
    | ScheduleRequest
    | Answer
    | EditRequest
    | WorkerRequest
)

KINDS: dict[str, type[BaseModel]] = {
    "task": TaskRequest,
    "cancel": VerbRequest,
    "retry": VerbRequest,
    "pause": VerbRequest,
    "resume": VerbRequest,
    "drain": VerbRequest,
    "handoff": HandoffAnswer,
    "approve": Answer,
    "deny": Answer,
    "budget": BudgetRequest,
    "schedule": ScheduleRequest,
    "edit": EditRequest,
    "worker_request": WorkerRequest,
}


def parse_request(payload: object) -> Request:
    """One read payload as a request of its kind; RequestError names the first bad field."""
    if not isinstance(payload, dict):
        raise RequestError(
            f"holds {_kind_of(payload)}, not an object",
            hint='a task is an object, like {"title": "…", "command": "make test"}',
        )
    kind = payload.get("kind", "task")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        near = difflib.get_close_matches(str(kind)[:80], KINDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known kinds: {', '.join(KINDS)}"
        raise RequestError(f"unknown kind {repr(kind)[:80]}", field="kind", hint=hint)
    try:
        return model.model_validate(payload)  # type: ignore[return-value]
    except ValidationError as error:
        raise _refusal(error, model, payload) from None


def _kind_of(payload: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(payload), "a number")


def _refusal(
    error: ValidationError, model: type[BaseModel], payload: dict[str, Any]
) -> RequestError:
    wrong = wrong_fields(error, model, payload)
    first = wrong[0]
    hint = first.hint or "correct the field and drop the file again"
    others = {one.field for one in wrong[1:] if one.field not in (None, first.field)}
    if others:
        hint += f" (also wrong: {', '.join(sorted(map(str, others))[:_OTHERS_AT_MOST])})"
    return RequestError(first.message, field=first.field, hint=hint, wrong=wrong)
