"""Drops requests into the inbox, and finds out what became of them.

A drop is a file that a person could have written; its unique name is the receipt. The task that is
made from it keeps that name as `source`, a refusal lies in rejected/ under it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.home.documents import Row, read_document, read_json, rows_of
from cortex.model.errors import HomeError
from cortex.model.paths import HomePaths
from cortex.model.times import format_time

if TYPE_CHECKING:
    from cortex.model.journal_line import Line

__all__ = ["Outcome", "Receipt", "drop", "find_outcome", "rejection_of"]

#: A clock that is set back between the drop and its line must not hide the line.
_CLOCK_MAY_JUMP_S = 86_400.0
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
SUFFIXES = (".json", ".yaml", ".yml", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A drop that was made: its file name, and what it asked for.

    `since` (RFC 3339) is before any journal line about it; empty where that is not known.
    """

    name: str
    kind: str = "task"
    key: str | None = None
    since: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a drop: the tasks made from it, or the refusal (the error file's object).

    Both are empty for a verb that was taken up. `linked` are those of the tasks that were there
    before, under the same key: nothing new was made of them. `refused`: why a worker that it asked
    for was not granted.
    """

    task_ids: tuple[str, ...] = ()
    rejection: Mapping[str, Any] | None = None
    linked: tuple[str, ...] = ()
    refused: str | None = None


def drop(paths: HomePaths, payload: Mapping[str, Any] | bytes, name: str | None = None) -> Receipt:
    """Puts one request into the inbox, whole and at once, under a name of its own.

    `name` (a verb, or the name of a user's file whose suffix is kept) begins the file's name.
    Raises HomeError if the inbox cannot be written.
    """
    suffix = Path(name or "").suffix.lower()
    if isinstance(payload, bytes):
        data = payload
        kind, key = _asked_for(data, suffix)
    else:
        kind, key = str(payload.get("kind", "task")), payload.get("key")
        data = json.dumps(payload, ensure_ascii=False, indent=2).encode() + b"\n"
    stem = _NOT_PLAIN.sub("-", Path(name or kind).stem if suffix in SUFFIXES else name or kind)
    suffix = suffix if suffix in SUFFIXES else ".json"
    unique = f"{stem.strip('.-')[:80] or kind}-{secrets.token_hex(5)}{suffix}"
    since = format_time(time.time() - _CLOCK_MAY_JUMP_S)
    _write(paths.inbox, unique, data)
    return Receipt(unique, kind, key if isinstance(key, str) else None, since)


def _asked_for(data: bytes, suffix: str) -> tuple[str, object]:
    """(kind, key) of what a user's file asks for: `task` where one of several requests is a task,
    or where it cannot be read, for then it is refused. Only a single request has a key here."""
    from cortex.model.strict_json import JsonProblem, parse, parse_many, parse_yaml

    try:
        if suffix in (".jsonl", ".ndjson"):
            found: list[object] = [payload for _, payload in parse_many(data)]
        else:
            value = parse_yaml(data) if suffix in (".yaml", ".yml") else parse(data)
            found = value if isinstance(value, list) else [value]
    except JsonProblem:
        return "task", None
    asked = [one for one in found if isinstance(one, dict)]
    kinds = [str(one.get("kind", "task")) for one in asked] or ["task"]
    key = asked[0].get("key") if len(asked) == 1 else None
    return "task" if "task" in kinds else kinds[0], key


def _write(inbox: Path, name: str, data: bytes) -> None:
    hidden = inbox / f".{name}.tmp"
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        with hidden.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(inbox / name)
    except OSError as error:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise HomeError(
            f"{inbox / name} cannot be written: {error.strerror}; nothing was submitted"
        ) from None


def find_outcome(paths: HomePaths, receipt: Receipt) -> Outcome | None:
    """What became of the drop, or None as long as no daemon has taken it up and published it."""
    waits = _waits(paths, receipt.name)
    # Only now: the reason is written before the file leaves the place where it waits. Looked for
    # first, a refusal that comes in between would be taken for a request that was taken up.
    rejection = rejection_of(paths, receipt.name)
    if rejection is not None:
        return Outcome(rejection=rejection)
    if waits:
        return None
    if receipt.kind not in ("task", "worker_request"):
        return Outcome()
    rows = rows_of(read_document(paths.task_queue), "tasks")
    if receipt.kind == "worker_request":
        return _from_journal(paths, receipt, {str(row.get("id")) for row in rows})
    made = [str(row.get("id")) for row in rows if _made_from(row, receipt)]
    if made:
        return Outcome(task_ids=tuple(made))
    same = [str(row.get("id")) for row in rows if receipt.key and row.get("key") == receipt.key]
    if same:
        return Outcome(task_ids=tuple(same), linked=tuple(same))
    # Not published yet, or nothing new was made of it: the journal says which.
    return _from_journal(paths, receipt, {str(row.get("id")) for row in rows})


def _from_journal(paths: HomePaths, receipt: Receipt, published: set[str]) -> Outcome | None:
    """Tasks that the drop's journal line names, if a reader can find them by now."""
    from cortex.home.archive import find_archived
    from cortex.home.journal import ids_of, lines_of

    for line in lines_of(paths.journal, mentioning=[receipt.name], since_at=receipt.since):
        if not any(_takes(event, receipt.name) for event in line.events):
            continue
        named = ids_of(line)
        if named:
            ids = sorted(one for one in named if one in published or find_archived(paths, one))
            is_old = any(event.get("event") == "task_linked" for event in line.events)
            linked = tuple(ids) if is_old else ()
            return Outcome(tuple(ids), linked=linked, refused=_refused(line)) if ids else None
        same = find_archived(paths, receipt.key, "key") if receipt.key else None
        ids = [str(same["id"])] if same is not None else []
        return Outcome(tuple(ids), linked=tuple(ids)) if ids else None
    return None


def _refused(line: Line) -> str | None:
    """Why the first worker that a line asks for is refused in it."""
    for event in line.events:
        if event.get("event") == "worker_ended" and event.get("status") == "rejected":
            return f"{event.get('worker_id')}: {event.get('reason')}"
    return None


def _takes(event: Mapping[str, Any], name: str) -> bool:
    file = event.get("file")
    return event.get("event") == "receipt_taken" and isinstance(file, str) and file.endswith(name)


def rejection_of(paths: HomePaths, name: str) -> Row | None:
    """The error file of a refused drop, as an object, or None."""
    return read_json(paths.rejected / f"{name}.error.json")


def _made_from(row: Row, receipt: Receipt) -> bool:
    source = row.get("source")
    return isinstance(source, str) and (
        source == receipt.name or source.startswith(f"{receipt.name}:")
    )


def _waits(paths: HomePaths, name: str) -> bool:
    if (paths.inbox / name).exists():
        return True
    try:
        return any(path.name.endswith(f"-{name}") for path in paths.intake.iterdir())
    except OSError:
        return False
