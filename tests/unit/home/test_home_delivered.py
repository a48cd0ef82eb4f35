"""What accepted workers handed over, read from their rows and from a file that is a stranger's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cortex.home import Home
from cortex.home.delivered import delivered_by

ROW = {
    "worker_id": "worker-pr-001",
    "task_id": "task-007",
    "step": "pr",
    "review": "accepted",
    "repository": "/srv/shop",
    "result_location": "agents/logs/workers/2025-11-01/worker-pr-001",
}
RESULTS = {
    "artifacts": ["pull_request.md", "body.md", "fix.bundle", "unittest.log"],
    "branches": [{"name": "cortex/task-007/fix", "commits": 1, "bundle": "fix.bundle"}],
    "pull_request": {"state": "prepared", "url": None, "title": "Upgrade a", "target": "main"},
}


@pytest.fixture
def folder(home: Home) -> Path:
    found = home.root / str(ROW["result_location"])
    found.mkdir(parents=True)
    return found


def write(folder: Path, value: Any) -> None:
    (folder / "results.json").write_text(json.dumps(value))


def test_branches_pull_requests_and_files_are_told_and_logs_are_not(
    home: Home, folder: Path
) -> None:
    write(folder, RESULTS)
    (told,) = delivered_by(home, [ROW])
    assert told.said == (
        "pull request prepared for main: Upgrade a",
        "branch cortex/task-007/fix, 1 commit, in fix.bundle",
    )
    assert told.files == ("pull_request.md", "body.md", "fix.bundle")
    assert told.folder == f"{ROW['result_location']}/artifacts"
    assert told.url is None


def test_a_branch_that_a_mirror_has_is_told_as_the_row_has_it(home: Home, folder: Path) -> None:
    write(folder, RESULTS)
    branch = {"name": "cortex/task-007/fix", "commits": 2, "mirror": "mirrors/shop-1a2b3c4d.git"}
    (told,) = delivered_by(home, [{**ROW, "branches": [branch]}])
    assert told.said[1] == "branch cortex/task-007/fix, 2 commits, in mirrors/shop-1a2b3c4d.git"


def test_what_was_not_accepted_is_not_delivered(home: Home, folder: Path) -> None:
    write(folder, RESULTS)
    assert delivered_by(home, [{**ROW, "review": "refused"}]) == []


@pytest.mark.parametrize("kind", ["nothing", "link", "fifo", "list", "odd"])
def test_odd_results_hand_over_nothing_and_hold_nobody_up(
    home: Home, folder: Path, kind: str
) -> None:
    path = folder / "results.json"
    if kind == "link":
        (folder / "other.json").write_text(json.dumps(RESULTS))
        path.symlink_to("other.json")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "list":
        write(folder, [RESULTS])
    elif kind == "odd":
        write(folder, {"branches": {"a": 1}, "artifacts": [1, {}], "pull_request": "x"})
    assert delivered_by(home, [ROW]) == []


def test_no_place_outside_of_the_home_is_read(home: Home) -> None:
    assert delivered_by(home, [{**ROW, "result_location": "../elsewhere"}]) == []
