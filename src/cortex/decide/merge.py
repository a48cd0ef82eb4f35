"""Three-way merge of a published document that somebody edited.

What differs from the edit's base is what the person did; everything else is only old. Refused parts
never keep the others out. One module a document; this one knows which.
"""

from __future__ import annotations

from collections.abc import Callable

from cortex.decide.edit import Edit, Merged
from cortex.decide.entry import Now
from cortex.decide.merge_tasks import merge_tasks
from cortex.model.errors import RequestError
from cortex.model.state import State

__all__ = ["merge"]

_MERGES: dict[str, Callable[[State, Edit, Now], Merged]] = {"task-queue.json": merge_tasks}


def merge(state: State, edit: Edit, now: Now) -> Merged:
    """What the edit comes to, held against the state as it is now.

    RequestError where it is refused whole.
    """
    found = _MERGES.get(edit.file)
    if found is None:
        raise RequestError(
            "this version does not take up edits of this file; it was restored",
            hint="drop the change into coordination/inbox/ instead",
        )
    return found(state, edit, now)
