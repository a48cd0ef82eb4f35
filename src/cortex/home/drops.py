"""What became of a dropped file, where no task came of it: refused, or not taken yet."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cortex.home.documents import read_json
from cortex.model.paths import DOCUMENT_NAMES
from cortex.model.times import format_time

if TYPE_CHECKING:
    from cortex.home.client import Home

__all__ = ["Dropped", "find_drop"]

_LONG_S = 3.0


@dataclass(frozen=True, slots=True)
class Dropped:
    """Where a dropped file lies (inside the home), since when, why, and what to do about it."""

    status: str
    lies: str
    reason: str
    since: str | None
    freed_by: tuple[str, ...]


def find_drop(home: Home, name: str) -> Dropped | None:
    """The drop of that file name in rejected/ or the inbox; None if there is none."""
    if not name or "/" in name or name.startswith("."):
        return None
    paths = home.paths
    error = read_json(paths.rejected / f"{name}.error.json")
    if error is not None:
        return _refused(name, error)
    for path in (paths.inbox / name, *paths.intake.glob(f"*-{_escaped(name)}")):
        if path.is_file():
            return _waiting(home, path)
    return None


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)


def _refused(name: str, error: dict[str, object]) -> Dropped:
    place = [f"{key} {error[key]}" for key in ("field", "line") if error.get(key)]
    where = f" ({', '.join(place)})" if place else ""
    at = error.get("at")
    again = f"then: cp coordination/rejected/{name} coordination/inbox/"
    if _is_edit(error):
        again = f"then: make the change again in coordination/{error['file']}"
    hint = error.get("hint") or "correct the file and drop it again"
    return Dropped(
        "rejected",
        f"coordination/rejected/{name}",
        f"{error.get('reason')}{where}",
        at if isinstance(at, str) else None,
        (str(hint), again),
    )


def _is_edit(error: dict[str, object]) -> bool:
    """Whether the reason is of a published file that somebody edited in place. A drop may have the
    name of one too, but its receipt has a number before that."""
    file = error.get("file")
    return file in DOCUMENT_NAMES and str(error.get("receipt")).startswith(f"{file}.")


def _waiting(home: Home, path: Path) -> Dropped:
    lies = str(path.relative_to(home.root))
    since_s = path.stat().st_mtime
    if not home.daemon().running:
        reason, way = "no daemon runs", f"starting one: cortexd --home {home.root}"
    elif time.time() - since_s < _LONG_S:
        reason, way = "it was dropped just now", "a moment"
    else:
        reason = "somebody still writes it, or the daemon cannot take it now"
        way = "whoever writes it closing it; the daemon's log and `cortex doctor` tell more"
    return Dropped("pending", lies, reason, format_time(since_s), (way,))
