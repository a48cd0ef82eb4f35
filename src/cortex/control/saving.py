"""Checkpoints: the state as one file, so that a start reads only the newest journal lines.

Each day of the journal begins with one too, so that a past day can be told from its own lines.
Records are encoded when they changed, a few with each checkpoint, so that its cost follows what
happened and not what there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cortex.control.context import Context
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.store import checkpoint
from cortex.store.journal import Journal

__all__ = ["LINES_BETWEEN", "Saving"]

#: A checkpoint follows this many lines, or as many as there are records, whichever is more.
LINES_BETWEEN = 5000
_KINDS = ("task", "worker", "handoff", "escalation", "approval", "schedule")


class Saving:
    """Writes checkpoints for one daemon."""

    def __init__(
        self,
        context: Context,
        disk: Disk,
        journal: Journal,
        replayed: int,
        lines_between: int = LINES_BETWEEN,
    ) -> None:
        self._context = context
        self._disk = disk
        self._journal = journal
        self._saved_at = -replayed
        self._lines_between = lines_between
        self._under_way = False
        self._encoded: dict[str, dict[str, bytes]] = {kind: {} for kind in _KINDS}
        self._changed: dict[tuple[str, str], None] = {
            (kind, ident): None for kind in _KINDS for ident in _records(context.state, kind)
        }
        journal.open_days_with(self._day)

    def changed(self, touched: Iterable[tuple[str, str]]) -> None:
        """Takes in which records changed."""
        for key in touched:
            if key[0] in _KINDS:
                self._changed[key] = None

    def turn(self) -> None:
        """Writes a checkpoint, in an effect thread, when enough lines have come."""
        lines = self._context.engine.lines - self._saved_at
        records = len(self._context.state.tasks) + len(self._context.state.workers)
        if self._under_way or lines < max(self._lines_between, records) or self._journal.pending:
            return
        self._saved_at = self._context.engine.lines
        self._under_way = True
        position, data = self._journal.position, self._encode()
        paths, disk = self._context.paths, self._disk
        self._context.effects.run(
            "publish",
            lambda: checkpoint.save(
                disk, paths.checkpoint, position, data, previous=paths.previous_checkpoint
            ),
            self._saved,
        )

    def _saved(self, outcome: Any) -> None:
        self._under_way = False
        self._context.kept_up("no checkpoint could be written", outcome)

    def save(self) -> None:
        """Writes a checkpoint now; OSError where the disk takes none."""
        paths = self._context.paths
        checkpoint.save(
            self._disk,
            paths.checkpoint,
            self._journal.position,
            self._encode(),
            previous=paths.previous_checkpoint,
        )

    def _day(self) -> bytes | None:
        """The state as it is now, in the middle of a turn, for the first line of a day."""
        if not self._context.state.seq:
            return None
        self.changed(self._context.state.touched)
        return self._encode()

    def _encode(self) -> bytes:
        """The state as `State.to_json` has it, joined from records that were encoded before."""
        state = self._context.state
        changed, self._changed = self._changed, {}
        for kind, ident in changed:
            record = _records(state, kind).get(ident)
            if record is None:
                self._encoded[kind].pop(ident, None)
            else:
                self._encoded[kind][ident] = _json(record.to_json())
        fields = [
            f"{json.dumps(name)}:".encode() + _json(value)
            for name, value in state.scalars().items()
        ]
        for kind in _KINDS:
            encoded = self._encoded[kind]
            rows = b",".join(encoded[ident] for ident in _records(state, kind))
            fields.append(f'"{kind}s":['.encode() + rows + b"]")
        return b"{" + b",".join(fields) + b"}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _records(state: State, kind: str) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        "task": state.tasks,
        "worker": state.workers,
        "handoff": state.handoffs,
        "escalation": state.escalations,
        "approval": state.approvals,
        "schedule": state.schedules,
    }
    records: dict[str, Any] = kinds[kind]
    return records
