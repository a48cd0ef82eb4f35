"""Which test suites a repository has, by the files that say so. Runs nothing.

`scope.test_command` goes before everything; `make test` counts only where no suite is known by
its own marks, because it usually starts one of those.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.worker.tools.source_files import SourceTree

__all__ = ["Suite", "find_suites"]

_READ_BYTES = 400_000
_LOOKED_AT = 200
_PYTHON_TEST = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_NODE_TEST = re.compile(r"\.(?:test|spec)\.[cm]?js$|(?:^|/)tests?/[^/]+\.[cm]?js$")
_PLACEHOLDER = re.compile(r"no test specified|^\s*(?:exit 0|true|:)?\s*$")
_MAKE_TARGET = re.compile(r"^test\s*:(?!=)", re.MULTILINE)
_UNITTEST = re.compile(r"^\s*(?:import unittest|from unittest)", re.MULTILINE)
_PYTEST = re.compile(r"^\s*(?:import pytest|from pytest)|^(?:async )?def test_", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite: its kind (pytest, unittest, node, npm, go, cargo, make or command) and the mark
    that it was known by. `command` is set where a shell line runs it.
    """

    kind: str
    mark: str
    command: str | None = None
    needs_modules: bool = False


def find_suites(tree: SourceTree, test_command: str | None = None) -> list[Suite]:
    """The repository's suites in the order to run them; empty where it has none."""
    if test_command:
        return [Suite("command", "scope.test_command", test_command)]
    found = [*_python(tree), *_node(tree)]
    for kind, mark in (("go", "go.mod"), ("cargo", "Cargo.toml")):
        if (tree.root / mark).is_file():
            found.append(Suite(kind, mark))
    return found or list(_make(tree))


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
    needs = bool(package.get("dependencies") or package.get("devDependencies"))
    if isinstance(script, str) and not _PLACEHOLDER.search(script):
        hooks = isinstance(scripts, dict) and ("pretest" in scripts or "posttest" in scripts)
        direct = re.fullmatch(r"\s*node\s+--test(?P<rest>[^|&;<>]*)", script)
        if direct and not hooks and "--test-reporter" not in script:
            yield Suite("node", "package.json", direct["rest"].strip(), needs)
        else:
            yield Suite("npm", "package.json", needs_modules=needs)
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
