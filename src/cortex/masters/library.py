"""Masters, worker types and personas as they lie in a home's agents/ folder.

A file that cannot be used is reported with line and field, and the last good version of it stays in
force, over restarts too. Nothing is decided here; the result is a `decide.catalog.Catalog`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cortex.decide.catalog import Catalog, RuntimeInfo
from cortex.masters.last_good import keep_last_good, last_good
from cortex.model.definitions import read_master, read_worker_type, rival_routes
from cortex.model.errors import DefinitionError
from cortex.model.front_matter import line_of
from cortex.model.paths import HomePaths, definitions_in
from cortex.model.personas import read_persona

__all__ = ["Broken", "Known", "Library"]

Version = tuple[int, int, int]
_BYTES_AT_MOST = 1_000_000
#: Of no file: what has it is read at the next look, whatever lies there then.
_UNSEEN = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Known:
    """One file as of its last look: the definition is of its last good version, None: never."""

    version: Version
    definition: Any = None
    text: str = ""

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that cannot be used: why, and whose last good version is in force all the same."""

    problem: str
    in_force: str | None


@dataclass(slots=True)
class Library:
    """Definitions of one home; `refresh` reads again what changed.

    One that `keeps` writes down what is in force, for the next one to know the last good version of
    what is spoilt by then: that is for the daemon alone.
    """

    paths: HomePaths
    runtimes: dict[str, RuntimeInfo]
    keeps: bool = False
    changed: list[Path] = field(default_factory=list)
    _known: dict[Path, Known] = field(default_factory=dict)
    _unusable: dict[Path, str] = field(default_factory=dict)
    _between: dict[Path, str] = field(default_factory=dict)

    @property
    def problems(self) -> dict[Path, str]:
        """A sentence per file that cannot be used, or not as it is meant, at the last look."""
        return {**self._between, **self._unusable}

    @property
    def broken(self) -> dict[Path, Broken]:
        """The files that could not be used at the last look."""
        found = {}
        for path, problem in sorted(self._unusable.items()):
            known = self._known.get(path)
            definition = known.definition if known is not None else None
            found[path] = Broken(problem, definition.name if definition is not None else None)
        return found

    def refresh(self) -> Catalog | None:
        """The catalog, or None when no file changed since the last call.

        `changed` are then the files that are new, different or gone.
        """
        found: dict[Path, Known] = {}
        self.changed = []
        for folder, read in (
            (self.paths.masters, read_master),
            (self.paths.prompts, read_worker_type),
            (self.paths.personas, read_persona),
        ):
            for path in definitions_in(folder):
                entry, is_new = self._read(path, read)
                if is_new:
                    self.changed.append(path)
                if entry is not None:
                    found[path] = entry
        self.changed += sorted(self._known.keys() - found.keys())
        self._known = found
        still = (path for path in self._unusable if os.path.lexists(path))
        self._unusable = {path: self._unusable[path] for path in still}
        if not self.changed:
            return None
        self._between = {}
        if self.keeps:
            good = {self._place(path): known.text for path, known in found.items() if known.text}
            keep_last_good(self.paths.last_good, good)
        return self._catalog()

    def _read(self, path: Path, read: Callable[[str, Path], Any]) -> tuple[Known | None, bool]:
        before = self._known.get(path)
        version = _UNSEEN
        try:
            status = path.stat()
            version = (status.st_ino, status.st_size, status.st_mtime_ns)
            if before is not None and before.version == version:
                return before, False
            text = _bytes(path).decode("utf-8")
            definition = read(text, path)
        except DefinitionError as error:
            self._unusable[path] = str(error)
            kept = before or self._last_good(path, read) or Known(version)
            return replace(kept, version=version), True
        except Exception as error:
            # Also a fault of ours over what it says: no file ends the daemon, and the next one.
            said = str(error) if isinstance(error, OSError | ValueError) else repr(error)
            self._unusable[path] = f"{path}: cannot be read: {said}"
            good = before or self._last_good(path, read)
            return good and replace(good, version=_UNSEEN), good is not before
        self._unusable.pop(path, None)
        return Known(version, definition, text), True

    def _last_good(self, path: Path, read: Callable[[str, Path], Any]) -> Known | None:
        """A spoilt file that this library has never seen whole, as an earlier one knew it."""
        text = last_good(self.paths.last_good).get(self._place(path))
        if text is None:
            return None
        with suppress(Exception):  # what a newer version refuses is not in force
            return Known(_UNSEEN, read(text, path), text)
        return None

    def _place(self, path: Path) -> str:
        return str(path.relative_to(self.paths.root))

    def _catalog(self) -> Catalog:
        folders = {
            "master": self.paths.masters,
            "worker type": self.paths.prompts,
            "persona": self.paths.personas,
        }
        files = {kind: self._by_name(folder) for kind, folder in folders.items()}
        masters, types, personas = (
            {name: self._known[path].definition for name, path in named.items()}
            for named in files.values()
        )
        self._look_for_personas(
            personas, [*files["master"].values(), *files["worker type"].values()]
        )
        self._look_for_rivals(files["master"])
        sources = {
            (kind, name): (self._place(path), self._known[path].sha256)
            for kind, named in files.items()
            for name, path in named.items()
        }
        return Catalog(masters, types, dict(self.runtimes), personas, sources)

    def _look_for_personas(self, personas: dict[str, Any], paths: Iterable[Path]) -> None:
        """Tells of a persona that is named and has no file; who names it is used without one."""
        for path in paths:
            named = self._known[path].definition.persona
            if named is None or named in personas or path in self._unusable:
                continue
            known = ", ".join(sorted(personas)) or "none"
            said = f"no persona {named!r} in agents/personas/; known: {known}"
            self._between[path] = f"{path}:{_line(path, ('persona',))}: persona: {said}"

    def _look_for_rivals(self, masters: dict[str, Path]) -> None:
        """Tells of a route that a master before this one has already: nothing comes here by it."""
        rivals = rival_routes(self._known[path].definition for path in masters.values())
        for name, place, said in rivals:
            path = masters[name]
            if path not in self._between:
                where = f"{path}:{_line(path, place)}: {place[0]}"
                self._between[path] = f"{where}: {said}; keep it in one of them"

    def _by_name(self, folder: Path) -> dict[str, Path]:
        """The files of a folder's definitions, in their order; of two with one name that counts
        which is called so."""
        found: dict[str, Path] = {}
        known = self._known.items()
        usable = [path for path, file in known if file.definition and path.parent == folder]
        for path in sorted(usable, key=lambda path: (path.stem != self._name(path), path)):
            name = self._name(path)
            first = found.setdefault(name, path)
            if first != path:
                self._between[path] = f"{path}: {name} is described by {first} too; rename one"
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _name(self, path: Path) -> str:
        return str(self._known[path].definition.name)


def _line(path: Path, place: tuple[int | str, ...]) -> int:
    """Where a file says that; its first line if it has changed since it was read."""
    try:
        return line_of(place, _bytes(path).decode("utf-8"), path)
    except (OSError, UnicodeDecodeError, DefinitionError):
        return 1


def _bytes(path: Path) -> bytes:
    """What a regular file holds; a FIFO of that name would let its reader wait for ever. OSError
    where it is none, or too long.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no regular file")
        data = file.read(_BYTES_AT_MOST + 1)
    if len(data) > _BYTES_AT_MOST:
        raise OSError(f"it is longer than {_BYTES_AT_MOST} bytes")
    return data
