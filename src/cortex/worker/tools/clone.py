"""A repository of the worker's own: cloned from a path or URL, and never written back to.

A path is cloned with `--shared`, so that nothing is copied and the source is only read; a URL
from its mirror in the same way (see `mirrors`). Hooks, filters and submodules stay off (see
`git`). What the needed steps made comes in as bundles and is merged, what this worker makes goes
out as a bundle: see `branches`.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from cortex.model.branches import OWN, is_url, mirror_name, without_credentials
from cortex.model.times import parse_time
from cortex.worker.contract import Worker
from cortex.worker.tools import mirrors
from cortex.worker.tools.credentials import token_for
from cortex.worker.tools.git import Git, GitError, make_git
from cortex.worker.tools.options import option, text, time_left_s
from cortex.worker.tools.outcomes import NotRunError

__all__ = ["Clone", "CloneError", "clear_away", "clone_repository", "resolve"]

_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::?")
_DEFAULT_BRANCHES = ("main", "master", "trunk", "develop")
_OWN_FOLDERS = ("repository", "before", "after", "runs", "lint", "git", "home")
_ASKS = ("askpass", "could not read Username", "could not read Password")
_FOR_GOOD = ("not found", "does not exist", "authentication failed", "permission denied",
             "does not appear to be", "not allowed", "verification failed",
             "returned error: 403", "unable to find remote helper")  # fmt: skip
_NEVER_FOR_GOOD = ("could not resolve",)


class CloneError(Exception):
    """A repository that cannot be had; `permanent` where another attempt would end the same."""

    def __init__(self, why: str, *, permanent: bool = True) -> None:
        super().__init__(why)
        self.permanent = permanent


@dataclass(slots=True)
class Clone:
    """A clone at a detached commit. `base` is the source's commit that it began at.

    `source` is for people and has no credentials in it; `address` is the URL as it was given, None
    for a path. `mirror` is where the home keeps the branches of this repository, if it does.
    """

    root: Path
    git: Git
    source: str
    source_path: Path | None
    base: str
    branch: str | None
    default_branch: str | None
    notes: list[str] = field(default_factory=list)
    address: str | None = None
    mirror: Path | None = None

    def head(self) -> str:
        """The commit that stands checked out."""
        return self.git.text("rev-parse", "HEAD")

    def changed_since(self, commit: str) -> str:
        """The files that differ from a commit and by how many lines, for people."""
        plainly = ("-c", "core.quotePath=false", "diff", "--stat", "--no-color", "--no-ext-diff")
        return self.git.text(*plainly, commit, "HEAD")

    def copy_at(self, commit: str, folder: Path) -> Clone:
        """Another clone, of this one, at a commit: for runs that may leave files behind."""
        self.git.text("clone", *_QUIETLY, "--shared", "--", str(self.root), str(folder))
        git = self.git.at(folder)
        git.text("checkout", "--quiet", "--detach", commit)
        return Clone(folder, git, self.source, self.source_path, commit, None, self.default_branch)


_QUIETLY = ("--quiet", "--no-checkout", "--template=", "--no-recurse-submodules")


def clone_repository(worker: Worker, ref: str | None = None) -> Clone:
    """Clone the scope's repository into the worker's folder, at `ref`, `scope.ref`, or its HEAD.

    Raises CloneError for one that cannot be had, NotRunError for a folder that is no repository or
    has no commit.
    """
    repository = str(worker.scope.get("repository") or "")
    git = make_git(worker.dir / "git")
    address = repository if is_url(repository) else None
    if address:
        git = git.with_token(token_for(worker, address))
    target = worker.dir / "repository"
    path = None if address else _local(git, repository)
    mirror, notes = _mirror(worker, git, path or address)
    source = str(path or (mirror if address else None) or address)
    shared = ["--shared"] if path or mirror else []
    try:
        git.text(
            "clone", *_QUIETLY, *shared, "--", source, str(target), limit_s=time_left_s(worker)
        )
    except GitError as problem:
        raise _refused(repository, str(problem), is_local=bool(path)) from None
    shown = without_credentials(repository)
    inside = git.at(target)
    if address:
        inside.text("remote", "set-url", "origin", shown)
    branch, default = _branches(inside, git.at(path) if path else None)
    clone = Clone(
        target, inside.with_token(None), shown, path, "", branch, default, notes, address, mirror
    )
    clone.base = _start(clone, ref or text(worker, "ref"))
    try:
        inside.text("checkout", "--quiet", "--detach", clone.base)
    except GitError:
        if address and mirror:
            mirrors.suspect(mirror)
        raise
    clone.notes += _notes(clone)
    return clone


def _mirror(
    worker: Worker, git: Git, repository: Path | str | None
) -> tuple[Path | None, list[str]]:
    """The mirror of the repository, and notes. That of a URL is brought up to date, and is None
    where no home keeps mirrors; that of a path need not be there.
    """
    told = worker.context.get("mirrors")
    folder = told.get("folder") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(folder, str):
        return None, []
    if not isinstance(repository, str):
        path = Path(folder) / mirror_name(str(repository))
        if path.is_dir():
            mirrors.hold(path)
        return (path if path.is_dir() else None), []
    order = mirrors.MirrorOrder(Path(folder), _fresh_since_s(worker, told.get("since")))
    worker.heartbeat.beat(0.0, "updating the mirror", now=True)
    try:
        found, note = mirrors.updated_mirror(git, repository, order, time_left_s(worker))
    except GitError as problem:
        raise _refused(repository, str(problem), is_local=False) from None
    except mirrors.MirrorBusyError as problem:
        raise CloneError(str(problem), permanent=False) from None
    return found, [note] if note else []


def _fresh_since_s(worker: Worker, launched_s: object) -> float:
    """From when on a fetch saw all that was there as this worker was asked for. Its request is told
    in whole seconds, its start is exact.
    """
    started_s = launched_s if isinstance(launched_s, int | float) else time.time()
    try:
        return min(started_s, parse_time(str(worker.spec.get("created_at"))) + 1.0)
    except ValueError:
        return started_s


def _refused(repository: str, words: str, *, is_local: bool) -> CloneError:
    """The error for a source that git cannot have; for good where it will be the same again."""
    if any(part in words for part in _ASKS):
        words = "authentication failed: it asks for a password, and none is named for its host"
    low = words.lower()
    permanent = any(part in low for part in _FOR_GOOD) and not any(
        part in low for part in _NEVER_FOR_GOOD
    )
    return CloneError(
        f"{without_credentials(repository)} cannot be cloned: {words}; correct scope.repository, "
        "or give this worker access to it (scope.credentials)",
        permanent=is_local or permanent,
    )


def clear_away(worker: Worker) -> None:
    """Remove clones, what ran in them and the home's caches, unless the task says `keep_clone`.

    Bundles and artifacts hold what the work amounts to; an environment that a setup command made
    may be large, and the worker's folder is kept for weeks.
    """
    if option(worker, "keep_clone") is True:
        return
    for name in _OWN_FOLDERS:
        shutil.rmtree(worker.dir / name, ignore_errors=True)


def resolve(clone: Clone, name: str, *, kept: bool = True) -> str | None:
    """The commit that a name means in the clone, or in a source on this machine; None for none.

    With `kept`, the branches count too that earlier work left in the mirror.
    """
    found = clone.git.commit_of(f"refs/remotes/origin/{name}") or clone.git.commit_of(name)
    if found is None and clone.source_path is not None:
        # Its objects are shared, so that a commit which no branch leads to is here as well.
        found = clone.git.at(clone.source_path).commit_of(name)
    if found is None and kept and clone.mirror is not None and name.startswith(OWN):
        found = clone.git.at(clone.mirror).commit_of(f"refs/{name}")
        if found is not None:
            refspec = f"+refs/{name}:refs/kept/start"
            clone.git.text("fetch", "--quiet", "--no-tags", str(clone.mirror), refspec)
    return found


def _local(git: Git, repository: str) -> Path:
    if not repository:
        raise CloneError("the scope names no repository; set scope.repository to a path or a URL")
    if _ANY_SCHEME.match(repository):
        shown = without_credentials(repository)
        if is_url("".join(repository.split())):
            raise CloneError(f"scope.repository {shown!r} has a space in it; write it as %20")
        raise CloneError(
            f"scope.repository {shown!r} is of no kind that is cloned; give a path, or a URL with "
            "file, http, https or ssh"
        )
    path = Path(repository)
    if not path.is_absolute():
        raise CloneError(f"scope.repository {repository!r} is not absolute; write its full path")
    try:
        path = path.resolve(strict=True)
        with os.scandir(path):
            pass
    except OSError as problem:
        raise CloneError(
            f"the repository {repository} cannot be read: {problem.strerror}; correct "
            "scope.repository or its permissions"
        ) from None
    return _repository_root(git.at(path), path)


def _repository_root(git: Git, path: Path) -> Path:
    outcome = git.run("rev-parse", "--is-bare-repository", "--show-prefix")
    said = outcome.stdout.decode("utf-8", "surrogateescape").splitlines()
    if outcome.returncode != 0 or not said:
        raise NotRunError(
            f"{path} is no git repository, and this work is done in a clone",
            ["a git repository: `git init`, `git add` and `git commit` make one of a folder"],
        )
    prefix = said[1].rstrip("/") if len(said) > 1 else ""
    if said[0] == "false" and prefix:
        top = git.text("rev-parse", "--show-toplevel")
        raise CloneError(
            f"{path} is a folder inside the repository {top}; set scope.repository to {top} and "
            f"scope.paths to [{prefix!r}]"
        )
    return path


def _branches(inside: Git, source: Git | None) -> tuple[str | None, str | None]:
    """(the source's branch, its default branch), each None where it cannot be told."""
    head = inside.run("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    branch = head.stdout.decode("utf-8", "replace").strip().removeprefix("origin/") or None
    known = {
        name.removeprefix("origin/")
        for name in inside.text(
            "for-each-ref", "--format=%(refname:lstrip=2)", "refs/remotes/origin"
        ).splitlines()
    }
    known.discard("HEAD")
    default = next((name for name in _DEFAULT_BRANCHES if name in known), None)
    if source is None:
        return branch, branch or default  # a server's HEAD is its default branch
    upstream = source.run("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    named = upstream.stdout.decode("utf-8", "replace").strip().removeprefix("origin/")
    if named in known:
        return branch, named
    return branch, default or branch


def _start(clone: Clone, ref: str | None) -> str:
    if ref:
        found = resolve(clone, ref)
        if found is None:
            raise CloneError(f"{clone.source} has no branch, tag or commit {ref!r}; correct it")
        return found
    found = clone.git.commit_of("HEAD")
    if found is None and clone.branch:
        found = clone.git.commit_of(f"refs/remotes/origin/{clone.branch}")
    if found is None and clone.default_branch:
        # A bare repository whose HEAD names a branch that nobody ever pushed.
        found = clone.git.commit_of(f"refs/remotes/origin/{clone.default_branch}")
        said = f"HEAD of {clone.source} leads to no branch: this is its {clone.default_branch}"
        clone.notes += [said] if found else []
    if found is not None:
        return found
    if clone.git.text("for-each-ref", "--count=1", "refs/remotes/origin"):
        said = f"HEAD of {clone.source} leads to no branch"
        raise NotRunError(said, ["scope.ref: the branch to start from"])
    raise NotRunError(f"{clone.source} has no commit yet", ["a first commit"])


def _notes(clone: Clone) -> list[str]:
    notes = []
    if (clone.root / ".gitmodules").is_file():
        notes.append("submodules are not cloned")
    attributes = clone.root / ".gitattributes"
    is_own = attributes.is_file() and not attributes.is_symlink()
    if is_own and b"filter=" in attributes.read_bytes()[:100_000]:
        notes.append("filters (such as Git LFS) are off: such files hold their pointers")
    changed = _uncommitted(clone)
    if changed:
        noun = "file" if changed == 1 else "files"
        notes.append(f"{changed} uncommitted {noun} of {clone.source} are not part of this")
    return notes


def _uncommitted(clone: Clone) -> int:
    """How many files of a local source differ from its HEAD; its filters are not run for it."""
    if clone.source_path is None:
        return 0
    source = clone.git.at(clone.source_path)
    listed = source.run("config", "--null", "--name-only", "--get-regexp", r"^filter\.")
    keys = {key for key in os.fsdecode(listed.stdout).split("\0") if key}
    off = {key: "false" if key.endswith(".required") else "" for key in keys}
    off["core.fsmonitor"] = "false"
    # Not by `-c`, which takes what follows the first `=` of a filter's name for its value.
    settings = {"GIT_CONFIG_COUNT": str(len(off))}
    for number, (key, value) in enumerate(off.items()):
        settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    outcome = source.with_environment(**settings).run(
        "status", "--porcelain=v1", "-z", "--ignore-submodules=all", "--untracked-files=normal"
    )
    if outcome.problem or outcome.returncode != 0:
        return 0  # bare
    return sum(1 for entry in outcome.stdout.split(b"\0") if entry[2:3] == b" ")
