"""Where the locks and claims of a home lie: the folder is chosen, kept in use, and cleared away.

A folder says in a file `home` whose it is; a daemon holds a lock on that file for as long as it
runs, and live workers hold their own locks below. Nobody else's folder is ever touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cortex.model.failpoints import failpoint
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings

__all__ = ["clear_abandoned", "is_anothers", "runtime_dir_in_use"]

RECORD = "runtime-dir"
MARK = "home"
_NAME = re.compile(r"home-[0-9a-f]{16}")
_SYSTEM = Path("/run/cortexd")


@contextmanager
def runtime_dir_in_use(paths: HomePaths, settings: Settings) -> Iterator[str]:
    """This home's folder, made where it is missing, and kept from being cleared while this is open.

    A tmpfs that outlives the daemon, or `.state/attempts`. The folder's name is random and recorded
    in the home, so that a folder which was lost and made again cannot be taken for the old one.
    """
    while True:
        folder = _chosen(paths, settings)
        if folder is None:
            yield str(paths.attempts)
            return
        with _marked(folder, paths.root) as is_there:
            if is_there:
                yield str(folder)
                return


def clear_abandoned(used: str) -> list[str]:
    """Removes runtime folders beside `used` whose homes are gone or have another one by now; the
    folders that it removed. One that a daemon or a worker may still use stays.
    """
    base = Path(used).parent
    if not _NAME.fullmatch(Path(used).name):
        return []  # the locks lie in the home
    cleared = []
    for root in {base, _SYSTEM} if base.is_relative_to(_SYSTEM) else {base}:
        for folder in _folders(root):
            if str(folder) != used and _NAME.fullmatch(folder.name) and _is_ours(folder):
                with contextlib.suppress(OSError):
                    cleared += [str(folder)] if _clear(folder) else []
    return cleared


def is_anothers(runtime_dir: str, home: Path) -> bool:
    """Whether locks lie in the folder of another home that is there: then this one is its copy.

    What ran when the copy was made runs for that other home, and is none of the copy's business.
    """
    folder = Path(runtime_dir)
    owner: Path | None = None
    if folder.name == "attempts" and folder.parent.name == ".state":
        owner = folder.parent.parent
    with contextlib.suppress(OSError):
        owner = Path((folder / MARK).read_text(encoding="utf-8").rstrip("\n") or home)
    try:
        return owner is not None and not owner.samefile(home)
    except OSError:
        return False  # that home is gone: this one was moved


def _folders(root: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in ("home-*", "*/home-*"):
        with contextlib.suppress(OSError):  # another daemon clears away at this very moment
            found += root.glob(pattern)
    return found


def _chosen(paths: HomePaths, settings: Settings) -> Path | None:
    """The recorded folder as long as it is there, else a new one; None: the locks lie in the home.

    With `auto` the recorded one counts wherever it lies: a home that systemd serves from now on
    keeps the workers that were started by hand.
    """
    chosen = settings.daemon.runtime_dir
    base = _system_base() if chosen == "auto" else None if chosen == "home" else Path(chosen)
    record = paths.state / RECORD
    if chosen != "home":
        with contextlib.suppress(OSError):
            known = Path(record.read_text(encoding="utf-8").strip())
            fits = chosen == "auto" or known.parent == base
            known_by_us = not is_anothers(str(known), paths.root)
            if fits and _NAME.fullmatch(known.name) and _is_ours(known) and known_by_us:
                return known
    if base is None:
        return None
    folder = base / f"home-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError:
        return None
    failpoint("opening.runtime_dir_made")
    record.write_text(f"{folder}\n", encoding="utf-8")
    return folder


def _system_base() -> Path | None:
    """systemd's runtime folder for this unit, or /run for root; None: use the home."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0 and os.access("/run", os.W_OK) and os.statvfs("/run").f_bavail > 0:
        return _SYSTEM
    return None


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and not folder.is_symlink() and status.st_uid == os.geteuid()


@contextmanager
def _marked(folder: Path, home: Path) -> Iterator[bool]:
    """Says whose the folder is, and holds its mark; False: it was cleared away meanwhile."""
    mark = folder / MARK
    try:
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            is_there = mark.stat().st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            is_there = False
        if is_there and not os.path.lexists(_home_of(descriptor) or ""):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, os.fsencode(f"{home}\n"), 0)
        yield is_there
    finally:
        os.close(descriptor)


def _home_of(descriptor: int) -> str | None:
    """The home that a mark names; None while it is empty."""
    return os.fsdecode(os.pread(descriptor, 8192, 0)).rstrip("\n") or None


def _clear(folder: Path) -> bool:
    """Removes it, unless its home still has it, or somebody holds a lock in it. OSError."""
    with ExitStack() as held:
        mark = _hold(folder / MARK, held)
        home = None if mark is None else _home_of(mark)
        if home is None or not _is_gone(Path(home), folder):
            return False
        for lock in folder.glob("*/lock"):
            if _hold(lock, held) is None:
                return False
        # All locks are held until it is gone. A shim that comes late finds no lock and ends.
        shutil.rmtree(folder)
    return True


def _is_gone(home: Path, folder: Path) -> bool:
    """Whether the home is no longer there, or has recorded another folder."""
    if not os.path.lexists(home):
        return True
    try:
        recorded = (home / ".state" / RECORD).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return not os.path.lexists(home / "cortex.toml") and not os.path.lexists(home / ".state")
    return recorded != str(folder)


def _hold(path: Path, held: ExitStack) -> int | None:
    """A lock on the file that nobody shares; None where somebody has one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return descriptor
