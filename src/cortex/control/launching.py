"""From an approved worker to a launch: paths, environment and program of one attempt.

Nothing is started here; a spec that no program can be made of becomes a sentence instead.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.control.context import Context
from cortex.decide.planning import plan_context
from cortex.decide.spec import worker_spec
from cortex.model.branches import is_url
from cortex.model.paths import expanded
from cortex.model.state import PLANNER, Task, Worker
from cortex.runtime.environment import worker_environment
from cortex.runtime.executor import Launch, Limits
from cortex.runtime.table import RUNTIMES

__all__ = ["AttemptPaths", "attempt_paths", "make_launch", "repository_from"]


@dataclass(frozen=True, slots=True)
class AttemptPaths:
    """Where one attempt's files lie, absolute."""

    attempt: str
    locks: str
    folder: str
    spec: str


def attempt_paths(context: Context, worker: Worker) -> AttemptPaths:
    """The paths of an attempt; its locks lie where its spawning line says, but never in the folder
    of another home.
    """
    paths = context.paths  # joined as text: this runs several times a worker
    locks = worker.runtime_dir
    if locks is None or locks in context.anothers_dirs:
        locks = str(paths.attempts)
    return AttemptPaths(
        attempt=f"{paths.attempts}/{worker.id}",
        locks=f"{locks}/{worker.id}",
        folder=f"{paths.root}/{worker.folder or ''}",
        spec=f"{paths.worker_specs}/{worker.id}.json",
    )


def make_launch(context: Context, task: Task, worker: Worker) -> Launch:
    """Everything the executor needs; ValueError names the field that cannot be run."""
    paths = attempt_paths(context, worker)
    spec = worker_spec(task, worker, context.catalog)
    spec["scope"] = _local_scope(context.paths.root, spec["scope"])
    spec["context"] |= _scan_context(context)
    if "items" in spec:
        spec["earlier"] = _earlier(context, task, worker)
    if worker.step == PLANNER:
        spec["context"] |= plan_context(task, context.catalog, context.settings)
    if spec["scope"].get("repository"):
        since_s = round(context.engine.now().wall, 3)
        spec["context"]["mirrors"] = {"folder": str(context.paths.mirrors), "since": since_s}
    inputs = _inputs(context, task, worker)
    if inputs:
        spec["inputs"] = inputs
    program = RUNTIMES[worker.runtime].program(spec)
    env = worker_environment(
        worker_id=worker.id,
        task_id=worker.task_id,
        attempt=worker.attempt,
        worker_dir=paths.folder,
        inputs=os.pathsep.join(row["results"] for row in inputs) or None,
        paths=spec["scope"].get("paths") or (),
        named={
            **program.env,
            **_credentials(context, worker),
            **task.step(worker.step).env,
        },
    )
    settings = context.settings.workers
    return Launch(
        worker_id=worker.id,
        nonce=worker.nonce,
        attempt_dir=paths.attempt,
        lock_dir=paths.locks,
        worker_dir=paths.folder,
        spec=spec,
        spec_path=paths.spec,
        argv=program.argv,
        env=env,
        cwd=program.cwd,
        timeout_s=worker.timeout_s,
        grace_s=settings.grace,
        log_limit_bytes=settings.log_limit,
        boot_id=worker.boot_id or "",
        title=task.title,
        limits=Limits(
            memory_bytes=settings.memory_limit or None,
            file_bytes=settings.file_limit or None,
            processes=settings.process_limit or None,
        ),
    )


def _earlier(context: Context, task: Task, worker: Worker) -> list[str]:
    """The folders of earlier attempts at a worker's step: what they completed is not repeated."""
    others = (context.state.workers.get(ident) for ident in task.workers if ident != worker.id)
    same = [other for other in others if other is not None and other.step == worker.step]
    return [f"{context.paths.root}/{other.folder}" for other in same if other.folder]


def _credentials(context: Context, worker: Worker) -> dict[str, str]:
    """The daemon's own variables that the worker type's file names, and no others: a task names
    none, or whoever may drop one could read them all. They reach the process, never a file.
    """
    kind = context.catalog.types.get(worker.worker_type)
    named = kind.credentials if kind is not None else []
    return {name: os.environ[name] for name in named if os.environ.get(name)}


def _local_scope(root: Path, scope: dict[str, Any]) -> dict[str, Any]:
    local = dict(scope)
    if isinstance(scope.get("repository"), str):
        local["repository"] = repository_from(root, scope["repository"])
    if isinstance(scope.get("repositories"), list):
        local["repositories"] = [repository_from(root, one) for one in scope["repositories"]]
    return local


def repository_from(root: Path, repository: str) -> str:
    """A repository as workers get it: a relative path is meant from the home."""
    if is_url(repository) or "://" in repository:
        return repository
    return os.path.normpath(root / expanded(repository))


def _scan_context(context: Context) -> dict[str, Any]:
    scan = context.settings.scan
    extra: dict[str, Any] = {}
    if scan.advisories_dir:
        folder = expanded(scan.advisories_dir)
        extra["advisories_dir"] = os.path.normpath(context.paths.root / folder)
    if scan.audit_online:
        extra["audit_online"] = True
    return extra


def _inputs(context: Context, task: Task, worker: Worker) -> list[dict[str, str]]:
    """The needed steps that succeeded, in the order of `needs`, each with where its results lie.

    A command need not write results, so a path may name no file.
    """
    needed = [task.step(name) for name in task.step(worker.step).needs]
    rows = []
    for step in needed:
        if step.status == "done" and step.worker_id:
            folder = context.state.workers[step.worker_id].folder
            results = f"{context.paths.root}/{folder}/results.json"
            rows.append({"step": step.name, "worker_id": step.worker_id, "results": results})
    return rows
