"""The integration worker: joins the branches of the steps before it, and runs the suite on that.

They are merged in the order in which the step names its needs. Where git cannot join two of them, a
person's merge counts: a branch of the source with this step's own name that holds all of them.
Without one both sides are shown. Asks no model.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from cortex.model.markdown import code, fenced, plain
from cortex.worker.contract import Worker
from cortex.worker.tools.branches import Incoming, branch_name, incoming
from cortex.worker.tools.clone import Clone, clone_repository, resolve
from cortex.worker.tools.deliver import Work, deliver
from cortex.worker.tools.outcomes import ConflictError, NotRunError

__all__ = ["integrate"]

_REPORT = "conflicts.md"
_FILES_SHOWN = 20
_LINES_SHOWN = 400
_BYTES_READ = 200_000
_AROUND = 3


def integrate(worker: Worker) -> None:
    """Merge, prove by the tests before and after, and hand over one branch.

    Raises ConflictError where two branches meet, NotRunError where no step handed one over.
    """
    worker.heartbeat.beat(0.0, "cloning", now=True)
    clone = clone_repository(worker)
    branches = incoming(worker, clone)
    if not branches:
        raise NotRunError(
            "none of the steps before this one handed over a branch",
            ["a step in `needs` that ends with a branch", *clone.notes],
        )
    work = Work(f"Integrate {len(branches)} branch{'es' if len(branches) > 1 else ''}")
    merged, lacks = _persons_merge(worker, clone, branches)
    if merged is not None:
        clone.git.text("checkout", "--quiet", "--detach", merged)
        work.done.append(f"Took the merge that {branch_name(worker)} of {clone.source} holds")
    else:
        _merge_all(worker, clone, branches, lacks)
    work.done += [f"Merged {branch.name} of {branch.worker}" for branch in branches]
    deliver(worker, clone, clone.base, work)


def _persons_merge(
    worker: Worker, clone: Clone, branches: Sequence[Incoming]
) -> tuple[str | None, str]:
    """The commit of this step's own branch in the source, if every incoming one is part of it.

    Else None and what it lacks, in words for who said yes to it; "" where nobody was asked yet.
    """
    found = resolve(clone, branch_name(worker), kept=False)
    if found is None:
        lacks = f"there is no branch {branch_name(worker)} in {clone.source} yet; "
        return None, lacks if worker.spec.get("retry_of") else ""
    for branch in branches:
        inside = clone.git.run("merge-base", "--is-ancestor", branch.head, found)
        if inside.returncode != 0:
            lacks = f"{branch_name(worker)} lacks {branch.name}"
            clone.notes.append(f"{lacks}: not used")
            return None, f"{lacks}; "
    return found, ""


def _merge_all(worker: Worker, clone: Clone, branches: Sequence[Incoming], lacks: str) -> None:
    clone.git.text("checkout", "--quiet", "--detach", branches[0].head)
    for number, branch in enumerate(branches[1:], 1):
        outcome = clone.git.run(
            "-c", "merge.conflictStyle=diff3",
            "merge", "--quiet", "--no-edit", "-m", f"Merge {branch.name}", branch.head,
        )  # fmt: skip
        if outcome.returncode == 0 and not outcome.problem:
            continue
        files = clone.git.paths("diff", "--name-only", "--diff-filter=U", "-z")
        worker.write_artifact(_REPORT, _report(worker, clone, branches, number, files))
        clone.git.run("merge", "--abort")
        earlier = ", ".join(other.name for other in branches[:number])
        raise ConflictError(f"{lacks}{branch.name} and {earlier} change the same lines", files)


def _report(
    worker: Worker, clone: Clone, branches: Sequence[Incoming], number: int, files: Sequence[str]
) -> str:
    own, names = branch_name(worker), [branch.name for branch in branches]
    lines = ["# Branches that git cannot join", ""]
    lines += [f"{code(names[number])} meets {', '.join(map(code, names[:number]))}.", ""]
    lines += ["## What to do", "", f"In {code(clone.source)}, or a clone of it:", ""]
    commands = [f"git switch --create {own} {clone.base[:12]}"]
    commands += [
        shlex.join(["git", "pull", "--no-rebase", str(branch.bundle), branch.name])
        for branch in branches
    ]
    lines += [*fenced("\n".join(commands), 60), ""]
    push = "push that branch there and " if clone.address else ""
    lines += [
        "Where one stops, resolve what meets and commit, then go on with the next. When that "
        f"branch holds all of them, {push}answer the approval with `cortex approve`; the step is "
        "tried again and takes your merge. `cortex deny` cancels the task.",
        "",
    ]
    for file in files[:_FILES_SHOWN]:
        lines += [f"## {plain(file)}", "", *fenced(_sides(clone, file), _LINES_SHOWN), ""]
    if len(files) > _FILES_SHOWN:
        lines += [f"And {len(files) - _FILES_SHOWN} more files.", ""]
    return "\n".join(lines)


def _sides(clone: Clone, file: str) -> str:
    """The file as git left it, with the lines of both sides and of their base between marks."""
    path = clone.root / file
    if path.is_symlink() or not path.is_file():
        return "(one side removed it, or it is no plain file)"
    with path.open("rb") as opened:
        text = opened.read(_BYTES_READ).decode("utf-8", "replace")
    return _around_marks(text.splitlines())


def _around_marks(lines: Sequence[str]) -> str:
    """The places where both sides stand between marks, each with a few lines around it."""
    kept: set[int] = set()
    begun: int | None = None
    for number, line in enumerate(lines):
        if line.startswith("<<<<<<< "):
            begun = number
        elif line.startswith(">>>>>>> ") and begun is not None:
            kept.update(range(max(0, begun - _AROUND), min(len(lines), number + _AROUND + 1)))
            begun = None
    shown: list[str] = []
    for number in sorted(kept):
        if number - 1 not in kept:
            shown.append(f"… line {number + 1}")
        shown.append(lines[number])
    return "\n".join(shown or lines)
