"""Reads what a repository depends on out of its Python and JavaScript manifests and lock files.

A pin is a name at an exact version with the line that says so; a requirement that leaves the
version open is kept as a range. Nothing is resolved, installed or asked of a network.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cortex.worker.tools.source_files import SourceTree

__all__ = ["Pin", "read_pins"]

_EXACT_NPM = re.compile(r"^[v=]?\d+\.\d+\.\d+[^\s|]*$")
_LOCK_NAME = re.compile(r'^name = "([^"]+)"')
_LOCK_VERSION = re.compile(r'^version = "([^"]+)"')
_REQUIREMENT_FILE = re.compile(r"^(.*requirements.*|constraints.*)\.(txt|in)$", re.IGNORECASE)
_NPM_GROUPS = (
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One dependency. `version` is exact, or None where only `wanted` (a range) is known."""

    ecosystem: str
    name: str
    version: str | None
    wanted: str
    file: str
    line: int


def read_pins(tree: SourceTree) -> tuple[list[Pin], list[str]]:
    """All dependencies in file order, and one sentence for each manifest that could not be read."""
    pins: list[Pin] = []
    problems: list[str] = []
    for file in tree.files:
        reader = _reader(file.path)
        if reader is None:
            continue
        try:
            text = (tree.root / file.path).read_text("utf-8-sig", "replace")
            pins += reader(file.path, text)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as problem:
            problems.append(f"{file.path} could not be read: {type(problem).__name__}")
    return list(dict.fromkeys(pins)), problems


def _reader(path: str) -> Callable[[str, str], Iterable[Pin]] | None:
    name = path.rsplit("/", 1)[-1]
    if _REQUIREMENT_FILE.match(name) or ("/requirements/" in f"/{path}" and name.endswith(".txt")):
        return _requirements
    if name == "METADATA" and ".dist-info/" in path:
        return _metadata
    return {
        "pyproject.toml": _pyproject,
        "setup.cfg": _setup_cfg,
        "poetry.lock": _toml_lock,
        "uv.lock": _toml_lock,
        "pdm.lock": _toml_lock,
        "Pipfile.lock": _pipfile_lock,
        "package.json": _package_json,
        "package-lock.json": _package_lock,
        "npm-shrinkwrap.json": _package_lock,
    }.get(name)


def _requirements(path: str, text: str) -> Iterator[Pin]:
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.split(r"(?:^|\s)#", raw, maxsplit=1)[0]
        line = line.split(" --hash", maxsplit=1)[0].strip().rstrip("\\").strip()
        if line and not line.startswith("-"):
            yield from _python_pin(path, number, line)


def _python_pin(path: str, line: int, text: str) -> Iterator[Pin]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    specifiers = list(requirement.specifier)
    exact = [item.version for item in specifiers if item.operator in ("==", "===")]
    version = exact[0] if exact and not exact[0].endswith(".*") else None
    wanted = str(requirement.specifier) or "any version"
    yield Pin("PyPI", _normal(requirement.name), version, wanted, path, line)


def _pyproject(path: str, text: str) -> Iterator[Pin]:
    document = tomllib.loads(text)
    project = _table(document.get("project"))
    groups = [project.get("dependencies"), *_table(project.get("optional-dependencies")).values()]
    groups += _table(document.get("dependency-groups")).values()
    groups.append(_table(document.get("build-system")).get("requires"))
    for group in groups:
        for item in group if isinstance(group, list) else []:
            if isinstance(item, str):
                yield from _python_pin(path, _line_of(text, item), item)
    poetry = _table(_table(document.get("tool")).get("poetry"))
    tables = [poetry.get("dependencies"), poetry.get("dev-dependencies")]
    tables += [_table(group).get("dependencies") for group in _table(poetry.get("group")).values()]
    for table in tables:
        for name, wanted in _table(table).items():
            version = wanted.get("version", "*") if isinstance(wanted, dict) else wanted
            if name != "python" and isinstance(version, str):
                yield _poetry_pin(path, text, name, version)


def _poetry_pin(path: str, text: str, name: str, wanted: str) -> Pin:
    version = wanted.lstrip("=") if re.match(r"^(==)?\d[\w.]*$", wanted) else None
    match = re.search(rf'^\s*"?{re.escape(name)}"?\s*=', text, re.MULTILINE)
    line = text.count("\n", 0, match.start()) + 1 if match else 0
    return Pin("PyPI", _normal(name), version, wanted, path, line)


def _setup_cfg(path: str, text: str) -> Iterator[Pin]:
    section = key = ""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.split("#", maxsplit=1)[0].rstrip()
        if line.startswith("["):
            section, key = line.strip("[] "), ""
        elif line and not line[0].isspace():
            key, _, rest = (part.strip() for part in line.partition("="))
            line = rest
        wanted = (section == "options" and key in ("install_requires", "setup_requires")) or (
            section == "options.extras_require" and key
        )
        if wanted and line.strip():
            yield from _python_pin(path, number, line.strip())


def _metadata(path: str, text: str) -> Iterator[Pin]:
    name = version = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            return
        field, _, value = line.partition(":")
        if field == "Name":
            name = value.strip()
        elif field == "Version" and name:
            version = value.strip()
            yield Pin("PyPI", _normal(name), version, f"=={version}", path, number)
        elif field == "Requires-Dist":
            yield from _python_pin(path, number, value.strip())


def _toml_lock(path: str, text: str) -> Iterator[Pin]:
    name = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("[["):
            name = ""
        elif match := _LOCK_NAME.match(line):
            name = match[1]
        elif (match := _LOCK_VERSION.match(line)) and name:
            yield Pin("PyPI", _normal(name), match[1], f"=={match[1]}", path, number)


def _pipfile_lock(path: str, text: str) -> Iterator[Pin]:
    document = json.loads(text)
    for section in ("default", "develop"):
        for name, entry in _table(document.get(section)).items():
            wanted = str(_table(entry).get("version", "*"))
            version = wanted[2:] if wanted.startswith("==") else None
            line = _line_of(text, f'"{name}"')
            yield Pin("PyPI", _normal(name), version, wanted, path, line)


def _package_json(path: str, text: str) -> Iterator[Pin]:
    document = json.loads(text)
    for group in _NPM_GROUPS:
        after = text.find(f'"{group}"')
        for name, wanted in _table(document.get(group)).items():
            version = str(wanted).lstrip("v=") if _EXACT_NPM.match(str(wanted)) else None
            yield Pin("npm", name, version, str(wanted), path, _line_of(text, f'"{name}"', after))


def _package_lock(path: str, text: str) -> Iterator[Pin]:
    document = json.loads(text)
    packages = _table(document.get("packages"))
    after = max(0, text.find('"packages"'))
    for key, entry in packages.items():
        version = _table(entry).get("version")
        if "node_modules/" in key and isinstance(version, str):
            name = str(_table(entry).get("name") or key.rsplit("node_modules/", 1)[1])
            line = _line_of(text, f'"{key}"', after)
            yield Pin("npm", name, version, version, path, line)
    if not packages:
        yield from _lock_tree(path, text, _table(document.get("dependencies")))


def _lock_tree(path: str, text: str, dependencies: dict[str, Any]) -> Iterator[Pin]:
    """The first lock format, in which dependencies nest."""
    for name, entry in dependencies.items():
        version = _table(entry).get("version")
        if isinstance(version, str):
            yield Pin("npm", name, version, version, path, _line_of(text, f'"{name}": {{'))
        yield from _lock_tree(path, text, _table(_table(entry).get("dependencies")))


def _line_of(text: str, part: str, after: int = 0) -> int:
    place = text.find(part, max(0, after))
    return text.count("\n", 0, place) + 1 if place >= 0 else 0


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _normal(name: str) -> str:
    """PEP 503's form of a name."""
    return re.sub(r"[-_.]+", "-", name).lower()
