"""Branches between workers: bundles of the needed steps come in, one bundle goes out.

`branches` in results.json is a list of `{name, bundle, base, head, commits}`: a branch, the file
in artifacts/ that holds it, the commit of the source that it starts from, its last commit and how
many lie between. What another worker wrote is a stranger's and is checked before it is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.model import branches as names
from cortex.worker.contract import Needed, Worker
from cortex.worker.tools.bundles import fetch_bundle, read_row
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.git import GitError
from cortex.worker.tools.options import time_left_s
from cortex.worker.tools.outcomes import ConflictError

__all__ = ["Incoming", "branch_name", "commit_files", "export_branch", "incoming", "merge_incoming"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One branch that a needed step made, fetched into the clone as `ref`."""

    name: str
    worker: str
    ref: str
    base: str
    head: str
    bundle: Path


def branch_name(worker: Worker) -> str:
    """`cortex/TASK/STEP`, of characters that git takes in a name."""
    step = str(worker.context.get("step") or worker.worker_type.removesuffix("-worker") or "work")
    return names.branch_name(worker.task_id, step)


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
    """Fetch the branches of the needed steps, in their order; what is not usable is a note.

    One that another of them has taken in is left out: it would be merged twice, and meet again what
    somebody resolved there. The clone's `base` is then a commit before all of them.
    """
    found: list[Incoming] = []
    for needed in worker.needed():
        rows = needed.results.get("branches")
        for row in rows if isinstance(rows, list) else []:
            ref = f"refs/needed/{len(found) + 1}"
            try:
                found.append(_fetch(worker, clone, needed, row, ref))
            except (ValueError, OSError, GitError) as problem:
                clone.notes.append(f"a branch of {needed.name} was left out: {problem}")
    _begin_before(clone, found)
    return _not_in_others(clone, found)


def _not_in_others(clone: Clone, branches: list[Incoming]) -> list[Incoming]:
    """Of equal ones the first stays."""
    if len(branches) < 2:
        return branches
    heads = (branch.head for branch in branches)
    independent = clone.git.text("merge-base", "--independent", *heads).split()
    kept: dict[str, Incoming] = {}
    for branch in branches:
        if branch.head in independent:
            kept.setdefault(branch.head, branch)
    return list(kept.values())


def _begin_before(clone: Clone, branches: Sequence[Incoming]) -> None:
    """A source whose HEAD has one of them by now, since a person stands on the branch that joins
    them or has merged it: the work begins where they do, or nothing would be left to hand over.
    """
    git = clone.git
    ahead = (git.run("merge-base", "--is-ancestor", one.head, clone.base) for one in branches)
    if any(outcome.returncode == 0 for outcome in ahead):
        shared = git.run("merge-base", "--octopus", *(branch.base for branch in branches))
        clone.base = shared.stdout.decode("ascii", "replace").strip() or clone.base


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


def _fetch(worker: Worker, clone: Clone, needed: Needed, row: Any, ref: str) -> Incoming:
    told = read_row(clone.git, row)
    bundle = fetch_bundle(clone.git, needed.artifacts_dir, told, ref, time_left_s(worker))
    return Incoming(told.name, needed.name, ref, told.base, told.head, bundle)
