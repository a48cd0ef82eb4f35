"""The rule of three ways for one row: which of its changed fields a person asks for.

Old echoes of the daemon's own fields are passed over; a forged one, and what two people changed
differently, is refused with both values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cortex.decide.edit import Difference, Edit, Merged, Place, Row, differences, is_same
from cortex.model.owners import Owner

__all__ = ["asked_of"]

_NO_HINTS: Mapping[str, str] = {}


def asked_of(
    edit: Edit,
    place: Place,
    row: Row,
    present: Row,
    owner_of: Callable[[str], Owner],
    merged: Merged,
    hints: Mapping[str, str] = _NO_HINTS,
) -> list[Difference]:
    """What a person asks for by a row; what cannot be is refused in `merged`.

    `present` is the row as it is now. `hints` say for some fields what to do instead.
    """
    before = edit.before.get(place)
    if before is None:
        # Added by somebody else meanwhile, by this same edit before, or the edit names no base.
        found = [each for each in differences(row, present) if each.name in row]
        before = present if edit.base is None else {}
    else:
        found = differences(row, before)
    where = place[1] or edit.file
    asked = []
    for each in found:
        now = present.get(each.name)
        if is_same(each.yours, now) or edit.had(place, each.name, each.yours):
            continue
        owner = owner_of(each.name)
        if owner == "derived":
            continue
        if owner == "daemon":
            instead = hints.get(each.name, "the file shows what is so")
            hint = f"leave it as it is; {instead}"
            merged.refuse(where, "is the daemon's own field", each, now, hint)
        elif edit.base is None:
            reason = "the edit has no journal_seq, so it can only add rows"
            merged.refuse(where, reason, each, now, "keep the file's head when you change a row")
        elif owner == "verb" or is_same(now, before.get(each.name)):
            asked.append(each)
        else:
            reason = "was changed by somebody else since you opened the file"
            merged.refuse(where, reason, each, now, "edit the file again if yours is to hold")
    return asked
