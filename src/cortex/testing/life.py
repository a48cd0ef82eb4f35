"""What one simulated life of a daemon stands on: its log, its definitions, its folders.

Nothing is chosen or checked here; that is the simulation.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cortex.daemon import Daemon
from cortex.model.errors import ModelError
from cortex.model.journal_line import Line
from cortex.model.seams import ModelRequest
from cortex.model.settings import Settings
from cortex.model.state import OPEN_TASK, State
from cortex.runtime.executor import Launch
from cortex.testing.definitions import KeptLibrary
from cortex.testing.effects import ScheduledEffects
from cortex.testing.machine import Behaviour
from cortex.testing.model import FakeModel
from cortex.worker.planner import plan_in

__all__ = [
    "ABSURD",
    "HOME",
    "Life",
    "Log",
    "any_behaviour",
    "any_findings",
    "any_settings",
    "line_text",
    "made_up_plan",
    "needs_a_person",
    "real_home",
]

#: A descriptor that nothing else in the process has.
_HOME_HANDLE = 200
#: The simulated home. The same text in each process, so that one seed is one run to the letter
#: wherever the real folder behind it lies.
HOME = f"/proc/self/fd/{_HOME_HANDLE}"
#: What a worker says that lacked something.
NOT_RUN = {"outcome": "not_run", "missing": ["a shell"], "permanent": True}
#: Token counts that a worker may claim and nobody may believe.
ABSURD: tuple[Any, ...] = (-1, 10**18, 1.5, float("nan"), "many", True, None, [7])


@dataclass(slots=True)
class Log:
    """A logger that keeps what the daemon says."""

    lines: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)

    def info(self, event: str, **fields: Any) -> None:
        """Keeps one info line."""
        self.lines.append(f"info {event} {fields}")

    def warning(self, event: str, **fields: Any) -> None:
        """Keeps one warning line."""
        self.lines.append(f"warning {event} {fields}")

    def error(self, event: str, **fields: Any) -> None:
        """Keeps one error line."""
        self.lines.append(f"error {event} {fields}")

    def exception(self, event: str, **fields: Any) -> None:
        """Keeps one exception line."""
        self.lines.append(f"exception {event} {fields} {traceback.format_exc(limit=-4)}")
        self.exceptions.append(f"{event}: {sys.exception()!r}")


@dataclass(slots=True)
class Life:
    """One daemon from its start to its end, and the disk faults that it has met."""

    daemon: Daemon
    effects: ScheduledEffects
    log: Log
    library: KeptLibrary
    faults_before: int


def needs_a_person(state: State, task_id: str) -> bool:
    """Whether the task waits for configuration, or for another that will never complete."""
    task = state.tasks[task_id]
    if task.status == "blocked":
        return not any(
            child in state.tasks and state.tasks[child].status in OPEN_TASK
            for child in task.children
        )
    if task.status == "pending" and task.waiting_for is not None:
        # What it waits for and is in the archive has not completed.
        return any(
            need not in state.tasks or state.tasks[need].status in ("failed", "cancelled")
            for need in task.needs
        )
    return False


def line_text(line: Line) -> str:
    """A journal line as a trace shows it; the number at its end tells its events from others."""
    events = ", ".join(
        " ".join([e["event"], *(str(e[k]) for k in ("worker_id", "task_id", "status") if k in e)])
        for e in line.events
    )
    crc = zlib.crc32(repr(line.events).encode("utf-8", "backslashreplace"))
    return f"{line.seq} {line.at} {line.by}: {line.why} [{events}] {crc:08x}"


@contextmanager
def real_home() -> Iterator[None]:
    """A folder for what stays on real files, reachable as HOME while this lasts."""
    with tempfile.TemporaryDirectory(prefix="cortex-sim-", dir=_fast_folder()) as folder:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.dup2(handle, _HOME_HANDLE)
            yield
        finally:
            os.close(_HOME_HANDLE)
            os.close(handle)


def _fast_folder() -> str | None:
    """A tmpfs, where there is one; None: the system's temporary folder."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def any_settings(chance: random.Random) -> Settings:
    """Settings under which much happens soon."""

    def rarely(*values: Any) -> Any:
        """Mostly the first."""
        return chance.choice((*(values[:1] * 4), *values[1:]))

    return Settings.model_validate(
        {
            "limits": {
                "tools": chance.choice((1, 4, 8)),
                "per_type": {"scan": 2},
                "per_repository": rarely(0, 1),
                "attempts_per_lineage": rarely(2000, 3),
                "tokens_per_lineage": rarely(0, 9000),
            },
            "workers": {"backoff": 1.0, "backoff_max": 20.0},
            "spawn": {
                "policy": chance.choice(("on_demand", "on_demand", "adaptive", "learned")),
                "aging": rarely(1800, 60),
            },
            "retention": {
                "archive_over": chance.choice((2, 5, 500)),
                "archive_after": 900.0,
                # What was refused must be found again, whatever the clock says.
                "retention_days": 3650,
            },
            "budget": {
                "total": chance.choice((200_000, 200_000, 160_000, 140_000)),
                "resets_at": chance.choice(("00:00", "10:05")),
                "reserve_needs_approval": rarely(False, True, True),
                "reallocate_steps": chance.choice((0, 1, 3)),
            },
            "approvals": {
                "deadline": rarely(0, 20),
                "waiting_at_most": rarely(0, 1),
                "tokens_above": rarely(0, 15_000),
                "workers_above": rarely(0, 3),
            },
            "masters": rarely({}, {"security": {"worker_mode": False}},
                              {"development": {"enabled": False}},
                              {"coordinator": {"allocated": 30_000, "worker_pool": 9000}}),
            "daemon": {"publish_interval": chance.choice((0.05, 0.5, 2.0))},
        }
    )  # fmt: skip


def any_behaviour(chance: random.Random) -> Behaviour:
    """How one worker lives and ends: mostly well, and in every other way now and then."""
    ends = ("ok",) * 9 + ("failed", "exit 1", "nonsense", "silent", "dies", "no program",
            "no space", "no folder")  # fmt: skip
    tokens: tuple[Any, ...] = (0, 100, 100, 3000, 3000, 50_000)
    behaviour = Behaviour(
        claim_after_s=chance.choice((0.0, 0.01, 0.01, 0.01, 1.0, 9.9, 15.0, None)),
        start_error=chance.choice((None,) * 12 + ("EAGAIN", "ENOMEM", "NURSERY_GONE", "EACCES")),
        run_s=chance.choice((0.01, 0.5, 5.0, 60.0, 10_000.0)),
        end=chance.choice(ends),  # type: ignore[arg-type]
        tokens=chance.choice(ABSURD if chance.random() < 0.1 else tokens),
        findings=any_findings(chance),
        ends_on_term_s=chance.choice((0.1, 5.0, None)),
        frozen_s=chance.choice((0.0,) * 9 + (100.0,)),
        lingers_s=chance.choice((0.0, 0.0, 30.0)),
        beats=tuple(_beat(chance) for _ in range(chance.choice((0, 0, 0, 2)))),
        reports=chance.choice((0, 1, 1, 1, 2)),
        reports_late_s=chance.choice((0.0, 0.0, 3.0)),
    )
    if chance.random() < 0.05:
        return replace(behaviour, end="failed", says=dict(NOT_RUN))
    return behaviour


def any_findings(chance: random.Random) -> tuple[dict[str, Any], ...]:
    """What a scan may find, or nothing."""
    finding = {"severity": "high", "title": "a finding", "path": "a.py", "rule": "r1"}
    return (finding,) * chance.choice((0, 1))


def made_up_plan(launch: Launch, chance: random.Random) -> Any:
    """What the planner would hand in that asks a made-up model."""
    asked = launch.spec["context"]["plan"]
    request = ModelRequest("", launch.spec["context"]["parent_task"], asked["schema"], 1000)
    try:
        completion = FakeModel(seed=chance.random().hex()).complete(request)
    except ModelError as error:
        return str(error)
    return plan_in(completion.text)


def _beat(chance: random.Random) -> bytes:
    tokens = chance.choice((*ABSURD, 5, 500))
    return chance.choice((b"", b"{", json.dumps({"tokens_used": tokens, "progress": 7}).encode()))
