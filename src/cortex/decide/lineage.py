"""One ceiling for all that comes of a dropped task: its attempts, and those of its descendants.

Retries and follow-ups are bounded each by themselves; together they may still run away. At the
ceiling the next worker waits for a person's yes, which lifts it by as much once more. Steps that
could start together get no more workers than there is room for below it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cortex.decide.catalog import Catalog
from cortex.decide.evidence import quote
from cortex.decide.ledger import needed_tokens
from cortex.model.settings import Settings
from cortex.model.state import State, Step, Task, Worker

__all__ = [
    "GATE",
    "TOKENS_HELD",
    "Ceiling",
    "at_ceiling",
    "below_ceiling",
    "count_attempt",
    "count_end",
    "count_task",
    "lift",
    "root_of",
]

#: How `Task.approved` names that a task may go on past the ceiling; no step is called so.
GATE = ":lineage"
#: What a step waits for while open workers of its line may use all that the ceiling leaves.
TOKENS_HELD = "what runs of its line may use what limits.tokens_per_lineage ({:,}) leaves"
#: A line's counts (attempts, tokens, tasks) and, behind them, what a yes has lifted: as many as the
#: line may have of the first two. Lines that nobody said yes to have no more than the counts.
_COUNTS = 3
_LIFTED = ("attempts", "tokens")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Why no further worker of a line starts, and how far a yes would let it go on.

    `lifts` holds one of `attempts` and `tokens`: the count at which it would be asked again.
    """

    reason: str
    lifts: dict[str, int]


def root_of(task: Task) -> str:
    """The task that everything of this line came out of."""
    return task.root or task.id


def count_task(state: State, task: Task, more: int) -> None:
    """Counts a task that is new (1) or was archived (-1); a line without tasks is forgotten.

    Like the other counts a part of `evolve`.
    """
    sums = _count(state, task, (0, 0, more))
    if sums[2] <= 0:
        del state.lineages[root_of(task)]


def count_attempt(state: State, worker: Worker) -> None:
    """Counts a worker that was asked for."""
    _count(state, state.tasks[worker.task_id], (1, 0, 0))


def count_end(state: State, worker: Worker) -> None:
    """Counts what an ended worker used; one that was rejected was no attempt."""
    attempts = -1 if worker.status == "rejected" else 0
    _count(state, state.tasks[worker.task_id], (attempts, worker.tokens_used, 0))


def _count(state: State, task: Task, more: tuple[int, int, int]) -> list[int]:
    sums = state.lineages.get(root_of(task), [0, 0, 0])
    counts = [one + other for one, other in zip(sums, more, strict=False)]
    state.lineages[root_of(task)] = sums = [*counts, *sums[_COUNTS:]]
    return sums


def lift(state: State, task: Task, lifts: dict[str, int]) -> None:
    """Lets a line go on as far as a person said yes to; a part of `evolve`."""
    attempts, tokens, tasks, *lifted = state.lineages.get(root_of(task), [0, 0, 0])
    before = lifted or [0, 0]
    after = [max(lifts.get(name, 0), n) for name, n in zip(_LIFTED, before, strict=True)]
    state.lineages[root_of(task)] = [attempts, tokens, tasks, *after]


def at_ceiling(state: State, task: Task, settings: Settings) -> Ceiling | None:
    """Why no further worker of this line starts without a yes; None below the ceiling."""
    for name, had, limit, most in _against(state, task, settings):
        if had >= most:
            return Ceiling(_reason(task, name, had, limit), {name: had + limit})
    return None


def below_ceiling(
    state: State, task: Task, steps: Sequence[Step], settings: Settings, catalog: Catalog
) -> list[Step]:
    """Those of these steps that may get a worker now, in their order.

    As many as attempts are left; and while the tokens that the line used, that its open workers may
    use and that these probably will (90th percentile) are below the ceiling.
    """
    fit = list(steps)
    for name, had, _, most in _against(state, task, settings):
        if name == "attempts":
            fit = fit[: max(most - had, 0)]
        else:
            fit = list(_affordable(state, fit, most - had - _held(state, task), catalog))
    return fit


def _affordable(state: State, steps: list[Step], left: int, catalog: Catalog) -> Iterator[Step]:
    for step in steps:
        price = quote(state, [step], catalog)["p90"]
        if left > 0 or not price:
            left -= price
            yield step


def _held(state: State, task: Task) -> int:
    """Tokens that workers of the line which have not ended may use."""
    found = (state.workers[ident] for ident in itertools.chain(state.live, state.waiting))
    line = root_of(task)
    return sum(
        needed_tokens(worker)
        for worker in found
        if worker.uses_tokens and root_of(state.tasks[worker.task_id]) == line
    )


def _against(state: State, task: Task, settings: Settings) -> Iterator[tuple[str, int, int, int]]:
    """(name, what the line had of it, the limit, where it has to ask) for each that is set."""
    attempts, tokens, _, *lifted = state.lineages.get(root_of(task), [0, 0, 0])
    # Before a yes said how far, the task that got it had no ceiling: it gets a portion for each.
    portions = 1 if lifted else 1 + task.approved.count(GATE)
    limits = settings.limits
    for name, had, limit, up_to in zip(
        _LIFTED,
        (attempts, tokens),
        (limits.attempts_per_lineage, limits.tokens_per_lineage),
        lifted or (0, 0),
        strict=True,
    ):
        if limit:
            yield name, had, limit, max(limit * portions, up_to)


def _reason(task: Task, name: str, had: int, limit: int) -> str:
    whose = "it has" if root_of(task) == task.id else f"{root_of(task)} and what came of it have"
    verb = "had" if name == "attempts" else "used"
    said = f"{whose} {verb} {had:,} {name}; limits.{name}_per_lineage is {limit:,}"
    return f"{said}; a yes lets it go on until {had + limit:,}, and asks again there"
