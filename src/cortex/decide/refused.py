"""When a step whose worker was refused for want of tokens may ask again.

Its wait ends with the reset. It ends sooner once its priority is above low, or once the fund that
it is paid from has what it needs beside all that waits already. It is looked at again each minute,
and at once when its task changes or a person gives a fund more. It changes nothing itself.
"""

from __future__ import annotations

from cortex.decide.entry import Now, seconds_left
from cortex.decide.ledger import needed_tokens
from cortex.model.ids import master_key
from cortex.model.state import State, Step, Task

__all__ = ["REFUSED_AGAIN_S", "seconds_until_asked"]

#: How often a refused worker's step is looked at again; a reset is never nearer than this.
REFUSED_AGAIN_S = 60.0


def seconds_until_asked(
    state: State, task: Task, step: Step, now: Now, asked: int = 0
) -> tuple[float, float]:
    """(seconds until the step may ask for a worker, seconds until this is to be looked at again).

    Both are 0 for a step that may ask now. `asked` are tokens that steps of the task ask for now.
    """
    left_s = seconds_left(step.not_before, now) if step.not_before else 0.0
    if left_s <= 0 or not step.short_of_tokens:
        return left_s, left_s
    if (step.priority or task.priority) != "low":
        return 0.0, 0.0
    if _are_free(state, task, step.short_of_tokens + asked):
        return 0.0, 0.0
    return left_s, min(left_s, REFUSED_AGAIN_S)


def _are_free(state: State, task: Task, tokens: int) -> bool:
    """Whether the fund can pay so much, and all that waits for it too."""
    budget = state.budget
    paid_by, free = "pool", budget.pool_available
    if task.execution_mode == "direct":
        name = master_key(task.assigned_to or "")
        fund = budget.masters.get(name)
        paid_by = f"master:{name}"
        free = fund.free if fund else 0
    for ident in state.waiting:
        if tokens > free:
            return False
        worker = state.workers[ident]
        if worker.fund == paid_by:
            free -= needed_tokens(worker)
    return tokens <= free
