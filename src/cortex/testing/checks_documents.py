"""Published files at every read: there, JSON, no newer than the durable journal, their sums right.

Looked at whenever the daemon changes a name, so in the middle of its publishing too, and after
every step. What people wrote, and what a power cut left, is not the daemon's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cortex.model.paths import DOCUMENT_NAMES, HomePaths
from cortex.testing.checks import Checks
from cortex.testing.disk import FakeDisk

__all__ = ["DocumentChecks"]

#: The list of a document that shows the records of the same name, and the field of their id.
_ROWS = {"task-queue.json": ("tasks", "id"), "handoffs.json": ("handoffs", "handoff_id")}


@dataclass(slots=True)
class DocumentChecks:
    """Remembers which version of each document was found good."""

    disk: FakeDisk
    paths: HomePaths
    checks: Checks
    _folder: str = ""
    _good: dict[str, tuple[int, int]] = field(default_factory=dict)
    _seqs: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._folder = str(self.paths.coordination)
        self.disk.watcher = self.changed

    def changed(self, folder: str, name: str) -> None:
        """The daemon changed a name: a reader might come right now."""
        if folder == self._folder and name in DOCUMENT_NAMES:
            self._look_at(name)

    def look(self) -> None:
        """Every document, as a reader would find it now."""
        for name in DOCUMENT_NAMES:
            self._look_at(name)

    def forgive(self, name: str) -> None:
        """Somebody removed the document, or a power cut may have."""
        self._good.pop(name, None)

    def _look_at(self, name: str) -> None:
        file = self.disk.files_in(self._folder).get(name)
        if file is None:
            if self._good.pop(name, None) is not None:
                self.checks.found.append(f"{name} is missing")
            return
        version = (file.number, file.marks)
        if self._good.get(name) == version:
            return
        self._good[name] = version
        if not file.strange:
            self._read(name, bytes(file.cache))

    def _read(self, name: str, data: bytes) -> None:
        try:
            document = json.loads(data)
            seq = document["journal_seq"]
        except (ValueError, KeyError, TypeError):
            self.checks.found.append(f"{name} was published broken")
            return
        if seq > self.checks.state.seq:
            self.checks.read()
        if seq > self.checks.state.seq:
            self.checks.found.append(f"{name} shows line {seq}, which is not durable")
        if seq < self._seqs.get(name, 0):
            self.checks.found.append(f"{name} goes back from line {self._seqs[name]} to {seq}")
        self._seqs[name] = seq
        if name == "token-budget.json":
            self._sums(document)
        elif seq == self.checks.state.seq:
            self._rows(name, document)

    def _sums(self, budget: dict[str, Any]) -> None:
        masters, pool = budget["masters"].values(), budget["worker_pool"]
        reserve = budget["emergency_reserve"]["total"]
        total = sum(master["allocated"] for master in masters) + pool["total"] + reserve
        if budget["total_budget"] != total:
            self.checks.found.append(f"token-budget.json: its parts are {total} in sum")
        parts = pool["allocated_to_workers"] + pool["spent"] + pool["available"]
        if pool["total"] != parts or pool["available"] < 0:
            self.checks.found.append(f"token-budget.json: the pool's parts are {parts} in sum")

    def missing(self) -> list[str]:
        """Documents that somebody removed and that are not there again."""
        there = self.disk.files_in(self._folder)
        return [name for name in DOCUMENT_NAMES if name not in there]

    def at_rest(self) -> None:
        """What is published is what there is."""
        for name in DOCUMENT_NAMES:
            file = self.disk.files_in(self._folder).get(name)
            if file is None or file.strange:
                self.checks.found.append(f"{name} is not restored")
            elif name in _ROWS:
                self._rows(name, json.loads(bytes(file.cache)))

    def _rows(self, name: str, document: dict[str, Any]) -> None:
        """The document shows every record that there is, and each as it is."""
        if name not in _ROWS:
            return
        rows, key = _ROWS[name]
        try:
            shown = {row[key]: row["status"] for row in document.get(rows, [])}
        except (KeyError, TypeError):
            shown = {}
        records = getattr(self.checks.state, rows)
        if shown != {ident: record.status for ident, record in records.items()}:
            self.checks.found.append(f"{name} shows something else than there is")
