"""The archive of ended tasks, workers and handoffs: dated JSON Lines with an index.

The files are the truth; the index (SQLite) can be deleted at any time and is built again from
them. Which rows leave, and when, is not decided here.
"""

import contextlib
import json
import re
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cortex.model.failpoints import failpoint
from cortex.model.formats import ARCHIVE, INDEX
from cortex.model.seams import Disk
from cortex.store.disk import write_all

__all__ = ["Archive", "Archived", "Kind"]

Kind = Literal["task", "worker", "handoff", "escalation"]

_FILE_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.jsonl")
_SCHEMA = """
CREATE TABLE entry (
    kind TEXT, id TEXT, day TEXT, offset INTEGER, length INTEGER, crc INTEGER,
    key TEXT, task_id TEXT, PRIMARY KEY (id, kind)
) WITHOUT ROWID;
CREATE INDEX entry_key ON entry (key) WHERE key IS NOT NULL;
CREATE INDEX entry_task ON entry (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX entry_day ON entry (day);
CREATE TABLE indexed (day TEXT PRIMARY KEY, size INTEGER);
"""


@dataclass(frozen=True, slots=True)
class Archived:
    """One archived row, as it was when it left; `day` is the file that has it."""

    kind: Kind
    id: str
    day: str
    row: dict[str, Any]


class Archive:
    """Appends to the archive and looks rows up; safe from several threads.

    `index` None keeps the index in memory. OSError from any call means that the files could not
    be read or written; nothing is half done then. The first call brings the index up to the files:
    where it has to be built anew, that call is slow, and not the start of a daemon.
    """

    def __init__(self, disk: Disk, folder: Path, index: Path | None) -> None:
        self._disk = disk
        self._folder = folder
        disk.mkdir(folder)
        self._turn = threading.RLock()
        self._db = _open_index(index)
        self._caught_up = False

    def close(self) -> None:
        """Closes the index."""
        self._db.close()

    def append(self, day: str, rows: Iterable[tuple[Kind, str, Mapping[str, Any]]]) -> int:
        """Writes (kind, id, row) to the file of `day` (YYYY-MM-DD, UTC), durably.

        Returns how many were new: a row that is archived already, the same to the byte, is
        skipped, so that repeating after a crash is harmless. A changed row is written again, and
        found instead of the older one.
        """
        with self._turn:
            self._catch_up()
            return self._append(day, rows)

    def find(self, row_id: str) -> Archived | None:
        """The archived task or worker of that id."""
        return self._first("id = ? ORDER BY kind", row_id)

    def find_key(self, key: str) -> Archived | None:
        """The task that was dropped with that idempotency key; the latest if there are more."""
        return self._first("key = ? AND kind = 'task' ORDER BY day DESC, offset DESC", key)

    def workers_of(self, task_id: str) -> list[Archived]:
        """The archived workers of a task, in the order of their ids."""
        found = self._select("task_id = ? AND kind = 'worker' ORDER BY id", task_id)
        return [archived for archived in found if archived is not None]

    def _append(self, day: str, rows: Iterable[tuple[Kind, str, Mapping[str, Any]]]) -> int:
        start = self._catch_up_day(day)
        lines: list[bytes] = []
        entries: list[tuple[Any, ...]] = []
        for kind, row_id, row in rows:
            line = _encode(kind, row_id, row)
            if not self._has(kind, row_id, line):
                entries.append(_entry(kind, row_id, row, day, start, line))
                lines.append(line)
                start += len(line)
        if lines:
            failpoint("archive.before_write")
            self._write(self._folder / f"{day}.jsonl", b"".join(lines))
            failpoint("archive.before_index")
            self._index(day, entries, start)
            failpoint("archive.indexed")
        return len(lines)

    def _first(self, where: str, value: str) -> Archived | None:
        return next((archived for archived in self._select(where, value) if archived), None)

    def _select(self, where: str, value: str) -> list[Archived | None]:
        columns = "kind, id, day, offset, length, crc"
        query = f"SELECT {columns} FROM entry WHERE {where}"
        with self._turn:
            self._catch_up()
            found = self._db.execute(query, (value,)).fetchall()
            return [self._read(*entry) for entry in found]

    def _read(
        self, kind: Kind, row_id: str, day: str, offset: int, length: int, crc: int
    ) -> Archived | None:
        """None when a person removed or changed the file since it was indexed."""
        try:
            handle = self._disk.open_read(self._folder / f"{day}.jsonl")
        except FileNotFoundError:
            return None
        try:
            line = self._disk.read_at(handle, length, offset)
        finally:
            self._disk.close(handle)
        if zlib.crc32(line) != crc:
            return None
        return Archived(kind, row_id, day, json.loads(line)["row"])

    def _has(self, kind: Kind, row_id: str, line: bytes) -> bool:
        found = self._db.execute(
            "SELECT crc, length FROM entry WHERE kind = ? AND id = ?", (kind, row_id)
        ).fetchone()
        return bool(found == (zlib.crc32(line), len(line)))

    def _catch_up(self) -> None:
        """Once: from then on the files grow by `append` alone."""
        if self._caught_up:
            return
        on_disk = {
            match.group(1)
            for name in self._disk.listdir(self._folder)
            if (match := _FILE_NAME.fullmatch(name))
        }
        indexed = {day for (day,) in self._db.execute("SELECT day FROM indexed")}
        for day in indexed - on_disk:
            self._forget(day)
        for day in sorted(on_disk):
            self._catch_up_day(day)
        self._caught_up = True

    def _catch_up_day(self, day: str) -> int:
        """Brings the index up to the day's file and returns the file's size; a torn end, whose
        rows never left the journal's state, is cut off."""
        path = self._folder / f"{day}.jsonl"
        try:
            size = self._disk.stat(path).size
        except FileNotFoundError:
            size = 0
        found = self._db.execute("SELECT size FROM indexed WHERE day = ?", (day,)).fetchone()
        known = found[0] if found else 0
        if size < known:
            self._forget(day)
            known = 0
        if size == known:
            return size
        data = self._disk.read(path)
        whole = data.rfind(b"\n") + 1
        self._index(day, _parse(day, data, known, whole), whole)
        if whole < size:
            self._truncate(path, whole)
        return whole

    def _forget(self, day: str) -> None:
        with self._db:
            self._db.execute("DELETE FROM entry WHERE day = ?", (day,))
            self._db.execute("DELETE FROM indexed WHERE day = ?", (day,))

    def _index(self, day: str, entries: list[tuple[Any, ...]], size: int) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO entry VALUES (?,?,?,?,?,?,?,?)", entries)
            self._db.execute("INSERT OR REPLACE INTO indexed VALUES (?, ?)", (day, size))

    def _write(self, path: Path, data: bytes) -> None:
        try:
            handle = self._disk.open_append(path)
        except FileNotFoundError:
            self._disk.mkdir(self._folder)
            handle = self._disk.create(path)
        try:
            before = self._disk.fstat(handle).size
            try:
                write_all(self._disk, handle, data)
                self._disk.fdatasync(handle)
            except OSError:
                with contextlib.suppress(OSError):
                    self._disk.truncate(handle, before)
                raise
        finally:
            self._disk.close(handle)
        if before == 0:
            self._disk.fsync_dir(self._folder)

    def _truncate(self, path: Path, size: int) -> None:
        handle = self._disk.open_update(path)
        try:
            self._disk.truncate(handle, size)
        finally:
            self._disk.close(handle)


def _open_index(index: Path | None) -> sqlite3.Connection:
    if index is None:
        return _connect(":memory:")
    try:
        return _connect(str(index))
    except sqlite3.DatabaseError:
        # Damaged, or another release's: it holds nothing that the files don't.
        for ending in ("", "-journal", "-wal", "-shm"):
            index.with_name(index.name + ending).unlink(missing_ok=True)
        return _connect(str(index))


def _connect(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(name, check_same_thread=False)
    try:
        # A power cut may spoil the index, which then is built again.
        db.execute("PRAGMA synchronous = OFF")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {INDEX}; COMMIT;")
        elif version != INDEX:
            raise sqlite3.DatabaseError(f"index version {version}")
        db.execute("SELECT count(*) FROM indexed")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _encode(kind: Kind, row_id: str, row: Mapping[str, Any]) -> bytes:
    fields = {"format": ARCHIVE, "kind": kind, "id": row_id, "row": row}
    try:
        return (json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(fields, allow_nan=False) + "\n").encode()


def _entry(
    kind: str, row_id: str, row: Mapping[str, Any], day: str, offset: int, line: bytes
) -> tuple[Any, ...]:
    key, task_id = row.get("key"), row.get("task_id")
    return (
        kind,
        row_id,
        day,
        offset,
        len(line),
        zlib.crc32(line),
        key if isinstance(key, str) else None,
        task_id if isinstance(task_id, str) else None,
    )


def _parse(day: str, data: bytes, start: int, end: int) -> list[tuple[Any, ...]]:
    entries: list[tuple[Any, ...]] = []
    while start < end:
        stop = data.index(b"\n", start) + 1
        line = data[start:stop]
        # A line that a person spoilt is no reason to lose the others.
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            fields = json.loads(line)
            entries.append(_entry(fields["kind"], fields["id"], fields["row"], day, start, line))
        start = stop
    return entries
