"""Takes a branch out of a bundle that another worker wrote, as a stranger's.

A bundle goes into a repository of its own first and is fetched from there: git before 2.46 checks
no object of a bundle that it reads, whatever `fetch.fsckObjects` says, but all that it fetches.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.worker.tools.git import Git

__all__ = ["BundleRow", "fetch_bundle", "read_row"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_BUNDLE_LIMIT_BYTES = 1 << 30
_QUIETLY = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")


@dataclass(frozen=True, slots=True)
class BundleRow:
    """One row of `branches` in results.json, checked in form."""

    name: str
    bundle: str
    base: str
    head: str


def read_row(git: Git, row: Any) -> BundleRow:
    """A worker's row of `branches`. Raises ValueError with the field that is wrong."""
    if not isinstance(row, dict):
        raise ValueError("its row is no object")
    name, bundle, base, head = (
        str(row.get(key) or "") for key in ("name", "bundle", "base", "head")
    )
    if name[:1] == "-" or git.run("check-ref-format", f"refs/heads/{name}").returncode != 0:
        raise ValueError(f"{name[:80]!r} is no branch")
    if not (_COMMIT.match(base) and _COMMIT.match(head)):
        raise ValueError("its base or head is no commit")
    if "/" in bundle or bundle in ("", ".", "..") or "\0" in bundle:
        raise ValueError("its bundle is no name of a file in artifacts/")
    return BundleRow(name, bundle, base, head)


def fetch_bundle(git: Git, artifacts: Path, row: BundleRow, ref: str, limit_s: float) -> Path:
    """Fetch a row's branch into the repository that `git` stands in, as `ref`; the bundle's path.

    Every object is checked on the way in. Raises ValueError or OSError for a bundle that is not
    what its row says, GitError for what git refuses.
    """
    bundle = artifacts / row.bundle
    status = os.lstat(bundle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _BUNDLE_LIMIT_BYTES:
        raise ValueError("its bundle is no regular file of at most 1 GiB")
    if git.commit_of(row.base) is None:
        raise ValueError("it starts from a commit that this repository does not have")
    apart = Path(tempfile.mkdtemp(prefix="bundle-", dir=git.env["HOME"]))
    try:
        git.text("init", "--quiet", "--bare", "--template=", str(apart))
        objects = git.text("rev-parse", "--path-format=absolute", "--git-path", "objects")
        (apart / "objects" / "info").mkdir(exist_ok=True)
        (apart / "objects" / "info" / "alternates").write_bytes(os.fsencode(f"{objects}\n"))
        into = git.at(apart)
        into.text("fetch", *_QUIETLY, str(bundle), f"refs/heads/{row.name}:refs/heads/in",
                  limit_s=limit_s)  # fmt: skip
        if into.commit_of("refs/heads/in") != row.head:
            raise ValueError("its bundle ends in another commit than its row says")
        git.text("fetch", *_QUIETLY, str(apart), f"+refs/heads/in:{ref}", limit_s=limit_s)
    finally:
        shutil.rmtree(apart, ignore_errors=True)
    return bundle
