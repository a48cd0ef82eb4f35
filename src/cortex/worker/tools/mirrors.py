"""Mirrors: a bare repository of the home for each repository that workers use.

That of a URL holds all of its branches and tags and is brought up to date before a worker clones
from it; that of a path only borrows the objects of its source. Both keep the branches that workers
handed over. No credential is ever written into one, and no object that a clone may still need is
removed from one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex.model.branches import KEPT_REFS, mirror_name, without_credentials
from cortex.worker.tools.git import Git, GitError

__all__ = [
    "MirrorBusyError",
    "MirrorOrder",
    "borrowing_mirror",
    "hold",
    "suspect",
    "updated_mirror",
]

_CONFIG = """\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	fsync = all
	packedGitWindowSize = 64m
	packedGitLimit = 1g
[gc]
	auto = 0
"""
_STAMP = "cortex.json"
#: There while git may be writing; still there afterwards where it was killed in the middle.
_WRITING = "cortex-writing"
_QUIETLY = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_CHECK_LIMIT_S = 120.0
_REPACK_LIMIT_S = 600.0
_PACKS_AT_MOST = 50
_LOCK_LOOK_S = 0.05
#: A worker's request is told in whole seconds: a second later is after it for certain.
_SECOND_S = 1.0
_DAMAGE = re.compile(
    r"not a git repository|corrupt|bad object|bad tree|bad ref|missing (blob|tree|commit|object)|"
    r"unable to read|does not match|inflate|packfile|pack has|unresolved delta|File exists|"
    r"index-pack failed|did not send all|object file .* is empty",
    re.IGNORECASE,
)
_held: list[int] = []


class MirrorBusyError(Exception):
    """Somebody else has been writing into the mirror for the whole time that was given."""


@dataclass(frozen=True, slots=True)
class MirrorOrder:
    """Where mirrors lie; `since`: a mirror that was fetched at or after it is fresh enough."""

    folder: Path
    since_s: float


def updated_mirror(git: Git, address: str, order: MirrorOrder, limit_s: float) -> tuple[Path, str]:
    """The up-to-date mirror of a URL, held against removal by this process, and a note or "".

    Of many workers that ask at once one fetches. Raises GitError where the source cannot be
    fetched, MirrorBusyError where that took somebody else the whole of `limit_s`, OSError.
    """
    end_s = time.monotonic() + limit_s
    path = order.folder / mirror_name(address)
    with _lock(path.with_suffix(".lock"), limit_s):
        note = _recover(git, path)
        if note or not path.is_dir():
            _make_anew(git, path, address, end_s)
        elif not _is_fresh(path, order.since_s):
            note = _update(git, path, address, end_s)
        _repack(git.at(path), path)
        hold(path)
    return path, note


def borrowing_mirror(git: Git, source: Path, folder: Path) -> Path:
    """The mirror of a repository on this machine, made where there is none: it has no objects but
    what workers committed, and looks up the rest in the source. To be called under its lock.
    """
    path = folder / mirror_name(str(source))
    objects = git.at(source).text("rev-parse", "--path-format=absolute", "--git-path", "objects")
    if _recover(git, path) or not path.is_dir():
        made = _begin(git, path)
        _write(made / "objects" / "info" / "alternates", f"{objects}\n")
        _write_stamp(made, str(source), 0.0)
        _put(git, made, path)
    return path


@contextlib.contextmanager
def writing(git: Git, source: str, folder: Path, limit_s: float) -> Iterator[Path]:
    """The mirror of a source, URL or path, for a branch to be put in; nobody else writes meanwhile.

    Raises MirrorBusyError, GitError, OSError; FileNotFoundError where a URL's mirror is gone.
    """
    path = folder / mirror_name(source)
    with _lock(path.with_suffix(".lock"), limit_s):
        if "://" not in source and Path(source).is_absolute():
            borrowing_mirror(git, Path(source), folder)
        elif _recover(git, path) or not path.is_dir():
            raise FileNotFoundError(f"the mirror {path.name} is gone or damaged")
        with _marked(path):
            yield path


def hold(path: Path) -> None:
    """Keeps a mirror from being repacked or removed for as long as this process lives."""
    handle = os.open(path.with_suffix(".use"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(handle, fcntl.LOCK_SH)
    os.utime(handle)
    _held.append(handle)


def suspect(path: Path) -> None:
    """Lets the next user of a mirror check it whole, because something in it could not be read."""
    with contextlib.suppress(OSError):
        _write(path / _WRITING, "")


# --- fetching


def _is_fresh(path: Path, since_s: float) -> bool:
    try:
        began_s = json.loads((path / _STAMP).read_bytes())["began_s"]
        # One of the future was written before the clock was set back.
        return since_s <= float(began_s) <= time.time()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _update(git: Git, path: Path, address: str, end_s: float) -> str:
    """Fetch what is new; a mirror that turns out to be damaged is made anew. A note or ""."""
    try:
        with _marked(path):
            _fetch(git.at(path), path, address, end_s)
    except GitError as problem:
        if not _DAMAGE.search(str(problem)) or _is_whole(git.at(path)):
            raise
        _make_anew(git, path, address, end_s)
        return f"the mirror was damaged ({problem}) and is made anew"
    return ""


def _fetch(git: Git, path: Path, address: str, end_s: float) -> None:
    began_s = time.time()
    told = git.text("ls-remote", "--symref", "--", address, "HEAD", limit_s=_left_s(end_s))
    refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    branch = commit = None
    for line in told.splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            branch = value.removeprefix("ref: ")
        elif name == "HEAD":
            commit = value
    if commit is not None and branch is None:
        refs.append("+HEAD:refs/source/HEAD")
    git.text("fetch", *_QUIETLY, "--prune", "--", address, *refs, limit_s=_left_s(end_s))
    if branch is not None and git.run("check-ref-format", branch).returncode == 0:
        git.text("symbolic-ref", "HEAD", branch)
    elif commit is not None:
        git.text("update-ref", "--no-deref", "HEAD", "refs/source/HEAD")
    _write_stamp(path, address, began_s)


def _left_s(end_s: float) -> float:
    return max(1.0, end_s - time.monotonic())


def _repack(git: Git, path: Path) -> None:
    """Many packs become one where no clone lives; what nobody refers to is kept all the same."""
    if sum(1 for _ in (path / "objects" / "pack").glob("*.pack")) <= _PACKS_AT_MOST:
        return
    handle = os.open(path.with_suffix(".use"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with _marked(path):
            git.run("repack", "-a", "-d", "-k", "-l", "--quiet", limit_s=_REPACK_LIMIT_S)
    except BlockingIOError:
        return
    finally:
        os.close(handle)


# --- making one, and finding damage


def _make_anew(git: Git, path: Path, address: str, end_s: float) -> None:
    made = _begin(git, path)
    _fetch(git.at(made), made, address, end_s)
    _put(git, made, path)


def _begin(git: Git, path: Path) -> Path:
    """A new empty repository beside the mirror's place; one that a crash left there goes, for the
    branches that were put into it are in the mirror still, or in the one set aside.
    """
    made = path.with_name(f".{path.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    git.text("init", "--quiet", "--bare", "--template=", "--", str(made))
    (made / "objects" / "info").mkdir(exist_ok=True)
    _write(made / "config", _CONFIG)
    return made


def _put(git: Git, made: Path, path: Path) -> None:
    """Put a new mirror in its place, with the workers' branches that an old one still has. Whoever
    is killed between the two renames leaves none there, and the old one aside.
    """
    aside = path.with_name(f".{path.name}.damaged")
    if path.is_dir():
        _take_kept(git, path, made)
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    elif aside.is_dir():
        _take_kept(git, aside, made)
    made.rename(path)


def _take_kept(git: Git, old: Path, made: Path) -> None:
    kept = git.at(old).run("for-each-ref", "--format=%(refname)", KEPT_REFS)
    for ref in kept.stdout.decode("utf-8", "replace").split():
        git.at(made).run("fetch", *_QUIETLY, "--", str(old), f"+{ref}:{ref}")


def _recover(git: Git, path: Path) -> str:
    """Make a mirror fit for use: settings as they were written, leavings of a crash removed.

    A note where it is damaged and must be made anew, else "".
    """
    if not path.is_dir():
        return ""
    with contextlib.suppress(OSError):
        if (path / "config").read_text("utf-8") != _CONFIG:
            (path / "config").unlink()
    if not (path / "config").is_file():
        # Whoever could write here could name programs for git to run.
        _write(path / "config", _CONFIG)
    if not (path / "HEAD").is_file():
        # Without it git sees no repository here, and not the branches that are still in it.
        (path / "refs").mkdir(exist_ok=True)
        _write(path / "HEAD", "ref: refs/heads/main\n")
    elif not (path / _WRITING).exists():
        return ""
    for left in [
        *path.rglob("*.lock"),
        *path.glob("objects/pack/tmp_*"),
        *path.glob("objects/*/tmp_*"),
    ]:
        with contextlib.suppress(OSError):
            left.unlink()
    if not _is_whole(git.at(path)):
        return "the mirror was damaged and is made anew"
    with contextlib.suppress(OSError):
        (path / _WRITING).unlink()
    return ""


def _is_whole(git: Git) -> bool:
    """Whether everything that a ref leads to is there. One too large to be looked through in two
    minutes counts as whole: git itself leaves nothing half-written.
    """
    if git.run("rev-parse", "--is-bare-repository").stdout.strip() != b"true":
        return False
    outcome = git.run(
        "fsck", "--connectivity-only", "--no-dangling", "--no-progress", limit_s=_CHECK_LIMIT_S
    )
    return bool(outcome.problem) or outcome.returncode == 0


@contextlib.contextmanager
def _marked(path: Path) -> Iterator[None]:
    """Marks a mirror as being written to. What git refuses leaves it whole; a git that was cut off
    at its limit, or this process killed, leaves the mark for the next one to see.
    """
    mark = path / _WRITING
    _write(mark, "")
    try:
        yield
    except GitError as problem:
        if "stopped at its limit" not in str(problem):
            mark.unlink(missing_ok=True)
        raise
    mark.unlink(missing_ok=True)


# --- locks and small files


@contextlib.contextmanager
def _lock(path: Path, limit_s: float) -> Iterator[None]:
    """The one writer of a mirror. Raises MirrorBusyError after `limit_s`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + limit_s
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:  # else it was removed together with its mirror
                break
        except BlockingIOError:
            pass
        os.close(handle)
        if time.monotonic() > end_s:
            raise MirrorBusyError(
                f"another worker has been fetching into {path.stem} for {limit_s:.0f} s"
            )
        time.sleep(_LOCK_LOOK_S)
    try:
        os.utime(handle)
        yield
    finally:
        os.close(handle)


def _write_stamp(path: Path, address: str, began_s: float) -> None:
    told = {"address": without_credentials(address), "began_s": round(began_s, 3)}
    _write(path / _STAMP, json.dumps(told) + "\n")


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
