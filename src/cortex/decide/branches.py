"""Branches that accepted workers handed over, and what became of them in their mirrors.

The branch of a step is `cortex/TASK/STEP` there, whatever the worker called it: no worker can move
another step's branch, or one of the repository's own.
"""

from __future__ import annotations

import re
from typing import Any

from cortex.model.branches import kept_ref
from cortex.model.state import State, Worker

__all__ = ["EVENTS", "branch_rows", "handed_over", "is_open"]

Event = dict[str, Any]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_BRANCHES_AT_MOST = 10
_NAME_LENGTH = 250
_COMMITS_AT_MOST = 1_000_000


def handed_over(worker: Worker, results: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The rows of `branches` in a worker's results that can be taken into a mirror, each with the
    `ref` that it gets there; none where no repository is named.
    """
    rows = (results or {}).get("branches")
    if not isinstance(rows, list) or not worker.repository:
        return []
    found: list[dict[str, Any]] = []
    for row in rows[:_BRANCHES_AT_MOST]:
        known = _known(row)
        if known is not None:
            ref = kept_ref(worker.task_id, worker.step, len(found) + 1)
            found.append({**known, "ref": ref})
    return found


def _known(row: object) -> dict[str, Any] | None:
    if not isinstance(row, dict):
        return None
    texts = {name: row.get(name) for name in ("name", "bundle", "base", "head")}
    if not all(isinstance(text, str) and 0 < len(text) <= _NAME_LENGTH for text in texts.values()):
        return None
    if not (_COMMIT.match(str(texts["base"])) and _COMMIT.match(str(texts["head"]))):
        return None
    commits = row.get("commits")
    is_count = isinstance(commits, int) and 0 <= commits <= _COMMITS_AT_MOST
    return {**texts, "commits": int(commits) if is_count and commits is not None else 0}


def is_open(worker: Worker) -> bool:
    """Whether branches of this worker are still to be taken into a mirror."""
    return any("mirror" not in row and "problem" not in row for row in worker.branches)


def branch_rows(worker: Worker) -> list[dict[str, Any]]:
    """The branches as worker-pool.json shows them: `bundle` until the `mirror` has it."""
    shown = []
    for row in worker.branches:
        place = {"mirror": row["mirror"]} if "mirror" in row else {"bundle": row["bundle"]}
        problem = {"problem": row["problem"]} if "problem" in row else {}
        name = str(row["ref"]).removeprefix("refs/")
        head = {key: row[key] for key in ("base", "head", "commits")}
        shown.append({"name": name, **head, **place, **problem})
    return shown


def _branches_kept(state: State, event: Event, _at: str) -> None:
    worker = state.workers.get(event["worker_id"])
    if worker is None:
        return
    refused = event.get("refused") or {}
    worker.branches = [
        {**row, "problem": refused[row["ref"]]}
        if row["ref"] in refused
        else {**row, "mirror": event["mirror"]}
        for row in worker.branches
    ]
    state.touch("worker", worker.id)


EVENTS = {"branches_kept": _branches_kept}
