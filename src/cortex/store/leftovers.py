"""What lies in a home that should not: refused files without reasons, drafts, a wrong index.

Read-only. The journal, the books and the published files are `store.history`'s.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from cortex.model.paths import HomePaths
from cortex.model.state import LIVE, State
from cortex.store.history import Checked
from cortex.store.rejecting import ERROR_ENDING

__all__ = ["check_archive", "check_leftovers", "check_rejected", "leftovers_of"]

_ASIDE = "`cortex fsck --repair` moves it aside."
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
Place = tuple[str, int, int, int]


def check_rejected(paths: HomePaths, checked: Checked) -> int:
    """Every refused file lies beside its reason; how many there are."""
    names = _names(paths.rejected)
    files = {name for name in names if not name.startswith(".") and not _is_reason(name)}
    for name in sorted(files):
        if name + ERROR_ENDING not in names:
            checked.say(
                str(paths.rejected / name),
                "was refused, and the file with the reason beside it is gone",
                "`cortex fsck --repair` writes the reason again, as the journal has it.",
                repair="reason",
            )
    for name in sorted(filter(_is_reason, names)):
        if name.removesuffix(ERROR_ENDING) not in files:
            what = "tells why a file was refused that somebody took away since"
            checked.say(str(paths.rejected / name), what, "Delete it when you like.", note=True)
    return len(files)


def _is_reason(name: str) -> bool:
    return name.endswith(ERROR_ENDING) and not name.startswith(".")


def check_leftovers(paths: HomePaths, state: State, checked: Checked, *, serving: bool) -> None:
    """Missing folders, and files that a crash left behind."""
    lived = state.seq > 0 or checked.damaged
    for folder in _folders(paths) if lived else (paths.inbox,):
        if not folder.is_dir():
            what = "this folder is missing; a daemon makes it again"
            remedy = "So does `cortex fsck --repair`."
            checked.say(str(folder), what, remedy, repair="folders", note=True)
    if serving:
        return
    # Without the whole journal nobody can say which attempts are over.
    for path, what in leftovers_of(paths, None if checked.damaged else state):
        checked.say(str(path), what, _ASIDE, repair="aside", note=True)
    for name in sorted(_names(paths.intake)):
        if not name.startswith("."):
            what = "was claimed by a daemon that died; the next one takes it up"
            checked.say(str(paths.intake / name), what, note=True)


def _folders(paths: HomePaths) -> tuple[Path, ...]:
    return (paths.inbox, paths.rejected, paths.journal, paths.archive, paths.out, paths.attempts,
            paths.worker_specs, paths.worker_logs, paths.task_logs)  # fmt: skip


def leftovers_of(paths: HomePaths, state: State | None) -> Iterator[tuple[Path, str]]:
    """(path, what it is) of every file that nobody needs any more; without a daemon only.

    `state` None: it is not known, so that only drafts and torn ends are named.
    """
    for name in (f".{paths.checkpoint.name}.tmp", f".{paths.checkpoint.name}.old", ".pid.tmp"):
        if (paths.state / name).exists():
            yield paths.state / name, "a draft that a crash left behind"
    for name in sorted(_names(paths.out)):
        if name.startswith("."):
            yield paths.out / name, "a draft that a crash left behind"
    for name in sorted(_names(paths.journal)):
        if ".jsonl.torn" in name:
            yield paths.journal / name, "a torn end of the journal, set aside when it was cut off"
    if state is None:
        return
    for name in sorted(_names(paths.attempts)):
        if _is_over(state, name):
            yield paths.attempts / name, "an attempt's folder; the attempt is over and cleaned up"
    for name in sorted(_names(paths.worker_specs)):
        if name.endswith(".json") and _is_over(state, name.removesuffix(".json")):
            yield paths.worker_specs / name, "a spec whose worker is over"


def _is_over(state: State, worker_id: str) -> bool:
    worker = state.workers.get(worker_id)
    if worker is None:
        return True  # archived, or of no line at all
    return worker.status not in LIVE and worker.cleaned_up_at is not None


def check_archive(paths: HomePaths, checked: Checked) -> int:
    """Archive files, their index, and what the journal says has gone there; how many rows."""
    try:
        indexed, sizes = _index(paths.archive_index)
    except sqlite3.Error as error:
        indexed, sizes = {}, None
        _say_index(paths, checked, f"cannot be read: {error}")
    places: dict[tuple[str, str], Place] = {}
    in_index: dict[tuple[str, str], Place] = {}
    for path in sorted(paths.archive.glob("*.jsonl")):
        covered = (sizes or {}).get(path.stem, 0)
        for key, place in _entries(path, checked):
            places[key] = place
            if place[1] + place[2] <= covered:
                in_index[key] = place
    if sizes is not None and in_index != indexed:
        wrong = sum(indexed.get(key) != place for key, place in in_index.items())
        wrong += sum(key not in in_index for key in indexed)
        _say_index(paths, checked, f"{wrong} of its places are not what the archive's files say")
    ids = {ident for _, ident in places}
    for ident, seq in checked.archived.items():
        if ident not in ids:
            what = f"{ident} left the published files at journal line {seq} and is not in here"
            remedy = "Put the file back from a backup. `cortex replay` shows its row before then."
            checked.say(str(paths.archive), what, remedy)
    return len(places)


def _say_index(paths: HomePaths, checked: Checked, what: str) -> None:
    remedy = "It is derived: `cortex fsck --repair` makes it again."
    checked.say(str(paths.archive_index), what, remedy, repair="index")


def _index(path: Path) -> tuple[dict[tuple[str, str], Place], dict[str, int] | None]:
    """(where it says each row lies, how much of each day it covers); None: there is no index."""
    if not path.exists():
        return {}, None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        sizes = dict(db.execute("SELECT day, size FROM indexed").fetchall())
        rows = db.execute("SELECT kind, id, day, offset, length, crc FROM entry").fetchall()
    return {(kind, ident): tuple(place) for kind, ident, *place in rows}, sizes


def _entries(path: Path, checked: Checked) -> Iterator[tuple[tuple[str, str], Place]]:
    if not _DAY.fullmatch(path.stem):
        return
    offset = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        entry = _entry(line)
        if entry is not None:
            place = (path.stem, offset, len(line), zlib.crc32(line))
            yield (str(entry["kind"]), str(entry["id"])), place
        elif line.endswith(b"\n"):
            what = "this line of the archive is not one row of JSON; it is passed over"
            checked.say(f"{path}:{number}", what, "Put the file back from a backup.")
        offset += len(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"kind", "id", "row"} <= entry.keys() else None


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()
