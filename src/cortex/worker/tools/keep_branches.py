"""`python -m cortex.worker.tools.keep_branches`: takes finished workers' branches into mirrors.

The daemon starts it for a few workers at a time, because git that reads what a stranger wrote has
no place in the daemon: it has limits of its own here, and may be killed at any moment. One JSON
object comes in on standard input and one goes out; doing the same again changes nothing. Its `home`
is a folder that it makes, and that whoever starts it removes where this program was ended.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortex.model.branches import is_url, without_credentials
from cortex.worker.tools.bundles import fetch_bundle, read_row
from cortex.worker.tools.git import Git, GitError, make_git
from cortex.worker.tools.mirrors import writing

__all__ = ["keep"]

_GIB = 1 << 30
_LIMITS = (
    (resource.RLIMIT_CPU, 900),
    (resource.RLIMIT_AS, 16 * _GIB),
    (resource.RLIMIT_FSIZE, 4 * _GIB),
    (resource.RLIMIT_CORE, 0),
)
_LOCK_WAIT_S = 10.0
_BUNDLE_LIMIT_S = 60.0
_WORDS_AT_MOST = 300


def main() -> int:
    """Answer one order from standard input."""
    for limit, value in _LIMITS:
        hard = resource.getrlimit(limit)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (most, most))
    order = json.load(sys.stdin)
    home = Path(order["home"])
    home.mkdir(parents=True)
    try:
        json.dump(keep(order, home), sys.stdout)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def keep(order: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """For each worker `{mirror, refused: {ref: why}}`, or `{again: why}` where another try may
    help; nothing of those for whom no time was left. `order` has `mirrors` (a folder), `limit_s`,
    and `workers`: for each its `repository`, `artifacts` (a folder) and `branches`.
    """
    end_s = time.monotonic() + float(order["limit_s"])
    answers: dict[str, Any] = {}
    for ident, worker in order["workers"].items():
        if time.monotonic() > end_s:
            break
        try:
            answers[ident] = _keep_worker(
                make_git(home).until(end_s), Path(order["mirrors"]), worker
            )
        except Exception as problem:  # whatever one repository raises, the others have answers
            answers[ident] = {"again": _short(problem)}
    return answers


def _keep_worker(git: Git, mirrors: Path, worker: Mapping[str, Any]) -> dict[str, Any]:
    repository = str(worker["repository"])
    if is_url(repository):
        source = without_credentials(repository)
    else:
        source = str(Path(repository).resolve(strict=True))
    refused: dict[str, str] = {}
    with writing(git, source, mirrors, _LOCK_WAIT_S) as mirror:
        for row in worker["branches"]:
            try:
                told = read_row(git.at(mirror), row)
                ref = str(row["ref"])
                fetch_bundle(git.at(mirror), Path(worker["artifacts"]), told, ref, _BUNDLE_LIMIT_S)
            except (ValueError, FileNotFoundError) as problem:
                refused[str(row["ref"])] = _short(problem)
            except GitError as problem:
                if "stopped at its limit" in str(problem):
                    raise
                refused[str(row["ref"])] = _short(problem)
    return {"mirror": mirror.name, "refused": refused}


def _short(problem: Exception) -> str:
    return (" ".join(str(problem).split()) or repr(problem))[:_WORDS_AT_MOST]


if __name__ == "__main__":
    sys.exit(main())
