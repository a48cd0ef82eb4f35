"""Many seeds, in several processes: what `scripts/sim` and the tests run.

A run that breaks by itself, or finds no end, counts as a failing seed like any other.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, takewhile

from cortex.testing.simulation import Outcome, Simulation

__all__ = ["Totals", "outcomes", "run_seed", "seeds_for"]

#: A run takes a tenth of a second; one that takes so much longer stands still.
RUN_AT_MOST_S = 120.0


@dataclass(slots=True)
class Totals:
    """What many runs add up to; `failed` are the seeds with a violation, each with its first, and
    `reached` counts the runs that reached a feature."""

    runs: int = 0
    steps: int = 0
    crashes: int = 0
    tasks: int = 0
    workers: int = 0
    lines: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Counts one run."""
        self.runs += 1
        for name in ("steps", "crashes", "tasks", "workers", "lines"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        self.reached.update(outcome.reached)
        if outcome.violations:
            self.failed[outcome.seed] = outcome.violations[0]

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {len(self.failed)} failed; {self.steps} steps, {self.crashes} "
            f"crashes, {self.tasks} tasks, {self.workers} workers, {self.lines} journal lines"
        )


def run_seed(seed: int, steps: int | None = None) -> Outcome:
    """One run; whatever it raises is its violation."""
    collects = gc.isenabled()
    gc.disable()  # a run is short, and collecting in the middle of it a tenth of its time
    try:
        return Simulation(seed, steps=steps).run()
    except Exception:
        broken = (f"the simulation itself broke: {traceback.format_exc(limit=-6)}",)
        return Outcome(seed, 0, 0, 0, 0, 0, 0, broken, "", broken)
    finally:
        if collects:
            gc.enable()


def outcomes(seeds: Iterable[int], *, steps: int | None = None, jobs: int = 2) -> Iterator[Outcome]:
    """The runs of these seeds, in the order of the seeds, `jobs` at a time; traces of good runs are
    left out where there is more than one process."""
    if jobs == 1:
        yield from (run_seed(seed, steps) for seed in seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=500) as pool:
        # Handed out bit by bit, for `seeds` may have no end.
        waiting: list[tuple[int, multiprocessing.pool.AsyncResult[Outcome]]] = []
        for seed in seeds:
            waiting.append((seed, pool.apply_async(_lean, (seed, steps))))
            if len(waiting) > 4 * jobs:
                yield _result(*waiting.pop(0))
        for seed, result in waiting:
            yield _result(seed, result)


def seeds_for(first: int, duration_s: float) -> Iterator[int]:
    """Seeds from `first` on, until so many seconds have passed."""
    end = time.monotonic() + duration_s
    return takewhile(lambda _seed: time.monotonic() < end, count(first))


def _lean(seed: int, steps: int | None) -> Outcome:
    outcome = run_seed(seed, steps)
    if outcome.violations:
        return outcome
    fields = (outcome.seed, outcome.steps, outcome.crashes, outcome.lives, outcome.tasks,
              outcome.workers, outcome.lines)  # fmt: skip
    return Outcome(*fields, (), outcome.trace_hash, (), outcome.reached)


def _result(seed: int, result: multiprocessing.pool.AsyncResult[Outcome]) -> Outcome:
    try:
        return result.get(RUN_AT_MOST_S)
    except multiprocessing.TimeoutError:
        stuck = (f"no end within {RUN_AT_MOST_S:.0f} s",)
        return Outcome(seed, 0, 0, 0, 0, 0, 0, stuck, "", stuck)
