"""Times the workflows of docs/workflows.md: side by side, and with one slot (`limits.tools = 1`).

The same daemon, tasks and repositories both times, the rounds interleaved. What is timed is a task
from its submission to its end, without the fix tasks that follow. Read the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cortex.home import Home, create_home

EXAMPLES = Path(__file__).parents[1] / "examples"
LIMIT_S = 600.0
Task = dict[str, Any]


def main() -> int:
    """Runs what the arguments ask for and prints a Markdown table; 0."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as name:
        folder = Path(name)
        ten = _made(folder / "repositories", 10)
        scanned = [path.absolute() for path in options.repositories] or ten[:3]
        works = {
            f"scan of {', '.join(path.name for path in scanned)}": (_scan(scanned), 4),
            "audit of ten small repositories by tools": (_audit(ten), 10),
            "feature: four commands that wait 3 s": (_feature(folder / "repositories"), 4),
            "emergency: ten audits that wait 3 s": (_emergency(ten), 10),
        }
        for what, (task, _) in works.items():
            if what.startswith("scan"):
                _timed(folder / "warm", task, 4)  # compiles the analyzers' rules, which is kept
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
        print("| work | workers at once | one after the other, s | side by side, s | ratio |")
        print("|---|---:|---:|---:|---:|")
        for what, (task, slots) in works.items():
            print(_row(folder, what, task, slots, options.rounds), flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/workflows", description=__doc__)
    parser.add_argument("repositories", nargs="*", type=Path, help="for the scan; else small ones")
    parser.add_argument("--rounds", type=int, default=3, help="of each (3)")
    return parser.parse_args()


def _made(folder: Path, number: int) -> list[Path]:
    command = [sys.executable, str(EXAMPLES / "repositories.py"), str(folder), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines()]


def _scan(repositories: Sequence[Path]) -> Task:
    return {"type": "security-scan", "scope": {"repositories": [str(p) for p in repositories]}}


def _audit(repositories: Sequence[Path]) -> Task:
    return {**_scan(repositories), "type": "audit", "priority": "critical"}


def _feature(folder: Path) -> Task:
    text = (EXAMPLES / "feature.yaml").read_text(encoding="utf-8")
    task: Task = yaml.safe_load(text.replace("HERE", str(folder)))
    return {**task, "workers": [step for step in task["workers"] if "command" in step]}


def _emergency(repositories: Sequence[Path]) -> Task:
    command = [sys.executable, str(EXAMPLES / "emergency.py"), *map(str, repositories)]
    env = {**os.environ, "AUDIT_SECONDS": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    task: Task = json.loads(done.stdout)
    # Five thousand each, so that no audit waits for tokens.
    return {**task, "workers": [{**step, "token_budget": 5000} for step in task["workers"]]}


def _row(folder: Path, what: str, task: Mapping[str, Any], slots: int, rounds: int) -> str:
    times: dict[int, list[float]] = {1: [], slots: []}
    for number in range(rounds):
        for count, taken in times.items():
            taken.append(_timed(folder / f"{len(list(folder.iterdir()))}-{number}", task, count))
    alone, together = (statistics.median(taken) for taken in times.values())
    return f"| {what} | {slots} | {alone:.1f} | {together:.1f} | {alone / together:.1f} |"


def _timed(root: Path, task: Mapping[str, Any], slots: int) -> float:
    """Seconds from the submission to the end of the task, in a home of its own."""
    home = Home(create_home(root).root)
    home.paths.settings.write_text(f"[limits]\ntools = {slots}\n", encoding="utf-8")
    program = Path(sys.executable).with_name("cortexd")
    with (root / "cortexd.log").open("wb") as log:
        daemon = subprocess.Popen([program, "--home", str(root)], stdout=log, stderr=log)
    try:
        while not home.daemon().running:
            time.sleep(0.05)
        began = time.monotonic()
        home.submit({**task, "id": "work"})
        while home.task("work") is None:
            if time.monotonic() > began + 30:
                sys.exit(f"workflows: cortexd took nothing up; see {root}/cortexd.log")
            time.sleep(0.02)
        waited = home.wait(["work"], until="completed", timeout_s=LIMIT_S)
        took = time.monotonic() - began
        if not waited.reached or waited.missed:
            sys.exit(f"workflows: {home.task('work')}")
        home.submit({"kind": "drain"})
        for row in home.tasks():
            if not row.get("ended_at") and not row.get("parent"):
                home.submit({"kind": "cancel", "task_id": row["id"], "cascade": True})
        daemon.wait(60)
        return took
    finally:
        if daemon.poll() is None:
            daemon.terminate()
            daemon.wait(20)


if __name__ == "__main__":
    sys.exit(main())
