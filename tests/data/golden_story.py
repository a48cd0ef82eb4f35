"""The story of the golden homes: each event of the journal happens in it at least once.

Told by `scripts/golden`. Commands are words NAME=VALUE that say how their worker behaves; the names
are the fields of `cortex.testing.Behaviour`, the values JSON.
"""

from __future__ import annotations

import json
from typing import Any

#: What a scan worker does that has no command.
SCAN: dict[str, Any] = {
    "run_s": 20.0,
    "tokens": 1200,
    "findings": (
        {"severity": "high", "title": "a hard-coded password", "path": "app.py", "rule": "b105"},
        {"severity": "low", "title": "an assert", "path": "app.py", "rule": "b101"},
    ),
}
#: What a model says about tasks of these titles; of all others it has no plan.
PLANS: dict[str, Any] = {
    "planned by a model": {
        "reason": "it is small",
        "workers": [{"name": "all", "worker_type": "coordinator-worker"}],
    }
}
_HOUR_S = 3600.0
_DAY_S = 86_400.0


def story(tell: Any) -> None:
    """All of it, from the first start to a home in which a little is still to do."""
    tell.start()
    _plain_work(tell)
    tell.drop(id="planned", title="planned by a model")
    tell.drop(id="unplanned", title="refused twice")
    tell.settle()
    _people(tell)
    _failures(tell)
    _edits(tell)
    _schedules(tell)
    _money(tell)
    _lacking(tell)
    _wishes(tell)
    _scan(tell)
    _age(tell)
    _end(tell)


def _plain_work(tell: Any) -> None:
    tell.drop(command="run_s=0.01", title="a command")
    steps = [
        {"name": "build", "command": "run_s=2"},
        {"name": "unit", "needs": ["build"], "command": "run_s=2"},
        {"name": "lint", "command": 'end="failed"', "optional": True, "retries": 0},
    ]
    tell.drop(id="plan", title="a plan", workers=steps)
    tell.drop(id="after", command="run_s=1", needs=["plan"], key="nightly")
    tell.drop(command="run_s=1", key="nightly")
    row = {"name": "b", "bundle": "b.bundle", "base": "0" * 40, "head": "1" * 40}
    says = f"says={json.dumps({'branches': [row]})}"
    tell.drop(
        id="branch", command=["x", says], scope={"repository": "/srv/git/a", "workspace": "clone"}
    )
    tell.drop(data=b'{"title": "x",}', name="broken.json")
    tell.drop(command="x", priority="urgent", name="urgent.json")
    tell.drop(id="alone", command="run_s=1", execution_mode="direct")
    tell.settle()
    conflict = ["x", 'end="failed"', 'says={"outcome":"conflict","conflicts":["a.py"]}']
    branches = [{"name": name, "command": "run_s=1"} for name in ("left", "right")]
    join = {"name": "join", "needs": ["left", "right"], "command": conflict}
    tell.drop(id="joined", title="two branches", workers=[*branches, join])
    tell.sleep(4.0)
    tell.drop(kind="cancel", task_id="joined")


def _people(tell: Any) -> None:
    tell.drop(id="held", command="run_s=1", hold=True)
    tell.drop(kind="resume", task_id="held")
    tell.drop(kind="pause")
    tell.drop(id="waits", command="run_s=1")
    tell.drop(kind="pause", task_id="waits")
    tell.drop(kind="resume")
    tell.drop(kind="resume", task_id="waits")
    tell.drop(id="asks", command="run_s=1", approval=True)
    tell.drop(kind="approve", task_id="asks", reason="go on")
    tell.drop(id="denied", command="run_s=1", approval=True)
    tell.sleep(700.0)
    tell.drop(kind="deny", task_id="denied", reason="not today")
    tell.drop(id="nobody", type="documentation", title="nobody can do this")
    tell.sleep(60.0)
    tell.drop(kind="cancel", task_id="nobody")
    parent = [{"name": "a", "command": "run_s=4"}, {"name": "b", "command": "run_s=4"}]
    tell.drop(id="both", workers=parent, max_parallel=1, deadline="2025-11-01T10:00:30Z")
    tell.settle()


def _failures(tell: Any) -> None:
    tell.drop(id="retried", command='end="silent"', retries=1)
    tell.drop(id="fails", command=["work", 'end="nonsense"'], retries=1)
    tell.drop(id="late", command="run_s=1000", timeout="20s", retries=0)
    tell.drop(id="dies", command='end="dies"', retries=0)
    tell.drop(id="full", command=["x", 'start_error="EAGAIN"', "claim_after_s=null"], retries=0)
    tell.sleep(60.0)
    tell.drop(kind="cancel", task_id="full", reason="it never starts")
    tell.drop(id="absent", command=["x", 'end="no program"'])
    tell.drop(id="greedy", command="tokens=90000", token_budget=500, retries=0)
    tell.sleep(60.0)
    tell.drop(kind="retry", task_id="late", reason="once more")
    tell.drop(id="long", command="run_s=5000", timeout="2h")
    tell.drop(id="killed", command="run_s=60")
    tell.kill()
    tell.start()
    tell.sleep(120.0)
    tell.drop(kind="cancel", task_id="long", cascade=True)
    tell.settle()


def _edits(tell: Any) -> None:
    tell.drop(id="edited", command="run_s=600", hold=True, title="before")

    def change(document: Any) -> None:
        for row in document["tasks"]:
            if row["id"] == "edited":
                row.update(title="after", priority="high")

    tell.edit("task-queue.json", change)
    tell.edit("token-budget.json", lambda document: document["worker_pool"].update(spent=-4))

    def other(document: Any) -> None:
        for row in document["tasks"]:
            if row["id"] == "edited":
                row.update(type="security-scan", scope={"repository": "/srv/git/a"})

    tell.edit("task-queue.json", other)
    tell.drop(kind="cancel", task_id="edited")


def _schedules(tell: Any) -> None:
    tell.drop(kind="schedule", id="hourly", schedule="every 1h", command="run_s=5400", timeout="3h")
    tell.sleep(2.5 * _HOUR_S)
    tell.drop(kind="pause", schedule_id="hourly")
    tell.drop(kind="resume", schedule_id="hourly")
    tell.drop(kind="cancel", schedule_id="hourly")
    tell.settle()


def _money(tell: Any) -> None:
    for number in range(12):
        tell.drop(id=f"thrifty-{number}", command="run_s=1 tokens=200", token_budget=5000)
    tell.drop(id="lavish", command="run_s=1 tokens=3000", token_budget=5000)
    tell.settle()
    # No shim comes; once it is approved again, critical work that waits for its tokens takes them.
    tell.drop(id="gives-way", command="claim_after_s=null", token_budget=50_000, retries=0)
    tell.drop(id="takes-its-place", command="run_s=1 tokens=100", token_budget=30_000,
              priority="critical")  # fmt: skip
    tell.settle()
    spending = {"token_budget": 9000, "priority": "low", "timeout": "2h"}
    for number in range(8):
        tell.drop(id=f"spends-{number}", command="run_s=1800 tokens=9000", **spending)
    tell.drop(id="first", command="run_s=1800 tokens=4000", token_budget=4000,
              priority="critical", timeout="2h")  # fmt: skip
    for number in range(5):
        tell.drop(id=f"now-{number}", command="run_s=1800 tokens=7900", token_budget=8000,
                  priority="critical", timeout="2h")  # fmt: skip
    tell.drop(kind="budget", total_budget=260_000, reason="release week")
    tell.settle()
    _away(tell, _DAY_S)
    tell.settle()


def _lacking(tell: Any) -> None:
    says = json.dumps({"outcome": "not_run", "missing": ["a shell"], "permanent": True})
    tell.drop(id="lacking", command=["x", 'end="failed"', f"says={says}"])
    tell.sleep(3.0)
    tell.drop(kind="retry", task_id="lacking")
    tell.sleep(3.0)
    tell.drop(kind="cancel", task_id="lacking")
    tell.drop(kind="pause")
    tell.drop(id="without", type="scan", scope={"repository": "/srv/git/one-a"})
    tell.take_away("tools")
    tell.take_away()
    tell.drop(kind="resume")
    tell.settle()


def _wishes(tell: Any) -> None:
    """A master asks for workers, one of no known type; and how many at once is learned."""
    asked = {"kind": "worker_request", "master_agent": "coordinator", "task_id": "wished"}
    tell.drop(id="wished", command="run_s=30")
    tell.sleep(2.0)
    tell.drop(**asked, worker_type="command", command="run_s=1")
    tell.drop(**asked, worker_type="unheard-of")
    usual = tell.settings
    spawn = usual.spawn.model_copy(update={"policy": "learned"})
    tell.stop()
    tell.settings = usual.model_copy(update={"spawn": spawn})
    tell.start()
    for _ in range(3):
        tell.drop(command="run_s=1")
    tell.settle()
    tell.stop()
    tell.settings = usual
    tell.start()


def _scan(tell: Any) -> None:
    for name in ("one", "two"):
        repositories = [f"/srv/git/{name}-a", f"/srv/git/{name}-b"]
        tell.drop(id=f"scan-{name}", type="security-scan", scope={"repositories": repositories})
    tell.settle()
    for task in [t for t in tell.state.tasks.values() if t.parent and t.status == "blocked"]:
        tell.drop(kind="cancel", task_id=task.id, reason="fixed by hand")
    tell.sleep(600.0)
    for escalation in [e for e in tell.state.escalations.values() if e.status == "open"]:
        tell.drop(kind="approve", escalation_id=escalation.id)
    tell.drop(id="scan-again", type="security-scan", scope={"repository": "/srv/git/one-a"})
    tell.settle()


def _age(tell: Any) -> None:
    """Refused drops and ended tasks grow old; the daemon is away for some of that time."""
    _away(tell, 3 * _DAY_S)
    tell.drop(kind="retry", task_id=next(iter(tell.state.remembered.values()))["task_id"])
    _away(tell, 40 * _DAY_S)
    tell.sleep(1.2 * _HOUR_S)


def _away(tell: Any, seconds: float) -> None:
    """No daemon runs for so long; then one starts and takes up what is due."""
    tell.stop()
    tell.pass_time(seconds)
    tell.start()
    tell.sleep(30.0)


def _end(tell: Any) -> None:
    tell.drop(data=b"[1, 2]", name="list.json")
    tell.drop(id="last", command="run_s=1", key="weekly")
    tell.drop(kind="schedule", id="nightly", schedule="daily@03:00", command="run_s=1")
    tell.settle()
    tell.drop(id="open", command="run_s=1", hold=True)
    tell.drop(kind="drain", reason="an upgrade")
