"""Named plan functions: plans that a list of steps cannot say, because they depend on the scope.

A function is pure and takes a task to steps. One that finds nothing to work with makes none; the
task's plan then comes from the next source, as if its master had none for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cortex.decide.claims import WHOLE, claims_of
from cortex.decide.steps import (
    Retries,
    all_needs,
    free_name,
    names_for_each,
    plain_step,
    repositories_of,
)
from cortex.model.state import Step, Task

__all__ = ["FUNCTIONS", "PARTS_AT_MOST"]

#: Of a feature; `Scope.parts` takes no more either.
PARTS_AT_MOST = 100


def _feature(task: Task, retries: Retries) -> list[Step]:
    """A feature in parts: each in a clone of its own, then integration, tests and a proposal.

    The parts are `scope.parts`, else one for each of `scope.paths`, in one repository. Parts whose
    paths overlap follow one another in their order; all others go side by side.
    """
    repositories = repositories_of(task)
    if len(repositories) != 1:
        return []
    left_out = ("repositories", "parts", "paths")
    rest = {key: value for key, value in task.scope.items() if key not in left_out}
    rest["repository"] = repositories[0]
    steps = _parts(task, rest, retries)
    if not steps:
        return []
    taken = {step.name for step in steps}
    joined = [step.name for step in steps]
    if len(steps) > 1:
        name = free_name("integrate", taken)
        steps.append(plain_step(task, "integration-worker", name, joined, dict(rest), retries))
        joined = [name]
    test, pr = free_name("test", taken), free_name("pr", taken)
    proved = {"must_pass": True, **rest}
    steps.append(plain_step(task, "test-worker", test, joined, proved, retries))
    steps.append(plain_step(task, "pr-worker", pr, [*joined, test], dict(rest), retries))
    return steps


def _parts(task: Task, rest: dict[str, Any], retries: Retries) -> list[Step]:
    """One step for each part of the task, those that would write the same files in a row."""
    parts = task.scope.get("parts") or []
    if not parts:
        paths = task.scope.get("paths") or []
        names = names_for_each("part", paths, set())
        parts = [{"name": name, "paths": [path]} for name, path in zip(names, paths, strict=True)]
    steps = [_part(task, part, rest, retries) for part in parts]
    before = {step.name: all_needs(step, steps) for step in steps}
    places = {step.name: _Places.of(step.scope.get("paths")) for step in steps}
    for one, other in itertools.combinations(steps, 2):
        in_a_row = other.name in before[one.name] or one.name in before[other.name]
        if not in_a_row and places[one.name].meet(places[other.name]):
            other.needs.append(one.name)
            added = before[one.name] | {one.name}
            for step in steps:
                if step is other or other.name in before[step.name]:
                    before[step.name] |= added
    return steps


def _part(task: Task, part: dict[str, Any], rest: dict[str, Any], retries: Retries) -> Step:
    told = {key: value for key, value in part.items() if key not in ("needs", "command")}
    scope = {"workspace": "clone", **rest, "part": told}
    if part.get("paths"):
        scope["paths"] = part["paths"]
    needs = part.get("needs") or []
    step = plain_step(task, "implementation-worker", part["name"], needs, scope, retries)
    step.runtime, step.command = task.runtime, part.get("command")
    return step


class _Places(NamedTuple):
    """What a part writes, and that with every folder above it."""

    claims: set[str]
    above: set[str]

    @classmethod
    def of(cls, paths: list[str] | None) -> _Places:
        """The places of a part's paths: none where it names none."""
        claims = set(claims_of(paths)) if paths else set()
        above = {WHOLE} if claims else set()
        for claim in claims:
            folders = claim.split("/")
            above |= {"/".join(folders[:count]) for count in range(1, len(folders) + 1)}
        return cls(claims, above)

    def meet(self, other: _Places) -> bool:
        """Whether both name paths, and one's lie in the other's."""
        return not (self.claims.isdisjoint(other.above) and self.above.isdisjoint(other.claims))


#: Every function that a plan may name; `MasterPlan.function` lists the same.
FUNCTIONS: Mapping[str, Callable[[Task, Retries], list[Step]]] = {"feature": _feature}
