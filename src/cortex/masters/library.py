"""Masters, worker types and personas as they lie in a home's agents/ folder.

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
from cortex.model.front_matter import line_of
from cortex.model.paths import HomePaths
from cortex.model.personas import read_persona

__all__ = ["Library"]

Version = tuple[int, int, int]
_CHARACTERS = 1_000_000


@dataclass(slots=True)
class Library:
    """Definitions of one home; `refresh` reads again what changed."""

    paths: HomePaths
    runtimes: dict[str, RuntimeInfo]
    changed: list[Path] = field(default_factory=list)
    _known: dict[Path, tuple[Version, Any]] = field(default_factory=dict)
    _unusable: dict[Path, str] = field(default_factory=dict)
    _between: dict[Path, str] = field(default_factory=dict)

    @property
    def problems(self) -> dict[Path, str]:
        """A sentence per file that cannot be used, or not as it is meant, at the last look."""
        return {**self._between, **self._unusable}

    def refresh(self) -> Catalog | None:
        """The catalog, or None when no file changed since the last call.

        `changed` are then the files that are new, different or gone.
        """
        found: dict[Path, tuple[Version, Any]] = {}
        self.changed = []
        for folder, read in (
            (self.paths.masters, read_master),
            (self.paths.prompts, read_worker_type),
            (self.paths.personas, read_persona),
        ):
            for path in sorted(folder.glob("*.md")):
                entry, is_new = self._read(path, read)
                if is_new:
                    self.changed.append(path)
                if entry is not None:
                    found[path] = entry
        self.changed += sorted(self._known.keys() - found.keys())
        self._unusable = {path: said for path, said in self._unusable.items() if path.exists()}
        if not self.changed:
            return None
        self._known = found
        self._between = {}
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
            self._unusable[path] = f"{path}: cannot be read: {error}"
            return before, False
        except DefinitionError as error:
            self._unusable[path] = str(error)
            return (version, before[1]) if before else (version, None), True
        self._unusable.pop(path, None)
        return (version, definition), True

    def _catalog(self) -> Catalog:
        masters = self._by_name(self.paths.masters)
        types = self._by_name(self.paths.prompts)
        personas = self._by_name(self.paths.personas)
        self._look_for_personas(personas)
        return Catalog(masters, types, dict(self.runtimes), personas)

    def _look_for_personas(self, personas: dict[str, Any]) -> None:
        """Tells of a persona that is named and has no file; who names it is used without one."""
        for path, (_, definition) in self._known.items():
            named = getattr(definition, "persona", None)
            if named is None or named in personas or path in self._unusable:
                continue
            known = ", ".join(sorted(personas)) or "none"
            said = f"no persona {named!r} in agents/personas/; known: {known}"
            self._between[path] = f"{path}:{_line(path)}: persona: {said}"

    def _by_name(self, folder: Path) -> dict[str, Any]:
        """A folder's definitions; of two with one name that counts whose file is called so."""
        found: dict[str, Path] = {}
        usable = [path for path, (_, made) in self._known.items() if made and path.parent == folder]
        for path in sorted(usable, key=lambda path: (path.stem != self._name(path), path)):
            name = self._name(path)
            first = found.setdefault(name, path)
            if first != path:
                self._between[path] = f"{path}: {name} is described by {first} too; rename one"
        return {name: self._known[path][1] for name, path in found.items()}

    def _name(self, path: Path) -> str:
        return str(self._known[path][1].name)


def _line(path: Path) -> int:
    """Where a file names its persona; its first line if it has changed since it was read."""
    try:
        return line_of(("persona",), _text(path), path)
    except (OSError, UnicodeDecodeError, DefinitionError):
        return 1


def _text(path: Path) -> str:
    """The text of a regular file; a FIFO of that name would let its reader wait for ever. OSError
    and UnicodeDecodeError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no regular file")
        text = file.read(_CHARACTERS + 1)
    if len(text) > _CHARACTERS:
        raise OSError(f"it is longer than {_CHARACTERS} characters")
    return text
