"""What must hold after every step of a simulation, and at its end.

The checks read the durable journal by themselves, line by line, and hold everything else against
it: the daemon's state, the starts of workers, the drops, the published files.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.model.journal_line import BadLine, Line, decode
from cortex.model.paths import HomePaths
from cortex.model.state import LIVE, OPEN_TASK, State
from cortex.runtime.executor import Launch
from cortex.store.drop import split_intake_name
from cortex.testing.disk import FakeDisk
from cortex.testing.executor import FakeMachine
from cortex.testing.people import People

__all__ = ["Checks"]


@dataclass(slots=True)
class Checks:
    """The journal as a power cut would leave it, and what was found wrong so far."""

    disk: FakeDisk
    paths: HomePaths
    people: People
    found: list[str] = field(default_factory=list)
    state: State = field(default_factory=State)
    lines: list[Line] = field(default_factory=list)
    #: Receipts of the journal: number -> the drop's name.
    receipts: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    spawned: set[tuple[str, int]] = field(default_factory=set)
    _segment: str = ""
    _offset: int = 0
    _documents: dict[str, Any] = field(default_factory=dict)

    # --- the journal

    def read(self) -> list[Line]:
        """Takes in the lines that have become durable since the last call."""
        new: list[Line] = []
        folder = self.paths.journal
        for name in self.disk.names(folder, durable=True):
            if not name.endswith(".jsonl") or name < self._segment:
                continue
            if name > self._segment:
                self._segment, self._offset = name, 0
            data = self.disk.durable(folder / name) or b""
            if len(data) < self._offset:
                self.found.append(f"{name}: durable lines are gone")
                return new
            new += self._read_segment(data)
        return new

    def _read_segment(self, data: bytes) -> list[Line]:
        new = []
        while (end := data.find(b"\n", self._offset)) >= 0:
            try:
                line = decode(data[self._offset : end])
            except BadLine:
                break
            if line.seq != self.state.seq + 1:
                break
            self._offset = end + 1
            self._take(line)
            new.append(line)
        return new

    def _take(self, line: Line) -> None:
        evolve(self.state, line.seq, line.at, line.events)
        self.state.touched.clear()
        self.lines.append(line)
        for text in violations(self.state):
            self.found.append(f"books after line {line.seq}: {text}")
        for event in line.events:
            if event["event"] == "receipt_taken":
                self._receipt(event["receipt"], event["file"])
            elif event["event"] == "drop_rejected":
                self.refused.add(event["receipt"])
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

    def same_state(self, state: State) -> None:
        """The daemon's state must be what replaying the durable journal gives."""
        if state.seq != self.state.seq:
            return
        mine, theirs = self.state.to_json(), state.to_json()
        for name, value in mine.items():
            if theirs[name] != value:
                self.found.append(f"replay differs from the state in {name} at {state.seq}")

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

    # --- drops

    def drops(self) -> None:
        """Each drop is in the inbox, claimed, or has its one receipt."""
        wanted = Counter(drop.name for drop in self.people.dropped)
        soft = {name for _, name, _, _ in self.people.unfinished}
        here: Counter[str] = Counter(self.receipts.values())
        for folder in (self.paths.inbox, self.paths.coordination):
            here.update(self.disk.names(folder))
        for name in self.disk.names(self.paths.intake):
            parts = split_intake_name(name)
            if parts is not None and parts[0] not in self.receipts:
                here[parts[1]] += 1
        for name, count in wanted.items():
            if here[name] < count:
                self.found.append(f"{name} was dropped and is nowhere")
            elif here[name] > count and name not in soft:
                self.found.append(f"{name} was dropped once and counts {here[name]} times")

    def refusals(self) -> None:
        """What was refused lies whole beside its reason."""
        reasons = {}
        for name in self.disk.names(self.paths.rejected):
            if name.endswith(".error.json"):
                data = self.disk.content(self.paths.rejected / name) or b""
                kept = self.disk.content(self.paths.rejected / name.removesuffix(".error.json"))
                reasons[json.loads(data)["receipt"]] = kept
        whole: dict[str, list[bytes]] = {}
        for drop in self.people.dropped:
            whole.setdefault(drop.name, []).append(drop.data)
        for number in sorted(self.refused):
            name = self.receipts[number]
            kept = reasons.get(f"{number:010d}-{name}")
            if kept is None or kept not in whole.get(name, [kept]):
                self.found.append(f"{name} was refused, and is not whole in rejected/")

    # --- published files

    def documents(self, untrusted: set[Any]) -> None:
        """What the daemon published is JSON, and no newer than the durable journal."""
        for path in self.paths.documents:
            version = self.disk.version(path)
            if version == self._documents.get(path.name) or version is None:
                continue
            self._documents[path.name] = version
            if version in untrusted:
                continue
            try:
                seq = json.loads(self.disk.content(path) or b"")["journal_seq"]
            except (ValueError, KeyError, TypeError):
                self.found.append(f"{path.name} was published broken")
                continue
            if seq > self.state.seq:
                self.found.append(f"{path.name} shows line {seq}, which is not durable")

    def versions(self) -> set[Any]:
        """The documents as they lie there now: somebody else's, or left by a power cut."""
        return {self.disk.version(path) for path in self.paths.documents}

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
        for name in self.disk.names(self.paths.intake):
            self.found.append(f"{name} is left in .intake/")
        self.refusals()
        self._published_tasks()

    def _published_tasks(self) -> None:
        data = self.disk.content(self.paths.task_queue)
        shown = {row["id"] for row in json.loads(data or b'{"tasks": []}')["tasks"]}
        if shown != self.state.tasks.keys():
            self.found.append("task-queue.json shows other tasks than there are")
