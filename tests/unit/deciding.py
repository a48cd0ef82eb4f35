"""A small world for tests of deciding: a state, a catalog, and lines applied to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex.decide import budget
from cortex.decide.admit import next_admission
from cortex.decide.bounds import with_master_limits
from cortex.decide.catalog import Catalog, RuntimeInfo
from cortex.decide.entry import Entry, Now
from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.decide.queue import AdmissionQueue
from cortex.decide.reserve import closing
from cortex.decide.review import Observed, review
from cortex.masters.reconcile import reconcile_handoff, reconcile_task
from cortex.model.definitions import read_master, read_worker_type
from cortex.model.settings import Settings
from cortex.model.state import State, Task, Worker

REPOSITORY = Path(__file__).parents[2]
RUNTIMES = {
    "tools": RuntimeInfo("tools", lane="tools", heartbeats=True, uses_tokens=False),
    "command": RuntimeInfo("command", lane="tools"),
    "agent": RuntimeInfo("agent", lane="agent"),
}


def builtin_catalog(**changes: Any) -> Catalog:
    """The masters and worker types that Cortex ships."""
    masters, types = {}, {}
    for path in sorted((REPOSITORY / "agents/masters").glob("*.md")):
        master = read_master(path.read_text(), path)
        masters[master.name] = master
    for path in sorted((REPOSITORY / "agents/prompts/workers").glob("*.md")):
        kind = read_worker_type(path.read_text(), path)
        types[kind.name] = kind
    return Catalog(masters, types, changes.get("runtimes", RUNTIMES))


class World:
    """Applies decisions as the daemon does, and holds the books to their equations after each."""

    def __init__(self, settings: Settings | None = None, catalog: Catalog | None = None) -> None:
        self.settings = settings or Settings()
        self.catalog = catalog or builtin_catalog()
        self.state = State()
        self.queue = AdmissionQueue(self.settings.spawn.aging)
        self.wall = datetime(2025, 11, 1, tzinfo=UTC).timestamp()
        self.cores = 16
        self.lines: list[Entry] = []
        funds = {
            name.removesuffix("-master"): (master.budget.allocated, master.budget.worker_pool)
            for name, master in self.catalog.masters.items()
        }
        self.apply(Entry("test", "", budget.configure(self.state, self.settings, funds, self.wall)))

    def at(self, hour: int, minute: int = 0, day: int = 1) -> None:
        """Moves the wall clock."""
        self.wall = datetime(2025, 11, day, hour, minute, tzinfo=UTC).timestamp()

    @property
    def now(self) -> Now:
        moment = datetime.fromtimestamp(self.wall, UTC)
        return Now(self.wall, self.wall - 1e9, "boot", f"{moment:%Y-%m-%dT%H:%M:%SZ}")

    def apply(self, entry: Entry) -> None:
        evolve(self.state, self.state.seq + 1, self.now.at, entry.events)
        self.lines.append(entry)
        assert violations(self.state) == []
        for kind, ident in list(self.state.touched):
            if kind != "worker":
                continue
            worker = self.state.workers.get(ident)
            if worker is not None and worker.status in ("requested", "queued"):
                self.queue.push(worker, self.wall)
            else:
                self.queue.discard(ident)

    def task(self, **fields: Any) -> Task:
        """Accepts a task and lets its master plan it."""
        number = self.state.counters.get("task", 0) + 1
        values: dict[str, Any] = {
            "id": f"task-{number:03d}",
            "title": "a task",
            "type": "command",
            "priority": "medium",
            "created_at": self.now.at,
        }
        task = Task(**{**values, **fields})
        self.apply(Entry("test", "", [{"event": "task_accepted", "task": task.to_json()}]))
        self.reconcile()
        return self.state.tasks[task.id]

    def reconcile(self) -> None:
        """Runs the masters until nothing changes; gathering is the caller's."""
        while True:
            touched, self.state.touched = self.state.touched, {}
            keys = list(touched)
            keys += [("task", i) for i in self.state.tasks]
            moved = False
            for kind, ident in dict.fromkeys(keys):
                if kind == "task" and ident in self.state.tasks:
                    task = self.state.tasks[ident]
                    found = reconcile_task(self.state, task, self.catalog, self.settings, self.now)
                elif kind == "handoff":
                    found = reconcile_handoff(self.state, ident, self.catalog)
                else:
                    continue
                if found.entry is not None:
                    self.apply(found.entry)
                    moved = True
            if not moved:
                return

    @property
    def limits(self) -> Settings:
        """The settings with what the masters' files limit."""
        return with_master_limits(self.settings, self.catalog)

    def admit(self) -> list[Entry]:
        """Admission until it has nothing more to say; the lines it wrote."""
        lines = []
        for _ in range(1000):
            entry = next_admission(self.state, self.queue, self.limits, self.cores, self.now)
            entry = entry or closing(self.state)
            if entry is None:
                return lines
            self.apply(entry)
            lines.append(entry)
        raise AssertionError("admission never comes to an end")

    def admit_one(self) -> Entry | None:
        """The next admission, applied."""
        entry = next_admission(self.state, self.queue, self.limits, self.cores, self.now)
        if entry is not None:
            self.apply(entry)
        return entry

    def run(self, worker: Worker) -> None:
        """An approved worker starts."""
        started = {
            "event": "worker_spawning",
            "worker_id": worker.id,
            "boot_id": "boot",
            "runtime_dir": "/run",
            "nonce": 1,
            "folder": "x",
        }
        running = {
            "event": "worker_running",
            "worker_id": worker.id,
            "pid": 1,
            "spawned_at": self.now.at,
            "timeout_at": self.now.at,
        }
        self.apply(Entry("test", "", [started, running]))

    def end(self, worker_id: str, used: int, **observed: Any) -> Worker:
        """A running worker ends, having used so many tokens."""
        worker = self.state.workers[worker_id]
        if worker.status == "approved":
            self.run(worker)
        worker.tokens_used = used
        seen = Observed(worker_id, **{"code": 0, "duration_s": 1.0, **observed})
        self.apply(review(self.state, seen, self.settings, self.now))
        return worker

    def workers(self, status: str) -> list[str]:
        return [worker.id for worker in self.state.workers.values() if worker.status == status]
