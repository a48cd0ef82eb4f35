"""`cortex logs`: what a worker printed, safe to show and as it comes."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.options import HomeOption, open_home
from cortex.cli.terminal import clean, colours, note, paint
from cortex.cli.verbs import complete_tasks
from cortex.home.documents import open_plain
from cortex.model.errors import HomeError
from cortex.model.times import parse_time

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["EXAMPLES", "logs"]

EXAMPLES = """
  cortex logs worker-scan-001       its log.md
  cortex logs task-010              of all its workers, the last attempts
  cortex logs -f task-010           and what they still print
  cortex logs task-010 --tail 50
"""

#: Cleaned and written together: a long log through a pipe is else one system call a line.
_LINES_AT_ONCE = 2000


def logs(
    ident: Annotated[
        str, typer.Argument(metavar="ID", help="A worker or task.", autocompletion=complete_tasks)
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it has ended.")
    ] = False,
    tail: Annotated[
        int | None,
        typer.Option("--tail", "-n", metavar="N", min=0, help="So many of the last lines each."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-A", help="Earlier attempts of a task's steps too.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Show what workers printed.

    Control characters are written out, so that no worker can take over your terminal.
    """
    place = open_home(home)
    workers = _workers(place, ident, everything)
    shown = [_Log(place, worker) for worker in workers]
    for log in shown:
        _print(log, log.read(tail), heads=len(shown) > 1)
    if not follow:
        if not any(log.seen for log in shown):
            note(_why_nothing(place, ident, shown))
        return
    _follow(place, ident, everything, shown)


def _why_nothing(home: Home, ident: str, shown: list[_Log]) -> str:
    """Why there is nothing to show."""
    found = home.lookup(ident)
    row = found.row if found is not None else {}
    if not any(log.has_started for log in shown):
        reasons = [log.error for log in shown] + [
            row.get(name) for name in ("blocked_on", "waiting_for", "reason", "error", "summary")
        ]
        reason = next((str(text) for text in reasons if text), f"it is {row.get('status')}")
        return f"no attempt of {ident} has started: {reason}"
    gone = next((log for log in shown if log.is_gone), None)
    if gone is None:
        return f"{ident} has printed nothing yet"
    if gone.ended_s < _kept_since_s(home):
        return f"{ident}: its log is gone; logs are removed after retention.retention_days"
    lies = gone.path.parent if gone.path else home.paths.worker_logs
    what = "log.md is" if lies.is_dir() else "folder is"
    return f"{ident}: its {what} gone: somebody removed it from {lies}"


def _kept_since_s(home: Home) -> float:
    """Logs from before this moment (seconds since 1970) are removed by the daemon itself."""
    from cortex.model.errors import SettingsError
    from cortex.model.settings import load_settings

    try:
        days = load_settings(home.paths.settings).retention.retention_days
    except SettingsError:
        return time.time()
    return time.time() - days * 86_400


class _Log:
    """One worker's log file and how far it was shown."""

    def __init__(self, home: Home, worker: dict[str, Any]) -> None:
        self.worker_id = str(worker.get("worker_id"))
        self.path = _log_path(home, worker)
        ended = worker.get("completed_at") or worker.get("failed_at")
        self._ended = bool(ended)
        self.ended_s = parse_time(ended) if isinstance(ended, str) else time.time()
        self.error = worker.get("error") or worker.get("waiting_for")
        self.has_started = bool(worker.get("spawned_at")) or self._has_file()
        self._offset = 0
        self.seen = False

    def _has_file(self) -> bool:
        return self.path is not None and self.path.is_file() and not self.path.is_symlink()

    @property
    def is_gone(self) -> bool:
        """Whether there is no file any more, though the worker has ended."""
        return self._ended and not self._has_file()

    def read(self, tail: int | None = None) -> Iterator[str]:
        """The lines that have come since, or the last few of them."""
        if self.path is None:
            return
        try:
            with open_plain(self.path) as file:
                file.seek(self._offset)
                lines = io.TextIOWrapper(file, encoding="utf-8", errors="replace")
                kept = list(lines) if tail is None else _last(lines, tail)
                self._offset = file.seek(0, 1)
                for line in kept:
                    self.seen = True
                    yield line
        except OSError:
            return


def _last(lines: Iterator[str], count: int) -> list[str]:
    from collections import deque

    return list(deque(lines, count))


def _log_path(home: Home, worker: dict[str, Any]) -> Path | None:
    folder = worker.get("result_location")
    if isinstance(folder, str) and ".." not in Path(folder).parts:
        return home.root / folder / "log.md"
    ident = str(worker.get("worker_id"))
    return next(iter(home.paths.worker_logs.glob(f"*/{ident}/log.md")), None)


def _workers(home: Home, ident: str, everything: bool) -> list[dict[str, Any]]:
    found = home.lookup(ident)
    if found is None:
        raise HomeError(f"{ident}: nothing has this id; `cortex get workers` lists what there is")
    if found.kind == "worker":
        return [found.row]
    if found.kind != "task":
        raise HomeError(f"{ident} is a {found.kind}; logs are of workers and tasks")
    rows = [row for name in found.row.get("workers") or [] if (row := home.worker(str(name)))]
    if not everything:
        replaced = {row.get("retry_of") for row in rows}
        rows = [row for row in rows if row.get("worker_id") not in replaced]
    return rows


def _follow(home: Home, ident: str, everything: bool, shown: list[_Log]) -> None:
    from cortex.home.waiting import DaemonWatch, has_ended

    last: _Log | None = None
    watch = DaemonWatch(home)
    by_id = {log.worker_id: log for log in shown}
    for _ in home.changes(every_s=1.0, also=[log.path for log in shown if log.path]):
        for worker in _workers(home, ident, everything):
            log = by_id.get(str(worker.get("worker_id")))
            if log is None or log.path is None:
                log = by_id[str(worker.get("worker_id"))] = _Log(home, worker)
            lines = list(log.read())
            if lines:
                _print(log, iter(lines), heads=len(by_id) > 1 and log is not last)
                last = log
        found = home.lookup(ident)
        if found is not None and has_ended(str(found.row.get("status"))):
            return
        watch.check()


def _print(log: _Log, lines: Iterator[str], *, heads: bool) -> None:
    headed = not heads
    block: list[str] = []
    for line in lines:
        if not headed:
            print(paint(f"==> {log.worker_id} <==", "bold", on=colours()))
            headed = True
        block.append(line)
        if len(block) >= _LINES_AT_ONCE:
            sys.stdout.write(clean("".join(block)))
            block.clear()
    sys.stdout.write(clean("".join(block)))
    sys.stdout.flush()
