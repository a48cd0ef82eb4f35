"""Branches between workers: bundles of the needed steps come in, one bundle goes out.

`branches` in results.json is a list of `{name, bundle, base, head, commits}`: a branch, the file
in artifacts/ that holds it, the commit of the source that it starts from, its last commit and how
many lie between. What another worker wrote is a stranger's and is checked before it is fetched.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.worker.contract import Worker
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.git import GitError
from cortex.worker.tools.outcomes import ConflictError

__all__ = ["Incoming", "branch_name", "commit_files", "export_branch", "incoming", "merge_incoming"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_BUNDLE_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Incoming:
    """One branch that a needed step made, fetched into the clone as `ref`."""

    name: str
    worker: str
    ref: str
    head: str
    bundle: Path


def branch_name(worker: Worker) -> str:
    """`cortex/TASK/STEP`, of characters that git takes in a name."""
    step = str(worker.context.get("step") or worker.worker_type.removesuffix("-worker") or "work")
    return f"cortex/{_part(worker.task_id or 'task')}/{_part(step)}"


def commit_files(clone: Clone, files: Sequence[str], message: str) -> str | None:
    """Commit these files as they are now; the commit, or None where none of them differs."""
    if not files:
        return None
    listed = clone.root.parent / "files-to-commit"
    listed.write_bytes(b"\0".join(os.fsencode(file) for file in files))
    literal = clone.git.with_environment(GIT_LITERAL_PATHSPECS="1")
    literal.text("add", "--all", f"--pathspec-from-file={listed}", "--pathspec-file-nul")
    if clone.git.run("diff", "--cached", "--quiet").returncode == 0:
        return None
    clone.git.text("commit", "--quiet", "--no-verify", "--message", message)
    return clone.head()


def export_branch(worker: Worker, clone: Clone, name: str | None = None) -> dict[str, Any]:
    """Name the clone's HEAD (default: `branch_name`) and write its bundle into artifacts/.

    Returns the row for `branches`. Raises GitError where git cannot write it.
    """
    name = name or branch_name(worker)
    file = f"{name.replace('/', '-')}.bundle"
    worker.artifacts_dir.mkdir(parents=True, exist_ok=True)
    clone.git.text("branch", "--force", name, "HEAD")
    target = worker.artifacts_dir / file
    clone.git.text("bundle", "create", "--quiet", str(target), f"{clone.base}..{name}")
    return {
        "name": name,
        "bundle": file,
        "base": clone.base,
        "head": clone.head(),
        "commits": int(clone.git.text("rev-list", "--count", f"{clone.base}..{name}")),
        "repository": clone.source,
    }


def incoming(worker: Worker, clone: Clone) -> list[Incoming]:
    """Fetch the branches of the needed steps, in their order; what is not usable is a note."""
    found: list[Incoming] = []
    for needed in worker.needed():
        rows = needed.results.get("branches")
        for row in rows if isinstance(rows, list) else []:
            ref = f"refs/needed/{len(found) + 1}"
            try:
                found.append(_fetch(clone, needed.name, needed.artifacts_dir, row, ref))
            except (ValueError, OSError, GitError) as problem:
                clone.notes.append(f"a branch of {needed.name} was left out: {problem}")
    return found


def merge_incoming(clone: Clone, branches: Sequence[Incoming]) -> None:
    """Check out the first branch and merge the others into it.

    Raises ConflictError naming the files where two of them meet.
    """
    if branches:
        clone.git.text("checkout", "--quiet", "--detach", branches[0].head)
    for branch in branches[1:]:
        message = f"Merge {branch.name}"
        outcome = clone.git.run("merge", "--quiet", "--no-edit", "-m", message, branch.head)
        if outcome.returncode == 0 and not outcome.problem:
            continue
        files = clone.git.paths("diff", "--name-only", "--diff-filter=U", "-z")
        clone.git.run("merge", "--abort")
        earlier = ", ".join(other.name for other in branches[: branches.index(branch)])
        raise ConflictError(f"{branch.name} and {earlier} change the same lines", files)


def _fetch(clone: Clone, worker: str, artifacts: Path, row: Any, ref: str) -> Incoming:
    if not isinstance(row, dict):
        raise ValueError("its row is no object")
    name, base, head = (str(row.get(key) or "") for key in ("name", "base", "head"))
    bundle = _bundle(artifacts, row.get("bundle"))
    if clone.git.run("check-ref-format", f"refs/heads/{name}").returncode != 0:
        raise ValueError(f"{name[:80]!r} is no branch")
    if not (_COMMIT.match(base) and _COMMIT.match(head)):
        raise ValueError("its base or head is no commit")
    if clone.git.commit_of(base) is None:
        raise ValueError("it starts from a commit that this repository does not have")
    checked = ("-c", "fetch.fsckObjects=true", "fetch", "--quiet", "--no-tags")
    clone.git.text(*checked, str(bundle), f"refs/heads/{name}:{ref}")
    if clone.git.commit_of(ref) != head:
        raise ValueError("its bundle ends in another commit than its row says")
    return Incoming(name, worker, ref, head, bundle)


def _bundle(artifacts: Path, name: object) -> Path:
    if not isinstance(name, str) or "/" in name or name in ("", ".", "..") or "\0" in name:
        raise ValueError("its bundle is no name of a file in artifacts/")
    path = artifacts / name
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _BUNDLE_LIMIT_BYTES:
        raise ValueError("its bundle is no regular file of at most 1 GiB")
    return path


def _part(text: str) -> str:
    """One part of a ref's name: no `..`, no `.lock` or dot at an end (git-check-ref-format)."""
    part = re.sub(r"\.{2,}", ".", _UNSAFE.sub("-", text)).strip(".-")
    return f"{part}-" if part.endswith(".lock") else part or "work"
