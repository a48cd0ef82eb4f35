"""The examples of docs/workflows.md, made ready for a test's own folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from live_home import LiveHome

EXAMPLES = Path(__file__).parents[1] / "examples"
SCAN_SETTINGS = f'[scan]\nadvisories_dir = "{EXAMPLES / "advisories"}"\n'
Row = dict[str, Any]


def printed_by(program: str, *arguments: Path | str) -> str:
    """What one of the examples' programs prints."""
    command = [sys.executable, str(EXAMPLES / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def repositories(folder: Path, number: int) -> list[Path]:
    """That many small git repositories."""
    lines = printed_by("repositories.py", folder, str(number)).splitlines()
    assert len(lines) == number
    return [Path(line) for line in lines]


def example(name: str, here: Path) -> Row:
    """A task file of the examples; HERE is the folder of the repositories."""
    task: Row = yaml.safe_load((EXAMPLES / name).read_text().replace("HERE", str(here)))
    return task


def results_of(live: LiveHome, worker_id: str) -> Row:
    """A worker's results.json."""
    results: Row = json.loads((live.folder_of(worker_id) / "results.json").read_bytes())
    return results


def git(folder: Path, *arguments: str) -> str:
    """What git prints in a folder."""
    words = ["git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run([*words, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def children_of(live: LiveHome, task_id: str) -> list[Row]:
    """The fix tasks that came of a task."""
    parent = live.task(live.task(task_id)["follow_ups"][0])
    return [live.task(ident) for ident in parent["children"]]


def proposals(live: LiveHome, task: Row) -> list[Path]:
    """The patches of a fix task's pr worker, which has prepared them and pushed nothing."""
    rows = (w for w in live.workers("completed") if w["worker_id"] in task["workers"])
    (worker,) = (row for row in rows if row["worker_type"] == "pr-worker")
    request = results_of(live, worker["worker_id"])["pull_request"]
    assert request["state"] == "prepared"
    artifacts = live.folder_of(worker["worker_id"]) / "artifacts"
    assert "## Tests" in (artifacts / "body.md").read_text()
    return [artifacts / name for name in request["patches"]]
