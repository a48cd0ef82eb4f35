"""Where a master waits for a person's yes: before a plan starts, before more of it, at its end.

Why a yes is needed is decided in `decide`; here each reason becomes the question, with what a yes
would start and what that costs. No answer is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortex.decide.approvals import ask, offer, task_waits
from cortex.decide.bounds import REVIEW_GATE, TOKENS_GATE, over_tokens, review_waits
from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry, Now
from cortex.decide.lineage import GATE, at_ceiling
from cortex.decide.made import made, made_words
from cortex.model.settings import Settings
from cortex.model.state import State, Task
from cortex.model.words import listed

__all__ = ["before_it_ends", "before_it_starts", "before_more", "before_steps"]

#: Further steps that a question names; what a yes starts lists them.
_NAMED = 3


def before_it_starts(
    state: State, draft: Task, catalog: Catalog, settings: Settings, now: Now
) -> Entry | None:
    """The question for a task with its plan as a whole; None where it may start."""
    further = before_more(state, draft, catalog, settings, now)
    if further is not None:
        return further
    offered = offer(state, draft.steps, catalog)
    reason = task_waits(draft, offered["p90"], catalog, settings)
    return None if reason is None else _question(state, draft, reason, now, offer=offered)


def before_more(
    state: State, task: Task, catalog: Catalog, settings: Settings, now: Now
) -> Entry | None:
    """The question before any worker past the ceiling of a line or the tokens of a task."""
    full = at_ceiling(state, task, settings)
    if full is not None:
        offered = offer(state, task.steps, catalog)
        return _question(state, task, full.reason, now, gate=GATE, lifts=full.lifts, offer=offered)
    over = over_tokens(state, task, catalog)
    if over is None:
        return None
    offered = offer(state, task.steps, catalog)
    return _question(state, task, over, now, gate=TOKENS_GATE, offer=offered)


def before_steps(
    state: State, task: Task, waiting: Mapping[str, str], catalog: Catalog, now: Now
) -> Entry:
    """One question for all steps that could start, each with its reason: a no is for the whole."""
    (step, reason), *_ = waiting.items()
    also = [name for name in waiting if name != step]
    if also:
        reason = f"{reason}; {listed(also, _NAMED)} with it"
    offered = offer(state, [task.step(name) for name in waiting], catalog)
    return _question(state, task, reason, now, step=step, also=also, offer=offered)


def before_it_ends(state: State, task: Task, catalog: Catalog, now: Now) -> Entry | None:
    """The question for results that a person is to review; None where nobody is asked."""
    wanted = review_waits(task, catalog)
    if wanted is None:
        return None
    found = made(state, task)
    reason = f"{wanted}: {made_words(found)}"[:500]
    return _question(state, task, reason, now, gate=REVIEW_GATE, offer=found)


def _question(state: State, task: Task, reason: str, now: Now, **asked: Any) -> Entry:
    return Entry(task.assigned_to or "", reason, ask(state, task, reason, now, **asked))
