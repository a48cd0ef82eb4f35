"""What a person sees of a World's files, edits in it, and saves: for tests of merging."""

from __future__ import annotations

import json
from typing import Any

from cortex.decide.edit import Edit, Merged
from cortex.decide.entry import Entry
from cortex.decide.evolve import evolve
from cortex.decide.merge import merge
from cortex.decide.past import document_of, edit_since
from cortex.model.journal_line import Line
from cortex.model.state import State
from tests.unit.deciding import World

__all__ = ["Desk", "row_in"]

Row = dict[str, Any]


class Desk:
    """A world beside which people have one of its files open. `open` gives a copy to edit; `save`
    merges what became of it, as the daemon would."""

    def __init__(self, world: World | None = None, name: str = "task-queue.json") -> None:
        self.world = world or World()
        self.name = name

    def open(self) -> Row:
        """The document as it is published now."""
        shown = document_of(self.world.state, self.name)
        return {"version": "1.0", "journal_seq": self.world.state.seq, **shown}

    def save(self, content: Row) -> Merged:
        """What the daemon makes of the file that somebody saved, applied as one line."""
        merged = self.look_at(content)
        if merged.events:
            self.world.apply(Entry("person", "; ".join(merged.changes), merged.events))
            self.world.reconcile()
        return merged

    def look_at(self, content: Row) -> Merged:
        """The same without applying it."""
        content = json.loads(json.dumps(content))
        seq = content.get("journal_seq")
        edit = Edit(self.name, content)
        if seq is not None:
            state, rest = self._rewind(seq)
            edit = edit_since(self.name, content, state, rest)
        return merge(self.world.state, edit, self.world.now)

    def _rewind(self, seq: int) -> tuple[State, list[Line]]:
        """The state as of a line, and the lines after it, as a journal would bring them back."""
        state = State()
        lines = [
            Line(number, "", 0, self.world.now.at, entry.by, entry.why, events, "")
            for number, entry in enumerate(self.world.lines, 1)
            for events in [json.loads(json.dumps(entry.events))]
        ]
        for line in lines[:seq]:
            evolve(state, line.seq, line.at, line.events)
        state.touched.clear()
        return state, lines[seq:]


def row_in(content: Row, ident: str, name: str = "tasks", key: str = "id") -> Row:
    """A row of a document, to be changed in place."""
    found: Row = next(row for row in content[name] if row[key] == ident)
    return found
