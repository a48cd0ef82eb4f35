"""From what the analyzers said to the findings of a scan: place, fingerprint, snippet, merge.

Knows which findings are noise in which folders, and that no secret leaves this process. Runs
nothing and writes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.model.findings import (
    DEPENDENCY_FAMILY,
    SECRET_FAMILY,
    SEVERITIES,
    Finding,
    family_of_cwe,
    fingerprint,
    merge,
)
from cortex.worker.tools.readers import RawFinding
from cortex.worker.tools.secrets_seen import LITERAL, SecretsSeen, hint_of, is_placeholder
from cortex.worker.tools.source_files import SourceTree

__all__ = ["Harvest", "harvest"]

_SNIPPET_CHARACTERS = 200
_HIDDEN_PLACES = {"tests": "test files", "vendored": "vendored files"}


@dataclass(slots=True)
class Harvest:
    """The ranked findings, what was left out and why, and the secrets to blot out of any other
    text.
    """

    findings: list[Finding]
    not_shown: dict[str, dict[str, int]] = field(default_factory=dict)
    by_tool: Counter[str] = field(default_factory=Counter)
    secrets: SecretsSeen = field(default_factory=SecretsSeen)

    def not_shown_words(self) -> list[str]:
        """`test files: 214 low findings not shown`, one text a kind of place."""
        return [
            f"{where}: {', '.join(f'{count} {severity}' for severity, count in counts.items())} "
            f"{'finding' if sum(counts.values()) == 1 else 'findings'} not shown "
            "(scope.include_tests shows them)"
            for where, counts in self.not_shown.items()
        ]


class _Lines:
    """Source lines by file, each file read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, list[str]] = {}

    def line(self, file: str, number: int) -> str:
        if file not in self._files:
            try:
                text = (self._root / file).read_bytes().decode("utf-8", "replace")
            except OSError:
                text = ""
            self._files[file] = text.split("\n")
        lines = self._files[file]
        return lines[number - 1] if 0 < number <= len(lines) else ""


def harvest(tree: SourceTree, raw: Sequence[RawFinding], *, include_tests: bool) -> Harvest:
    """Findings of the tree's own files, ranked; those in tests and vendored code are counted
    instead.

    Secrets in tests and vendored code stay, as low: they may be real all the same.
    """
    lines = _Lines(tree.root)
    known = {file.path for file in tree.files}
    secrets = SecretsSeen()
    inside = [dict(finding, file=_relative(finding["file"], tree.root)) for finding in raw]
    inside = [finding for finding in inside if finding["file"] in known]
    kept = [finding for finding in inside if _is_meant(finding, lines, secrets)]
    for finding in kept:
        finding["family"] = finding.get("family") or family_of_cwe(finding.get("cwe"))
        finding["family"] = finding["family"] or finding["rule"]
    shown, hidden = _sort_by_place(tree, kept, include_tests=include_tests)
    _describe(shown, lines, secrets, tree.repository)
    merged = merge(secrets.blot(shown))
    by_tool = Counter(tool for finding in merged for tool in finding["tools"])
    return Harvest(merged, _not_shown(hidden, tree.repository), by_tool, secrets)


def _is_meant(finding: RawFinding, lines: _Lines, secrets: SecretsSeen) -> bool:
    """Whether this is a finding at all; remembers the secret that it points at."""
    if _family(finding) != SECRET_FAMILY:
        return True
    line = lines.line(finding["file"], finding["line"])
    columns = finding.pop("columns", None)
    if columns is not None:
        value = _at_columns(line, columns)
        secrets.add_literals(line)
        if finding["rule"].startswith("cortex.") and is_placeholder(value):
            return False
        secrets.add(value)
        finding["message"] = f"{finding['message'].rstrip('.')} ({hint_of(value)})"
        return True
    # Bandit and Ruff report any text near the word password; most of them are names or templates.
    literals = [match["value"] for match in LITERAL.finditer(line)]
    secrets.add_literals(line)
    finding["message"] = finding["title"]
    return any(not is_placeholder(value) for value in literals)


def _relative(file: str, root: Path) -> str:
    """Ruff prints absolute paths, the others those that they were given."""
    prefix = f"{root}/"
    return file[len(prefix) :] if file.startswith(prefix) else file


def _at_columns(line: str, columns: tuple[int, int]) -> str:
    start, end = columns
    return line.encode("utf-8", "replace")[start : end + 1].decode("utf-8", "replace").strip()


def _sort_by_place(
    tree: SourceTree, findings: Iterable[RawFinding], *, include_tests: bool
) -> tuple[list[RawFinding], dict[str, list[RawFinding]]]:
    shown: list[RawFinding] = []
    hidden: dict[str, list[RawFinding]] = defaultdict(list)
    for finding in findings:
        place = tree.place_of(finding["file"])
        if place == "examples":
            finding["severity"] = _lower(finding["severity"])
            # Documentation is full of made-up passwords; only a provider's pattern counts there.
            if _family(finding) == SECRET_FAMILY and finding["confidence"] != "high":
                finding["severity"] = "low"
        if place not in _HIDDEN_PLACES or include_tests:
            shown.append(finding)
        elif _family(finding) == SECRET_FAMILY and finding["tool"] == "kingfisher":
            finding["severity"] = "low"
            shown.append(finding)
        elif _family(finding) == DEPENDENCY_FAMILY:
            finding["severity"] = _lower(finding["severity"])
            shown.append(finding)
        else:
            hidden[_HIDDEN_PLACES[place]].append(finding)
    return shown, hidden


def _describe(
    findings: Sequence[RawFinding], lines: _Lines, secrets: SecretsSeen, repository: str
) -> None:
    """Add repository, snippet and fingerprint, which need the source line without its secrets."""
    secret_lines = {
        (finding["file"], finding["line"])
        for finding in findings
        if finding["family"] == SECRET_FAMILY
    }
    texts: dict[int, str] = {}
    places: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for finding in findings:
        place = (finding["file"], finding["line"])
        text = secrets.blot(lines.line(*place).strip())
        if place in secret_lines:
            text = LITERAL.sub("…", text)
        elif finding["family"] != DEPENDENCY_FAMILY:
            finding["snippet"] = text[:_SNIPPET_CHARACTERS]
        if finding["family"] == DEPENDENCY_FAMILY:
            text = f"{finding.get('package')} {finding['rule']}"
        texts[id(finding)] = text
        places[finding["family"], finding["file"], text].add(finding["line"])
    for finding in findings:
        text = texts[id(finding)]
        same = sorted(places[finding["family"], finding["file"], text])
        occurrence = same.index(finding["line"])
        finding["fingerprint"] = fingerprint(finding["family"], finding["file"], text, occurrence)
        finding["repository"] = repository


def _not_shown(
    hidden: Mapping[str, Sequence[RawFinding]], repository: str
) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for where, findings in sorted(hidden.items()):
        merged = merge({**finding, "repository": repository} for finding in findings)
        by_severity = Counter(finding["severity"] for finding in merged)
        counts[where] = {name: by_severity[name] for name in SEVERITIES if by_severity[name]}
    return counts


def _family(finding: Mapping[str, Any]) -> str | None:
    return finding.get("family") or family_of_cwe(finding.get("cwe"))


def _lower(severity: str) -> str:
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]
