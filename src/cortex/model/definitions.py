"""Masters, worker types and personas as files: Markdown with YAML front matter.

The format is the one that agent users already have (`name`, `description`, `tools`, `model`, …), so
an existing subagent file is a valid worker type. Reading a file gives one of the frozen types below
or DefinitionError with file, line and field. What a plan means is decided elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from cortex.model.front_matter import read_front_matter, validate
from cortex.model.ids import is_user_id, master_name, short_type, worker_type_name
from cortex.model.times import parse_duration

__all__ = [
    "FollowUps",
    "MasterDefinition",
    "MasterPlan",
    "PlanStep",
    "WorkerTypeDefinition",
    "read_front_matter",
    "read_master",
    "read_worker_type",
]


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str | int | float) else value


def _names(value: Any) -> Any:
    """`tools: Read, Grep` is how subagent files write a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
_AsNames = BeforeValidator(_names)
Names = Annotated[list[str], _AsNames]


def _name(value: str) -> str:
    if not is_user_id(value):
        raise ValueError(f"{value!r} is no name; use letters, digits and . _ - (at most 64)")
    return value


def _inside(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/") or "\0" in value or not value:
        raise ValueError(f"{value!r} is no file of artifacts/; write its path relative to that")
    return value


def _check_in(value: str) -> str:
    """`on demand`, `daily`, `every 2h` or any other schedule."""
    from cortex.model.calendar import check_schedule

    tidy = " ".join(value.lower().split())
    return tidy if tidy == "on demand" else check_schedule(tidy)


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value) or value.startswith("CORTEX_"):
        raise ValueError(f"{value!r} is no name of a variable that holds a credential")
    return value


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    from cortex.model.results_schema import check_schema

    check_schema(value)
    return value


Name = Annotated[str, AfterValidator(_name)]
TypeName = Annotated[Name, AfterValidator(worker_type_name)]
MasterName = Annotated[Name, AfterValidator(master_name)]


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanStep(_Definition):
    """One step of a master's plan; with `for_each` one step per item of the task's scope."""

    name: Name
    worker_type: TypeName
    for_each: Literal["repository"] | None = None
    needs: Names = Field(default_factory=list)
    optional: bool = False
    approval: bool = False
    retries: int | None = Field(None, ge=0, le=100)
    runtime: str | None = None


class MasterPlan(_Definition):
    """Which steps a task of some types becomes."""

    types: Names
    steps: list[PlanStep] = Field(min_length=1)
    max_parallel: int | None = Field(None, ge=1)


def _title(value: str) -> str:
    try:
        value.format(findings="2 findings", tasks="1 task")
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("only {findings} and {tasks} may stand in braces") from None
    return value


class FollowUps(_Definition):
    """Tasks that are created by the line that ends a task."""

    types: Names
    when: Literal["findings"] = "findings"
    min_severity: Literal["critical", "high", "medium", "low", "info"] = "medium"
    title: Annotated[str, AfterValidator(_title)] = "Fix {findings} in {tasks}"
    type: str = "remediation"
    item_type: str = "fix"
    to: MasterName
    max_items: int = Field(10, ge=1, le=100)
    max_depth: int = Field(2, ge=1, le=10)


class MasterBudget(_Definition):
    """A master's own tokens and its share of the worker pool, per period."""

    allocated: int = Field(0, ge=0)
    worker_pool: int = Field(0, ge=0)


class MasterDefinition(_Definition):
    """One file under agents/masters/."""

    name: MasterName
    description: str = ""
    routes: Names = Field(default_factory=list)
    default_route: bool = False
    budget: MasterBudget = MasterBudget()
    check_in: Annotated[str, AfterValidator(_check_in)] = "on demand"
    spawns: Annotated[list[TypeName], BeforeValidator(_names)] = Field(default_factory=list)
    plans: list[MasterPlan] = Field(default_factory=list)
    follow_ups: list[FollowUps] = Field(default_factory=list)
    accept_handoffs: bool = True
    approvals: Names = Field(default_factory=list)
    model: str | None = None
    prompt: str = ""

    @model_validator(mode="after")
    def _sound(self) -> MasterDefinition:
        for plan in self.plans:
            _check_steps(plan.steps)
        return self


def _check_steps(steps: list[PlanStep]) -> None:
    from graphlib import CycleError, TopologicalSorter

    graph: dict[str, list[str]] = {}
    for step in steps:
        if step.name in graph:
            raise ValueError(f"plans: two steps are named {step.name}; names are unique")
        graph[step.name] = step.needs
    for step in steps:
        unknown = set(step.needs) - graph.keys()
        if unknown:
            raise ValueError(f"plans: step {step.name} needs unknown {sorted(unknown)[0]}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise ValueError(f"plans: {circle} need each other in a circle; break it") from None


class WorkerTypeDefinition(BaseModel):
    """One file under agents/prompts/workers/; keys of other tools are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: TypeName
    description: str = ""
    tools: Names = Field(default_factory=list)
    model: str | None = None
    short_type: Annotated[str, AfterValidator(lambda value: value and _name(value))] = ""
    token_budget: int = Field(8000, ge=0)
    timeout: Duration = 900.0
    deliverables: Annotated[list[Annotated[str, AfterValidator(_inside)]], _AsNames] = Field(
        default_factory=list
    )
    results_schema: Annotated[dict[str, Any], AfterValidator(_schema)] | None = None
    runtime: str = "auto"
    tools_runtime: bool = False
    retries: int | None = Field(None, ge=0, le=100)
    approval: bool = False
    writes: bool = False
    credentials: Annotated[list[Annotated[str, AfterValidator(_variable)]], _AsNames] = Field(
        default_factory=list
    )
    heartbeats: bool = False
    heartbeat_interval: Duration = 150.0
    prompt: str = ""
    path: str = ""

    @property
    def short(self) -> str:
        """The middle of its workers' ids."""
        return self.short_type or short_type(self.name)


def read_master(text: str, path: Path) -> MasterDefinition:
    """The master that a file under agents/masters/ describes; DefinitionError if it cannot be."""
    data, body = read_front_matter(text, path)
    data.setdefault("name", path.stem)
    return validate(MasterDefinition, {**data, "prompt": body}, text, path)


def read_worker_type(text: str, path: Path) -> WorkerTypeDefinition:
    """The worker type that a file under agents/prompts/workers/ describes."""
    data, body = read_front_matter(text, path)
    data.setdefault("name", path.stem)
    return validate(WorkerTypeDefinition, {**data, "prompt": body, "path": str(path)}, text, path)
