"""Many small alike jobs of one task: how many items each of its workers takes, one after another.

A worker costs a claim, a folder, an exit record and its lines of the journal, whatever it does; an
item of a batch costs its process. Why batches are items of one task is docs/decisions/0018.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cortex.model.settings import Settings
from cortex.model.state import Step, Task

if TYPE_CHECKING:
    from cortex.decide.steps import Retries

__all__ = ["batch_steps", "items_of"]

#: Steps of one task, as for a plan that it brings along.
_STEPS_AT_MOST = 1000
#: At least so many tools and commands run at once where the settings leave it to the machine.
_SLOTS = 4


def batch_steps(task: Task, settings: Settings, retries: Retries) -> list[Step]:
    """A step for each batch of the task's items, in their order.

    Batches are as large as allowed, but small enough that none of the slots stays empty.
    """
    number = len(task.items)
    slots = task.max_parallel or settings.limits.tools or _SLOTS
    size = min(task.batch or settings.spawn.batch, math.ceil(number / slots))
    size = max(size, math.ceil(number / _STEPS_AT_MOST))
    starts = range(0, number, size)
    digits = len(str(len(starts)))
    return [
        Step(
            name=f"items-{place:0{digits}d}",
            worker_type="command-worker",
            runtime=task.runtime,
            command=task.command,
            env=dict(task.env),
            scope=dict(task.scope),
            token_budget=task.token_budget,
            timeout_s=task.timeout_s,
            retries=retries("command-worker"),
            items=[start, min(start + size, number)],
        )
        for place, start in enumerate(starts, 1)
    ]


def items_of(task: Task, step: Step) -> list[str]:
    """The items of a step; empty for one that has none."""
    if not step.items:
        return []
    first, end = step.items
    return task.items[first:end]
