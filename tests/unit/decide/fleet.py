"""A fleet for tests of deciding: the small world, with drops, gathering and a journal to replay."""

from __future__ import annotations

import json
from typing import Any

from cortex.decide.accept import accept_all
from cortex.decide.aggregate import Gathered, conclude
from cortex.decide.entry import Entry
from cortex.decide.evolve import evolve
from cortex.decide.findings import Finding, merge_workers
from cortex.masters.reconcile import reconcile_task
from cortex.model.requests import parse_request
from cortex.model.settings import Settings
from cortex.model.state import State, Task, Worker
from tests.unit.deciding import World

__all__ = ["Fleet", "finding", "settings"]


def settings(**sections: dict[str, Any]) -> Settings:
    """Settings with some keys changed, as `settings(limits={"agents": 2})`."""
    return Settings.model_validate(sections)


def finding(rule: str, file: str, **changes: Any) -> dict[str, Any]:
    """A finding as a worker reports it."""
    row = {"rule": rule, "title": f"Rule {rule}", "message": "why", "severity": "high"}
    return {**row, "file": file, "line": 7, "cwe": "CWE-89", **changes}


class Fleet(World):
    """Everything that a daemon does to its state, one call at a time."""

    def __init__(self, changed: Settings | None = None, **more: Any) -> None:
        self.journal: list[str] = []
        self.names = 0
        super().__init__(changed, **more)

    def apply(self, entry: Entry) -> None:
        """As the world does; the line goes through JSON, as it does on its way to a file."""
        line = {"at": self.now.at, "events": entry.events}
        self.journal.append(json.dumps(line, allow_nan=False))
        super().apply(entry)
        self._hold_back_paused()

    def _hold_back_paused(self) -> None:
        for kind, ident in list(self.state.touched):
            task = self.state.tasks.get(ident)
            if kind != "task" or task is None:
                continue
            for worker_id in task.workers:
                worker = self.state.workers.get(worker_id)
                if worker is None or worker.status not in ("requested", "queued"):
                    continue
                if task.status in ("in_progress", "planning"):
                    self.queue.push(worker, self.wall)
                else:
                    self.queue.discard(worker_id)

    def drop(self, *payloads: dict[str, Any], **fields: Any) -> list[str]:
        """Drops requests as one file; the ids of the tasks that it made."""
        before = set(self.state.tasks)
        self.names += 1
        requests = [parse_request(payload) for payload in payloads or (fields,)]
        name = f"drop-{self.names}.json"
        entry = accept_all(self.state, requests, name, self.now, {}, self.catalog, self.settings)
        if entry.events:
            self.apply(entry)
        self.reconcile()
        return [ident for ident in self.state.tasks if ident not in before]

    def dropped(self, **fields: Any) -> Task:
        """Drops one task; it is planned as far as it can be."""
        (ident,) = self.drop(**fields)
        return self.state.tasks[ident]

    def finish(self, worker_id: str, used: int = 0, **observed: Any) -> Worker:
        """A worker ends, well unless told otherwise, and its master looks at it."""
        worker = self.end(worker_id, used, **{"results": {"status": "completed"}, **observed})
        self.reconcile()
        return worker

    def fail(self, worker_id: str, **observed: Any) -> Worker:
        """A worker exits with 1, and its master looks at it."""
        return self.finish(worker_id, **{"code": 1, "results": None, **observed})

    def gather(self, task: Task, *findings: dict[str, Any], repository: str = "/srv/a") -> None:
        """Aggregates a task, whose workers found this."""
        found: list[Finding] = merge_workers([(repository, findings)])
        gathered = Gathered(task.id, task.run, found, f"agents/logs/tasks/{task.id}")
        self.apply(conclude(self.state, task, gathered, self.catalog, self.now))
        self.reconcile()

    def workers_of(self, task: Task, *statuses: str) -> list[str]:
        """Ids of a task's workers in these statuses."""
        return [ident for ident in task.workers if self.state.workers[ident].status in statuses]

    def needs_nothing(self, task: Task) -> bool:
        """Whether the reconciler has no line to write about a task."""
        found = reconcile_task(self.state, task, self.catalog, self.settings, self.now)
        return found.entry is None

    def run_through(self, task: Task) -> None:
        """Admits and ends everything until the task has ended; nothing is found."""
        for _ in range(100):
            self.reconcile()
            if task.status in ("completed", "failed", "cancelled"):
                return
            if task.status == "aggregating":
                self.gather(task)
                continue
            self.admit()
            for ident in self.workers_of(task, "approved", "running"):
                self.finish(ident)
        raise AssertionError(f"{task.id} never ends: {task}")

    def replayed(self) -> State:
        """The state that the journal alone makes."""
        state = State()
        for seq, text in enumerate(self.journal, 1):
            line = json.loads(text)
            evolve(state, seq, line["at"], line["events"])
        return state
