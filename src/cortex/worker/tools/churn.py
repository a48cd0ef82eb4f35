"""How often each file changed, out of git's own log, bounded in commits and in time."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from cortex.worker.tools import processes
from cortex.worker.tools.analyzers import program
from cortex.worker.tools.source_files import SourceTree

__all__ = ["read_churn"]

_COMMITS = 2_000
_LIMIT_S = 60.0
_TOP = 500


def read_churn(tree: SourceTree) -> dict[str, Any]:
    """Commits, added and removed lines by file of the newest 2,000 commits, most changed first.

    `reason` is set, and `files` empty, where there is no history to read.
    """
    if not any((folder / ".git").exists() for folder in (tree.root, *tree.root.parents)):
        return _none("not a git checkout")
    git = program("git")
    if git is None:
        return _none("git is not installed")
    with tempfile.TemporaryDirectory(prefix="cortex-git-") as home:
        outcome = _log(git, tree.root, Path(home))
    if outcome.problem:
        return _none(f"git log {outcome.problem}")
    if outcome.returncode != 0:
        return _none("git log cannot read this checkout, or it has no commit yet")
    return _count(outcome.stdout, {file.path for file in tree.files})


def _log(git: str, root: Path, home: Path) -> processes.Outcome:
    # The checkout's own configuration may name programs to run; none is needed to list numbers.
    argv = [git, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    argv += ["-c", f"safe.directory={root}", "--no-optional-locks", "log", "--numstat", "-z"]
    argv += ["--no-renames", "--no-ext-diff", "--no-textconv", "--relative"]
    argv += ["--format=%x01%at", f"--max-count={_COMMITS}", "HEAD", "--", "."]
    env = processes.minimal_environment(
        home,
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_TERMINAL_PROMPT="0",
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0="safe.directory",
        GIT_CONFIG_VALUE_0="*",
    )
    return processes.run(argv, cwd=root, env=env, limit_s=_LIMIT_S)


def _count(output: bytes, known: set[str]) -> dict[str, Any]:
    commits: Counter[str] = Counter()
    added: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    seen = 0
    for entry in output.decode("utf-8", "surrogateescape").replace("\n", "\0").split("\0"):
        if entry.startswith("\x01"):
            seen += 1
            continue
        parts = entry.split("\t", 2)
        if len(parts) == 3 and parts[2] in known:
            path = parts[2]
            commits[path] += 1
            added[path] += int(parts[0]) if parts[0].isdigit() else 0
            removed[path] += int(parts[1]) if parts[1].isdigit() else 0
    order = sorted(commits, key=lambda path: (-commits[path], -added[path], path))
    files = [
        {"file": path, "commits": commits[path], "added": added[path], "removed": removed[path]}
        for path in order[:_TOP]
    ]
    return {"commits": seen, "limit": _COMMITS, "files": files, "reason": None}


def _none(reason: str) -> dict[str, Any]:
    return {"commits": 0, "limit": _COMMITS, "files": [], "reason": reason}
