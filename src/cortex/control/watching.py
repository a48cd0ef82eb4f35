"""File events of the folders that people drop into or write in: they only wake the loop.

A lost event costs a resync interval, never a drop. Where the system gives no events (the watch
limit is reached, a file system without inotify) the daemon says so and lives by the resync alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cortex.model.paths import DOCUMENT_NAMES

__all__ = ["Watching"]


class Watching:
    """Calls `woken` (from another thread) when something in one of the folders changed, `edited`
    when somebody wrote into a published document or renamed a file over it, and `defined` when one
    of the definitions has another text, is new or gone.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        woken: Callable[[], None],
        edited: Callable[[], None],
        definitions: Sequence[Path] = (),
        defined: Callable[[], None] = lambda: None,
    ) -> None:
        self._folders = folders
        self._woken = woken
        self._edited = edited
        self._definitions = [folder for folder in definitions if folder.is_dir()]
        self._defined = defined
        self._observer: Any = None

    def start(self) -> str | None:
        """Starts watching; a sentence where that cannot be had, else None."""
        from watchdog.events import (
            FileClosedEvent,
            FileCreatedEvent,
            FileDeletedEvent,
            FileMovedEvent,
            FileSystemEvent,
            FileSystemEventHandler,
        )
        from watchdog.observers import Observer

        woken, edited, defined = self._woken, self._edited, self._defined

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if _is_edit(event):
                    edited()
                elif _concerns(event):
                    woken()

        class OfDefinitions(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if _is_definition(event):
                    defined()

        # Opening and reading make no file ready: without them the daemon's own looks wake nobody.
        telling: list[type[FileSystemEvent]] = [
            FileClosedEvent,
            FileCreatedEvent,
            FileDeletedEvent,
            FileMovedEvent,
        ]
        # At its end it warns of its own late reads, through the standard library's logging.
        logging.getLogger("watchdog").addHandler(logging.NullHandler())
        try:
            observer = Observer()
            for folder in self._folders:
                observer.schedule(Handler(), str(folder), event_filter=telling)
            for folder in self._definitions:
                observer.schedule(OfDefinitions(), str(folder), event_filter=telling)
            observer.start()
        except OSError as error:
            return f"no file events here ({error}); drops are found by looking every second"
        self._observer = observer
        return None

    def stop(self) -> None:
        """Ends the observer's threads."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(2.0)


def _is_edit(event: Any) -> bool:
    """The daemon itself neither writes in place nor renames within the folder: it exchanges."""
    path = {"closed": event.src_path, "moved": event.dest_path}.get(event.event_type)
    return bool(path) and str(path).rpartition("/")[2] in DOCUMENT_NAMES


def _is_definition(event: Any) -> bool:
    """One that was only created is empty yet; its closing is told too."""
    paths = (event.src_path, event.dest_path)
    return event.event_type != "created" and any(str(path).endswith(".md") for path in paths)


def _concerns(event: Any) -> bool:
    """Published documents are replaced by the daemon itself, all the time; drops are not hidden."""
    names = [str(path).rpartition("/")[2] for path in (event.src_path, event.dest_path) if path]
    return any(name and not name.startswith(".") and name not in DOCUMENT_NAMES for name in names)
