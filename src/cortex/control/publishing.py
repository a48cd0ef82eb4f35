"""When and what is published: rows encoded once when they change, documents joined from them.

A publication happens at most once every `publish_interval`, or twenty times what the last one
took, and at once when the daemon has been idle. Joining and writing happen in an effect thread, on
bytes that nobody changes any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.control.context import Context
from cortex.decide import project
from cortex.decide.entry import Entry
from cortex.decide.snapshot import POOL_LISTS, pool_row, queue_row
from cortex.model.layout import encode_row, join
from cortex.model.seams import Disk
from cortex.model.times import format_time
from cortex.store.drop import Problem
from cortex.store.publish import Publisher
from cortex.store.rejecting import reject_file

__all__ = ["Publishing"]

EDIT_REFUSED = Problem(
    "this version does not take up edits of published files; the file was restored",
    hint="drop the change into coordination/inbox/ instead: a task, or a cancel, retry or budget",
)
#: A publication may take this share of the time, at most.
_DUTY = 20.0


@dataclass(slots=True)
class _Rows:
    """Encoded rows of one document, by list and id, in the order they came."""

    lists: dict[str, dict[str, bytes]]
    dirty: bool = True

    def put(self, name: str | None, ident: str, row: bytes | None) -> None:
        """Puts a row into one list and takes it out of the others."""
        self.dirty = True
        for other, rows in self.lists.items():
            if other != name:
                rows.pop(ident, None)
        if name is not None and row is not None:
            self.lists[name][ident] = row


@dataclass(slots=True)
class _Document:
    """One published file: its rows, and the fields that stand before them."""

    path: Path
    rows: _Rows
    fields: Callable[[], dict[str, Any]] = field(default=dict)


class Publishing:
    """Keeps the published files at most a moment behind the journal."""

    def __init__(self, context: Context, disk: Disk, daemon: dict[str, Any]) -> None:
        self._context = context
        self._disk = disk
        self._publisher = Publisher(disk, context.paths.out)
        self.daemon = daemon
        self._changed: dict[tuple[str, str], None] = {}
        self._next = 0.0
        self._under_way = False
        # The last line that was published, and the word of the daemon that stood above it.
        self._seq: int | None = None
        self._told: dict[str, Any] = {}
        paths = context.paths
        self._tasks = _Document(
            paths.task_queue, _Rows({"tasks": {}}), lambda: {"daemon": dict(self.daemon)}
        )
        self._pool = _Document(paths.worker_pool, _Rows({name: {} for name in POOL_LISTS}))
        self._budget = _Document(
            paths.token_budget,
            _Rows({}),
            lambda: project.budget_document(context.state, context.vitals),
        )
        self._handoffs = _Document(
            paths.handoffs, _Rows({"handoffs": {}, "escalations": {}, "approvals": {}})
        )
        self._schedules = _Document(paths.schedules, _Rows({"scheduled_workers": {}}))

    def start(self) -> None:
        """Marks everything as changed: the files are made anew from the state.

        Edits that an earlier life had set aside and not yet told of are refused now.
        """
        left = self._publisher.leftovers([document.path for document in self._documents()])
        self._refuse([(late.document, late.kept) for late in left])
        state = self._context.state
        for kind, records in (
            ("task", state.tasks),
            ("worker", state.workers),
            ("handoff", state.handoffs),
            ("escalation", state.escalations),
            ("schedule", state.schedules),
        ):
            for ident in records:
                self._changed[kind, ident] = None

    def changed(self, touched: Iterable[tuple[str, str]]) -> None:
        """Takes in which records changed."""
        for key in touched:
            self._changed[key] = None

    def refresh(self) -> None:
        """Publishes the fields of the daemon itself again."""
        self._tasks.rows.dirty = True

    @property
    def _anything(self) -> bool:
        return bool(self._changed) or any(document.rows.dirty for document in self._documents())

    def _documents(self) -> tuple[_Document, ...]:
        return (self._tasks, self._pool, self._budget, self._handoffs, self._schedules)

    def next_due(self) -> float | None:
        """Monotonic instant of the next publication, if one is due."""
        return self._next if self._anything and not self._under_way else None

    def last(self) -> None:
        """Publishes what changed here and now: the daemon is leaving."""
        monotonic = self._context.engine.clock.monotonic
        _publish(self._publisher, self._work(), self._context.state.seq, monotonic)

    def _work(self) -> list[Work]:
        """What is to be written, as bytes that nobody changes any more."""
        self._encode()
        work = [
            (document.path, self._header(document), _snapshot(document.rows))
            for document in self._documents()
            if document.rows.dirty
        ]
        for document in self._documents():
            document.rows.dirty = False
        return work

    def turn(self) -> None:
        """Publishes what changed, if it is time; everything in it is durable already."""
        clock = self._context.engine.clock.monotonic()
        if self._under_way or not self._anything or clock < self._next:
            return
        work = self._work()
        if not work:
            return
        self._under_way = True
        self._seq = seq = self._context.state.seq
        self._told = dict(self.daemon)
        publisher = self._publisher
        monotonic = self._context.engine.clock.monotonic
        encoding = monotonic() - clock
        self._context.effects.run(
            "publish",
            lambda: _publish(publisher, work, seq, monotonic),
            lambda outcome: self._published(outcome, encoding),
        )

    def tell(self) -> None:
        """Publishes what the daemon says of itself above the rows of the last publication: for
        when the journal takes no lines, and nothing that is newer may be seen.
        """
        monotonic = self._context.engine.clock.monotonic
        if self._under_way or self._seq is None or monotonic() < self._next:
            return
        if self._told == self.daemon:
            return
        self._under_way = True
        header = {**self._header(self._tasks), "journal_seq": self._seq}
        work = [(self._tasks.path, header, _snapshot(self._tasks.rows))]
        publisher, seq, self._told = self._publisher, self._seq, dict(self.daemon)
        self._context.effects.run(
            "publish",
            lambda: _publish(publisher, work, seq, monotonic),
            lambda outcome: self._published(outcome, 0.0),
        )

    def _header(self, document: _Document) -> dict[str, Any]:
        return {
            "version": "1.0",
            "format": 1,
            "updated_at": format_time(self._context.engine.clock.now().timestamp()),
            "journal_seq": self._context.state.seq,
            **document.fields(),
        }

    def _published(self, outcome: Any, encoding: float) -> None:
        self._under_way = False
        clock = self._context.engine.clock.monotonic()
        if isinstance(outcome, Exception):
            self._context.log.error("files could not be published", error=str(outcome))
            for document in self._documents():
                document.rows.dirty = True
            self._told = {}
            self._next = clock + 1.0
            return
        took, edits = outcome
        interval = self._context.settings.daemon.publish_interval
        self._next = clock + max(interval, _DUTY * (took + encoding))
        self._refuse(edits)

    def resync(self) -> None:
        """Finds documents that somebody edited or removed; they are published anew."""
        if self._under_way:
            return
        self._under_way = True
        paths = [document.path for document in self._documents()]
        publisher, clock = self._publisher, self._context.engine.clock.monotonic()
        self._context.effects.run(
            "publish", lambda: _look_after(publisher, paths, clock), self._looked_after
        )

    def _looked_after(self, outcome: Any) -> None:
        self._under_way = False
        if isinstance(outcome, Exception):
            self._context.log.warning("published files could not be read", error=str(outcome))
            return
        changed, late = outcome
        for document in self._documents():
            document.rows.dirty = document.rows.dirty or document.path in changed
        self._refuse(late)

    def _refuse(self, edits: list[_Edit]) -> None:
        """Keeps an edit whole in rejected/ beside its reason, as nothing takes it up yet."""
        if not edits:
            return
        context = self._context
        disk, paths, at = self._disk, context.paths, context.engine.now().at
        for path, _ in edits:
            context.log.warning("an edit of a published file was refused", file=path.name)
            event = {"event": "file_edit_refused", "file": path.name}
            context.engine.apply(Entry("person", f"{path.name} was edited by hand", [event]))

        def work() -> None:
            for path, kept in edits:
                reject_file(disk, paths, kept, path.name, EDIT_REFUSED, at, kept.name)

        context.effects.run("publish", work, self._refused)

    def _refused(self, outcome: Any) -> None:
        if isinstance(outcome, Exception):
            self._context.log.warning("an edit stays in .state/out/", error=str(outcome))

    # --- rows

    def _encode(self) -> None:
        changed, self._changed = self._changed, {}
        for kind, ident in changed:
            if kind == "task":
                self._task(ident)
            elif kind == "worker":
                self._worker(ident)
            elif kind == "handoff":
                handoffs = self._context.state.handoffs
                self._plain(self._handoffs, "handoffs", ident, handoffs, project.handoff_row)
            elif kind == "schedule":
                schedules = self._context.state.schedules
                rows = "scheduled_workers"
                self._plain(self._schedules, rows, ident, schedules, project.schedule_row)
            elif kind == "fleet":
                self.daemon["paused"] = self._context.state.paused
                self._tasks.rows.dirty = True
            elif kind == "escalation":
                records = self._context.state.escalations
                self._plain(
                    self._handoffs, "escalations", ident, records, project.escalation_row
                )
            self._budget.rows.dirty = self._budget.rows.dirty or kind in ("budget", "worker")

    def _task(self, ident: str) -> None:
        task = self._context.state.tasks.get(ident)
        if task is None:
            self._tasks.rows.put(None, ident, None)
            return
        self._tasks.rows.put("tasks", ident, encode_row(queue_row(self._context.state, task)))

    def _worker(self, ident: str) -> None:
        worker = self._context.state.workers.get(ident)
        rows = self._pool.rows
        if worker is None:
            rows.put(None, ident, None)
        else:
            vitals = self._context.vitals.get(ident)
            name, row = pool_row(self._context.state, worker, vitals)
            rows.put(name, ident, encode_row(row))

    def _plain(
        self,
        document: _Document,
        name: str,
        ident: str,
        records: dict[str, Any],
        row: Callable[[Any], dict[str, Any]],
    ) -> None:
        record = records.get(ident)
        encoded = encode_row(row(record)) if record is not None else None
        document.rows.put(name if record is not None else None, ident, encoded)


_Edit = tuple[Path, Path]
Work = tuple[Path, dict[str, Any], dict[str, list[bytes]]]


def _snapshot(rows: _Rows) -> dict[str, list[bytes]]:
    return {name: list(encoded.values()) for name, encoded in rows.lists.items()}


def _publish(
    publisher: Publisher, work: list[Work], seq: int, monotonic: Callable[[], float]
) -> tuple[float, list[_Edit]]:
    """(seconds it took, edits that were found in the place of what was published)."""
    started = monotonic()
    edits = []
    for path, header, lists in work:
        result = publisher.publish(path, join(header, lists), seq)
        if result.edited and result.kept is not None:
            edits.append((path, result.kept))
    return monotonic() - started, edits


def _look_after(
    publisher: Publisher, paths: Sequence[Path], monotonic_s: float
) -> tuple[list[Path], list[_Edit]]:
    """(documents that are not as they were published, edits that came late)."""
    changed = [path for path in paths if not publisher.untouched(path)]
    return changed, [(late.document, late.kept) for late in publisher.sweep(monotonic_s)]
