"""The rule of three ways for one row: which of its changed fields a person asks for.

Old echoes of the daemon's own fields are passed over; what a person's field once was may be wished
for. A forged value, and what two people changed differently, is refused with both values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cortex.decide.edit import Difference, Edit, Merged, Place, Row, differences, is_same
from cortex.model.owners import Owner

__all__ = ["asked_of"]

_AGAIN = "edit the file again if yours is to hold"
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
        owner = owner_of(each.name)
        if owner == "derived" or is_same(each.yours, now):
            continue
        is_persons = owner in ("person", "before start")
        had = edit.had(place, each.name, each.yours)
        if had and not is_persons:
            continue  # an old echo
        if owner == "daemon":
            instead = hints.get(each.name, "the file shows what is so")
            hint = f"leave it as it is; {instead}"
            merged.refuse(where, "is the daemon's own field", each, now, hint)
        elif edit.base is None:
            reason = "the edit has no journal_seq, so it can only add rows"
            merged.refuse(where, reason, each, now, "keep the file's head when you change a row")
        elif owner != "verb" and not is_same(now, before.get(each.name)):
            reason = "was changed by somebody else since you opened the file"
            merged.refuse(where, reason, each, now, _AGAIN)
        elif had:
            # The same buffer saved twice has its effect once, also where others undid it between.
            reason = "was so since you opened the file, and somebody changed it back"
            merged.refuse(where, reason, each, now, _AGAIN)
        else:
            asked.append(each)
    return asked
