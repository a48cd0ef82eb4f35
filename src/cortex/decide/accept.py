"""What a dropped request becomes: journal events, or a refusal with reason and remedy.

The request itself is well formed already; here it is held against what is there. Ids of archived
work are given by the caller, because the state holds only what is open or recently ended.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortex.decide import budget
from cortex.decide.answers import answer
from cortex.decide.beyond import beyond_budget
from cortex.decide.catalog import Catalog
from cortex.decide.ending import cancel_task, reopen_task
from cortex.decide.entry import Entry, Now
from cortex.decide.handoffs import accept_handoff, check_release, reject_handoff
from cortex.decide.known import file_again
from cortex.decide.schedules import change_schedule, set_schedule
from cortex.decide.worker_requests import (
    check_asker,
    further_step,
    own_task,
    refusal,
    refused,
    step_of,
)
from cortex.model.errors import RequestError
from cortex.model.requests import (
    Answer,
    BudgetRequest,
    EditRequest,
    HandoffAnswer,
    Request,
    ScheduleRequest,
    TaskRequest,
    VerbRequest,
    WorkerRequest,
)
from cortex.model.settings import Settings
from cortex.model.state import TERMINAL_TASK, State, Task
from cortex.model.words import counted, listed

__all__ = ["accept_all", "accept_each"]

Event = dict[str, Any]
BY = "inbox"
_DEFAULTS = Settings()
#: A person's `task-N` moves the count behind N; more digits would leave no room to count on.
_DIGITS = 9
_USES_UP_NUMBERS = re.compile(rf"task-0*[1-9][0-9]{{{_DIGITS},}}")


@dataclass(slots=True)
class _File:
    """What the requests before this one in the same file make, before any of it is applied.

    `named` are the ids that any of them asks for; none of these is given to another.
    """

    source: str
    archived: Mapping[str, str]
    ids: dict[str, str] = field(default_factory=dict)
    catalog: Catalog = field(default_factory=Catalog)
    settings: Settings = _DEFAULTS
    keys: dict[str, str] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    made: int = 0
    #: Steps that it adds, by task, and how many workers of a kind it has refused.
    steps: dict[str, set[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)


def accept_all(
    state: State,
    requests: Sequence[Request],
    source: str,
    now: Now,
    archived: Mapping[str, str],
    catalog: Catalog | None = None,
    settings: Settings | None = None,
) -> Entry:
    """The one journal line of a file's requests, without its receipt.

    A file is taken whole or not at all: RequestError names the request that is refused.
    `archived` maps ids (and `key:…`) of archived tasks that the requests name to their status or,
    for a key, to the task's id. `catalog` says which masters may ask for which workers,
    `settings` how often their steps are tried again unless somebody says.
    """
    named = frozenset(ident for request in requests if (ident := _names_task(request)))
    catalog, settings = catalog or Catalog(), settings or _DEFAULTS
    file = _File(source, archived, catalog=catalog, settings=settings, named=named)
    entries = []
    for position, request in enumerate(requests):
        try:
            if len(requests) > 1 and not isinstance(request, TaskRequest | WorkerRequest):
                raise RequestError(
                    "only tasks and worker requests may stand together in one file",
                    hint="drop it as a file of its own",
                )
            entries.append(_accept(state, request, file, now))
        except RequestError as error:
            if len(requests) > 1:
                error.message = f"entry {position + 1}: {error.message}"
            raise
    why = entries[0].why if len(entries) == 1 else f"{source} asks for {_many(requests)}"
    return Entry(entries[0].by, why, [event for entry in entries for event in entry.events])


def accept_each(
    state: State,
    requests: Sequence[TaskRequest],
    source: str,
    now: Now,
    archived: Mapping[str, str],
) -> list[list[Event] | RequestError]:
    """As `accept_all`, but each task by itself: its events, or why it is refused."""
    named = frozenset(request.id for request in requests if request.id)
    file = _File(source, archived, named=named)
    outcomes: list[list[Event] | RequestError] = []
    for request in requests:
        try:
            outcomes.append(_task(state, request, file, now).events)
        except RequestError as error:
            outcomes.append(error)
    return outcomes


def _names_task(request: Request) -> str | None:
    """The id that a request wants for a task of its own."""
    if isinstance(request, WorkerRequest):
        return request.id if request.task_id is None else None
    return request.id if isinstance(request, TaskRequest) else None


def _many(requests: Sequence[Request]) -> str:
    workers = sum(isinstance(request, WorkerRequest) for request in requests)
    counts = ((len(requests) - workers, "tasks"), (workers, "workers"))
    return " and ".join(f"{number} {name}" for number, name in counts if number)


def _accept(state: State, request: Request, file: _File, now: Now) -> Entry:
    if isinstance(request, TaskRequest):
        return _task(state, request, file, now)
    if isinstance(request, WorkerRequest):
        return _worker(state, request, file, now)
    if isinstance(request, HandoffAnswer):
        return _handoff(state, request, now)
    if isinstance(request, ScheduleRequest):
        return set_schedule(state, request, file.source, now)
    if isinstance(request, Answer):
        return answer(state, request)
    if isinstance(request, BudgetRequest):
        why = request.reason or f"a person set the total budget to {request.total_budget:,}"
        return Entry("person", why, budget.change_total(state, request.total_budget))
    if isinstance(request, EditRequest):
        raise RequestError("an edit stands in a file of its own", hint="drop it by itself")
    if request.schedule_id is not None:
        return change_schedule(state, request, now)
    return _verb(state, request)


def _task(state: State, request: TaskRequest, file: _File, now: Now) -> Entry:
    if request.key is not None:
        known = state.keys.get(request.key) or file.archived.get(f"key:{request.key}")
        if known is not None or request.key in file.keys:
            known = known or file.keys[request.key]
            event = {"event": "task_linked", "task_id": known, "source": file.source}
            events = [event] if known in state.tasks else []
            return Entry(BY, f"{file.source} has the key of {known}: nothing new", events)
    _check_names(state, request, file)
    _check_types(request, file.catalog)
    task = _record(state, request, file, now)
    file.ids[task.id] = task.status
    if task.key is not None:
        file.keys[task.key] = task.id
    accepted: Event = {"event": "task_accepted", "task": task.to_json()}
    return Entry(BY, f"{file.source} asks for it", [accepted])


def _worker(state: State, request: WorkerRequest, file: _File, now: Now) -> Entry:
    """A further step of a task, or a task of one step; one that is refused has ended already."""
    check_asker(request, file.catalog)
    retries = file.settings.workers.retries
    if request.task_id is not None:
        task = _open(state, request.task_id, request.kind)
        names = file.steps.setdefault(task.id, set())
        step = further_step(task, request, names, file.catalog, retries)
        names.add(step.name)
        events: list[Event] = [{"event": "step_added", "task_id": task.id, "step": step.to_json()}]
    else:
        asked = own_task(request)
        _check_names(state, asked, file)
        task = _record(state, asked, file, now)
        task.assigned_to = request.master_agent
        task.plan[0]["justification"] = request.justification
        file.ids[task.id] = task.status
        step = step_of(request, asked.workers[0].name, task, retries)
        events = [{"event": "task_accepted", "task": task.to_json()}]
    problem = refusal(request, file.catalog)
    problem = problem or beyond_budget(state, task, step, file.catalog, file.settings)
    if problem is None:
        why = request.justification or f"{file.source} asks for a {request.worker_type}"
        return Entry(request.master_agent, why, events)
    events += refused(state, request, task, step, problem, file.refused, now)
    return Entry("coordinator-master", problem, events)


def _check_names(state: State, request: TaskRequest, file: _File) -> None:
    def status_of(ident: str) -> str | None:
        task = state.tasks.get(ident)
        return task.status if task else file.ids.get(ident) or file.archived.get(ident)

    if request.id is not None and (status := status_of(request.id)) is not None:
        raise RequestError(
            f"task {request.id} is already here ({status})",
            field="id",
            hint="leave the id out or choose another; `retry` runs the same task again",
        )
    if request.id is not None and _USES_UP_NUMBERS.fullmatch(request.id):
        raise RequestError(
            f"{request.id} would use up the numbers that tasks are counted with",
            field="id",
            hint=f"a task-N has at most {_DIGITS} digits; or choose another name",
        )
    for need in request.needs:
        if need == request.id:
            raise RequestError(
                f"{need} needs itself, and would wait for ever", field="needs", hint="leave it out"
            )
        if status_of(need) is None:
            raise RequestError(
                f"needs {need!r}, which is no task here", field="needs", hint="drop that one first"
            )
        archived = file.archived.get(need) if need not in state.tasks else None
        if archived not in (None, "completed"):
            raise RequestError(
                f"needs {need!r}, which is archived as {archived}",
                field="needs",
                hint="leave it out, or drop that work again and need the new task",
            )


def _check_types(request: TaskRequest, catalog: Catalog) -> None:
    """A type of a task's own plan may get its file later; a slip of the pen never does."""
    for number, step in enumerate(request.workers):
        meant = catalog.misspelt(step.worker_type)
        if meant is not None:
            own = f"agents/prompts/workers/{step.worker_type}.md"
            raise RequestError(
                f"there is no worker type {step.worker_type}",
                field=f"workers.{number}.worker_type",
                hint=f"did you mean {meant!r}? A type of your own gets its file first, {own}",
            )


def _next_id(state: State, file: _File) -> str:
    """The next free number; ids that requests of the file name are passed over."""
    while True:
        file.made += 1
        ident = f"task-{state.counters.get('task', 0) + file.made:03d}"
        if ident not in file.named:
            return ident


def _record(state: State, request: TaskRequest, file: _File, now: Now) -> Task:
    task_type = request.type or ("command" if request.command or request.workers else "general")
    return Task(
        id=request.id or _next_id(state, file),
        title=request.title or _title(task_type, request),
        type=task_type,
        priority=request.priority,
        created_at=now.at,
        execution_mode=request.execution_mode,
        scope=request.scope.model_dump(exclude_none=True, exclude={"command"}),
        deadline=request.deadline,
        timeout_s=request.timeout,
        retries=request.retries,
        token_budget=request.token_budget,
        runtime=request.runtime,
        command=request.command,
        env=request.env,
        needs=list(dict.fromkeys(request.needs)),
        key=request.key,
        plan=[step.model_dump(exclude_none=True) for step in request.workers],
        max_parallel=request.max_parallel,
        items=list(request.items),
        batch=request.batch,
        fallback=request.fallback,
        hold=request.hold,
        approval=request.approval,
        source=file.source,
        extra=request.model_extra or {},
    )


def _title(task_type: str, request: TaskRequest) -> str:
    if request.command is not None:
        words = request.command
        text = words if isinstance(words, str) else " ".join(words)
        first = text.strip().split("\n")[0][:80]
        return f"{first} ({counted(len(request.items), 'item')})" if request.items else first
    scope = request.scope
    names = scope.repositories or ([scope.repository] if scope.repository else [])
    if not names:
        return task_type
    return f"{task_type} of {listed([name.rstrip('/').rpartition('/')[2] for name in names], 3)}"


def _open(state: State, task_id: str, verb: str) -> Task:
    task = state.tasks.get(task_id)
    if task is None:
        raise RequestError(
            f"{verb} names {task_id}, which is no task here",
            field="task_id",
            hint="`cortex get tasks` lists them; archived tasks cannot be changed",
        )
    return task


def _verb(state: State, request: VerbRequest) -> Entry:
    reason = request.reason or f"a person asked to {request.kind}"
    if request.kind == "drain":
        return Entry("person", reason, [{"event": "fleet_draining"}])
    if request.task_id is None:
        paused = request.kind == "pause"
        return Entry("person", reason, [{"event": "fleet_paused", "paused": paused}])
    released = file_again(state, request.task_id) if request.kind == "retry" else []
    if released:
        return Entry("person", reason, released)
    task = _open(state, request.task_id, request.kind)
    if request.kind == "retry":
        return Entry("person", reason, reopen_task(state, task))
    if task.status in TERMINAL_TASK and not (request.kind == "cancel" and request.cascade):
        again = "drop its file again to do it again"
        if task.status != "completed":
            again = "`retry` runs it again"
        raise RequestError(
            f"{task.id} has ended already ({task.status})",
            field="task_id",
            hint=f"{again}; there is nothing to {request.kind}",
        )
    if request.kind == "cancel":
        return Entry("person", reason, cancel_task(state, task, reason, request.cascade))
    if request.kind == "pause":
        if task.status == "paused":
            raise RequestError(f"{task.id} is paused already", field="task_id")
        return Entry("person", reason, [{"event": "task_paused", "task_id": task.id}])
    if task.status == "paused":
        return Entry("person", reason, [{"event": "task_resumed", "task_id": task.id}])
    if task.hold:
        check_release(state, task)
        return Entry("person", reason, [{"event": "task_released", "task_id": task.id}])
    raise RequestError(f"{task.id} is not paused ({task.status})", field="task_id")


def _handoff(state: State, request: HandoffAnswer, now: Now) -> Entry:
    handoff = state.handoffs.get(request.handoff_id)
    if handoff is None:
        raise RequestError(f"{request.handoff_id} is no handoff here", field="handoff_id")
    if handoff.status != "pending":
        raise RequestError(
            f"{handoff.id} is {handoff.status} already; the answer comes too late",
            field="handoff_id",
            hint=f"`cortex cancel {handoff.task_id}` takes its work back"
            if handoff.status == "accepted"
            else None,
        )

    reason = request.reason or f"a person {request.status} it"
    if request.status == "accepted":
        return Entry("person", reason, accept_handoff(state, handoff))
    return Entry("person", reason, reject_handoff(state, handoff, reason, now))
