"""What a published document said when somebody began to edit it, and what its rows said since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cortex.decide.edit import Edit, differences, rows_of
from cortex.decide.evolve import evolve
from cortex.decide.snapshot import document, row_of
from cortex.model.journal_line import Line
from cortex.model.state import State

__all__ = ["document_of", "edit_since"]

Row = dict[str, Any]
Place = tuple[str, str]


def document_of(state: State, name: str) -> Row:
    """The document without what the daemon says of itself, as JSON would bring it back."""
    base: Row = json.loads(json.dumps(document(state, name)))
    if name == "task-queue.json":
        base["daemon"] = {"paused": state.paused}
    return base


def edit_since(name: str, content: Row, state: State, lines: Iterable[Line]) -> Edit:
    """The edit of a document that was taken at `state`, with what `lines` made of its rows since.

    Evolves the state to the end of the lines, if any row is another one than it was.
    """
    base = document_of(state, name)
    before = rows_of(name, base)
    rows = rows_of(name, content)
    same = frozenset(place for place, row in rows.items() if row == before.get(place))
    asked = {
        place: {each.name for each in differences(row, before[place])}
        for place, row in rows.items()
        if place in before and place not in same
    }
    since = _since(state, lines, asked) if asked else {}
    return Edit(name, content, base, before, same, since)


def _since(
    state: State, lines: Iterable[Line], asked: Mapping[Place, set[str]]
) -> dict[Place, dict[str, list[Any]]]:
    """The further values of changed fields, each once in a row."""
    had: dict[Place, dict[str, list[Any]]] = {place: {} for place in asked}
    for line in lines:
        evolve(state, line.seq, line.at, line.events)
        touched = {ident for _, ident in state.touched}
        state.touched.clear()
        for place, keys in asked.items():
            if place[1] not in touched:
                continue
            row = row_of(state, *place)
            for key in keys:
                values = had[place].setdefault(key, [])
                if not values or values[-1] != row.get(key):
                    values.append(row.get(key))
    return had
