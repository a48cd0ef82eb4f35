"""Finds ended tasks and workers that have left the published files.

The index that the daemon keeps answers at once; where there is none, the dated files are read,
youngest first. Read-only either way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from cortex.home.documents import Row
from cortex.model.paths import HomePaths

__all__ = ["archived", "find_archived"]


def archived(paths: HomePaths, kind: str | None = None) -> Iterator[Row]:
    """The archive's entries `{kind, id, row}`, youngest day first; of one kind if asked."""
    yield from _entries(paths, kind, b"")


def find_archived(paths: HomePaths, ident: str) -> Row | None:
    """The entry `{kind, id, row}` of that id, or None."""
    word = json.dumps(ident, ensure_ascii=False).encode()
    for entry in _entries(paths, None, word):
        if entry.get("id") == ident:
            return entry
    return None


def _entries(paths: HomePaths, kind: str | None, word: bytes) -> Iterator[Row]:
    for path in sorted(paths.archive.glob("*.jsonl"), reverse=True):
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            continue
        for raw in reversed(lines):
            if word not in raw:
                continue
            try:
                entry = json.loads(raw)
            except ValueError:
                continue
            if isinstance(entry, dict) and kind in (None, entry.get("kind")):
                yield entry
