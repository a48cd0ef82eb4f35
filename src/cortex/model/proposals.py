"""The plan that a model may propose for a task: its shape, and what is wrong with it in words.

A stranger's words: anything that is not asked for is refused with its place. Whether a plan of the
right shape may be carried out here is decided in `decide.proposals`.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cortex.model.requests import Command, Flag, Id, Timeout, TokenCount, WorkerType
from cortex.model.schema_writing import schema_of
from cortex.model.wrong_fields import wrong_fields

__all__ = ["TITLE", "ProposedPlan", "ProposedScope", "ProposedStep", "plan_schema", "read_proposal"]

#: Of the schema.
TITLE = "A plan that a model proposes: `plan` in its results.json"

#: So many problems of one plan are told to whoever proposed it.
PROBLEMS_AT_MOST = 20


def _inside(value: list[str]) -> list[str]:
    for path in value:
        if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise ValueError(f"path {path!r} leaves the repository; write it relative to it")
    return value


class ProposedScope(BaseModel):
    """What a step looks at. What it leaves out is as the task says."""

    model_config = ConfigDict(extra="forbid")

    repository: str | None = Field(
        None, min_length=1, max_length=4096, description="one of the task's, as it is written there"
    )
    paths: Annotated[list[str], AfterValidator(_inside)] | None = Field(
        None, min_length=1, max_length=1000, description="inside the task's paths, if it names some"
    )
    instructions: str | None = Field(
        None, min_length=1, max_length=8000, description="what this worker is to do, and what not"
    )


class ProposedStep(BaseModel):
    """One worker of the plan."""

    model_config = ConfigDict(extra="forbid")

    name: Id = Field(description="unique in the plan, as in `api`")
    worker_type: WorkerType = Field(description="one of the offered types")
    needs: list[Id] = Field(
        default_factory=list,
        max_length=1000,
        description="names of the steps whose results this one starts from",
    )
    optional: Flag = Field(False, description="true: the task succeeds without it too")
    scope: ProposedScope = Field(default_factory=ProposedScope)
    token_budget: TokenCount | None = Field(None, description="at most that offered with its type")
    timeout: Timeout | None = Field(
        None, description="at most that offered with its type, as in `15m`"
    )
    approval: Flag = Field(False, description="true: it waits for a person's yes")
    command: Command | None = Field(None, description="only where commands are offered")


class ProposedPlan(BaseModel):
    """A plan for one task: a graph of workers, each with what it needs."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=2000, description="why this plan, in a sentence or two")
    workers: list[ProposedStep] = Field(min_length=1, max_length=1000)


@functools.cache
def plan_schema() -> dict[str, Any]:
    """What a model is asked with for a plan. Shared: it is not to be changed."""
    return schema_of("plan", TITLE, ProposedPlan)


def read_proposal(proposal: object) -> tuple[ProposedPlan | None, list[str]]:
    """(the plan, nothing) or (None, what is wrong with it, each with its place in the plan)."""
    if not isinstance(proposal, dict):
        kinds = {str: "a text", list: "a list", bool: "true or false", type(None): "missing"}
        what = kinds.get(type(proposal), "a number")
        return None, [f"plan: is {what}; answer with one JSON object that fits the schema"]
    try:
        return ProposedPlan.model_validate(proposal), []
    except ValidationError as error:
        wrong = wrong_fields(error, ProposedPlan, proposal)[:PROBLEMS_AT_MOST]
        return None, [f"{one.field or 'plan'}: {one.text}"[:300] for one in wrong]
