"""How the daemon of a home is: what it says of itself, and what can be seen without it.

A daemon that stands still cannot say so; its process, its disk and the inbox can. Nothing is
written and nothing is waited for.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.home.documents import Row
from cortex.home.liveness import Daemon
from cortex.model.errors import HomeError
from cortex.model.paths import HomePaths
from cortex.model.times import format_time, parse_time

if TYPE_CHECKING:
    from cortex.home.client import Home

__all__ = ["Health", "daemon_head", "health_of"]

#: A file that lies in the inbox, or a line that is not published, for so long is told of.
PATIENCE_S = 30.0
_HEAD_BYTES = 16 * 1024
_DROPS = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Health:
    """`conditions` are the daemon's own, as in task-queue.json; `seen` are sentences about what
    was seen from outside. `status` is running, degraded, stopped, or unknown before the first one.
    """

    daemon: Daemon
    head: Row
    conditions: list[Row] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """One word."""
        if not self.daemon.running:
            return "stopped" if self.head else "unknown"
        return "degraded" if self.seen or self.degrading else "running"

    @property
    def degrading(self) -> list[Row]:
        """The conditions that make it degraded, the gravest first."""
        return [row for row in self.conditions if row.get("degrading")]

    @property
    def is_well(self) -> bool:
        """Whether a daemon runs, and nothing that is due stands still."""
        return self.status == "running"

    @property
    def cause(self) -> str | None:
        """The gravest thing that is wrong."""
        if not self.daemon.running:
            return "no daemon runs"
        return next((str(row.get("cause")) for row in self.degrading), None) or next(
            iter(self.seen), None
        )


def health_of(home: Home) -> Health:
    """The health of a home's daemon now. HomeError where task-queue.json cannot be read."""
    daemon, head = home.daemon(), daemon_head(home)
    conditions = head.get("conditions") if daemon.running else None
    rows = [row for row in conditions or [] if isinstance(row, dict)]
    return Health(daemon, head, rows, _seen(home.paths, daemon) if daemon.running else [])


def daemon_head(home: Home) -> Row:
    """What the daemon says of itself at the top of task-queue.json; {} before the first one.

    Only the first bytes are read: the head stands before the rows, of which there may be many.
    """
    try:
        with home.paths.task_queue.open("rb") as file:
            text = file.read(_HEAD_BYTES).decode("utf-8", "replace")
        value, _ = json.JSONDecoder().raw_decode(text, text.index('"daemon":') + len('"daemon": '))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HomeError(f"{home.paths.task_queue} cannot be read: {error.strerror}") from None
    except ValueError:
        value = home.queue().get("daemon")  # edited by hand, or a very long head
    return value if isinstance(value, dict) else {}


def _seen(paths: HomePaths, daemon: Daemon) -> list[str]:
    found = [_process(daemon.pid), _disk(paths), _publication(paths), _inbox(paths.inbox)]
    return [text for text in found if text is not None]


def _process(pid: int | None) -> str | None:
    """A daemon that somebody has stopped, or that waits for a disk for long, says nothing."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
    return f"its process {pid} is stopped (state {state})" if state in "Tt" else None


def _disk(paths: HomePaths) -> str | None:
    try:
        volume = os.statvfs(paths.journal)
    except OSError as error:
        return f"{paths.journal} cannot be looked at: {error.strerror}"
    if volume.f_flag & os.ST_RDONLY:
        return f"the file system of {paths.root} is read-only"
    return f"the disk of {paths.root} is full" if volume.f_bavail == 0 else None


def _publication(paths: HomePaths) -> str | None:
    """Lines of the journal that no published file shows yet."""
    from cortex.home.journal import last_lines

    lines = last_lines(paths.journal, 1)
    if not lines or time.time() - parse_time(lines[0].at) < PATIENCE_S:
        return None
    published = _seq(paths.task_queue)
    if published is None or published >= lines[0].seq:
        return None
    since = format_time(parse_time(lines[0].at))
    return f"the published files are at line {published}, the journal at {lines[0].seq} ({since})"


def _seq(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            text = file.read(_HEAD_BYTES).decode("utf-8", "replace")
        value: Any = json.JSONDecoder().raw_decode(text, text.index('"journal_seq": ') + 15)[0]
    except (OSError, ValueError):
        return None
    return value if isinstance(value, int) else None


def _inbox(folder: Path) -> str | None:
    """Files that have lain there for long, unclaimed."""
    now, old = time.time(), []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(_DROPS) and entry.name[0] not in ".#":
                    since = entry.stat(follow_symlinks=False).st_ctime
                    old += [entry.name] if now - since > PATIENCE_S else []
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    if not old:
        return None
    more = f" and {len(old) - 1} more" if len(old) > 1 else ""
    return f"inbox/{min(old)}{more} has lain there for over {PATIENCE_S:.0f} s, unclaimed"
