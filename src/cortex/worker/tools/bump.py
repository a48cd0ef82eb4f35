"""Writes another version of a dependency into the files that pin it. Asks no network.

What only a package manager can write (lock files, hashes) is left to `scope.lock_command`, and
said where there is none. Knows nothing of advisories: the version comes from the finding or task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cortex.worker.tools.pins import Pin, read_pins
from cortex.worker.tools.source_files import SourceTree

__all__ = ["Bump", "bump", "is_at_least"]

_LOCKS = {
    "poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "package-lock.json",
    "npm-shrinkwrap.json",
}  # fmt: skip
_NPM_RANGE = re.compile(r"^(?P<operator>[\^~=v]|>=)?\d[\w.+-]*$")


@dataclass(slots=True)
class Bump:
    """What became of one package: files that were changed, and what could not be, with why."""

    ecosystem: str
    name: str
    version: str
    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    was: list[str] = field(default_factory=list)
    present: bool = False

    @property
    def is_there_already(self) -> bool:
        """Whether every place that names the package has this version or a later one."""
        return self.present and not (self.changed or self.left or self.locks)


def bump(tree: SourceTree, ecosystem: str, name: str, version: str) -> Bump:
    """Write `version` wherever a manifest pins a lower one; lock files are only listed."""
    made = Bump(ecosystem, name, version)
    pins, _ = read_pins(tree)
    wanted = [pin for pin in pins if (pin.ecosystem, pin.name.lower()) == (ecosystem, name.lower())]
    made.present = bool(wanted)
    for pin in wanted:
        file_name = pin.file.rsplit("/", 1)[-1]
        if file_name == "METADATA":
            continue
        if pin.version is not None and is_at_least(ecosystem, pin.version, version):
            continue
        if pin.version is None and _allows(pin, version):
            continue
        if pin.version:
            made.was.append(pin.version)
        if file_name in _LOCKS:
            made.locks.append(pin.file)
        elif _edit(tree.root / pin.file, pin, version):
            made.changed.append(pin.file)
        else:
            made.left.append(f"{pin.file}:{pin.line} asks for {pin.wanted}: edit it by hand")
    for listed in (made.changed, made.left, made.locks, made.was):
        listed[:] = dict.fromkeys(listed)
    return made


def is_at_least(ecosystem: str, version: str, wanted: str) -> bool:
    """Whether a version is the wanted one or later; False where they cannot be compared."""
    if ecosystem == "PyPI":
        from packaging.version import InvalidVersion, Version

        try:
            return Version(version) >= Version(wanted)
        except InvalidVersion:
            return False
    return _numbers(version) >= _numbers(wanted)


def _numbers(version: str) -> tuple[int, ...]:
    plain = re.split(r"[-+]", version.lstrip("v="), maxsplit=1)[0]
    return tuple(int(part) if part.isdigit() else 0 for part in plain.split("."))


def _allows(pin: Pin, version: str) -> bool:
    """A range that lets the wanted version in needs no edit: its lock file decides."""
    if pin.ecosystem != "PyPI":
        return pin.wanted in ("*", "latest", "")
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if pin.wanted == "any version":
        return True
    try:
        return SpecifierSet(pin.wanted).contains(version, prereleases=True)
    except InvalidSpecifier:
        return False


def _edit(path: Path, pin: Pin, version: str) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    place = pin.line - 1
    if not 0 <= place < len(lines):
        return False
    changed = (
        _npm_line(lines[place], pin, version)
        if pin.ecosystem == "npm"
        else _python_line(lines, place, pin, version)
    )
    if changed is None or changed == lines[place]:
        return False
    lines[place] = changed
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    return True


def _python_line(lines: Sequence[str], place: int, pin: Pin, version: str) -> str | None:
    """The line with its exact pin exchanged; None for ranges, and for pins with hashes."""
    line = lines[place]
    following = lines[place + 1] if place + 1 < len(lines) else ""
    if "--hash" in line or (line.rstrip().endswith("\\") and "--hash" in following):
        return None
    if pin.version is None:
        return None
    name = r"[-_.]+".join(map(re.escape, pin.name.split("-")))
    pattern = rf"(?i)(?P<head>(?<![\w.-]){name}\s*(?:\[[^\]]*\])?\s*[\"']?\s*=*\s*[\"']?=*\s*)"
    exact = re.compile(pattern + re.escape(pin.version) + r"(?![\w.])")
    changed, count = exact.subn(lambda match: match["head"] + version, line)
    return changed if count == 1 else None


def _npm_line(line: str, pin: Pin, version: str) -> str | None:
    found = re.search(rf'("{re.escape(pin.name)}"\s*:\s*")([^"]*)(")', line)
    operator = _NPM_RANGE.match(found[2]) if found else None
    if found is None or operator is None:
        return None
    written = f"{operator['operator'] or ''}{version}"
    return line[: found.start()] + found[1] + written + found[3] + line[found.end() :]
