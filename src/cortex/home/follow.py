"""Tells when the published files or the journal have changed: file events, and a slow timer.

Events only wake; whether something changed is judged by the files themselves, so that a file system
without events costs two seconds and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cortex.model.paths import HomePaths

__all__ = ["changes"]

FALLBACK_S = 2.0
_OWN_READS = frozenset({"opened", "closed_no_write"})


def changes(
    paths: HomePaths, *, every_s: float | None = None, also: Sequence[Path] = ()
) -> Iterator[None]:
    """Yields once at first, then after each change of a document, the journal or rejected/.

    With `every_s` it also yields after so many quiet seconds, for clocks on a screen. `also` names
    further files that count. Close the generator to stop watching.
    """
    woken = threading.Event()
    observer = _watch([paths.coordination, paths.journal, paths.rejected], also, woken)
    try:
        seen = _look(paths, also)
        yield
        last = time.monotonic()
        while True:
            woken.wait(FALLBACK_S if every_s is None else min(every_s, FALLBACK_S))
            woken.clear()
            now = _look(paths, also)
            quiet_s = time.monotonic() - last
            if now != seen or (every_s is not None and quiet_s >= every_s * 0.95):
                seen, last = now, time.monotonic()
                yield
    finally:
        if observer is not None:
            observer.stop()
            observer.join(1.0)


def _watch(folders: list[Path], also: Sequence[Path], woken: threading.Event) -> Any:
    """A started observer, or None where the system has no events to give."""
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Wake(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type not in _OWN_READS:
                woken.set()

    # It warns on stderr about events that come while it is being stopped.
    logging.getLogger("watchdog").addHandler(logging.NullHandler())
    observer = Observer()
    try:
        for folder in {*folders, *(path.parent for path in also)}:
            if folder.is_dir():
                observer.schedule(Wake(), str(folder))
        observer.start()
    except OSError:
        return None
    return observer


def _look(paths: HomePaths, also: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    newest = max(paths.journal.glob("*.jsonl"), default=paths.journal)
    return [_identity(path) for path in (*paths.documents, paths.rejected, newest, *also)]


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
