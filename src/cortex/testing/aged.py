"""Homes with a long past, written by deciding alone: no worker runs and no daemon is needed.

Every line is one that the daemon would have written, so that journal, checkpoint, archive and logs
agree. For tests and measurements of what grows with age.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cortex.control.opening import make_folders
from cortex.decide import budget
from cortex.decide.accept import accept_all
from cortex.decide.admit import next_admission
from cortex.decide.aggregate import Gathered, conclude
from cortex.decide.archiving import leaving
from cortex.decide.entry import Entry, Now
from cortex.decide.evolve import evolve
from cortex.decide.queue import AdmissionQueue
from cortex.decide.review import Observed, review
from cortex.decide.spec import worker_folder
from cortex.masters.library import Library
from cortex.masters.reconcile import reconcile_task
from cortex.model.paths import HomePaths
from cortex.model.requests import parse_request
from cortex.model.settings import Settings
from cortex.model.state import State, Task, Worker
from cortex.model.times import format_time
from cortex.runtime.table import runtime_infos
from cortex.store import checkpoint
from cortex.store.archive import Archive
from cortex.store.disk import RealDisk
from cortex.store.journal import Journal, recover

__all__ = ["AgedHome", "grow"]

_BATCH = 200
_BOOT = "00000000-0000-4000-8000-000000000001"


def grow(
    paths: HomePaths,
    tasks: int,
    *,
    end: datetime | None = None,
    over: timedelta = timedelta(days=30),
    logs: Callable[[int], bool] = lambda _number: True,
) -> AgedHome:
    """Lets a home that `cortex init` made have run so many commands, evenly until `end` (now).

    `logs` says of which tasks, by number, the folders with report and log are written.
    """
    home = AgedHome(paths, (end or datetime.now(UTC)) - over)
    step = over / max(1, tasks)
    for number in range(1, tasks + 1):
        home.clock += step
        home.run_one(f"echo {number}", folders=logs(number))
        if number % _BATCH == 0:
            home.archive()
    home.close()
    return home


@dataclass(slots=True)
class AgedHome:
    """One home while its past is made."""

    paths: HomePaths
    clock: datetime
    settings: Settings = field(default_factory=Settings)
    state: State = field(default_factory=State)
    lines: int = 0
    _library: Library = field(init=False)
    _disk: RealDisk = field(default_factory=RealDisk)
    _journal: Journal = field(init=False)
    _archive: Archive = field(init=False)
    _queue: AdmissionQueue = field(init=False)
    _catalog: Any = field(init=False)

    def __post_init__(self) -> None:
        make_folders(self.paths)
        self._journal = recover(self._disk, self.paths.journal, ballast=self.paths.ballast).journal
        self._journal.open_days_with(self._day)
        self._archive = Archive(self._disk, self.paths.archive, self.paths.archive_index)
        self._queue = AdmissionQueue(self.settings.spawn.aging)
        self._catalog = Library(self.paths, runtime_infos()).refresh()
        funds = {
            name.removesuffix("-master"): (master.budget.allocated, master.budget.worker_pool)
            for name, master in self._catalog.masters.items()
        }
        wall = self.clock.timestamp()
        self.apply(Entry("daemon", "the budget", budget.configure(
            self.state, self.settings, funds, wall)))  # fmt: skip

    @property
    def now(self) -> Now:
        """The instant on all clocks."""
        wall = self.clock.timestamp()
        return Now(wall, wall, _BOOT, format_time(wall))

    def _day(self) -> bytes | None:
        return json.dumps(self.state.to_json()).encode() if self.state.seq else None

    def apply(self, entry: Entry) -> None:
        """Writes one line and evolves the state by it; durable with the next batch."""
        if not entry.events:
            return
        seq = self._journal.append(self.clock, entry.by, entry.why, entry.events)
        evolve(self.state, seq, self._journal.last_at, entry.events)
        self.state.touched.clear()
        self.lines += 1

    def run_one(self, command: str, *, folders: bool = True) -> Task:
        """One command from its drop to its end."""
        if self.state.budget.resets_at <= self.now.wall:
            events = budget.reset(self.state, self.settings, self.now.wall, {})
            self.apply(Entry("coordinator-master", "a new budget period begins", events))
        number = self.state.counters.get("task", 0) + 1
        request = parse_request({"command": command})
        name = f"drop-{number}.json"
        taken = {"event": "receipt_taken", "receipt": number, "floor": number,
                 "file": f"{number:010d}-{name}"}  # fmt: skip
        entry = accept_all(self.state, [request], name, self.now, {})
        self.apply(Entry(entry.by, entry.why, [taken, *entry.events]))
        task = self.state.tasks[entry.events[-1]["task"]["id"]]
        self._reconcile(task)
        worker = self.state.workers[task.workers[-1]]
        self._admit(worker)
        self._live(worker)
        self._reconcile(task)
        gathered = Gathered(
            task.id, task.run, [], f"agents/logs/tasks/{task.created_at[:10]}/{task.id}"
        )
        self.apply(conclude(self.state, task, gathered, self._catalog, self.now))
        cleaned = {"event": "worker_cleaned", "worker_id": worker.id}
        self.apply(Entry("daemon", "processes gone, spec archived", [cleaned]))
        if folders:
            self._write_folders(task, worker)
        return task

    def _reconcile(self, task: Task) -> None:
        while True:
            decision = reconcile_task(self.state, task, self._catalog, self.settings, self.now)
            if decision.entry is None:
                return
            self.apply(decision.entry)

    def _admit(self, worker: Worker) -> None:
        self._queue.push(worker, self.now.wall)
        while worker.status != "approved":
            entry = next_admission(self.state, self._queue, self.settings, 4, self.now)
            assert entry is not None, worker
            self.apply(entry)
        self._queue.discard(worker.id)

    def _live(self, worker: Worker) -> None:
        now = self.now
        spawning = {"event": "worker_spawning", "worker_id": worker.id, "boot_id": _BOOT,
                    "runtime_dir": str(self.paths.attempts), "nonce": 1,
                    "folder": worker_folder(worker.id, now.at)}  # fmt: skip
        self.apply(Entry(worker.master, f"start 1 of {worker.id}", [spawning]))
        running = {"event": "worker_running", "worker_id": worker.id, "pid": 4711,
                   "spawned_at": now.at, "timeout_at": now.at}  # fmt: skip
        observed = Observed(worker.id, code=0, duration_s=0.01, started_at=now.at)
        ended = review(self.state, observed, self.settings, now)
        self.apply(Entry(ended.by, ended.why, [running, *ended.events]))

    def _write_folders(self, task: Task, worker: Worker) -> None:
        for place, name, text in (
            (task.result_location, "report.md", f"# {task.title}\n"),
            (worker.folder, "log.md", f"# {worker.id}\n\n{task.title}\n"),
        ):
            folder = self.paths.root / str(place)
            folder.mkdir(parents=True)
            (folder / name).write_text(text, encoding="utf-8")

    def archive(self) -> None:
        """Lets the eldest of what is too much leave, as the daemon does, and makes all durable."""
        over = len(self.state.ended_tasks) - self.settings.retention.archive_over
        if over > 0:
            chosen = [self.state.tasks[ident] for ident in list(self.state.ended_tasks)[:over]]
            rows, event = leaving(self.state, chosen)
            self._archive.append(self.now.at[:10], rows)
            why = f"{len(chosen)} ended tasks are in the archive"
            self.apply(Entry("daemon", why, [event]))
        self._journal.commit()

    def close(self) -> None:
        """Writes the checkpoint; a daemon may serve the home from here on."""
        self.archive()
        checkpoint.save(
            self._disk,
            self.paths.checkpoint,
            self._journal.position,
            self.state.to_json(),
            previous=self.paths.previous_checkpoint,
        )
        self._journal.close()
        self._archive.close()
