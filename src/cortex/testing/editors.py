"""People who edit published files by hand, at bad moments and from stale buffers.

An editor reads a document, thinks for a while, and saves: by renaming a new file into its place, or
by writing into the one that it has open. What must become of that is `checks_edits`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from cortex.model.paths import DOCUMENT_NAMES, HomePaths
from cortex.testing.answers import change_something
from cortex.testing.disk import FakeDisk
from cortex.testing.disk_files import File

__all__ = ["Edit", "Editors"]

_GARBAGE = (b"", b"{", b'{"tasks": []}', b'{"tasks": {}}', b"[]", b'{"total_budget": -1}', b"\xff")


@dataclass(slots=True)
class Edit:
    """What somebody saved: in which document, by which inode, which bytes.

    `marker` is a text that no other edit has; the journal shows it once the edit is taken up.
    "one" edits ask for one change, told by `events`: (event, its task or None, its field); "many"
    for others beside it; "words" have no marker, for they set a status or take a row out, and
    "garbage" may ask for nothing at all.
    """

    name: str
    file: File
    data: bytes
    synced: bool
    kind: Literal["one", "many", "words", "garbage"]
    marker: str
    wanted: tuple[str, str | None, str | None] | None
    is_taken: bool = False


@dataclass(slots=True)
class _Buffer:
    """An editor that has read a document; one that writes in place keeps the inode open."""

    name: str
    base: bytes
    file: File | None
    is_edited: bool


@dataclass(slots=True)
class Editors:
    """Those who edit. `saved` are the edits whose fate is not settled."""

    disk: FakeDisk
    paths: HomePaths
    random: random.Random
    saved: list[Edit] = field(default_factory=list)
    open: list[_Buffer] = field(default_factory=list)
    changes: int = 0
    _count: int = 0

    def act(self) -> str:
        """Somebody opens a document, saves one, or removes it."""
        chance = self.random.random()
        if self.open and chance < 0.5:
            return self._save(self.open.pop(self.random.randrange(len(self.open))))
        if chance < 0.55:
            return self._delete()
        name = self.random.choice((*DOCUMENT_NAMES, *("task-queue.json",) * 8, "handoffs.json"))
        path = self.paths.coordination / name
        file, base = self.disk.file_at(path), self.disk.content(path)
        if file is None or base is None:
            return f"nobody finds {name}"
        in_place = self.random.random() < 0.3
        # Whoever reads what somebody else has just saved takes those changes along.
        buffer = _Buffer(name, base, file if in_place else None, file.strange)
        if chance < 0.65:
            return self._save(buffer)
        if buffer.file is not None:
            buffer.file.writers = 1
        self.open.append(buffer)
        return f"{name} is opened in an editor"

    def finish(self) -> None:
        """Whoever has a document open closes it unchanged, or closes what was saved."""
        for buffer in self.open:
            if buffer.file is not None:
                buffer.file.writers = 0
        self.open.clear()
        for edit in self.saved:
            self.disk.close_scribbled(edit.file)

    def power_lost(self) -> None:
        """Editors are gone; what was not synced may be."""
        self.open.clear()
        self.changes += 1
        self.saved = [edit for edit in self.saved if edit.synced]

    # --- saving

    def _save(self, buffer: _Buffer) -> str:
        self._count += 1
        self.changes += 1
        marker = f"«edit {self._count}»"
        data, kind, wanted = self._changed(buffer.name, buffer.base, marker)
        if buffer.is_edited and kind == "one":
            kind, wanted = "many", None
        if buffer.file is None:
            path = self.paths.coordination / buffer.name
            self._supersede(self.disk.file_at(path))
            file = self.disk.put(path, data)
            self.saved.append(Edit(buffer.name, file, data, True, kind, marker, wanted))
            return f"{buffer.name} is replaced: {kind} {marker} {wanted}"
        self._supersede(buffer.file)
        self.disk.scribble(buffer.file, data)
        if self.random.random() < 0.7:
            self.disk.close_scribbled(buffer.file)
        self.saved.append(Edit(buffer.name, buffer.file, data, False, kind, marker, wanted))
        return f"{buffer.name} is written in place: {kind} {marker} {wanted}"

    def _supersede(self, file: File | None) -> None:
        """A person's later edit is made over the earlier one, which nobody will miss; whoever has
        the replaced inode open saves by the name from now on."""
        self.saved = [edit for edit in self.saved if edit.file is not file]
        for buffer in self.open:
            if buffer.file is file:
                buffer.file = None

    def _delete(self) -> str:
        name = self.random.choice(DOCUMENT_NAMES)
        path = self.paths.coordination / name
        file = self.disk.file_at(path)
        if file is None:
            return f"nobody finds {name}"
        self.changes += 1
        self._supersede(file)
        self.disk.delete(path)
        return f"{name} is deleted"

    # --- what is changed

    def _changed(self, name: str, base: bytes, marker: str) -> tuple[bytes, Any, Any]:
        try:
            document = json.loads(base)
        except ValueError:
            document = None
        if not isinstance(document, dict) or self.random.random() < 0.15:
            data = self.random.choice((*_GARBAGE, base[: len(base) // 2]))
            return data + b" " * self._count, "garbage", None
        kind, wanted = "garbage", None
        rows = document.get("tasks")
        if name == "task-queue.json" and isinstance(rows, list):
            kind, wanted = self._change_queue(rows, marker)
        elif change_something(self.random, name, document) is not None:
            kind = "words"
        else:
            document["note"] = marker
        text = json.dumps(document, indent=self.random.choice((None, 2)), ensure_ascii=False)
        return text.encode() + b"\n" * self._count, kind, wanted

    def _change_queue(self, rows: list[Any], marker: str) -> tuple[str, Any]:
        known = [row for row in rows if isinstance(row, dict) and "id" in row]
        if not known or self.random.random() < 0.2:
            rows.append({"title": marker, "command": ["edited"], "timeout": "20s"})
            return "one", ("task_accepted", None, None)
        row = self.random.choice(known[:3])  # often one that another editor has changed too
        ways: tuple[Callable[[list[Any], Any, str], tuple[str, Any]], ...] = (
            self._title, self._title, self._note, self._note, self._several, self._verb, self._out,
        )  # fmt: skip
        return self.random.choice(ways)(rows, row, marker)

    def _title(self, rows: list[Any], row: Any, marker: str) -> tuple[str, Any]:
        row["title"] = marker
        if self.random.random() < 0.3:
            rows.reverse()
        return "one", ("task_edited", row["id"], "title")

    def _note(self, rows: list[Any], row: Any, marker: str) -> tuple[str, Any]:
        row[self.random.choice(("note", "ticket"))] = marker
        if self.random.random() < 0.3:
            self.random.shuffle(rows)
        return "one", ("task_edited", row["id"], "extra")

    def _several(self, rows: list[Any], row: Any, marker: str) -> tuple[str, Any]:
        row["title"] = marker
        for each in rows:
            if isinstance(each, dict) and self.random.random() < 0.3:
                each["priority"] = self.random.choice(("low", "critical", "no priority"))
                each["hold"] = self.random.random() < 0.2
                each["retries"] = self.random.choice((0, 3, -1))
        return "many", None

    def _verb(self, rows: list[Any], row: Any, marker: str) -> tuple[str, Any]:
        del rows, marker
        row["status"] = self.random.choice(("cancelled", "pending", "paused", "completed", "odd"))
        return "words", None

    def _out(self, rows: list[Any], row: Any, marker: str) -> tuple[str, Any]:
        del marker
        rows.remove(row)
        return "words", None
