"""Three-way merge of a published document that somebody edited.

What differs from the edit's base is what the person did; everything else is only old. Refused parts
never keep the others out. One module a document; this one knows which, and tries the outcome.
"""

from __future__ import annotations

from collections.abc import Callable

from cortex.decide.edit import Edit, Merged
from cortex.decide.entry import Now
from cortex.decide.ledger import violations
from cortex.decide.lifecycle import InvalidTransitionError
from cortex.decide.merge_answers import merge_answers
from cortex.decide.merge_budget import merge_budget
from cortex.decide.merge_pool import merge_pool
from cortex.decide.merge_schedules import merge_schedules
from cortex.decide.merge_tasks import merge_tasks
from cortex.decide.rehearse import rehearse
from cortex.model.errors import RequestError
from cortex.model.state import State

__all__ = ["merge"]

_MERGES: dict[str, Callable[[State, Edit, Now], Merged]] = {
    "task-queue.json": merge_tasks,
    "worker-pool.json": merge_pool,
    "token-budget.json": merge_budget,
    "handoffs.json": merge_answers,
    "schedules.json": merge_schedules,
}


def merge(state: State, edit: Edit, now: Now) -> Merged:
    """What the edit comes to, held against the state as it is now.

    RequestError where it is refused whole.
    """
    merged = _MERGES[edit.file](state, edit, now)
    try:
        broken = violations(rehearse(state, merged.events))
    except (InvalidTransitionError, KeyError) as error:
        broken = [str(error)]
    if broken:
        # Not known to happen; but an edit must never be what stops the daemon.
        raise RequestError(
            f"its parts contradict each other ({broken[0]}); nothing of it was taken up",
            hint="make the changes one after the other",
        )
    return merged
