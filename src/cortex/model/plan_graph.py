"""Whether steps that need each other make a plan: names are unique, needs exist, and none circle.

One check for what people drop, what master files list and what a model proposes; each tells it in
its own place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

__all__ = ["GraphProblem", "graph_problems"]


class _Step(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> list[str]: ...


class GraphProblem(NamedTuple):
    """What is wrong: a sentence, and the number and field of the step; None for all of them."""

    text: str
    step: int | None = None
    field: str | None = None

    @property
    def place(self) -> tuple[int | str, ...]:
        """Where it stands in the list of steps."""
        return () if self.step is None else (self.step, self.field or "")


def graph_problems(steps: Sequence[_Step]) -> Iterator[GraphProblem]:
    """What keeps the steps from being a plan, in their order; nothing if they are one."""
    from graphlib import CycleError, TopologicalSorter

    graph: dict[str, list[str]] = {}
    for number, step in enumerate(steps):
        if step.name in graph:
            text = f"two of them are named {step.name!r}; names are unique"
            yield GraphProblem(text, number, "name")
        graph[step.name] = step.needs
    for number, step in enumerate(steps):
        for need in step.needs:
            if need not in graph:
                text = f"{step.name!r} needs {need!r}, which is not in the plan"
                yield GraphProblem(text, number, "needs")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        yield GraphProblem(f"{circle} need each other in a circle; break it")
