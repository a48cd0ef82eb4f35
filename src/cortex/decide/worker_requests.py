"""Workers that a master asks for by a file: what is made of the request, and why it is refused.

A good request becomes a step of an open task, or a task of one step, and goes the way of any other
from there: a slot, tokens, the queue. One that may never be granted gets a worker that ends as
rejected in the same line, so that the answer stands where workers stand.
"""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from cortex.decide.aggregate import settled
from cortex.decide.catalog import Catalog, Missing
from cortex.decide.entry import Now
from cortex.model.errors import RequestError
from cortex.model.ids import short_type
from cortex.model.state import State, Step, Task, Worker

if TYPE_CHECKING:
    from cortex.model.requests import TaskRequest, WorkerRequest

__all__ = ["check_asker", "further_step", "own_task", "refusal", "refused", "step_of"]

Event = dict[str, Any]
_OF_STEPS = ("runtime", "command", "env", "retries")


def check_asker(request: WorkerRequest, catalog: Catalog) -> None:
    """Only masters ask for workers (spec B3): RequestError where the name is none."""
    if request.master_agent in catalog.masters:
        return
    near = difflib.get_close_matches(request.master_agent, catalog.masters, 1)
    known = ", ".join(sorted(catalog.masters))
    raise RequestError(
        f"{request.master_agent} is no master here",
        field="master_agent",
        hint=f"did you mean {near[0]!r}?" if near else f"known: {known}",
    )


def refusal(request: WorkerRequest, catalog: Catalog) -> str | None:
    """Why the coordinator never grants this, however long it waits; None: it may."""
    step = Step("asked", request.worker_type, runtime=request.runtime, command=request.command)
    kind = catalog.types.get(request.worker_type)
    if kind is None:
        found = catalog.runtime_for(step)
        return found.reason if isinstance(found, Missing) else None
    master = catalog.masters[request.master_agent]
    if not master.may_spawn(request.worker_type):
        own = ", ".join(master.spawns or ["none"])
        return f"{master.name} may not spawn a {request.worker_type}; its file says spawns: {own}"
    asked = request.estimated_tokens
    if asked is not None and kind.token_budget and asked > kind.token_budget:
        return f"asks for {asked:,} tokens, and a {kind.name} gets {kind.token_budget:,} at most"
    return None


def step_of(request: WorkerRequest, name: str, task: Task, retries: int) -> Step:
    """The step that the request asks for, as a step of its task. `retries`: unless it says so."""
    asked = request.scope.model_dump(exclude_none=True, exclude={"command"})
    if "repository" in asked or "repositories" in asked:
        shared = {k: v for k, v in task.scope.items() if not k.startswith("repositor")}
    else:
        shared = dict(task.scope)
    return Step(
        name=name,
        worker_type=request.worker_type,
        needs=list(dict.fromkeys(request.needs)),
        runtime=request.runtime,
        command=request.command or request.scope.command,
        env={**task.env, **request.env},
        scope={**shared, **asked},
        token_budget=request.estimated_tokens,
        timeout_s=request.timeout or task.timeout_s,
        retries=retries if request.retries is None else request.retries,
        priority=request.priority,
        justification=request.justification,
    )


def own_task(request: WorkerRequest) -> TaskRequest:
    """A request without a task, as the task that a person would drop for it."""
    from cortex.model.requests import TaskRequest, parse_request

    bare = request.worker_type.removesuffix("-worker")
    said: dict[str, Any] = request.model_dump(exclude_none=True, exclude_unset=True)
    own: dict[str, Any] = {name: said[name] for name in _OF_STEPS if name in said}
    own |= {"name": short_type(request.worker_type)[:64], "worker_type": request.worker_type}
    if request.scope.command is not None:
        own["command"] = said["scope"].pop("command")
    if request.estimated_tokens is not None:
        own["token_budget"] = request.estimated_tokens
    if request.timeout is not None:
        own["timeout"] = request.timeout
    payload: dict[str, Any] = {
        "title": request.justification or f"a {request.worker_type} for {request.master_agent}",
        "type": bare,
        "workers": [own],
        **{name: said[name] for name in ("id", "priority", "scope") if name in said},
    }
    task = parse_request(payload)
    assert isinstance(task, TaskRequest)
    return task


def further_step(
    task: Task, request: WorkerRequest, taken: set[str], catalog: Catalog, retries: int
) -> Step:
    """The step that joins the plan of an open task; RequestError where it cannot.

    `taken` are names that the same file has given to other steps of it, `retries` is how often it
    is tried again where neither request nor task nor worker type says.
    """
    _check_open(task, request)
    names = {step.name for step in task.steps} | taken
    for need in request.needs:
        if need not in names:
            known = ", ".join(step.name for step in task.steps[:20])
            raise RequestError(
                f"needs {need!r}, which is no step of {task.id}",
                field="needs",
                hint=f"its steps: {known}",
            )
    if request.id in names:
        raise RequestError(
            f"{task.id} has a step {request.id} already",
            field="id",
            hint="leave the id out, or choose another",
        )
    short = short_type(request.worker_type)[:58]
    numbered = (f"{short}-{number}" for number in itertools.count(2))
    name = request.id or next(n for n in itertools.chain([short], numbered) if n not in names)
    kind = catalog.types.get(request.worker_type)
    said = (task.retries, kind.retries if kind else None, retries)
    step = step_of(request, name, task, next(n for n in said if n is not None))
    step.asked = True
    return step


def _check_open(task: Task, request: WorkerRequest) -> None:
    """Whether a further worker may join: the task has steps, and they are not over.

    Once they are, a person may be looking at what they came to: a yes is for that alone.
    """
    under_way = task.status in ("in_progress", "awaiting_approval") or (
        task.status == "paused" and task.resume_to in ("in_progress", "awaiting_approval")
    )
    if not (under_way and task.steps):
        raise RequestError(
            f"{task.id} takes no further worker: it is {task.status}",
            field="task_id",
            hint="ask while it is in progress; without task_id the worker gets a task of its own",
        )
    if settled(task):
        raise RequestError(
            f"{task.id} takes no further worker: all of its steps are over",
            field="task_id",
            hint="without task_id the worker gets a task of its own",
        )
    if task.execution_mode == "direct":
        raise RequestError(
            f"{task.id} runs in direct mode: one worker from start to end",
            field="task_id",
            hint="without task_id the worker gets a task of its own",
        )
    if task.assigned_to != request.master_agent:
        raise RequestError(
            f"{task.id} is {task.assigned_to}'s; only that master asks for workers of it",
            field="master_agent",
        )
    if request.priority == "critical" != task.priority:
        raise RequestError(
            f"is critical, and {task.id} is {task.priority}: a worker is critical with its task",
            field="priority",
            hint=f"raise the task's priority: `cortex edit {task.id}`",
        )


def refused(
    state: State,
    request: WorkerRequest,
    task: Task,
    step: Step,
    problem: str,
    numbers: Counter[str],
    now: Now,
) -> list[Event]:
    """Events that answer with no: a worker that was requested and is rejected.

    A task of its own fails with it; from an open one the step is taken out again. `numbers` counts
    the workers that the same file was refused.
    """
    worker = _rejected(state, request, task, step, numbers, now)
    of_step = {"task_id": task.id, "step": step.name}
    events: list[Event] = []
    if request.task_id is None:
        routed = {"event": "task_routed", "task_id": task.id, "master": request.master_agent}
        planned = {"event": "task_planned", "task_id": task.id, "steps": [step.to_json()]}
        events = [routed, planned]
    events += [
        {"event": "step_changed", **of_step, "status": "ready"},
        {"event": "worker_requested", "worker": worker.to_json()},
        {
            "event": "worker_ended",
            "worker_id": worker.id,
            "status": "rejected",
            "reason": problem,
            "permanent": True,
        },
    ]
    if request.task_id is None:
        return [
            *events,
            {"event": "step_changed", **of_step, "status": "failed", "reason": problem},
        ]
    return [*events, {"event": "step_removed", **of_step}]


def _rejected(
    state: State, request: WorkerRequest, task: Task, step: Step, numbers: Counter[str], now: Now
) -> Worker:
    prefix = f"worker-{short_type(request.worker_type)}"
    numbers.update((prefix, "order"))
    return Worker(
        id=f"{prefix}-{state.counters.get(prefix, 0) + numbers[prefix]:03d}",
        worker_type=request.worker_type,
        task_id=task.id,
        step=step.name,
        master=request.master_agent,
        attempt=1,
        priority=request.priority or task.priority,
        requested_at=now.at,
        token_budget=request.estimated_tokens or 0,
        timeout_s=request.timeout or 900.0,
        justification=request.justification,
        queued_wall=now.wall,
        order=state.counters.get("order", 0) + numbers["order"],
    )
