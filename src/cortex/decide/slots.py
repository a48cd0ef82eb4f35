"""How many workers may live at once: by lane, master, type, task, plan, repository and path claims.

`Slots` counts what lives now and says which limit holds a waiting worker. Tokens are `admit`'s.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cortex.decide.claims import in_the_way
from cortex.decide.pace import learned_count
from cortex.model.ids import master_key
from cortex.model.settings import Settings
from cortex.model.state import State, Worker

__all__ = ["Slots", "adaptive_count", "wanted_slot"]


@dataclass(slots=True)
class Slots:
    """How many live workers there are, by everything that a limit can name."""

    settings: Settings
    cores: int
    counts: Counter[str] = field(default_factory=Counter)
    writers: dict[str, Worker] = field(default_factory=dict)
    learned: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State, settings: Settings, cores: int) -> Slots:
        """The slots that the live workers of a state hold."""
        slots = cls(settings, cores)
        for ident in state.live:
            worker = state.workers[ident]
            slots.counts.update(_keys(worker))
            if worker.claims:
                slots.writers[ident] = worker
        if settings.spawn.policy == "learned":
            counts = {lane: learned_count(state, lane) for lane in state.pace}
            slots.learned = {lane: count for lane, count in counts.items() if count}
        return slots

    def lane_limit(self, lane: str, depth: int) -> int:
        """How many workers of a lane may live at once, given how many wait or run."""
        limits = self.settings.limits
        most = limits.agents if lane == "agent" else self.settings.tools_limit(self.cores)
        if self.settings.spawn.policy == "on_demand":
            return most
        most = min(most, adaptive_count(self.settings, depth))
        return min(most, self.learned.get(lane, most))

    def full(self, limit: str) -> bool:
        """Whether a limit (one of `_keys`, or a claim by its holder) has no room now."""
        if limit.startswith("claim:"):
            return limit.removeprefix("claim:") in self.writers
        most = self._most(limit)
        return most is not None and self.counts[limit] >= most

    def _most(self, limit: str) -> int | None:
        kind, _, name = limit.partition(":")
        limits = self.settings.limits
        if kind == "agents-of":
            return limits.agents_per_task
        if kind == "critical-of":
            return limits.agents
        if kind == "plan-of":
            return int(name.rpartition("/")[2])
        if kind == "master":
            return limits.per_master.get(name)
        if kind == "type":
            return limits.per_type.get(name)
        if kind == "runtime":
            return limits.per_runtime.get(name)
        if kind == "repository":
            return limits.per_repository or None
        return None

    def held_by(self, worker: Worker) -> str | None:
        """The first narrow limit that has no room for this worker, or None."""
        other = in_the_way(worker, self.writers.values())
        if other is not None:
            return f"claim:{other.id}"
        return next((limit for limit in _keys(worker)[1:] if self.full(limit)), None)


def _keys(worker: Worker) -> list[str]:
    keys = [
        f"lane:{worker.lane}",
        f"master:{master_key(worker.master)}",
        f"type:{worker.worker_type}",
        f"runtime:{worker.runtime}",
    ]
    if worker.lane == "agent":
        kind = "critical-of" if worker.priority == "critical" else "agents-of"
        keys.append(f"{kind}:{worker.task_id}")
    if worker.max_parallel:
        keys.append(f"plan-of:{worker.task_id}/{worker.max_parallel}")
    if worker.repository:
        keys.append(f"repository:{worker.repository}")
    return keys


def wanted_slot(state: State, worker: Worker) -> str:
    """In words, which slot a worker waits for that waits for nothing else.

    Its row keeps these words while others come and go: no numbers but those of a limit.
    """
    live = [state.workers[ident] for ident in state.live]
    of_task = sum(1 for other in live if other.task_id == worker.task_id)
    if worker.max_parallel and of_task >= worker.max_parallel:
        return f"a free slot: {of_task} of {worker.task_id} run, its max_parallel"
    of_master = sum(1 for other in live if other.master == worker.master)
    if worker.master_parallel and of_master >= worker.master_parallel:
        limit = f"limits.max_parallel of its file is {worker.master_parallel}"
        return f"a free slot: {of_master} of {worker.master} run, and {limit}"
    return "a free slot"


def adaptive_count(settings: Settings, depth: int) -> int:
    """S3: how many workers at once for a queue of this depth."""
    for below, count in settings.spawn.adaptive_steps:
        if depth < below:
            return count
    return min(settings.spawn.adaptive_max, depth)
