"""The pieces that plans are made of: names of steps, plain steps, what a step needs through others.

Which steps a task gets is decided by `plan`, `master_plans` and `plan_functions`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from cortex.model.state import Step, Task

__all__ = [
    "Retries",
    "all_needs",
    "called",
    "free_name",
    "names_for_each",
    "plain_step",
    "repositories_of",
]

#: How many further attempts workers of a type get by default.
Retries = Callable[[str], int]
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def repositories_of(task: Task) -> list[str]:
    """The repositories that a task's scope names, in its order."""
    named = task.scope.get("repositories") or [task.scope.get("repository")]
    return [repository for repository in named if repository]


def names_for_each(prefix: str, places: list[str], taken: set[str]) -> list[str]:
    """One name for each repository or path, unique among those and `taken`, which takes them in."""
    return [free_name(_name(prefix, place), taken) for place in places]


def _name(prefix: str, place: str) -> str:
    return f"{prefix}-{called(place)}"[:58]


def called(place: str) -> str:
    """What a repository or path is called in a name: its last part, fit for a file's name."""
    last = place.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return _UNSAFE.sub("-", last).strip("-.") or "repository"


def free_name(name: str, taken: set[str]) -> str:
    """The name, or it with the first number from 2 that nobody has; `taken` takes it in."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    found = next(found for found in itertools.chain([name], numbered) if found not in taken)
    taken.add(found)
    return found


def plain_step(
    task: Task,
    worker_type: str,
    name: str,
    needs: Iterable[str],
    scope: dict[str, Any],
    retries: Retries,
) -> Step:
    """A step with what the task says for all of its steps."""
    return Step(
        name=name,
        worker_type=worker_type,
        needs=list(needs),
        env=dict(task.env),
        scope=scope,
        token_budget=task.token_budget,
        timeout_s=task.timeout_s,
        retries=retries(worker_type),
    )


def all_needs(step: Step, steps: Iterable[Step]) -> set[str]:
    """The names of the steps that must be done before a step, also through others."""
    by_name = {other.name: other for other in steps}
    found: set[str] = set()
    left = list(step.needs)
    while left:
        name = left.pop()
        if name not in found and name in by_name:
            found.add(name)
            left += by_name[name].needs
    return found
