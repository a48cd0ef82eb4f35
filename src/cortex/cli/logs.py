"""`cortex logs`: what a worker printed, safe to show and as it comes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.options import HomeOption, open_home
from cortex.cli.terminal import clean, colours, note, paint
from cortex.cli.verbs import complete_tasks
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["EXAMPLES", "logs"]

EXAMPLES = """
  cortex logs worker-scan-001       its log.md
  cortex logs task-010              of all its workers, the last attempts
  cortex logs -f task-010           and what they still print
  cortex logs task-010 --tail 50
"""


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
            gone = any(log.is_gone for log in shown)
            days = "logs are removed after retention.retention_days"
            note(
                f"{ident}: its log is gone; {days}" if gone else f"{ident} has printed nothing yet"
            )
        return
    _follow(place, ident, everything, shown)


class _Log:
    """One worker's log file and how far it was shown."""

    def __init__(self, home: Home, worker: dict[str, Any]) -> None:
        self.worker_id = str(worker.get("worker_id"))
        self.path = _log_path(home, worker)
        self._ended = bool(worker.get("completed_at") or worker.get("failed_at"))
        self._offset = 0
        self.seen = False

    @property
    def is_gone(self) -> bool:
        """Whether there is no file any more, though the worker has ended."""
        return self._ended and (self.path is None or not self.path.exists())

    def read(self, tail: int | None = None) -> Iterator[str]:
        """The lines that have come since, or the last few of them."""
        if self.path is None:
            return
        try:
            with self.path.open("rb") as file:
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
    for line in lines:
        if not headed:
            print(paint(f"==> {log.worker_id} <==", "bold", on=colours()))
            headed = True
        sys.stdout.write(clean(line))
    sys.stdout.flush()
