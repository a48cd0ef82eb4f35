"""A home in the middle of its work, written with the daemon's own rows and codecs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.decide import project
from cortex.home import create_home
from cortex.model import journal_line, layout
from cortex.model.paths import HomePaths
from cortex.model.state import Budget, Escalation, Handoff, MasterFund, State, Step, Task, Worker
from cortex.model.times import format_time


@dataclass
class SampleHome:
    """A home of its own, whose documents and journal a test writes."""

    root: Path
    state: State = field(default_factory=State)
    start: float = field(default_factory=lambda: time.time() - 1200)
    vitals: dict[str, project.Vitals] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    prev: str = journal_line.FIRST_PREV
    paused: bool = False

    def __post_init__(self) -> None:
        create_home(self.root)
        self.paths = HomePaths(self.root)
        self.state.budget = Budget(
            total=200_000,
            pool_total=65_000,
            pool_allocated=8_000,
            pool_spent=7_200,
            reserve_total=25_000,
            masters={
                "coordinator": MasterFund(50_000, 30_000, 50_000, 30_000),
                "development": MasterFund(30_000, 20_000, 30_000, 20_000, used=3_000),
                "security": MasterFund(30_000, 15_000, 30_000, 15_000),
            },
            period_start=self.start,
            resets_at=self.start + 86_400,
        )

    def at(self, offset_s: float) -> str:
        return format_time(self.start + offset_s)

    def log(self, offset_s: float, by: str, why: str, *events: dict[str, Any]) -> int:
        """One journal line."""
        self.state.seq += 1
        data, self.prev = journal_line.encode(
            seq=self.state.seq,
            prev=self.prev,
            synced=self.state.seq - 1,
            at=format_time(self.start + offset_s, precise=True),
            by=by,
            why=why,
            events=list(events),
            format_number=1 if self.state.seq == 1 else None,
        )
        day = self.paths.journal / f"{self.at(offset_s)[:10]}.jsonl"
        with day.open("ab") as file:
            file.write(data)
        return self.state.seq

    def publish(self) -> None:
        """Writes the documents as the daemon does."""
        head = {
            "version": "1.0",
            "format": 1,
            "updated_at": format_time(time.time()),
            "journal_seq": self.state.seq,
        }
        daemon = {
            "status": "running",
            "pid": 4242,
            "version": "0.1.0",
            "started_at": self.at(0),
            "paused": self.paused,
        }
        tasks = [
            project.task_row(task, self.state, self.waiting.get(task.id))
            for task in self.state.tasks.values()
        ]
        self._write(self.paths.task_queue, {**head, "daemon": daemon}, {"tasks": tasks})
        self._write(self.paths.worker_pool, head, self._workers())
        budget = project.budget_document(self.state, self.vitals)
        self._write(self.paths.token_budget, {**head, **budget}, {})
        self._write(
            self.paths.handoffs,
            head,
            {
                "handoffs": [project.handoff_row(row) for row in self.state.handoffs.values()],
                "escalations": [
                    project.escalation_row(row) for row in self.state.escalations.values()
                ],
                "approvals": [project.approval_row(a) for a in self.state.approvals.values()],
            },
        )
        self._write(
            self.paths.schedules,
            head,
            {
                "scheduled_workers": [
                    project.schedule_row(row) for row in self.state.schedules.values()
                ]
            },
        )

    def _workers(self) -> dict[str, list[dict[str, Any]]]:
        lists: dict[str, list[dict[str, Any]]] = {
            "queued_workers": [],
            "active_workers": [],
            "completed_workers": [],
            "failed_workers": [],
        }
        for worker in self.state.workers.values():
            if worker.status in ("requested", "queued", "blocked"):
                row = project.queued_row(worker, self.waiting.get(worker.id))
                lists["queued_workers"].append(row)
            elif worker.status in ("approved", "spawning", "running", "ending", "collecting"):
                seen = self.vitals.get(worker.id, project.Vitals())
                lists["active_workers"].append(project.active_row(worker, seen))
            elif worker.status == "completed":
                lists["completed_workers"].append(project.completed_row(worker))
            else:
                lists["failed_workers"].append(project.failed_row(worker))
        return lists

    def _write(self, path: Path, header: dict[str, Any], lists: dict[str, list[Any]]) -> None:
        rows = {name: [layout.encode_row(row) for row in found] for name, found in lists.items()}
        hidden = path.with_name(f".{path.name}.tmp")
        hidden.write_bytes(b"".join(layout.join(header, rows)))
        hidden.replace(path)


def security_scan(root: Path) -> SampleHome:
    """Three scans (done, running, queued), a fix task that waits, a handoff, an escalation."""
    home = SampleHome(root)
    _records(home)
    _journal(home)
    home.publish()
    _files(home)
    return home


def _records(home: SampleHome) -> None:
    state, at = home.state, home.at
    task = Task(
        "task-001",
        "Scan three repositories",
        "security-scan",
        "high",
        at(0),
        status="in_progress",
        assigned_to="security-master",
        scope={"repositories": ["/srv/git/app", "/srv/git/site", "/srv/git/tool"]},
        source="scan-3f2a.json",
        started_at=at(1),
        steps=[
            Step("scan-app", "scan-worker", status="done", worker_id="worker-scan-001", attempt=1),
            Step("scan-site", "scan-worker", status="active", worker_id="worker-scan-002"),
            Step("scan-tool", "scan-worker", status="active", worker_id="worker-scan-003"),
            Step("report", "analysis-worker", needs=["scan-app", "scan-site", "scan-tool"]),
        ],
        workers=["worker-scan-001", "worker-scan-002", "worker-scan-003"],
    )
    fix = Task(
        "task-002",
        "Fix 3 findings in app",
        "remediation",
        "medium",
        at(700),
        status="blocked",
        assigned_to="development-master",
        blocked_on="fix-worker needs a provider; configure one in cortex.toml",
        parent="task-001",
        caused_by="task-001",
        handoff_id="handoff-001",
    )
    broken = Task(
        "tests-nightly",
        "Run the tests",
        "command",
        "medium",
        at(10),
        status="failed",
        assigned_to="coordinator-master",
        command="make test",
        reason="step run failed after 3 attempts: exit code 2",
        ended_at=at(60),
    )
    for one in (task, fix, broken):
        state.tasks[one.id] = one
    scan = {"worker_type": "scan-worker", "task_id": "task-001", "master": "security-master"}
    state.workers["worker-scan-001"] = Worker(
        id="worker-scan-001", step="scan-app", attempt=1, priority="high", requested_at=at(1),
        status="completed", token_budget=8000, tokens_used=7200, spawned_at=at(2), findings=5,
        ended_at=at(722), duration_s=720.0, summary="5 findings: 1 critical, 4 low",
        repository="/srv/git/app", folder="agents/logs/workers/2025-11-01/worker-scan-001", **scan,
    )  # fmt: skip
    state.workers["worker-scan-002"] = Worker(
        id="worker-scan-002", step="scan-site", attempt=1, priority="high", requested_at=at(1),
        status="running", token_budget=8000, spawned_at=at(900), timeout_at=at(1800), pid=77,
        boot_id="b", repository="/srv/git/site", runtime="tools",
        folder="agents/logs/workers/2025-11-01/worker-scan-002", **scan,
    )  # fmt: skip
    state.workers["worker-scan-003"] = Worker(
        id="worker-scan-003", step="scan-tool", attempt=1, priority="high", requested_at=at(1),
        status="queued", token_budget=8000, reason="1 of 1 workers of this type run", **scan,
    )  # fmt: skip
    home.vitals["worker-scan-002"] = project.Vitals(
        at(1100), 1200, 0.45, "bandit: 120 \x1b[31mfiles"
    )
    home.waiting["task-001"] = "worker-scan-003: 1 of 1 workers of this type run"
    state.handoffs["handoff-001"] = Handoff(
        "handoff-001", "security-master", "development-master", "task-002", at(700),
        source_task="task-001", context={"summary": "3 findings to fix in app"},
    )  # fmt: skip
    state.escalations["escalation-001"] = Escalation(
        "escalation-001", "tests-nightly failed", "3 attempts failed", at(61), "tests-nightly"
    )


def _journal(home: SampleHome) -> None:
    tasks = home.state.tasks
    home.log(0, "daemon", "version 0.1.0 started", {"event": "daemon_started", "pid": 4242})
    home.log(
        0.2, "inbox", "scan-3f2a.json asks for it",
        {"event": "receipt_taken", "receipt": 1, "floor": 0},
        {"event": "task_accepted", "task": tasks["task-001"].to_json()},
    )  # fmt: skip
    home.log(
        0.3, "coordinator-master", "security-scan is routed to security",
        {"event": "task_routed", "task_id": "task-001", "master": "security-master"},
    )  # fmt: skip
    home.log(
        1, "security-master", "3 repositories, pool has 24000",
        {"event": "task_planned", "task_id": "task-001", "steps": []},
    )  # fmt: skip
    for number in (1, 2, 3):
        ident = f"worker-scan-00{number}"
        home.log(
            1 + number / 10, "security-master", f"scan of repository {number}",
            {"event": "worker_requested", "worker": home.state.workers[ident].to_json()},
        )  # fmt: skip
    home.log(
        2, "coordinator-master", "8000 of 65000 are free",
        {"event": "tokens_reserved", "worker_id": "worker-scan-001", "fund": "pool",
         "tokens": 8000},
        {"event": "worker_approved", "worker_id": "worker-scan-001"},
    )  # fmt: skip
    home.log(
        700, "security-master", "worker-scan-001 found 3 things to fix",
        {"event": "task_accepted", "task": tasks["task-002"].to_json()},
        {"event": "handoff_created", "handoff": home.state.handoffs["handoff-001"].to_json()},
    )  # fmt: skip
    home.log(
        722, "security-master", "worker-scan-001 completed: done",
        {"event": "tokens_settled", "worker_id": "worker-scan-001", "used": 7200},
        {"event": "worker_ended", "worker_id": "worker-scan-001", "status": "completed"},
    )  # fmt: skip
    home.log(
        730, "coordinator-master", "1 of 1 workers of this type run",
        {"event": "worker_queued", "worker_id": "worker-scan-003",
         "reason": "1 of 1 workers of this type run"},
    )  # fmt: skip


def _files(home: SampleHome) -> None:
    folder = home.root / "agents/logs/workers/2025-11-01/worker-scan-002"
    folder.mkdir(parents=True)
    (folder / "log.md").write_text("# worker-scan-002\n\n```\nhello \x1b[2Jworld\n```\n")
