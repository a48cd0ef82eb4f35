"""The program that takes branches into mirrors, as the daemon starts and ends it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from cortex.runtime import keeping
from cortex.runtime.processes import all_pids, read_proc, stat_or_none

LIMIT_S = 10.0


def lives(marked: str) -> list[int]:
    """Processes that live and whose environment has these words."""
    found = []
    for pid in all_pids():
        stat = stat_or_none(pid)
        try:
            environ = read_proc(f"/proc/{pid}/environ")
        except OSError:
            continue
        if stat is not None and stat.state not in "ZX" and marked.encode() in environ:
            found.append(pid)
    return found


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One worker of a repository where git does not come back."""
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    git.write_text(f"#!/bin/sh\ntouch {tmp_path}/began\nsleep 60 & wait\n")
    git.chmod(0o755)
    (tmp_path / "shop").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    row = {"ref": "refs/cortex/work/main", "name": "main"}
    worker = {"repository": str(tmp_path / "shop"), "artifacts": "/", "branches": [row]}
    return {"mirrors": str(tmp_path / "mirrors"), "limit_s": 60.0, "workers": {"w1": worker}}


def test_the_end_of_the_program_is_the_end_of_its_git_too(
    order: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MARGIN_S", -52.0)
    with pytest.raises(OSError, match="was ended after 8 s"):
        keeping.keep_branches(order)
    assert (tmp_path / "began").exists(), "its git was under way"
    end_s = time.monotonic() + LIMIT_S
    while lives(f"{tmp_path}/bin:") and time.monotonic() < end_s:
        time.sleep(0.01)
    assert lives(f"{tmp_path}/bin:") == []
    left = [path.name for path in (tmp_path / "mirrors").iterdir() if path.is_dir()]
    assert [name for name in left if name.startswith(".keeping")] == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_git_that_does_not_come_back_is_cut_at_the_limit_of_the_whole_order(
    order: dict[str, Any],
) -> None:
    started_s = time.monotonic()
    answers = keeping.keep_branches({**order, "limit_s": 1.0})
    assert "stopped at its limit" in answers["w1"]["again"]
    assert time.monotonic() - started_s < 3 * LIMIT_S, "and not at the end of its minute"
