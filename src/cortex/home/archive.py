"""Finds ended tasks and workers that have left the published files.

The index that the daemon keeps says in which dated file a row stands, and where; what it does not
know (or where there is none) is looked for in the files, youngest first. Read-only either way.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from cortex.home.documents import Row
from cortex.model.formats import ARCHIVE, INDEX, FormatTooNew
from cortex.model.paths import HomePaths

__all__ = ["archived", "find_archived"]

_BUSY_S = 0.5
_QUERIES = {
    "id": "SELECT day, offset, length, crc FROM entry WHERE id = ? ORDER BY kind",
    "key": "SELECT day, offset, length, crc FROM entry WHERE key = ? AND kind = 'task'"
    " ORDER BY day DESC, offset DESC",
}


def archived(paths: HomePaths, kind: str | None = None) -> Iterator[Row]:
    """The archive's entries `{kind, id, row}`, youngest day first; of one kind if asked."""
    for path in _files(paths):
        for entry in _entries(path, 0, b""):
            if kind in (None, entry.get("kind")):
                yield entry


def find_archived(paths: HomePaths, value: str, by: Literal["id", "key"] = "id") -> Row | None:
    """The entry `{kind, id, row}` of that id, or of the task with that key; None if none is."""
    try:
        word = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None  # an argument in another encoding: nothing is called so
    sizes, found = _ask_index(paths, value, by)
    if found is not None:
        return found
    for path in _files(paths):
        for entry in _entries(path, sizes.get(path.stem, 0), word):
            row = entry.get("row")
            if entry.get("id") == value if by == "id" else (row or {}).get("key") == value:
                return entry
    return None


def _files(paths: HomePaths) -> list[Path]:
    return sorted(paths.archive.glob("*.jsonl"), reverse=True)


def _ask_index(paths: HomePaths, value: str, by: str) -> tuple[dict[str, int], Row | None]:
    """How much of each day's file the index covers, and what it finds."""
    import sqlite3

    if not paths.archive_index.exists():
        return {}, None
    address = f"{paths.archive_index.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as db:
            if db.execute("PRAGMA user_version").fetchone() != (INDEX,):
                return {}, None
            sizes = dict(db.execute("SELECT day, size FROM indexed").fetchall())
            places = db.execute(_QUERIES[by], (value,)).fetchall()
    except sqlite3.Error:
        return {}, None
    for place in places:
        entry = _read_at(paths, *place)
        if entry is not None:
            return sizes, entry
    return ({} if places else sizes), None


def _read_at(paths: HomePaths, day: Any, offset: int, length: int, crc: int) -> Row | None:
    """The entry at its place, or None where the file was changed since it was indexed."""
    try:
        with (paths.archive / f"{day}.jsonl").open("rb") as file:
            file.seek(offset)
            line = file.read(length)
    except OSError:
        return None
    return _entry(line) if zlib.crc32(line) == crc else None


def _entries(path: Path, start: int, word: bytes) -> Iterator[Row]:
    """The entries past `start` in whose bytes the word stands, last one first."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            lines = file.readlines()
    except OSError:
        return
    for raw in reversed(lines):
        entry = _entry(raw) if word in raw else None
        if entry is not None:
            yield entry


def _entry(raw: bytes) -> Row | None:
    """The entry of a line, None where a person spoilt it; FormatTooNew for a newer version's."""
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    number = entry.get("format")
    if isinstance(number, int) and number > ARCHIVE:
        raise FormatTooNew(f"the archive's {entry.get('id')}", number, ARCHIVE)
    return entry
