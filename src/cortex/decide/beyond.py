"""Whether a budget can ever pay for one worker of a step, however long it waits.

Ends of workers, resets and idle masters bring a fund back to its size, and lend it some more; none
of them makes it larger. What asks for more than that is told at once, for a person to change. Which
tokens there are now is `grant`'s.
"""

from __future__ import annotations

from dataclasses import replace

from cortex.decide.budget import reallocate
from cortex.decide.catalog import Catalog, Missing
from cortex.model.ids import master_key
from cortex.model.settings import Settings
from cortex.model.state import State, Step, Task

__all__ = ["beyond_budget", "step_tokens"]


def step_tokens(step: Step, catalog: Catalog) -> int:
    """R of a step's worker; 0 where it uses none, and where it cannot run here."""
    kind, runtime = catalog.types.get(step.worker_type), catalog.runtime_for(step)
    if isinstance(runtime, Missing) or not runtime.uses_tokens or kind is None:
        return 0
    own = kind.token_budget if step.token_budget is None else step.token_budget
    return own + runtime.overhead_tokens


def beyond_budget(
    state: State, task: Task, step: Step, catalog: Catalog, settings: Settings
) -> str | None:
    """Why a step gets no worker as long as nobody changes it or the budget; None where it may.

    Critical work that the pool pays is asked for even so: the reserve may pay it, and people are
    told how much is short as soon as it waits.
    """
    tokens, budget = step_tokens(step, catalog), state.budget
    priority = step.priority or task.priority
    if not tokens or not budget.settings:
        return None
    needs = f"step {step.name} needs {tokens:,} tokens for one worker"
    name = master_key(task.assigned_to or "")
    if task.execution_mode == "direct":
        fund = budget.masters.get(name)
        own = max(fund.configured, fund.allocated) if fund else 0
        return None if tokens <= own else f"{needs}; {name} has {own:,} of its own in all"
    if priority == "critical":
        return None
    pool = _whole_pool(state)
    if tokens <= max(pool, budget.pool_total):
        return None
    if priority != "low" and _can_be_lent(state, settings, name, tokens - pool):
        return None
    return f"{needs}; the worker pool is {pool:,} in all"


def _whole_pool(state: State) -> int:
    """The pool at the beginning of a period."""
    budget = state.budget
    given = sum(fund.configured for fund in budget.masters.values())
    return budget.total - budget.reserve_total - given


def _can_be_lent(state: State, settings: Settings, master: str, short: int) -> bool:
    """Whether the other masters could move so much at the beginning of a period, if all idle."""
    funds = state.budget.masters
    fresh = replace(
        state.budget,
        moved_steps=0,
        masters={
            name: replace(fund, allocated=fund.configured, used=0, reserved=0)
            for name, fund in funds.items()
        },
    )
    return bool(reallocate(State(budget=fresh), settings, master, short, set()))
