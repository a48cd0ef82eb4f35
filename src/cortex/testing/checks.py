"""What must hold after every step of a simulation: the journal, the state, the workers.

The checks read the durable journal by themselves, line by line, and hold everything else against
it. Drops and published files are the business of `checks_drops` and `checks_documents`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.model.journal_line import BadLine, Line, decode
from cortex.model.paths import HomePaths
from cortex.model.state import LIVE, OPEN_TASK, State
from cortex.runtime.executor import Launch
from cortex.store.drop import split_intake_name
from cortex.testing.checks_promises import PromiseChecks
from cortex.testing.disk import FakeDisk
from cortex.testing.machine import FakeMachine
from cortex.testing.reached import Reached

__all__ = ["Checks"]

_SCALARS = ("at", "counters", "budget", "receipts", "receipt_floor", "paused")
#: Derived, and in an order of their own after a checkpoint.
_NOT_COMPARED = ("touched", "dependents", "ended_tasks")
_COMPARED = tuple(known.name for known in fields(State) if known.name not in _NOT_COMPARED)
_ORDERED = ("tasks", "workers", "handoffs", "escalations")


@dataclass(slots=True)
class Checks:
    """The journal as a power cut would leave it, and what was found wrong so far."""

    disk: FakeDisk
    paths: HomePaths
    found: list[str] = field(default_factory=list)
    state: State = field(default_factory=State)
    lines: list[Line] = field(default_factory=list)
    #: Receipts of the journal: number -> the drop's name, as the journal quotes it.
    receipts: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    spawned: set[tuple[str, int]] = field(default_factory=set)
    tasks: int = 0
    #: Lines that take hand edits up, or refuse them.
    edited: list[Line] = field(default_factory=list)
    promises: PromiseChecks = field(default_factory=PromiseChecks)
    reached: Reached = field(default_factory=Reached)
    #: Records that changed since the daemon's state was last held against them.
    _changed: dict[tuple[str, str], None] = field(default_factory=dict)
    _segment: str = ""
    _offset: int = 0
    _marks: tuple[int, ...] = ()

    # --- the journal

    def read(self) -> list[Line]:
        """Takes in the lines that have become durable since the last call."""
        folder = str(self.paths.journal)
        segments = self.disk.files_in(folder, durable=True)
        current = segments.get(self._segment)
        marks = (*self.disk.marks(folder), current.safe_marks if current is not None else 0)
        if marks == self._marks:
            return []
        self._marks = marks
        new: list[Line] = []
        for name in sorted(segments):
            if not name.endswith(".jsonl") or name < self._segment:
                continue
            if name > self._segment:
                self._segment, self._offset, self._marks = name, 0, ()
            if len(segments[name].safe) < self._offset:
                self.found.append(f"{name}: durable lines are gone")
                return new
            new += self._read_segment(bytes(segments[name].safe[self._offset :]))
        return new

    def _read_segment(self, data: bytes) -> list[Line]:
        new = []
        for raw in data.split(b"\n")[:-1]:
            try:
                line = decode(raw)
            except BadLine:
                break
            if line.seq != self.state.seq + 1:
                break
            self._offset += len(raw) + 1
            self._take(line)
            new.append(line)
        return new

    def _take(self, line: Line) -> None:
        if line.at < self.state.at:
            self.found.append(f"line {line.seq} is of {line.at}, after {self.state.at}")
        evolve(self.state, line.seq, line.at, line.events)
        self._changed.update(self.state.touched)
        self.state.touched.clear()
        self.lines.append(line)
        for text in violations(self.state):
            self.found.append(f"books after line {line.seq}: {text}")
        self.found += self.promises.take(line, self.state)
        self.reached.take(line, self.state)
        for event in line.events:
            if event["event"] == "receipt_taken":
                self._receipt(event["receipt"], event["file"])
            elif event["event"] == "drop_rejected":
                self.refused.add(event["receipt"])
            elif event["event"] in ("file_edited", "file_edit_refused"):
                self.edited.append(line)
            elif event["event"] == "task_accepted":
                self.tasks += 1
            elif event["event"] == "worker_spawning":
                self.spawned.add((event["worker_id"], event["nonce"]))

    def _receipt(self, number: int, file: str) -> None:
        if number in self.receipts:
            self.found.append(f"receipt {number} was taken twice")
        parts = split_intake_name(file)
        self.receipts[number] = parts[1] if parts else file

    def acknowledged(self, seq: int) -> None:
        """The daemon takes lines up to `seq` for durable."""
        if self.state.seq < seq:
            self.found.append(f"line {seq} counts as durable; the disk has {self.state.seq}")

    def same_state(self, state: State, *, whole: bool = False) -> None:
        """The daemon's state must be what replaying the durable journal gives: in all that changed
        since the last look, or as a whole."""
        if state.seq != self.state.seq:
            return
        different = [n for n in _SCALARS if getattr(state, n) != getattr(self.state, n)]
        if whole:
            different += [n for n in _COMPARED if getattr(state, n) != getattr(self.state, n)]
            different += [f"the order of {n}" for n in _ORDERED if not self._same_order(state, n)]
        else:
            different += [
                f"{kind} {ident}"
                for kind, ident in self._changed
                if f"{kind}s" in _COMPARED and self._differs(state, f"{kind}s", ident)
            ]
        self._changed.clear()
        for what in different:
            self.found.append(f"replay differs from the state in {what} at {state.seq}")

    def _same_order(self, state: State, name: str) -> bool:
        return list(getattr(state, name)) == list(getattr(self.state, name))

    def _differs(self, state: State, name: str, ident: str) -> bool:
        mine: Any = getattr(self.state, name).get(ident)
        return bool(getattr(state, name).get(ident) != mine)

    # --- workers

    def may_run(self, machine: FakeMachine, launch: Launch) -> None:
        """A program is about to run: its line is durable, and nothing of its step lives."""
        self.read()
        worker = self.state.workers.get(launch.worker_id)
        if (launch.worker_id, launch.nonce) not in self.spawned:
            self.found.append(f"{launch.worker_id} starts before its line is durable")
        elif worker is None or worker.status not in LIVE:
            status = worker.status if worker else "archived"
            self.found.append(f"{launch.worker_id} starts when it is {status}")
        for other in machine.alive():
            mine = self.state.workers.get(other.worker_id)
            if worker is None or mine is None or other.worker_id == launch.worker_id:
                continue
            if (mine.task_id, mine.step) == (worker.task_id, worker.step):
                self.found.append(f"{other.worker_id} lives as {launch.worker_id} starts")

    # --- the end

    def at_rest(self, machine: FakeMachine) -> None:
        """Everything has ended, and nothing is held."""
        state = self.state
        for task in state.tasks.values():
            if task.status in OPEN_TASK:
                self.found.append(f"{task.id} is {task.status} at the end")
        for kind, left in (("live", state.live), ("waiting", state.waiting)):
            if left:
                self.found.append(f"{kind} at the end: {', '.join(left)}")
        budget = state.budget
        held = budget.pool_allocated + budget.reserve_allocated
        held += sum(fund.reserved for fund in budget.masters.values())
        if held:
            self.found.append(f"{held} tokens are held at the end")
        for launch in machine.alive():
            self.found.append(f"{launch.worker_id} still runs at the end")
        for opening in budget.openings:
            if opening.closed_at is None:
                self.found.append(f"the reserve is open for {opening.task_id} at the end")
