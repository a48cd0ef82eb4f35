"""From a claimed drop to its requests, and to the journal line that they ask for.

Reading runs in an effect thread and touches no state; what fits the state is decided in the control
thread. Claiming files and clearing them away is `control.intake`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cortex.decide.accept import accept_all
from cortex.decide.catalog import Catalog
from cortex.decide.edit import Edit
from cortex.decide.entry import Entry, Now
from cortex.decide.merge import merge
from cortex.decide.refusals import problem_parts
from cortex.model.errors import CortexError, RequestError
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.model.settings import Settings
from cortex.model.state import State
from cortex.store.archive import Archive
from cortex.store.drop import Drop, Problem, quoted
from cortex.store.edits import read_edit

__all__ = ["ReadDrop", "archived_names", "entry_of", "read_drop"]


@dataclass(frozen=True, slots=True)
class ReadDrop:
    """A claimed drop with its requests, or what is wrong with it. `edit` is the one request of a
    drop that changes a published file."""

    drop: Drop
    requests: list[Any]
    archived: Mapping[str, str]
    problem: Problem | None
    edit: Edit | None = None


def read_drop(disk: Disk, paths: HomePaths, drop: Drop, archive: Archive) -> ReadDrop:
    """The requests of a drop, and what the archive knows of the names in them."""
    from cortex.model.requests import EditRequest, TaskRequest, WorkerRequest, parse_request

    if drop.problem is not None or drop.payloads is None:
        return ReadDrop(drop, [], {}, drop.problem)
    requests = []
    idents: list[str] = []
    keys: list[str] = []
    for position, payload in enumerate(drop.payloads):
        try:
            request = parse_request(payload)
        except RequestError as error:
            return ReadDrop(drop, [], {}, _problem(error, drop, position))
        requests.append(request)
        if isinstance(request, TaskRequest):
            idents += [ident for ident in (request.id, *request.needs) if ident is not None]
            keys += [request.key] if request.key is not None else []
        elif isinstance(request, WorkerRequest) and request.task_id is None:
            idents += [request.id] if request.id is not None else []
    if len(requests) == 1 and isinstance(requests[0], EditRequest):
        return _read_edit(disk, paths, drop, requests[0], archive)
    return ReadDrop(drop, requests, archived_names(archive, idents, keys), None)


def _read_edit(
    disk: Disk, paths: HomePaths, drop: Drop, request: Any, archive: Archive
) -> ReadDrop:
    content = {**(request.model_extra or {}), "journal_seq": request.journal_seq}
    try:
        found = read_edit(
            disk, paths, request.file, content, lambda i, k: archived_names(archive, i, k)
        )
    except (OSError, CortexError) as error:
        found = Problem(f"the journal cannot be read: {error}", hint="drop it again later")
    if isinstance(found, Problem):
        return ReadDrop(drop, [], {}, found)
    partial = replace(found, is_partial=True)
    return ReadDrop(drop, [request], {}, None, partial)


def entry_of(
    state: State, read: ReadDrop, now: Now, catalog: Catalog, settings: Settings
) -> Entry | Problem:
    """The line of a drop's requests, without its receipt, or why it is refused."""
    try:
        if read.edit is None:
            name = quoted(read.drop.name)
            return accept_all(state, read.requests, name, now, read.archived, catalog, settings)
        merged = merge(state, read.edit, now)
    except RequestError as error:
        return _problem(error, read.drop)
    if merged.refusals:
        reason, parts, _ = problem_parts(merged)
        first = merged.refusals[0]
        return Problem(reason, field=first.field, hint=first.hint, refused=parts)
    why = read.requests[0].reason or "; ".join(merged.changes) or "nothing is changed by it"
    return Entry("person", why, merged.events)


def archived_names(
    archive: Archive, idents: Iterable[str], keys: Iterable[str]
) -> Mapping[str, str]:
    """What `decide.accept` is told of archived tasks: status by id, id by `key:…`."""
    found: dict[str, str] = {}
    for ident in idents:
        row = archive.find(ident)
        if row is not None:
            found[ident] = str(row.row.get("status"))
    for key in keys:
        row = archive.find_key(key)
        if row is not None:
            found[f"key:{key}"] = row.id
    return found


def _problem(error: RequestError, drop: Drop, position: int = 0) -> Problem:
    line = drop.lines[position] if position < len(drop.lines) and len(drop.lines) > 1 else None
    return Problem(reason=error.message, line=line, field=error.field, hint=error.hint)
