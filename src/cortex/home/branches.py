"""The branches that finished work handed over: where they are, and taking them into a repository.

Reads the published rows of workers. Taking one is a person's act, which is a yes to it; it is done
with that person's own git, and never by force.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.model.branches import result_of_plan
from cortex.model.errors import HomeError
from cortex.model.paths import expanded

if TYPE_CHECKING:
    from cortex.home.client import Home

__all__ = [
    "branches",
    "branches_of",
    "branches_of_worker",
    "take",
    "target_of",
    "with_results",
]

Row = dict[str, Any]

_LIMIT_S = 600.0


def branches(home: Home) -> list[Row]:
    """The branches of the workers that worker-pool.json shows."""
    rows = [row for worker in home.workers() for row in branches_of_worker(worker)]
    return with_results(home, rows)


def with_results(home: Home, rows: Iterable[Row]) -> list[Row]:
    """The branches of some tasks, all of each; with `result` where no other took one in: that is
    the one to take over.
    """
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(str(row.get("task_id")), []).append(row)
    for task_id, held in by_task.items():
        steps = (home.task(task_id) or {}).get("steps")
        known = [step for step in steps or () if isinstance(step, dict)]
        needs = {str(step.get("name")): _needs_of(step) for step in known}
        moving = {
            str(step.get("name"))
            for step in known
            if step.get("status") in ("waiting", "ready", "active")
        }
        results = result_of_plan(needs, moving, {_of_step(row) for row in held})
        for row in held:
            if _of_step(row) in results and row.get("step") in needs:
                row["result"] = True
    return [row for held in by_task.values() for row in held]


def _of_step(row: Row) -> tuple[str, str]:
    return str(row.get("step")), str(row.get("repository"))


def _needs_of(step: Row) -> list[str]:
    needs = step.get("needs")
    return [str(name) for name in needs] if isinstance(needs, list) else []


def branches_of_worker(worker: Row) -> Iterable[Row]:
    """A worker's branches, each with its task, step, worker, repository and `place`: the mirror
    or bundle that holds it, from the home.
    """
    rows = worker.get("branches")
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            continue
        bundle = f"{worker.get('result_location')}/artifacts/{row.get('bundle')}"
        yield {
            **row,
            "task_id": worker.get("task_id"),
            "step": worker.get("step"),
            "worker_id": worker.get("worker_id"),
            "repository": worker.get("repository"),
            "place": row.get("mirror") or bundle,
        }


def branches_of(home: Home, ident: str) -> list[Row]:
    """The branches of a task, or the one of that name, archived ones too.

    Raises HomeError where there is none.
    """
    by_name = [row for row in branches(home) if row["name"] == ident]
    if by_name:
        return by_name
    parts = ident.split("/")
    task_id = parts[1] if len(parts) == 3 and parts[0] == "cortex" else ident
    task = home.task(task_id)
    if task is None:
        raise HomeError(
            f"{ident}: no task or branch of this name; `cortex get branches` lists them"
        )
    workers = (home.worker(str(name)) for name in task.get("workers") or ())
    held = [row for worker in workers if worker for row in branches_of_worker(worker)]
    found = with_results(home, held)
    if task_id != ident:
        found = [row for row in found if row["name"] == ident]
    if not found:
        status = task.get("status")
        raise HomeError(f"{ident}: no step of it has handed over a branch; the task is {status}")
    return found


def target_of(home: Home, rows: Sequence[Row], into: str | None) -> Path:
    """The repository to take branches into: the one that is named, else the one that they are of.

    Raises HomeError where that is no folder of this machine.
    """
    if into is not None:
        return Path(into)
    named = {str(row.get("repository")) for row in rows}
    if len(named) > 1:
        raise HomeError(f"they are of {len(named)} repositories; name one branch, or use --into")
    place = home.root / expanded(named.pop())
    if not place.is_dir():
        raise HomeError(f"{rows[0].get('repository')} is no folder here; say --into REPOSITORY")
    return place


def take(home: Home, rows: Sequence[Row], into: Path) -> None:
    """Fetch branches from their mirrors into a repository, each under its own name, checked and
    without force. Raises HomeError with git's words, or with what to do about one that is in no
    mirror.
    """
    for row in rows:
        if not row.get("mirror"):
            why = row.get("problem") or "it has not been taken into its mirror yet"
            raise HomeError(
                f"{row['name']}: {why}; to take it unchecked: git -C {into} fetch "
                f"{home.root / row['place']} (`git bundle list-heads` names what is in it)"
            )
    for mirror in dict.fromkeys(row["mirror"] for row in rows):
        names = [row["name"] for row in rows if row["mirror"] == mirror]
        _fetch(home.root / mirror, names, into)


def _fetch(mirror: Path, names: Sequence[str], into: Path) -> None:
    if not mirror.is_dir():
        raise HomeError(f"{mirror} is gone; what it held is in the bundles of the workers' folders")
    argv = ["git", "-C", str(into), "-c", "fetch.fsckObjects=true", "fetch", "--atomic"]
    argv += ["--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", str(mirror.resolve())]
    argv += [f"refs/{name}:refs/heads/{name}" for name in names]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_LIMIT_S, check=False)
    except FileNotFoundError:
        raise HomeError("git is not installed; put it on the PATH") from None
    except subprocess.TimeoutExpired:
        raise HomeError(f"git was stopped after {_LIMIT_S:.0f} s: {' '.join(argv)}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or f"status {done.returncode}"
        raise HomeError(f"git cannot take {', '.join(names)} into {into}: {said}")
