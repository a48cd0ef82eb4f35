"""Whether a plan that a model proposes may be carried out: its limits, its types, its scope.

A model is no person: it names only what its master may use and its task covers, it raises no
limit, and it runs no program unless the master's file says so. What a plan costs, and whether
somebody must say yes to it, is decided as for any other plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from cortex.decide.catalog import Catalog, Missing
from cortex.decide.steps import repositories_of
from cortex.model.definitions import WorkerTypeDefinition
from cortex.model.plan_graph import graph_problems
from cortex.model.proposals import PROBLEMS_AT_MOST, ProposedPlan, ProposedStep, read_proposal
from cortex.model.settings import Settings
from cortex.model.state import Step, Task

__all__ = ["Judged", "judge", "most_of", "offered_types", "steps_at_most"]


@dataclass(frozen=True, slots=True)
class Judged:
    """`workers` are the steps as a task's own plan has them; with `problems` there are none."""

    workers: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    problems: tuple[str, ...] = ()


def judge(task: Task, proposal: object, catalog: Catalog, settings: Settings) -> Judged:
    """What is wrong with a proposed plan, each with its place; or its steps."""
    plan, problems = read_proposal(proposal)
    if plan is None:
        return Judged(problems=tuple(problems))
    found = [*_of_the_whole(task, plan, catalog, settings)]
    for number, step in enumerate(plan.workers):
        found += [f"workers.{number}.{text}" for text in _of_step(task, step, catalog)]
    if found:
        return Judged(problems=tuple(found[:PROBLEMS_AT_MOST]))
    return Judged([_row(task, step) for step in plan.workers], plan.reason)


def steps_at_most(task: Task, catalog: Catalog, settings: Settings) -> int:
    """How many steps a plan of the task may have: as its master says, else the settings."""
    master = catalog.masters.get(task.assigned_to or "")
    own = master.limits.max_steps if master is not None else None
    return settings.limits.steps_per_plan if own is None else own


def offered_types(task: Task, catalog: Catalog) -> list[str]:
    """The worker types that a plan may name: those that the master spawns and that run here."""
    master = catalog.masters.get(task.assigned_to or "")
    command = ["true"] if master and master.plan_commands else None
    types = catalog.types
    return [name for name in types if not _not_offered(task, name, command, catalog, master)]


def most_of(task: Task, kind: WorkerTypeDefinition) -> tuple[int, float]:
    """(tokens, seconds) that a plan may give one worker: as its task says, else its type."""
    tokens = kind.token_budget if task.token_budget is None else task.token_budget
    return tokens, kind.timeout if task.timeout_s is None else task.timeout_s


def _of_the_whole(
    task: Task, plan: ProposedPlan, catalog: Catalog, settings: Settings
) -> Iterator[str]:
    most = steps_at_most(task, catalog, settings)
    if len(plan.workers) > most:
        yield f"workers: has {len(plan.workers)} steps; at most {most} are allowed"
    for problem in graph_problems(plan.workers):
        place = "" if problem.step is None else f".{problem.step}.{problem.field}"
        yield f"workers{place}: {problem.text}"


def _of_step(task: Task, step: ProposedStep, catalog: Catalog) -> Iterator[str]:
    master = catalog.masters.get(task.assigned_to or "")
    if step.command is not None and not (master and master.plan_commands):
        yield "command: plans may name no commands here (plan_commands in the master's file)"
        return
    refusal = _not_offered(task, step.worker_type, step.command, catalog, master)
    if refusal:
        yield f"worker_type: {refusal}"
        return
    kind = catalog.types[step.worker_type]
    tokens, longest = most_of(task, kind)
    if step.token_budget is not None and step.token_budget > tokens:
        whose = "of its type" if task.token_budget is None else "that its task says"
        yield f"token_budget: {step.token_budget} is more than the {tokens} {whose}"
    if step.timeout is not None and step.timeout > longest:
        whose = "of its type" if task.timeout_s is None else "that its task says"
        yield f"timeout: {step.timeout:g} s is more than the {longest:g} s {whose}"
    yield from _of_scope(task, step)


def _not_offered(
    task: Task, name: str, command: list[str] | str | None, catalog: Catalog, master: Any
) -> str | None:
    """Why a plan may not use a worker type; None if it may."""
    kind = catalog.types.get(name)
    if kind is None:
        return f"{name!r} is no worker type here"
    if master is not None and name == master.planner:
        return f"{name!r} only plans"
    if master is not None and not master.may_spawn(name):
        return f"{name!r} is none that {master.name} spawns"
    step = Step(name="it", worker_type=name, runtime=task.runtime, command=command)
    found = catalog.runtime_for(step)
    return f"{name!r} cannot run here: {found.reason}" if isinstance(found, Missing) else None


def _of_scope(task: Task, step: ProposedStep) -> Iterator[str]:
    repositories = repositories_of(task)
    named = step.scope.repository
    if named is not None and named not in repositories:
        yield f"scope.repository: {named!r} is not in the scope of {task.id}"
    allowed = task.scope.get("paths")
    for path in step.scope.paths or []:
        if allowed and not any(_lies_in(path, folder) for folder in allowed):
            yield f"scope.paths: {path!r} is not in the paths of {task.id}"


def _lies_in(path: str, allowed: str) -> bool:
    """Whether a path is one that the task allows, fits its pattern, or lies in its folder."""
    path, allowed = _plain(path), _plain(allowed)
    inside = allowed in ("", path) or path.startswith(f"{allowed}/")
    return inside or fnmatchcase(path, allowed)


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _row(task: Task, step: ProposedStep) -> dict[str, Any]:
    row: dict[str, Any] = {
        **step.model_dump(exclude_unset=True, exclude={"scope", "optional", "approval"}),
        "scope": step.scope.model_dump(exclude_none=True),
        "runtime": task.runtime,
    }
    flags = {"optional": step.optional, "approval": step.approval}
    return {**row, **{name: True for name, said in flags.items() if said}}
