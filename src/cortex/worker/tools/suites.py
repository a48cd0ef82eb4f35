"""Which test suites a repository has, by the files that say so. Runs nothing.

`scope.test_command` goes before everything; `make test` counts only where no suite is known by
its own marks, because it usually starts one of those, or where suites of several folders are all
that is known.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortex.worker.tools.source_files import SourceFile, SourceTree

__all__ = ["Suite", "find_suites", "is_within"]

_READ_BYTES = 400_000
_LOOKED_AT = 200
_FILE_NAME_LENGTH = 50
_NO_FILE_NAME = re.compile(r"[^\w.+ -]")
_PYTHON_TEST = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_NODE_TEST = re.compile(r"\.(?:test|spec)\.[cm]?js$|(?:^|/)tests?/[^/]+\.[cm]?js$")
_PLACEHOLDER = re.compile(r"no test specified|^\s*(?:exit 0|true|:)?\s*$")
_MAKE_TARGET = re.compile(r"^test\s*:(?!=)", re.MULTILINE)
_UNITTEST = re.compile(r"^\s*(?:import unittest|from unittest)", re.MULTILINE)
#: Files that make a folder a project of its own kind, whose suite is run there.
_PROJECT_MARKS = {
    "pyproject.toml": "python", "setup.py": "python", "setup.cfg": "python",
    "pytest.ini": "python", "tox.ini": "python",
    "package.json": "node", "go.mod": "go", "Cargo.toml": "cargo",
}  # fmt: skip
_PYTEST = re.compile(r"^\s*(?:import pytest|from pytest)|^(?:async )?def test_", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite: its kind (pytest, unittest, node, npm, go, cargo, make or command) and the mark
    that it was known by. `command` is set where a shell line runs it, `folder` where it is that of
    a part of the repository; `without` are parts that have suites of their own. It needs the node
    `modules` of these names. Its log has the `file_name`, without an ending.
    """

    kind: str
    mark: str
    command: str | None = None
    modules: tuple[str, ...] = ()
    folder: str = ""
    without: tuple[str, ...] = ()
    file_name: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.kind} in {self.folder}" if self.folder else self.kind


def find_suites(tree: SourceTree, test_command: str | None = None) -> list[Suite]:
    """The repository's suites in the order to run them; empty where it has none."""
    found: dict[str, Suite] = {}
    for suite in _suites(tree, test_command):
        whole = f"{suite.kind}-{suite.folder}" if suite.folder else suite.kind
        whole = name = _NO_FILE_NAME.sub("-", whole)[:_FILE_NAME_LENGTH]
        number = 1
        while name in found:
            number += 1
            name = f"{whole}-{number}"
        found[name] = replace(suite, file_name=name)
    return list(found.values())


def _suites(tree: SourceTree, test_command: str | None) -> list[Suite]:
    if test_command:
        return [Suite("command", "scope.test_command", test_command)]
    parts = [suite for folder, kind in _projects(tree) for suite in _of_part(tree, folder, kind)]
    rest = _without(tree, [part.folder for part in parts])
    found = [*_python(rest), *_node(rest), *_compiled(tree)]
    if parts and not found:
        return list(_make(tree)) or parts
    ignored = tuple(part.folder for part in parts if part.kind in ("pytest", "unittest"))
    return [replace(one, without=ignored) for one in found] + parts or list(_make(tree))


def is_within(path: str, folder: str) -> bool:
    """Whether a relative path is a folder or lies in it."""
    return f"{path}/".startswith(f"{folder}/")


def _projects(tree: SourceTree) -> list[tuple[str, str]]:
    """(folder, kind) of the projects below a root that says nothing of that kind itself; of two
    that lie within each other the outer one.
    """
    at_root = {
        "python": _pytest_mark(tree.root) is not None,
        "node": any(_node(replace(tree, files=[]))),
        "go": (tree.root / "go.mod").is_file(),
        "cargo": (tree.root / "Cargo.toml").is_file(),
    }
    found: dict[tuple[str, str], None] = {}
    for file in sorted(tree.of(places=("source",)), key=lambda file: file.path.count("/")):
        folder, _, name = file.path.rpartition("/")
        kind = _PROJECT_MARKS.get(name)
        if not folder or kind is None or at_root[kind]:
            continue
        above = [folder[:end] for end, sign in enumerate(folder) if sign == "/"]
        if not any((outer, kind) in found for outer in above):
            found[folder, kind] = None
    return sorted(found)


def _of_part(tree: SourceTree, folder: str, kind: str) -> Iterator[Suite]:
    """The suites of one kind of a project in a folder."""
    start = len(folder) + 1
    files = [
        SourceFile(file.path[start:], file.language, file.size_bytes, file.place)
        for file in tree.files
        if file.path.startswith(f"{folder}/")
    ]
    part = replace(tree, root=tree.root / folder, files=files)
    found = {"python": _python, "node": _node}.get(kind, _compiled)(part)
    for suite in found:
        if kind in ("python", "node") or suite.kind == kind:
            yield replace(suite, mark=f"{folder}/{suite.mark}", folder=folder)


def _without(tree: SourceTree, folders: list[str]) -> SourceTree:
    """The tree without what lies in these folders."""
    inside = tuple(f"{folder}/" for folder in folders)
    files = [file for file in tree.files if not file.path.startswith(inside)]
    return replace(tree, files=files) if inside else tree


def _compiled(tree: SourceTree) -> Iterator[Suite]:
    for kind, mark in (("go", "go.mod"), ("cargo", "Cargo.toml")):
        if (tree.root / mark).is_file():
            yield Suite(kind, mark)


def _python(tree: SourceTree) -> Iterator[Suite]:
    tests = [file.path for file in tree.of("python") if _PYTHON_TEST.search(file.path)]
    mark = _pytest_mark(tree.root)
    if mark and (tests or mark != "conftest.py"):
        yield Suite("pytest", mark)
        return
    unittests = ""
    for path in tests[:_LOOKED_AT]:
        content = _read(tree.root / path)
        if _PYTEST.search(content):
            yield Suite("pytest", path)
            return
        if not unittests and _UNITTEST.search(content):
            unittests = path
    if unittests:
        yield Suite("unittest", unittests)


def _pytest_mark(root: Path) -> str | None:
    """The file whose words say that pytest runs here."""
    if (root / "pytest.ini").is_file():
        return "pytest.ini"
    tool = _toml(root / "pyproject.toml").get("tool")
    if isinstance(tool, dict) and "pytest" in tool:
        return "pyproject.toml"
    for name, section in (("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
        if section in _ini(root / name):
            return name
    for section, keys in _ini(root / "tox.ini").items():
        if section.startswith("testenv") and "pytest" in keys.get("commands", ""):
            return "tox.ini"
    return "conftest.py" if (root / "conftest.py").is_file() else None


def _node(tree: SourceTree) -> Iterator[Suite]:
    path = tree.root / "package.json"
    package = _json(path)
    scripts = package.get("scripts")
    script = scripts.get("test") if isinstance(scripts, dict) else None
    named = (package.get("dependencies"), package.get("devDependencies"))
    needs = tuple(str(name) for names in named if isinstance(names, dict) for name in names)
    if isinstance(script, str) and not _PLACEHOLDER.search(script):
        hooks = isinstance(scripts, dict) and ("pretest" in scripts or "posttest" in scripts)
        direct = re.fullmatch(r"\s*node\s+--test(?P<rest>[^|&;<>]*)", script)
        if direct and not hooks and "--test-reporter" not in script:
            yield Suite("node", "package.json", direct["rest"].strip(), needs)
        else:
            yield Suite("npm", "package.json", modules=needs)
        return
    scripted = tree.of("javascript")
    first = next((file.path for file in scripted if _NODE_TEST.search(file.path)), None)
    if first is not None and "node:test" in _read(tree.root / first):
        yield Suite("node", first, "", needs)


def _make(tree: SourceTree) -> Iterator[Suite]:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if _MAKE_TARGET.search(_read(tree.root / name)):
            yield Suite("make", name)
            return


def _read(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except ValueError:
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _ini(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(_read(path))
    except configparser.Error:
        return {}
    return {section: dict(parser.items(section)) for section in parser.sections()}
