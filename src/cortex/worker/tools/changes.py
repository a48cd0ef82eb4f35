"""What a change is: two commits of a clone and the lines of the later one that it made.

The change of a worker is, in this order: branches of the needed steps, a patch among their files,
`scope.base`..`scope.head`, or what a branch adds to the default one.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from cortex.worker.contract import Worker
from cortex.worker.tools.branches import incoming, merge_incoming
from cortex.worker.tools.clone import Clone, CloneError, clone_repository, resolve
from cortex.worker.tools.git import GitError
from cortex.worker.tools.options import text
from cortex.worker.tools.outcomes import ConflictError, NotRunError

__all__ = ["Change", "read_change"]

_HUNK = re.compile(r"^@@ -\S+ \+(?P<start>\d+)(?:,(?P<count>\d+))? @@")
_PATCH_LIMIT_BYTES = 64 * 1024 * 1024
_DIFF = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")


@dataclass(slots=True)
class Change:
    """The change as it stands checked out. `lines` has the new or altered lines by file."""

    clone: Clone
    base: str
    head: str
    what: str
    files: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    lines: dict[str, set[int]] = field(default_factory=dict)

    def touches(self, file: str, line: int, end_line: int = 0) -> bool:
        """Whether one of these lines is of the change; line 0 means the whole file."""
        changed = self.lines.get(file)
        if changed is None:
            return False
        return line <= 0 or any(
            number in changed for number in range(line, max(line, end_line) + 1)
        )


def read_change(worker: Worker) -> Change:
    """Clone the repository and check out the later side of the change.

    Raises NotRunError for a change without a line, ConflictError for one that does not fit,
    CloneError for names that the repository does not know.
    """
    clone = clone_repository(worker, text(worker, "head"))
    base, what = _base(worker, clone)
    head = clone.head()
    if base == head:
        raise NotRunError(
            f"there is no change to look at: {what} is empty",
            ["a change: scope.base and scope.head, a branch that is ahead of the default one, or "
             "a step that hands over a branch or a patch"],
        )  # fmt: skip
    change = Change(clone, base, head, what)
    _see_all(clone)
    names = clone.git.paths(*_DIFF, "--name-status", "-z", base, head)
    for status, name in zip(names[::2], names[1::2], strict=False):
        (change.removed if status.startswith("D") else change.files).append(name)
    if not change.files and not change.removed:
        raise NotRunError(f"{what} changes no file", ["a change that changes a file"])
    change.lines = _lines(clone, base, head)
    for name in change.files:
        change.lines.setdefault(name, set())
    return change


def _base(worker: Worker, clone: Clone) -> tuple[str, str]:
    """(the commit that the change starts from, what it is); checks out its end."""
    branches = incoming(worker, clone)
    if branches:
        merge_incoming(clone, branches)
        return clone.base, ", ".join(branch.name for branch in branches)
    patch = _patch(worker)
    if patch is not None:
        _apply(clone, patch)
        return clone.base, patch.name
    return _between(worker, clone)


def _between(worker: Worker, clone: Clone) -> tuple[str, str]:
    head_name = text(worker, "head") or clone.branch or "HEAD"
    base_name = text(worker, "base") or clone.default_branch
    if base_name is None:
        raise NotRunError(f"{clone.source} has no default branch to compare with", ["scope.base"])
    base = resolve(clone, base_name)
    if base is None:
        raise CloneError(f"{clone.source} has no branch, tag or commit {base_name!r}: scope.base")
    shared = clone.git.run("merge-base", base, "HEAD")
    if shared.returncode == 0:
        base = shared.stdout.decode("ascii", "replace").strip()
    return base, f"{base_name}..{head_name}"


def _patch(worker: Worker) -> Path | None:
    """The first patch file that is handed over: an input itself, or an artifact of one."""
    candidates = list(worker.input_paths)
    for needed in worker.needed():
        named = needed.results.get("artifacts")
        candidates += [
            needed.artifacts_dir / name
            for name in (named if isinstance(named, list) else [])
            if isinstance(name, str) and "/" not in name
        ]
    for path in candidates:
        if path.suffix in (".patch", ".diff") and path.is_file() and not path.is_symlink():
            return path
    return None


def _apply(clone: Clone, patch: Path) -> None:
    if patch.stat().st_size > _PATCH_LIMIT_BYTES:
        raise NotRunError(f"{patch.name} is larger than 64 MiB", ["a smaller patch"])
    try:
        clone.git.text("apply", "--index", "--whitespace=nowarn", "--", str(patch))
    except GitError as problem:
        named = re.findall(r"^\+\+\+ b/(\S+)", patch.read_text("utf-8", "replace"), re.MULTILINE)
        raise ConflictError(
            f"{patch.name} does not fit {clone.source} at {clone.base[:12]} ({problem})",
            named,
            "does_not_fit",
        ) from None
    clone.git.text("commit", "--quiet", "--no-verify", "--allow-empty", "-m", patch.name)


def _see_all(clone: Clone) -> None:
    """No attribute of the repository makes git call a text binary, and so show none of its lines:
    these are read after those of the tree (gitattributes(5)).
    """
    folder = clone.root / ".git" / "info"
    folder.mkdir(exist_ok=True)
    (folder / "attributes").write_text("* !diff\n", encoding="ascii")


def _lines(clone: Clone, base: str, head: str) -> dict[str, set[int]]:
    """New and altered lines by file, out of a diff without context."""
    found: dict[str, set[int]] = defaultdict(set)
    git = ("-c", "core.quotePath=true")
    diff = clone.git.bytes(*git, *_DIFF, "--unified=0", "--dst-prefix=b/", base, head)
    file = ""
    in_header = True
    for raw in diff.split(b"\n"):
        line = raw.decode("utf-8", "surrogateescape")
        if line.startswith("diff --git "):
            in_header, file = True, ""
        elif in_header and line.startswith("+++ "):
            name = _unquoted(line[4:].rstrip("\t"))
            file = name[2:] if name.startswith("b/") else ""
        elif match := _HUNK.match(line):
            in_header = False
            start, count = int(match["start"]), int(match["count"] or 1)
            if file:
                found[file].update(range(start, start + count))
    return dict(found)


def _unquoted(name: str) -> str:
    """A name as git prints it: in C's way if it has anything but plain ASCII (git-config(1))."""
    if not name.startswith('"'):
        return name
    content: bytes = ast.literal_eval(f"b{name}")
    return content.decode("utf-8", "surrogateescape")
