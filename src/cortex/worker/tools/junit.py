"""Reads what test programs say of their tests: JUnit XML, Go's JSON events, and plain counts.

Every word is a stranger's: sizes are bounded, and XML with a document type is refused, because
only such a document can define entities. Judges nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["TestCase", "count", "counts_in", "read_go_events", "read_junit"]

_LIMIT_BYTES = 64 * 1024 * 1024
_MESSAGE_CHARACTERS = 2_000
_PYTHON_PLACE = re.compile(r"^(?P<file>[^\s:()]+\.py):(?P<line>\d+): ?(?=\w|$)", re.MULTILINE)
_NODE_PLACE = re.compile(r"(?:\(|at |file://)(?P<file>/[^\s():]+):(?P<line>\d+):\d+\)?")
_GO_PLACE = re.compile(r"^\s+(?P<file>[\w./-]+_test\.go):(?P<line>\d+): ", re.MULTILINE)
_OUTCOMES = {"failure": "failed", "error": "error", "skipped": "skipped"}
_SUMMARIES = (
    # pytest; jest and vitest; mocha; TAP and node's own; cargo; unittest
    re.compile(r"(?P<n>\d+) (?P<what>passed|failed|skipped|errors?|xfailed|xpassed)\b"),
    re.compile(r"^\s*(?P<n>\d+) (?P<what>passing|failing|pending)\b", re.MULTILINE),
    re.compile(r"^[^a-z\n]*(?P<what>pass|fail|skipped) (?P<n>\d+)$", re.MULTILINE),
)
_CARGO = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")
_MEANS = {
    "passed": "passed", "passing": "passed", "pass": "passed", "xpassed": "passed",
    "failed": "failed", "failing": "failed", "fail": "failed",
    "error": "errors", "errors": "errors",
    "skipped": "skipped", "pending": "skipped", "xfailed": "skipped",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TestCase:
    """One test: `outcome` is passed, failed, error or skipped; `file` is relative to the root."""

    __test__ = False  # pytest takes every class of this name for one of its own

    name: str
    outcome: str
    file: str = ""
    line: int = 0
    message: str = ""
    seconds: float = 0.0


def count(cases: Iterable[TestCase]) -> dict[str, int]:
    """How many passed, failed, ended in an error and were skipped."""
    numbers = Counter(case.outcome for case in cases)
    return {
        "passed": numbers["passed"],
        "failed": numbers["failed"],
        "errors": numbers["error"],
        "skipped": numbers["skipped"],
    }


def read_junit(path: Path, root: Path, first_line: int = 1) -> list[TestCase]:
    """The cases of a JUnit file, whose lines count from `first_line`.

    Raises ValueError for one that cannot be read as such.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT_BYTES + 1)
    except OSError as problem:
        raise ValueError(f"it wrote no JUnit file ({problem.strerror})") from None
    if len(content) > _LIMIT_BYTES or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("its JUnit file is too large, or has a document type")
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError as problem:
        raise ValueError(f"its JUnit file is no XML: {problem}") from None
    return [_case(element, root, first_line) for element in tree.iter("testcase")]


def _case(element: ElementTree.Element, root: Path, first_line: int) -> TestCase:
    told = next((child for child in element if child.tag in _OUTCOMES), None)
    outcome = _OUTCOMES[told.tag] if told is not None else "passed"
    words = ""
    if told is not None and outcome != "skipped":
        words = "\n".join(part for part in (told.get("message"), told.text) if part)
    kind, name = element.get("classname") or "", element.get("name") or ""
    file = _relative(element.get("file") or "", root)
    line = _number(element.get("line")) + 1 - first_line if element.get("line") else 0
    if first_line == 0:  # pytest counts so, and tells the place in its words
        file, line = _python_place(words, file, line, kind, root)
    elif not file:
        file, line = _node_place(words, file, line, root)
    return TestCase(
        name="::".join(part for part in (kind, name) if part and part != "test") or "(unnamed)",
        outcome=outcome,
        file=file,
        line=line,
        message=words.strip()[:_MESSAGE_CHARACTERS],
        seconds=_seconds(element.get("time")),
    )


def _python_place(words: str, file: str, line: int, kind: str, root: Path) -> tuple[str, int]:
    """Where it failed in the test's own file, else where the test begins."""
    if not file and kind:
        guess = f"{kind.replace('.', '/')}.py"
        file = guess if (root / guess).is_file() else ""
    places = [(_relative(m["file"], root), int(m["line"])) for m in _PYTHON_PLACE.finditer(words)]
    own = [place for place in places if place[0] == file] or [
        place for place in places if not file and place[0]
    ]
    return own[-1] if own else (file, line)


def _node_place(words: str, file: str, line: int, root: Path) -> tuple[str, int]:
    for match in _NODE_PLACE.finditer(words):
        inside = _relative(match["file"], root)
        if inside and "node_modules/" not in inside:
            return inside, int(match["line"])
    return file, line


def read_go_events(output: bytes, root: Path) -> list[TestCase]:
    """The cases of `go test -json`; a package that does not build is one case with an error."""
    said: dict[tuple[str, str], list[str]] = {}
    cases: list[TestCase] = []
    for raw in output.split(b"\n"):
        event = _event(raw)
        key = (str(event.get("Package", "")), str(event.get("Test", "")))
        action = event.get("Action")
        if action == "output":
            said.setdefault(key, []).append(str(event.get("Output", "")))
        outcome = {"pass": "passed", "fail": "failed", "skip": "skipped"}.get(str(action))
        if outcome is None or (not key[1] and outcome != "failed"):
            continue
        if not key[1]:
            if any(
                case.name.startswith(f"{key[0]}::") for case in cases if case.outcome != "passed"
            ):
                continue  # it failed because a test of it did
            outcome = "error"
        words = "".join(said.get(key, [])) if outcome in ("failed", "error") else ""
        place = _GO_PLACE.search(words)
        cases.append(
            TestCase(
                "::".join(part for part in key if part),
                outcome,
                _go_file(place["file"], key[0], root) if place else "",
                int(place["line"]) if place else 0,
                words.strip()[:_MESSAGE_CHARACTERS],
                _seconds(str(event.get("Elapsed", 0))),
            )
        )
    return cases


def _go_file(file: str, package: str, root: Path) -> str:
    """Go names a file from its package's folder, which ends like the package's path."""
    parts = package.split("/")
    folders = ["/".join(parts[start:]) for start in range(len(parts))]
    places = [_relative(f"{folder}/{file}", root) for folder in folders]
    return next((place for place in places if place and (root / place).is_file()), file)


def counts_in(output: str) -> dict[str, int] | None:
    """The counts in a test program's own last words; None where they are of no known form."""
    cargo = _CARGO.findall(output)
    if cargo:
        passed, failed, skipped = (sum(int(row[place]) for row in cargo) for place in range(3))
        return {"passed": passed, "failed": failed, "errors": 0, "skipped": skipped}
    for pattern in _SUMMARIES:
        found: dict[str, int] = {}
        for match in pattern.finditer(output[-4_000:]):
            found[_MEANS[match["what"]]] = int(match["n"])
        if found:
            empty = {"passed": 0, "failed": 0, "errors": 0, "skipped": 0}
            return {**empty, **found}
    return None


def _event(raw: bytes) -> dict[str, object]:
    try:
        value = json.loads(raw) if raw.startswith(b"{") else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _relative(file: str, root: Path) -> str:
    """The path inside the root; empty for one outside."""
    path = os.path.normpath(root / file) if file else ""
    return path[len(f"{root}/") :] if path.startswith(f"{root}/") else ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
