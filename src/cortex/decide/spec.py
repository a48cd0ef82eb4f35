"""The worker spec: the one document that tells a worker what to do (spec section L)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from cortex.decide.batching import items_of
from cortex.decide.catalog import Catalog
from cortex.model.definitions import WorkerTypeDefinition
from cortex.model.formats import SPEC
from cortex.model.state import Step, Task, Worker
from cortex.model.times import write_duration

__all__ = ["worker_folder", "worker_spec"]


def worker_folder(worker_id: str, at: str) -> str:
    """The dated folder of a worker, relative to the home; dated by its approval."""
    return f"agents/logs/workers/{at[:10]}/{worker_id}"


def worker_spec(task: Task, worker: Worker, catalog: Catalog) -> dict[str, Any]:
    """The spec document of one attempt, in the public field order."""
    step = task.step(worker.step)
    kind = catalog.types.get(worker.worker_type)
    spec: dict[str, Any] = {
        "worker_id": worker.id,
        "worker_type": worker.worker_type,
        "created_by": worker.master,
        "created_at": worker.requested_at,
        "task_id": task.id,
        "scope": _scope(step, kind, worker),
        "context": {
            "parent_task": task.title,
            "priority": worker.priority,
            "deadline": task.deadline,
            "step": step.name,
            "attempt": worker.attempt,
            **task.context,
        },
        "token_budget": worker.token_budget,
        "timeout": write_duration(worker.timeout_s),
        "deliverables": list(kind.deliverables) if kind else [],
        "prompt_template": f"agents/prompts/workers/{_file_name(kind, worker.worker_type)}",
        "runtime": worker.runtime,
        "format": SPEC,
    }
    persona = catalog.persona_of(worker.worker_type, worker.master)
    if persona is not None:
        spec["persona"] = {"name": persona.name, "text": persona.text}
    command = catalog.command_of(step) if worker.runtime == "command" else step.command
    if command is not None:
        spec["command"] = command
    if step.items:
        spec["items"], spec["first_item"] = items_of(task, step), step.items[0]
    if step.env:
        spec["env"] = step.env
    if worker.retry_of:
        spec["retry_of"] = worker.retry_of
        spec["context"]["why_again"] = step.reason
    return spec


def _scope(step: Step, kind: WorkerTypeDefinition | None, worker: Worker) -> dict[str, Any]:
    """The step's scope; where its command runs may be what its type says for all of them."""
    if kind is None or kind.workspace is None or worker.runtime != "command":
        return step.scope
    return {"workspace": kind.workspace, **step.scope}


def _file_name(kind: WorkerTypeDefinition | None, worker_type: str) -> str:
    """The type's own file: somebody's subagent keeps the name that it came with."""
    return PurePath(kind.path).name if kind and kind.path else f"{worker_type}.md"
