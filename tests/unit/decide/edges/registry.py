"""Which scenario drives which edge of the tables in `decide.lifecycle`.

A scenario is a function that brings an edge about by its cause: a drop, an edit, an answer, an end
of a worker, time. It never writes an event itself. `edge` registers it; `test_edges` plays them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortex.decide.lifecycle import HANDOFF_MOVES, STEP_MOVES, TASK_MOVES, WORKER_MOVES, Moves
from tests.unit.decide.edges.stage import Stage

__all__ = ["SCENARIOS", "TABLES", "Scenario", "edge"]

Play = Callable[[Stage], None]
TABLES: dict[str, Moves] = {
    "task": TASK_MOVES,
    "step": STEP_MOVES,
    "worker": WORKER_MOVES,
    "handoff": HANDOFF_MOVES,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to bring one edge about."""

    kind: str
    before: str
    after: str
    play: Play

    @property
    def name(self) -> str:
        """The edge, and the way that this scenario takes to it."""
        way = self.play.__name__.replace("_", " ")
        return f"{self.kind} {self.before} to {self.after}, {way}"

    @property
    def cause(self) -> str:
        """Who moves it and on what, as the table says and the documentation shows."""
        return TABLES[self.kind].get(self.before, {}).get(self.after, "no edge of the table")


SCENARIOS: list[Scenario] = []


def edge(kind: str, before: str, after: str) -> Callable[[Play], Play]:
    """Registers a scenario for an edge; stacked, one scenario drives several."""

    def register(play: Play) -> Play:
        SCENARIOS.append(Scenario(kind, before, after, play))
        return play

    return register
