"""Reads a folder of OSV advisories and says which of them a pinned version falls under.

The folder is the operator's: OSV JSON files in any depth, or the zip archives that osv.dev
publishes. The format is https://ossf.github.io/osv-schema/; of its ranges ECOSYSTEM and SEMVER
are read.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.worker.tools.cvss import base_score

__all__ = ["Advisories", "Advisory", "read_advisories"]

_FILE_LIMIT = 400_000
_WORDS = {"CRITICAL": "critical", "HIGH": "high", "MODERATE": "medium", "MEDIUM": "medium"}


@dataclass(frozen=True, slots=True)
class Advisory:
    """One advisory as it concerns one package: why and from which version on it is fixed."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: str
    cwe: str | None
    fixed: tuple[str, ...]
    affected: Mapping[str, Any]


@dataclass(slots=True)
class Advisories:
    """Advisories by (ecosystem, name), for the names asked for, and how many there were in all."""

    by_package: dict[tuple[str, str], list[Advisory]] = field(
        default_factory=lambda: defaultdict(list)
    )
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    newest: str = ""
    unreadable: int = 0

    def of(self, ecosystem: str, name: str, version: str) -> list[Advisory]:
        """The advisories that this exact version falls under."""
        return [
            advisory
            for advisory in self.by_package.get((ecosystem, name), ())
            if _is_affected(ecosystem, advisory.affected, version)
        ]


def read_advisories(folder: Path, wanted: Iterable[tuple[str, str]]) -> Advisories:
    """Read every advisory below `folder` that names one of the `wanted` (ecosystem, name) pairs.

    Raises OSError where the folder cannot be read. A file that is no advisory is counted, not
    fatal.
    """
    names = set(wanted)
    advisories = Advisories()
    if not folder.is_dir():
        raise OSError(f"{folder} is not a folder")
    for content in _documents(folder):
        try:
            document = json.loads(content)
            if isinstance(document, dict) and isinstance(document.get("affected"), list):
                _take(advisories, document, names)
            else:
                advisories.unreadable += 1
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            advisories.unreadable += 1
    return advisories


def _documents(folder: Path) -> Iterator[bytes]:
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".zip"))
    for number, path in enumerate(files):
        if number >= _FILE_LIMIT or not path.is_file():
            continue
        if path.suffix == ".json":
            yield path.read_bytes()
            continue
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json") and member.file_size < 16 * 1024 * 1024:
                    yield archive.read(member)


def _take(
    advisories: Advisories, document: Mapping[str, Any], wanted: set[tuple[str, str]]
) -> None:
    if document.get("withdrawn"):
        return
    advisories.newest = max(advisories.newest, str(document.get("modified", "")))
    for affected in document["affected"]:
        package = affected.get("package") or {}
        ecosystem = str(package.get("ecosystem", "")).split(":", maxsplit=1)[0]
        name = str(package.get("name", ""))
        if ecosystem == "PyPI":
            name = re.sub(r"[-_.]+", "-", name).lower()
        advisories.counts[ecosystem] += 1
        if (ecosystem, name) in wanted:
            advisories.by_package[ecosystem, name].append(_advisory(document, affected))


def _advisory(document: Mapping[str, Any], affected: Mapping[str, Any]) -> Advisory:
    database = document.get("database_specific") or {}
    cwes = database.get("cwe_ids") or []
    summary = str(document.get("summary") or document.get("details") or "").strip()
    return Advisory(
        id=str(document.get("id", "unnamed")),
        aliases=tuple(sorted(str(alias) for alias in document.get("aliases") or ())),
        summary=summary.split("\n", maxsplit=1)[0][:300],
        severity=_severity(document, affected, database),
        cwe=str(cwes[0]) if cwes else None,
        fixed=tuple(
            str(event["fixed"])
            for span in affected.get("ranges") or ()
            if span.get("type") in ("ECOSYSTEM", "SEMVER")
            for event in span.get("events") or ()
            if "fixed" in event
        ),
        affected=affected,
    )


def _severity(
    document: Mapping[str, Any], affected: Mapping[str, Any], database: Mapping[str, Any]
) -> str:
    """The database's word, else the score of a CVSS 3 vector, else medium: unknown is not
    harmless.
    """
    word = str(database.get("severity", "")).upper()
    if word in _WORDS:
        return _WORDS[word]
    if word == "LOW":
        return "low"
    for entry in [*(document.get("severity") or ()), *(affected.get("severity") or ())]:
        score = base_score(str(entry.get("score", "")))
        if score is not None:
            bounds = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"))
            return next((name for bound, name in bounds if score >= bound), "info")
    return "medium"


def _is_affected(ecosystem: str, affected: Mapping[str, Any], version: str) -> bool:
    listed = affected.get("versions") or ()
    if version in listed:
        return True
    order = _python_order if ecosystem == "PyPI" else _npm_order
    place = order(version)
    if place is None:
        return False
    if ecosystem == "PyPI" and any(order(str(item)) == place for item in listed):
        return True
    return any(
        _in_span(span.get("events") or (), place, order)
        for span in affected.get("ranges") or ()
        if span.get("type") in ("ECOSYSTEM", "SEMVER")
    )


def _in_span(events: Iterable[Mapping[str, str]], place: Any, order: Any) -> bool:
    """OSV's rule: walk the events in version order; the last one at or before the version
    decides.
    """
    marks = []
    for event in events:
        for kind in ("introduced", "fixed", "last_affected"):
            if kind in event:
                mark = None if event[kind] == "0" else order(str(event[kind]))
                if mark is not None or event[kind] == "0":
                    marks.append((mark, kind))
    inside = False
    marks.sort(key=lambda item: (item[0] is not None, item[0] or 0))
    for mark, kind in marks:
        if kind == "introduced" and (mark is None or mark <= place):
            inside = True
        elif mark is not None and (
            (kind == "fixed" and mark <= place) or (kind == "last_affected" and mark < place)
        ):
            inside = False
    return inside


def _python_order(version: str) -> Any:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version)
    except InvalidVersion:
        return None


def _npm_order(version: str) -> Any:
    """A key in the order of Semantic Versioning 2.0.0 (section 11)."""
    match = re.match(r"^[v=]*(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$", version.strip())
    if match is None:
        return None
    release = tuple(int(part) for part in match.groups()[:3])
    if match[4] is None:
        return (release, 1, ())
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split(".")
    )
    return (release, 0, parts)
