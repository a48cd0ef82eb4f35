"""What a simulated worker leaves behind: heartbeats, results, deliverables, an exit record.

They lie in real folders, for the worker's own folder is not the daemon's disk. Times are the fake
clock's, so that one seed stays one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.model.times import format_time
from cortex.runtime.environment import HEARTBEAT_NAME
from cortex.runtime.executor import ExitRecord
from cortex.testing.clock import FakeClock

if TYPE_CHECKING:
    from cortex.testing.machine import Run

__all__ = ["exit_record", "write_heartbeat"]


def exit_record(run: Run, clock: FakeClock) -> ExitRecord:
    """The exit record of a run that ends now; its results are written first, as a shim does."""
    end, cause = run.behaviour.end, run.cause
    spawn_error = None
    if end in ("no program", "no space"):
        number, error = (2, "ENOENT") if end == "no program" else (28, "ENOSPC")
        spawn_error = {"errno": number, "error": error, "message": end, "path": run.launch.argv[0]}
    code: int | None = 1 if end == "exit 1" else 0
    if cause is not None or spawn_error is not None:
        code = None
    results = None if spawn_error is not None or cause is not None else _write_results(run)
    return ExitRecord(
        worker_id=run.launch.worker_id,
        nonce=run.launch.nonce,
        code=code,
        signal={"timeout": 9, "stop": 15}.get(cause) if cause is not None else None,
        cause=cause,
        spawn_error=spawn_error,
        retryable=end == "no space",
        started_at=run.began_at,
        ended_at=format_time(clock.now().timestamp()),
        duration_s=round(clock.monotonic() - run.began, 3),
        results=results,
        tail=f"{end}\n",
        log_bytes=0,
        log_cut=False,
        max_rss_kb=1024,
        cpu_s=0.01,
        ended_descendants=0,
        left_descendants=0,
    )


def write_heartbeat(worker_dir: str, data: bytes, clock: FakeClock) -> None:
    """The worker says something of itself, now."""
    folder = Path(worker_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / HEARTBEAT_NAME
    path.write_bytes(data)
    os.utime(path, ns=(clock.wall_ns(), clock.wall_ns()))


def _write_results(run: Run) -> dict[str, Any] | None:
    """results.json and the deliverables; their seal."""
    end = run.behaviour.end
    if end in ("silent", "exit 1"):
        return None
    folder = Path(run.launch.worker_dir)
    deliverables = run.launch.spec.get("deliverables", [])
    (folder / "artifacts" if deliverables else folder).mkdir(parents=True, exist_ok=True)
    for name in deliverables:
        (folder / "artifacts" / name).write_text("{}\n", encoding="utf-8")
    document = {
        "status": "failed" if end == "failed" else "completed",
        "summary": end,
        "tokens_used": run.behaviour.tokens,
        "findings": list(run.behaviour.findings),
        **run.behaviour.says,
    }
    data = b"{nonsense" if end == "nonsense" else json.dumps(document).encode()
    if end == "no folder":
        shutil.rmtree(folder)
    else:
        (folder / "results.json").write_bytes(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
