"""Where the steps of a plan stand in a drawing: columns by what they need, rows beside what they
need. An arrow over several columns keeps a free row in each of them. Numbers only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Layout", "Place", "lay_out"]

#: (column, row), both from 0.
Place = tuple[int, int]
#: A step, or an arrow from one step to another where it passes through a column.
_Node = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """`places` is name → where it stands; each of `routes` leads from a step to one that needs it,
    over the free places between them."""

    places: dict[str, Place]
    routes: list[list[Place]]

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return max((column for column, _ in self.places.values()), default=-1) + 1

    @property
    def rows(self) -> int:
        """How many rows the highest column has, those of passing arrows too."""
        taken = [row for route in self.routes for _, row in route]
        return max([row for _, row in self.places.values()] + taken, default=-1) + 1


def lay_out(needs: Mapping[str, Sequence[str]]) -> Layout:
    """Each step one column right of the last of what it needs, beside what it needs where it can.

    Needs that are no step are left out; of steps that need each other in a circle the first stands
    where the circle begins.
    """
    known = {name: [need for need in own if need in needs] for name, own in needs.items()}
    columns = _columns(known)
    above: dict[tuple[int, _Node], list[_Node]] = {}
    paths: list[list[tuple[int, _Node]]] = []
    for name in known:
        above.setdefault((columns[name], (name, "")), [])
    for name, own in known.items():
        for need in own:
            path = _path(need, name, columns)
            paths.append(path)
            for (_, before), node in itertools.pairwise(path):
                above.setdefault(node, []).append(before)
    places = _place(above)
    steps = {name: places[columns[name], (name, "")] for name in known}
    return Layout(steps, [[places[node] for node in path] for path in paths])


def _path(need: str, name: str, columns: Mapping[str, int]) -> list[tuple[int, _Node]]:
    """From one step to another: itself, its passage through each column between, the other."""
    between = range(columns[need] + 1, columns[name])
    passing = [(column, (need, name)) for column in between]
    return [(columns[need], (need, "")), *passing, (columns[name], (name, ""))]


def _place(above: Mapping[tuple[int, _Node], list[_Node]]) -> dict[tuple[int, _Node], Place]:
    places: dict[tuple[int, _Node], Place] = {}
    for column in sorted({column for column, _ in above}):
        nodes = [node for at, node in above if at == column]
        wishes = {}
        for order, node in enumerate(nodes):
            rows = [
                places[column - 1, one][1]
                for one in above[column, node]
                if (column - 1, one) in places
            ]
            wishes[node] = (sum(rows) / len(rows) if rows else order, order)
        for row, node in enumerate(sorted(nodes, key=lambda node: wishes[node])):
            places[column, node] = (column, row)
    return places


def _columns(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    columns: dict[str, int] = {}
    left = dict(needs)
    while left:
        ready = [name for name, own in left.items() if all(need in columns for need in own)]
        for name in ready or list(left)[:1]:
            above = [columns[need] for need in left[name] if need in columns]
            columns[name] = max(above, default=-1) + 1
        left = {name: own for name, own in left.items() if name not in columns}
    return columns
