"""Reads an edit of a published document, and what the document said where the edit began.

Values in, values out: runs in an effect thread. The file stays where it is; whether it is taken up
is decided in `decide.merge`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortex.decide.edit import Edit, Place
from cortex.decide.past import edit_since
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk, FileStat
from cortex.model.strict_json import JsonProblem, parse
from cortex.store.drop import Problem
from cortex.store.rewind import rewind

__all__ = ["MAX_EDIT_BYTES", "Study", "is_document", "read_edit", "study"]

MAX_EDIT_BYTES = 256 * 1024 * 1024
Row = dict[str, Any]
#: Ids and keys (`key:…`) to what the archive says of them.
Lookup = Callable[[list[str], list[str]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Study:
    """An edit that was read: itself, or why nothing of it can be taken up.

    `receipt` names this very file in this very version. `is_settled` is False for one that can't
    be read yet and may still be written.
    """

    document: Path
    kept: Path
    stat: FileStat
    receipt: str
    edit: Edit | None = None
    problem: Problem | None = None


def study(disk: Disk, paths: HomePaths, document: Path, kept: Path, lookup: Lookup) -> Study:
    """What the file at `kept`, which was found in the place of `document`, asks for.

    Raises OSError and JournalDamaged where home or journal cannot be read.
    """
    stat = disk.stat(kept)
    receipt = f"{kept.name} {stat.inode} {stat.size} {stat.mtime_ns}"
    content = _content(disk, kept, stat)
    if isinstance(content, Problem):
        return Study(document, kept, stat, receipt, problem=content)
    found = read_edit(disk, paths, document.name, content, lookup)
    if isinstance(found, Problem):
        return Study(document, kept, stat, receipt, problem=found)
    return Study(document, kept, stat, receipt, edit=found)


def is_document(disk: Disk, path: Path, stat: FileStat) -> bool:
    """Whether the file holds an object at all: if not, it may be half-written."""
    return not isinstance(_content(disk, path, stat), Problem)


def _content(disk: Disk, path: Path, stat: FileStat) -> Row | Problem:
    if stat.kind != "file":
        return Problem(
            f"a {stat.kind} was put in the file's place; it was neither opened nor followed",
            hint="edit the file itself",
        )
    if stat.size > MAX_EDIT_BYTES:
        return Problem(f"has {stat.size} bytes; at most {MAX_EDIT_BYTES} are read")
    hint = "the file was restored; make the change again"
    try:
        value = parse(disk.read(path), max_bytes=MAX_EDIT_BYTES)
    except JsonProblem as problem:
        return Problem(problem.message, problem.line, problem.field, hint)
    except PermissionError:
        return Problem("the daemon may not read this file", hint="chmod a+r it, and edit again")
    if not isinstance(value, dict):
        return Problem("holds no JSON object", hint=hint)
    return value


def read_edit(
    disk: Disk, paths: HomePaths, name: str, content: Row, lookup: Lookup
) -> Edit | Problem:
    """The edit that a document's content is, with what it began from; or why it can be none.

    Raises OSError and JournalDamaged where the journal cannot be read.
    """
    if content.get("journal_seq") is None:
        return Edit(name, content, archived=_archived(name, content, {}, lookup))
    seq = content["journal_seq"]
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
        return Problem(
            f"is {json.dumps(seq)[:40]}, and no line of the journal",
            field="journal_seq",
            hint="leave journal_seq as you found it: it says which version you changed",
        )
    state, lines = rewind(disk, paths, seq)
    if state.seq < seq:
        return Problem(
            f"names journal line {seq}, and the newest here is {state.seq}: this file is from "
            "another home or another time",
            field="journal_seq",
            hint="make the change in the file that is there now",
        )
    edit = edit_since(name, content, state, lines)
    return replace(edit, archived=_archived(name, content, edit.before, lookup))


def _archived(
    name: str, content: Row, before: Mapping[Place, Row], lookup: Lookup
) -> Mapping[str, str]:
    """What the archive knows of the names in new rows of the queue."""
    if name != "task-queue.json" or not isinstance(content.get("tasks"), list):
        return {}
    idents: list[str] = []
    keys: list[str] = []
    for row in content["tasks"]:
        if isinstance(row, dict) and ("tasks", row.get("id")) not in before:
            needs = row.get("needs")
            named = [row.get("id"), *(needs if isinstance(needs, list) else [])]
            idents += [each for each in named if isinstance(each, str)]
            keys += [row["key"]] if isinstance(row.get("key"), str) else []
    return lookup(idents, keys)
