"""What accepted workers handed over: branches, bundles, pull requests and other files.

Read from the rows of the workers and from their results.json, which is a stranger's file: no link
is followed, its size is bounded, and what is not of the right type is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.home.documents import open_plain
from cortex.model.words import counted

if TYPE_CHECKING:
    from cortex.home.client import Home
    from cortex.home.documents import Row

__all__ = ["Delivery", "delivered_by"]

_RESULTS_BYTES_AT_MOST = 8 * 1024 * 1024
_FILES_AT_MOST = 12
#: Kept for whoever looks into a failure; nobody asked for them.
_BY_THE_WAY = (".log",)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one worker handed over. `said` are sentences, `url` that of an opened pull request.

    `folder` is the place of `files`, relative to the home; "" where there are none.
    """

    task_id: str
    step: str
    worker_id: str
    repository: str
    said: tuple[str, ...]
    url: str | None
    folder: str
    files: tuple[str, ...]
    files_left_out: int = 0


def delivered_by(home: Home, workers: Iterable[Row]) -> list[Delivery]:
    """One for each accepted worker that handed something over, in the order of the rows."""
    found = (_delivery(home, row) for row in workers if row.get("review") == "accepted")
    return [one for one in found if one.said or one.files]


def _delivery(home: Home, row: Row) -> Delivery:
    location = str(row.get("result_location") or "")
    results = _results(home.root, location)
    request = results.get("pull_request")
    request = request if isinstance(request, dict) else {}
    said = [_request_said(request)] if request else []
    said += [_branch_said(branch) for branch in _rows(row.get("branches") or results["branches"])]
    names = [name for name in _texts(results["artifacts"]) if not name.endswith(_BY_THE_WAY)]
    url = request.get("url")
    return Delivery(
        str(row.get("task_id")),
        str(row.get("step") or ""),
        str(row.get("worker_id")),
        str(row.get("repository") or ""),
        tuple(said),
        url if isinstance(url, str) else None,
        f"{location}/artifacts" if names else "",
        tuple(names[:_FILES_AT_MOST]),
        max(0, len(names) - _FILES_AT_MOST),
    )


def _request_said(request: Row) -> str:
    """`pull request prepared for main: Upgrade a`."""
    parts = [f"pull request {request.get('state')}"]
    if isinstance(request.get("target"), str):
        parts.append(f"for {request['target']}")
    title = f": {request['title']}" if isinstance(request.get("title"), str) else ""
    return " ".join(parts) + title


def _branch_said(branch: Row) -> str:
    """`branch cortex/task-007/fix, 1 commit, in mirrors/shop-1a2b3c4d.git`."""
    parts = [f"branch {branch.get('name')}"]
    if isinstance(branch.get("commits"), int):
        parts.append(counted(branch["commits"], "commit"))
    place = branch.get("mirror") or branch.get("bundle")
    parts += [f"in {place}"] if isinstance(place, str) else []
    if isinstance(branch.get("problem"), str):
        parts.append(f"not in its mirror: {branch['problem']}")
    return ", ".join(parts)


def _rows(value: Any) -> list[Row]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _results(root: Path, location: str) -> Row:
    """The object of results.json, with `branches` and `artifacts` even where it has none."""
    nothing: Row = {"branches": [], "artifacts": []}
    if not location or ".." in Path(location).parts:
        return nothing
    try:
        with open_plain(root / location / "results.json", _RESULTS_BYTES_AT_MOST) as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError):
        return nothing
    return {**nothing, **value} if isinstance(value, dict) else nothing
