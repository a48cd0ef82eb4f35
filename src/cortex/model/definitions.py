"""Masters, worker types and personas as files: Markdown with YAML front matter.

The format is the one that agent users already have (`name`, `description`, `tools`, `model`, …), so
an existing subagent file is a valid worker type. Reading a file gives one of the frozen types below
or DefinitionError with file, line and field. What a plan means is decided elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
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

from cortex.model.errors import Place
from cortex.model.front_matter import read_front_matter, validate
from cortex.model.ids import (
    is_user_id,
    master_name,
    short_type,
    usable_name,
    worker_type_name,
)
from cortex.model.personas import PersonaName
from cortex.model.plan_graph import graph_problems
from cortex.model.requests import Command, Environment, Scope
from cortex.model.times import parse_duration
from cortex.model.wrong_fields import Misplaced, wrong_fields

__all__ = [
    "PLACEHOLDERS",
    "FollowUps",
    "MasterDefinition",
    "MasterLimits",
    "MasterPlan",
    "PlanStep",
    "ReviewRule",
    "WorkerTypeDefinition",
    "read_front_matter",
    "read_master",
    "read_worker_type",
    "rival_routes",
]


#: What stands in `{{…}}` in a worker type's prompt for what its task says.
PLACEHOLDERS = ("title", "repository", "scope")
#: A comma that is not within parentheses.
_COMMA = re.compile(r",(?![^(]*\))")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str | int | float) else value


def _names(value: Any) -> Any:
    """`tools: Read, Grep` is how subagent files write a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _tools(value: Any) -> Any:
    """`Read, Bash(git add:*, git commit:*)` and `{write: false, bash: true}` are lists too."""
    if isinstance(value, dict):
        return [str(name) for name, may in value.items() if may is not False]
    if isinstance(value, str):
        return [part.strip() for part in _COMMA.split(value) if part.strip()]
    return value


def _text(value: Any) -> Any:
    """What other programs' files have where a text stands: numbers, dates, lists of lines."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return value if isinstance(value, str | dict) else str(value)


Text = Annotated[str, BeforeValidator(_text)]
Tools = Annotated[list[str], BeforeValidator(_tools)]
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
Severity = Literal["critical", "high", "medium", "low", "info"]


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanStep(_Definition):
    """One step of a master's plan; with `for_each` one step per item of the task's scope."""

    name: Name = Field(description="Unique in its plan; others name it in `needs`.")
    worker_type: TypeName = Field(description="`scan` or `scan-worker`.")
    for_each: Literal["repository", "path"] | None = Field(
        None, description="One step for each repository, or each of `paths`, of the task's scope."
    )
    needs: Names = Field(
        default_factory=list, description="Steps that must be done before; their results go along."
    )
    optional: bool = Field(False, description="The task does not fail with it.")
    approval: bool = Field(
        False,
        description="Waits for a person's yes once it could start; meanwhile no other step of its "
        "task starts.",
    )
    retries: int | None = Field(
        None, ge=0, le=100, description="Further attempts; else the task's or the type's."
    )
    accept_partial: bool | None = Field(
        None, description="Whether `partial` results will do; else workers.accept_partial."
    )
    runtime: str | None = Field(None, description="Else the task's.")
    command: Command | None = Field(
        None, description="What it runs, as a shell line or a list of arguments."
    )
    env: Environment = Field(
        default_factory=dict, description="Variables for its worker, beside the task's."
    )
    scope: dict[str, Any] = Field(
        default_factory=dict, description="Options for it, beside or instead of the task's scope."
    )
    token_budget: int | None = Field(None, ge=0, description="Else the task's or the type's.")
    timeout: Duration | None = Field(None, description="Else the task's or the type's.")

    @model_validator(mode="after")
    def _sound(self) -> PlanStep:
        for key in ("repository", "repositories"):
            if key in self.scope:
                said = "a plan has no repository of its own; a task has"
                raise Misplaced((said, ("scope", key)))
        try:
            Scope.model_validate(self.scope)
            json.dumps(self.scope, allow_nan=False)
        except ValidationError as error:
            wrong = wrong_fields(error, Scope, self.scope)
            raise Misplaced(*((one.text, ("scope", *one.place)) for one in wrong)) from None
        except (TypeError, ValueError):
            said = "holds what JSON cannot, such as a date; put it in quotes"
            raise Misplaced((said, ("scope",))) from None
        return self


class ReviewRule(_Definition):
    """What must look at the work of a plan before it counts as done."""

    by: TypeName | None = Field(
        None, description="A worker type: one more step on what the steps that write have changed."
    )
    at: Severity = Field("medium", description="The severity from which on it requests changes.")
    person: bool = Field(False, description="The task waits for a person's yes before it is over.")

    @model_validator(mode="after")
    def _sound(self) -> ReviewRule:
        if self.by is None and not self.person:
            raise ValueError("says nobody who reviews; write `by: review-worker` or `person: true`")
        return self


def _review(value: Any) -> Any:
    """`review: person` and `review: review-worker` are short for objects."""
    if isinstance(value, str):
        return {"person": True} if value == "person" else {"by": value}
    return value


class MasterPlan(_Definition):
    """Which steps a task of some types becomes."""

    types: Names = Field(description="The types of tasks that it is for.")
    steps: list[PlanStep] = Field(default_factory=list, description="What is done, in any order.")
    function: Literal["feature"] | None = Field(
        None, description="A named function of Cortex that makes the steps, instead of `steps`."
    )
    max_parallel: int | None = Field(
        None, ge=1, description="Most of a task's workers at once, unless the task says it."
    )
    review: Annotated[ReviewRule, BeforeValidator(_review)] | None = Field(
        None, description="`person`, a worker type, or an object of `by`, `at` and `person`."
    )

    @model_validator(mode="after")
    def _sound(self) -> MasterPlan:
        if self.function is None:
            if not self.steps:
                said = "names no step and no function; write one of them"
                raise Misplaced((said, ("steps",)))
            _check_steps(self.steps)
        elif self.steps:
            said = "the steps are made by the function; keep one of them"
            raise Misplaced((said, ("steps",)))
        return self


def _title(value: str) -> str:
    try:
        value.format(findings="2 findings", tasks="1 task")
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("only {findings} and {tasks} may stand in braces") from None
    return value


class FollowUps(_Definition):
    """Tasks that are created by the line that ends a task."""

    types: Names = Field(description="The types of tasks that have them.")
    when: Literal["findings"] = Field("findings", description="On what: findings of the task.")
    min_severity: Severity = Field("medium", description="The least severity that counts.")
    title: Annotated[str, AfterValidator(_title)] = Field(
        "Fix {findings} in {tasks}", description="Of the parent; both words are filled in."
    )
    type: str = Field("remediation", description="The type of the parent task.")
    item_type: str = Field("fix", description="The type of the task for each group of findings.")
    to: MasterName = Field(description="The master that they are handed to.")
    max_items: int = Field(10, ge=1, le=100, description="Tasks at once; the rest is one more.")
    max_depth: int = Field(
        2, ge=1, le=10, description="A task that came out of so many others makes none."
    )
    again_after: Duration = Field(
        1_209_600.0,
        description="So long after its end a task that was completed, or that a person cancelled, "
        "stands for what it was made for; then it is made again. 14 days.",
    )


class MasterLimits(_Definition):
    """How far the work of a master may go."""

    max_parallel: int | None = Field(
        None, ge=1, description="Its live workers at once; limits.per_master may be lower."
    )
    max_steps: int | None = Field(
        None, ge=1, description="Steps of a plan that it makes; a larger one is blocked."
    )
    tokens_per_task: int | None = Field(
        None, ge=0, description="A task that may use more waits for a person's yes."
    )


class MasterBudget(_Definition):
    """A master's own tokens and its share of the worker pool, per period."""

    allocated: int = Field(
        0, ge=0, description="Its own tokens a period, for direct mode and for planning."
    )
    worker_pool: int = Field(
        0, ge=0, description="Its share of the worker pool: a weight, not a wall."
    )


class MasterDefinition(_Definition):
    """One file under agents/masters/."""

    name: MasterName = Field(description="`security` or `security-master`; else the file's name.")
    description: str = Field("", description="For people, in lists.")
    routes: Names = Field(
        default_factory=list,
        description="Types of tasks that come here; of two masters the first by file name.",
    )
    default_route: bool = Field(
        False,
        description="Types that nobody lists come here; of two masters the first by file name.",
    )
    budget: MasterBudget = Field(MasterBudget(), description="Its tokens; see below.")
    check_in: Annotated[str, AfterValidator(_check_in)] = Field(
        "on demand",
        description="When it looks over its work: `daily`, `every 2h` or any other schedule.",
    )
    spawns: Annotated[list[TypeName] | None, _AsNames] = Field(
        None, description="The worker types that it may choose; without it every type."
    )
    limits: MasterLimits = Field(MasterLimits(), description="How far it goes; see below.")
    plans: list[MasterPlan] = Field(
        default_factory=list, description="Which steps its tasks become; see below."
    )
    planner: TypeName | None = Field(
        None, description="The worker type that asks a model for a plan where there is none."
    )
    plan_commands: bool = Field(
        False, description="Whether steps of such a plan may name commands of their own."
    )
    follow_ups: list[FollowUps] = Field(
        default_factory=list, description="What findings of ended tasks become; see below."
    )
    accept_handoffs: bool = Field(True, description="`false`: handoffs to it wait for a person.")
    approvals: Names = Field(
        default_factory=list, description="Types of tasks that wait for a yes before they start."
    )
    persona: PersonaName | None = Field(
        None, description="Who its workers are whose type names none: a file of agents/personas/."
    )
    model: str | None = Field(None, description="For agents; kept, and not acted on yet.")
    prompt: str = ""

    @model_validator(mode="after")
    def _sound(self) -> MasterDefinition:
        wrong = [
            (f"{worker_type} is not among its `spawns`; add it there", place)
            for place, worker_type in self.types_in_plans()
            if not self.may_spawn(worker_type)
        ]
        if wrong:
            raise Misplaced(*wrong)
        return self

    def types_in_plans(self) -> Iterator[tuple[Place, str]]:
        """The worker types that its plans name, each with its place in the front matter."""
        for number, plan in enumerate(self.plans):
            place = ("plans", number)
            for position, step in enumerate(plan.steps):
                yield (*place, "steps", position, "worker_type"), step.worker_type
            if plan.review is not None and plan.review.by is not None:
                yield (*place, "review", "by"), plan.review.by

    def may_spawn(self, worker_type: str) -> bool:
        """Whether it may choose workers of this type by itself."""
        return self.spawns is None or worker_type in self.spawns


def _check_steps(steps: list[PlanStep]) -> None:
    wrong = list(graph_problems(steps))
    if wrong:
        raise Misplaced(*((one.text, ("steps", *one.place)) for one in wrong))


class WorkerTypeDefinition(BaseModel):
    """One file under agents/prompts/workers/; keys of other tools are kept.

    `called` is the name as the file has it, where that could not be used.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: TypeName = Field(description="`spelling` or `spelling-worker`; else the file's name.")
    description: Text = Field("", description="For people, in lists.")
    tools: Tools = Field(
        default_factory=list, description="For agents; kept, and not acted on yet."
    )
    model: Text | None = Field(None, description="For agents; kept, and not acted on yet.")
    short_type: Annotated[str, AfterValidator(lambda value: value and _name(value))] = Field(
        "", description="The middle of its workers' ids; else the name without `-worker`."
    )
    token_budget: int = Field(8000, ge=0, description="Tokens that are reserved for each worker.")
    timeout: Duration = Field(900.0, description="Of each worker.")
    deliverables: Annotated[list[Annotated[str, AfterValidator(_inside)]], _AsNames] = Field(
        default_factory=list, description="Files that must lie in artifacts/."
    )
    results_schema: Annotated[dict[str, Any], AfterValidator(_schema)] | None = Field(
        None, description="A JSON Schema (2020-12) that results.json must exist for and fit."
    )
    runtime: str = Field("auto", description="`auto`, `tools`, `command` or `agent`.")
    tools_runtime: bool = Field(
        False, description="Cortex has a program for it that asks no model."
    )
    command: Command | None = Field(
        None, description="What its workers run where neither their step nor task names a command."
    )
    workspace: Literal["in place", "clone"] | None = Field(
        None,
        description="Where a command runs whose scope does not say: `in place`, the default, in "
        "the repository itself, or in a `clone` of its own.",
    )
    asks_commands: bool = Field(
        True,
        description="False: a command of a step or task that runs in its place need not write its "
        "deliverables or results.json; its exit status is enough.",
    )
    retries: int | None = Field(
        None, ge=0, le=100, description="Further attempts, where neither step nor task says it."
    )
    approval: bool = Field(False, description="Its steps wait for a person's yes.")
    writes: bool = Field(
        False, description="Its workers claim the paths of their scope, or the whole repository."
    )
    credentials: Annotated[list[Annotated[str, AfterValidator(_variable)]], _AsNames] = Field(
        default_factory=list,
        description="Variables of the daemon's environment that its workers get, like `GH_TOKEN`.",
    )
    heartbeats: bool = Field(False, description="Its workers promise heartbeats.")
    heartbeat_interval: Duration = Field(
        150.0, description="How often: silent for one it is unhealthy, for three it is ended."
    )
    persona: PersonaName | None = Field(
        None, description="Who its workers are; else their master says: a file of agents/personas/."
    )
    prompt: str = ""
    path: str = ""
    called: str = ""

    @property
    def short(self) -> str:
        """The middle of its workers' ids."""
        return self.short_type or short_type(self.name)


def rival_routes(masters: Iterable[MasterDefinition]) -> Iterator[tuple[str, Place, str]]:
    """Routes that a master names though one before it has them: no task comes to it by these.

    `masters` are in the order of their files. Each is (its name, where its file says so, in words).
    """
    taken: dict[str, str] = {}
    for master in masters:
        wanted: dict[str, Place] = {
            f"{route!r} is": ("routes", number) for number, route in enumerate(master.routes)
        }
        if master.default_route:
            wanted["what nobody lists is"] = ("default_route",)
        for route, place in wanted.items():
            first = taken.setdefault(route, master.name)
            if first != master.name:
                yield master.name, place, f"{route} routed to {first} already"


def read_master(text: str, path: Path) -> MasterDefinition:
    """The master that a file under agents/masters/ describes; DefinitionError if it cannot be."""
    data, body = read_front_matter(text, path)
    data.setdefault("name", path.stem)
    return validate(MasterDefinition, data, body, text, path)


def read_worker_type(text: str, path: Path) -> WorkerTypeDefinition:
    """The worker type that a file under agents/prompts/workers/ describes.

    A name that only people could write (`Code Reviewer`) becomes one that stands in ids.
    """
    data, body = read_front_matter(text, path)
    name = data.setdefault("name", path.stem)
    usable = usable_name(name, path.stem)
    if usable is not None:
        data |= {"name": usable, "called": name}
    return validate(WorkerTypeDefinition, {**data, "path": str(path)}, body, text, path)
