"""Masters and worker types as they lie in a home's agents/ folder.

A file that cannot be used is reported with line and field, and the last good version of it stays in
force. Nothing is decided here; the result is a `decide.catalog.Catalog`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.decide.catalog import Catalog, RuntimeInfo
from cortex.model.definitions import read_master, read_worker_type
from cortex.model.errors import DefinitionError
from cortex.model.paths import HomePaths

__all__ = ["Library"]

Version = tuple[int, int, int]


@dataclass(slots=True)
class Library:
    """Definitions of one home; `refresh` reads again what changed."""

    paths: HomePaths
    runtimes: dict[str, RuntimeInfo]
    problems: dict[Path, str] = field(default_factory=dict)
    _known: dict[Path, tuple[Version, Any]] = field(default_factory=dict)
    _doubles: list[Path] = field(default_factory=list)

    def refresh(self) -> Catalog | None:
        """The catalog, or None when no file changed since the last call.

        `problems` holds a sentence per file that cannot be used.
        """
        found: dict[Path, tuple[Version, Any]] = {}
        changed = False
        for folder, read in (
            (self.paths.masters, read_master),
            (self.paths.prompts, read_worker_type),
        ):
            for path in sorted(folder.glob("*.md")):
                entry, is_new = self._read(path, read)
                changed |= is_new
                if entry is not None:
                    found[path] = entry
        self.problems = {path: text for path, text in self.problems.items() if path.exists()}
        if not changed and found.keys() == self._known.keys():
            return None
        self._known = found
        for path in self._doubles:
            self.problems.pop(path, None)
        self._doubles.clear()
        return self._catalog()

    def _read(
        self, path: Path, read: Callable[[str, Path], Any]
    ) -> tuple[tuple[Version, Any] | None, bool]:
        before = self._known.get(path)
        try:
            status = path.stat()
            version = (status.st_ino, status.st_size, status.st_mtime_ns)
            if before is not None and before[0] == version:
                return before, False
            definition = read(_text(path), path)
        except (OSError, UnicodeDecodeError) as error:
            self.problems[path] = f"{path}: cannot be read: {error}"
            return before, False
        except DefinitionError as error:
            self.problems[path] = str(error)
            return (version, before[1]) if before else (version, None), True
        self.problems.pop(path, None)
        return (version, definition), True

    def _catalog(self) -> Catalog:
        masters = self._by_name(self.paths.masters)
        types = self._by_name(self.paths.prompts)
        return Catalog(masters, types, dict(self.runtimes))

    def _by_name(self, folder: Path) -> dict[str, Any]:
        """A folder's definitions; of two with one name that counts whose file is called so."""
        found: dict[str, Path] = {}
        usable = [path for path, (_, made) in self._known.items() if made and path.parent == folder]
        for path in sorted(usable, key=lambda path: (path.stem != self._name(path), path)):
            name = self._name(path)
            first = found.setdefault(name, path)
            if first != path:
                self._doubles.append(path)
                self.problems[path] = f"{path}: {name} is described by {first} too; rename one"
        return {name: self._known[path][1] for name, path in found.items()}

    def _name(self, path: Path) -> str:
        return str(self._known[path][1].name)


def _text(path: Path) -> str:
    """The text of a regular file; a FIFO of that name would let its reader wait for ever. OSError
    and UnicodeDecodeError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no regular file")
        return file.read()
