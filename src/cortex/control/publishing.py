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
from cortex.control.lookout import Lookout
from cortex.decide import project
from cortex.decide.health import Sign
from cortex.decide.snapshot import POOL_LISTS, pool_row, queue_row
from cortex.model.formats import DOCUMENT, WRITER
from cortex.model.layout import encode_row, join
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.model.times import format_time
from cortex.store.publish import LateEdit, Publisher

__all__ = ["Publishing"]

#: A publication may take this share of the time, at most.
_DUTY = 20.0
#: And no rest is longer, for one that the daemon stood still in seems to have taken for ever.
_LONGEST_REST_S = 5.0
#: task-queue.json shows a line that changes no row so long after the last publication: whoever
#: compares it with the journal must not take a daemon at rest for one that hangs.
_CATCH_UP_S = 5.0


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

    def __init__(
        self,
        context: Context,
        disk: Disk,
        publisher: Publisher,
        take: Callable[[list[LateEdit]], None],
        daemon: dict[str, Any],
    ) -> None:
        self._context = context
        self._publisher = publisher
        self._take = take
        self._lookout = Lookout(context, disk, publisher, self.restore, take)
        self.look = self._lookout.look
        self.daemon = daemon
        # The files are made anew from the state; also by a life that ends before it has begun.
        self._changed = _all_records(context.state)
        self._next = 0.0
        self._under_way = False
        # The last line that was published, and the word of the daemon that stood above it.
        self._seq: int | None = None
        self._told: dict[str, Any] = {}
        self._error: str | None = None
        self._count = 0
        # The line that task-queue.json shows, and when it was last seen to.
        self._shown = 0
        self._shown_at = 0.0
        paths = context.paths
        self._tasks = _Document(
            paths.task_queue, _Rows({"tasks": {}}), lambda: {"daemon": dict(self.daemon)}
        )
        self._pool = _Document(
            paths.worker_pool,
            _Rows({name: {} for name in POOL_LISTS}),
            lambda: project.learned_counts(context.state),
        )
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
        """Hands on the edits that an earlier life had set aside and not yet taken up."""
        self._take(self._publisher.leftovers([d.path for d in self._documents()]))

    def changed(self, touched: Iterable[tuple[str, str]]) -> None:
        """Takes in which records changed."""
        for key in touched:
            self._changed[key] = None

    def refresh(self) -> None:
        """Publishes the fields of the daemon itself again."""
        self._tasks.rows.dirty = True

    @property
    def _anything(self) -> bool:
        return bool(self._changed) or any(
            document.rows.dirty and not self._lookout.holds(document.path)
            for document in self._documents()
        )

    def _documents(self) -> tuple[_Document, ...]:
        """In the order of their publication: who sees in task-queue.json that a task has ended
        finds its workers, tokens and handoff in the other files."""
        return (self._pool, self._budget, self._handoffs, self._schedules, self._tasks)

    def next_due(self) -> float | None:
        """Monotonic instant of the next publication or look, if one is due."""
        dues = [self._publication_due(), self._lookout.next_due()]
        return min((due for due in dues if due is not None), default=None)

    def _publication_due(self) -> float | None:
        if self._under_way:
            return None
        if self._anything:
            return self._next
        behind = self._shown < self._context.state.seq
        if not behind or self._lookout.holds(self._tasks.path):
            return None
        return max(self._next, self._shown_at + _CATCH_UP_S)

    @property
    def count(self) -> int:
        """How many publications have been written."""
        return self._count

    def signs(self) -> Iterable[Sign]:
        """What has changed and is not written; nothing may be, while the journal takes no lines,
        and what waits for the end of a rest is in time.
        """
        if self._context.full is not None:
            return
        rests = not self._under_way and self._context.engine.clock.monotonic() < self._next
        if self._error is not None:
            yield Sign("publish_failing", "error", self._error)
        elif self._anything and not rests:
            cause = "what changed is not written into the published files"
            yield Sign("publish_failing", f"after {self._count}", cause)

    def last(self) -> None:
        """Publishes what changed here and now: the daemon is leaving."""
        monotonic = self._context.engine.clock.monotonic
        work = self._work(self._documents())
        _publish(self._publisher, work, self._context.state.seq, monotonic)

    def _work(self, documents: Iterable[_Document]) -> list[Work]:
        """What is to be written, as bytes that nobody changes any more."""
        self._encode()
        dirty = [document for document in documents if document.rows.dirty]
        for document in dirty:
            document.rows.dirty = False
        return [(each.path, self._header(each), _snapshot(each.rows)) for each in dirty]

    def turn(self) -> None:
        """Publishes what changed, if it is time; everything in it is durable already."""
        self._lookout.turn()
        clock = self._context.engine.clock.monotonic()
        due = self._publication_due()
        if due is None or clock < due:
            return
        if self._context.engine.journal.pending:
            return  # lines came after the turn's commit: the next turn has them durable
        self._tasks.rows.dirty = self._tasks.rows.dirty or not self._anything
        work = self._work([d for d in self._documents() if not self._lookout.holds(d.path)])
        if not work:
            return
        self._under_way = True
        self._seq = seq = self._context.state.seq
        self._shown_at = clock
        if any(path == self._tasks.path for path, _, _ in work):
            self._shown = seq
        self._told = dict(self.daemon)
        publisher = self._publisher
        monotonic = self._context.engine.clock.monotonic
        encoding = monotonic() - clock
        # What failed half-way may have taken an edit out and told nobody.
        strays = [each.path for each in self._documents()] if self._error is not None else []
        self._context.effects.run(
            "publish",
            lambda: _publish(publisher, work, seq, monotonic, strays),
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
            "format": DOCUMENT,
            "written_by": WRITER,
            "updated_at": format_time(self._context.engine.clock.now().timestamp()),
            "journal_seq": self._context.state.seq,
            **document.fields(),
        }

    def _published(self, outcome: Any, encoding: float) -> None:
        self._under_way = False
        clock = self._context.engine.clock.monotonic()
        if isinstance(outcome, Exception):
            cause = f"the published files cannot be written: {outcome}"
            if cause != self._error:
                self._context.log.warning(cause)
            self._error = cause
            for document in self._documents():
                document.rows.dirty = True
            self._shown = 0
            self._told = {}
            self._next = clock + 1.0
            return
        self._error = None
        self._count += 1
        took, edits = outcome
        interval = self._context.settings.daemon.publish_interval
        rest_s = min(_DUTY * (took + encoding), _LONGEST_REST_S)
        self._next = clock + max(interval, rest_s)
        self._take(edits)

    def restore(self, path: Path) -> None:
        """Publishes one document again: it is not as it was published."""
        for document in self._documents():
            document.rows.dirty = document.rows.dirty or document.path == path

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
                self.daemon["draining"] = self._context.draining
                self._tasks.rows.dirty = True
            elif kind == "approval":
                approvals = self._context.state.approvals
                self._plain(self._handoffs, "approvals", ident, approvals, project.approval_row)
            elif kind == "pace":
                self._pool.rows.dirty = True
            elif kind == "escalation":
                records = self._context.state.escalations
                self._plain(self._handoffs, "escalations", ident, records, project.escalation_row)
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


def _all_records(state: State) -> dict[tuple[str, str], None]:
    kinds: tuple[tuple[str, Iterable[str]], ...] = (
        ("task", state.tasks),
        ("worker", state.workers),
        ("handoff", state.handoffs),
        ("escalation", state.escalations),
        ("approval", state.approvals),
        ("schedule", state.schedules),
    )
    return {(kind, ident): None for kind, idents in kinds for ident in idents}


Work = tuple[Path, dict[str, Any], dict[str, list[bytes]]]


def _snapshot(rows: _Rows) -> dict[str, list[bytes]]:
    return {name: list(encoded.values()) for name, encoded in rows.lists.items()}


def _publish(
    publisher: Publisher,
    work: list[Work],
    seq: int,
    monotonic: Callable[[], float],
    strays: Sequence[Path] = (),
) -> tuple[float, list[LateEdit]]:
    """(seconds it took, edits that were found in the place of what was published).

    Of the documents in `strays`, edits are looked for that an earlier call took out.
    """
    started = monotonic()
    edits = publisher.leftovers(strays) if strays else []
    for path, header, lists in work:
        result = publisher.publish(path, join(header, lists), seq)
        if result.edited and result.kept is not None:
            edits.append(LateEdit(path, result.kept))
    return monotonic() - started, edits
