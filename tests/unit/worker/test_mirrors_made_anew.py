"""A mirror that is made anew, and a death in the middle of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cortex.worker.tools import mirrors
from cortex.worker.tools.git import Git, make_git

REF = "refs/cortex/work/main"
LIMIT_S = 30.0
#: Makes the mirror anew in a process that dies where the new one is to be put in its place.
DIES = """
import os, sys, time
from pathlib import Path
from cortex.worker.tools import mirrors
from cortex.worker.tools.git import make_git
put = Path.rename
def rename(self, target):
    if self.name.endswith(".new"):
        os._exit(9)
    return put(self, target)
Path.rename = rename
home, path, source = sys.argv[1:]
mirrors._make_anew(make_git(Path(home)), Path(path), source, time.monotonic() + 30)
"""


def commit(source: Path) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    for words in (["init", "-q"], [*name, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], cwd=source, check=True)
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=source, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return make_git(tmp_path / "home")


@pytest.mark.parametrize("deaths", [1, 2])
def test_branches_outlive_a_death_between_the_old_mirror_and_the_new(
    tmp_path: Path, git: Git, deaths: int
) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    head = commit(source)
    address = f"file://{source}"
    order = mirrors.MirrorOrder(tmp_path / "mirrors", 0.0)
    path, _ = mirrors.updated_mirror(git, address, order, LIMIT_S)
    git.at(path).text("update-ref", REF, head)
    for _ in range(deaths):
        words = [str(tmp_path / "home"), str(path), address]
        died = subprocess.run([sys.executable, "-c", DIES, *words], env=dict(os.environ))
        assert died.returncode == 9
        assert not path.exists()
    again, _ = mirrors.updated_mirror(git, address, order, LIMIT_S)
    assert git.at(again).text("rev-parse", REF) == head
