"""One home as an object: its documents as dicts, its daemon, its journal, and drops into it.

Every call reads the files anew; nothing is cached and nothing is held open. How things are shown
to a person is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.home.archive import archived, find_archived
from cortex.home.documents import Row, read_document, rows_of
from cortex.home.find import find_home
from cortex.home.liveness import Daemon, daemon_of
from cortex.home.submit import Outcome, Receipt, drop, find_outcome
from cortex.home.waiting import Waited, wait_for
from cortex.model.paths import HomePaths

if TYPE_CHECKING:
    from cortex.model.journal_line import Line

__all__ = ["WORKER_LISTS", "Found", "Home"]

WORKER_LISTS = ("queued_workers", "active_workers", "completed_workers", "failed_workers")


@dataclass(frozen=True, slots=True)
class Found:
    """What an id names: `kind` is task, worker, handoff or escalation."""

    kind: str
    row: Row
    archived: bool = False


class Home:
    """A home folder, seen by everyone but its daemon."""

    def __init__(self, root: Path) -> None:
        self.paths = HomePaths(root)

    @classmethod
    def find(cls, explicit: str | Path | None = None) -> Home:
        """The home that is meant here and now; see `find_home`. HomeError if there is none."""
        return cls(find_home(explicit))

    @property
    def root(self) -> Path:
        """The folder that holds cortex.toml."""
        return self.paths.root

    # --- documents

    def queue(self) -> Row:
        """task-queue.json; an empty object before the first daemon. HomeError if unreadable."""
        return read_document(self.paths.task_queue) or {}

    def pool(self) -> Row:
        """worker-pool.json, likewise."""
        return read_document(self.paths.worker_pool) or {}

    def budget(self) -> Row:
        """token-budget.json, likewise."""
        return read_document(self.paths.token_budget) or {}

    def transfers(self) -> Row:
        """handoffs.json, likewise: `handoffs`, `escalations`, `approvals`."""
        return read_document(self.paths.handoffs) or {}

    def schedules(self) -> list[Row]:
        """The rows of schedules.json, each with a `status`: waiting for its next run, or paused."""
        rows = rows_of(read_document(self.paths.schedules), "scheduled_workers")
        return [{"status": "paused" if row.get("paused") else "waiting", **row} for row in rows]

    def tasks(self) -> list[Row]:
        """The rows of task-queue.json: open tasks and recently ended ones."""
        return rows_of(self.queue(), "tasks")

    def workers(self) -> list[Row]:
        """All rows of worker-pool.json, waiting ones first, each with a `worker_id`."""
        return [_with_worker_id(row) for row in rows_of(self.pool(), *WORKER_LISTS)]

    def made_of(self, name: str) -> list[Row]:
        """The tasks that came of a dropped file of that name, the youngest first."""
        rows = [row for row in self.tasks() if _is_made_of(row, name)][::-1]
        return rows or [row for row in self.archived("task") if _is_made_of(row, name)]

    def handoffs(self) -> list[Row]:
        """The rows of handoffs.json."""
        return rows_of(self.transfers(), "handoffs")

    def escalations(self) -> list[Row]:
        """What a person must know or decide."""
        return rows_of(self.transfers(), "escalations")

    def approvals(self) -> list[Row]:
        """What waits for a person's yes or no."""
        return rows_of(self.transfers(), "approvals")

    # --- single things

    def task(self, ident: str) -> Row | None:
        """The task of that id, from the queue or else the archive; None if there is none."""
        found = self._published("task", "id", self.tasks(), ident)
        return (found or self._from_archive(ident, "task") or Found("", {})).row or None

    def worker(self, ident: str) -> Row | None:
        """The worker of that id, likewise."""
        found = self._published("worker", "worker_id", self.workers(), ident)
        return (found or self._from_archive(ident, "worker") or Found("", {})).row or None

    def lookup(self, ident: str) -> Found | None:
        """Whatever has that id, published or archived: a task, a worker, a handoff, …"""
        return (
            self._published("task", "id", self.tasks(), ident)
            or self._published("worker", "worker_id", self.workers(), ident)
            or self._published("handoff", "handoff_id", self.handoffs(), ident)
            or self._published("escalation", "escalation_id", self.escalations(), ident)
            or self._published("approval", "approval_id", self.approvals(), ident)
            or self._published("schedule", "id", self.schedules(), ident)
            or self._from_archive(ident)
        )

    def archived(self, kind: str | None = None) -> Iterator[Row]:
        """The rows of ended tasks or workers that have left the documents, youngest first."""
        return (_archive_row(entry) for entry in archived(self.paths, kind))

    @staticmethod
    def _published(kind: str, key: str, rows: list[Row], ident: str) -> Found | None:
        return next((Found(kind, row) for row in rows if row.get(key) == ident), None)

    def _from_archive(self, ident: str, kind: str | None = None) -> Found | None:
        entry = find_archived(self.paths, ident)
        if entry is None or kind not in (None, entry.get("kind")):
            return None
        return Found(str(entry.get("kind")), _archive_row(entry), archived=True)

    # --- the daemon and time

    def daemon(self) -> Daemon:
        """Whether a daemon runs for this home, and its pid."""
        return daemon_of(self.paths)

    def changes(self, *, every_s: float | None = None, also: Sequence[Path] = ()) -> Iterator[None]:
        """Yields at once, then at each change of the published files; see `home.follow`."""
        from cortex.home.follow import changes

        return changes(self.paths, every_s=every_s, also=also)

    follow = changes

    def journal(
        self,
        *,
        follow: bool = False,
        since_seq: int = 0,
        since_at: str = "",
        mentioning: Sequence[str] = (),
    ) -> Iterator[Line]:
        """The journal's lines, oldest first; with `follow` also those that are still to come."""
        from cortex.home.journal import JournalReader

        reader = JournalReader(
            self.paths.journal, since_seq=since_seq, since_at=since_at, mentioning=mentioning
        )
        yield from reader.read()
        if follow:
            for _ in self.changes():
                yield from reader.read()

    def wait(
        self, ids: Sequence[str], *, until: str = "ended", timeout_s: float | None = None
    ) -> Waited:
        """Waits until tasks, workers or handoffs reach a status; see `home.waiting`."""
        return wait_for(self, ids, until=until, timeout_s=timeout_s)

    # --- requests

    def submit(self, payload: Mapping[str, Any] | bytes, name: str | None = None) -> Receipt:
        """Drops a request into the inbox; HomeError if that cannot be written."""
        return drop(self.paths, payload, name)

    def find_submitted(self, receipt: Receipt) -> Outcome | None:
        """What became of a drop, or None as long as nothing has."""
        return find_outcome(self.paths, receipt)


def _is_made_of(row: Row, name: str) -> bool:
    source = str(row.get("source"))
    return source == name or source.startswith(f"{name}:")


def _with_worker_id(row: Row) -> Row:
    return row if "worker_id" in row else {"worker_id": row.get("id"), **row}


def _archive_row(entry: Row) -> Row:
    row = entry.get("row")
    row = row if isinstance(row, dict) else {}
    return _with_worker_id(row) if entry.get("kind") == "worker" else row
