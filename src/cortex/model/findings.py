"""The normal form of a finding, and the arithmetic of that form: fingerprint, merge and rank.

Every tool reports in a shape of its own; this module says what one finding is once it has been
read, how two reports of one problem become one finding, and in which order a person should see
them. It runs no tool, reads no file, and decides nothing about what happens to a finding
afterwards.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

__all__ = [
    "CONFIDENCES",
    "DEPENDENCY_FAMILY",
    "SECRET_FAMILY",
    "SEVERITIES",
    "Finding",
    "ecosystem_of",
    "family_of_cwe",
    "fingerprint",
    "may_be_pinned",
    "merge",
    "names_an_upgrade",
    "normalise",
    "rank",
    "rank_key",
    "severity_counts",
]

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""Worst first. The words of CVSS, with `info` where CVSS says none."""
CONFIDENCES = ("high", "medium", "low")
SECRET_FAMILY = "hardcoded-secret"
DEPENDENCY_FAMILY = "vulnerable-dependency"

_PACKAGE = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._/-]{0,213}\Z")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,63}\Z")

#: Fields that only some findings have, by what they hold.
_TEXTS_OF_SOME = ("snippet", "package", "installed_version", "fixed_version", "ecosystem")
_LISTS_OF_SOME = ("aliases", "occurrences")
_TITLE_LENGTH = 200

_SEVERITY_PLACE = {name: place for place, name in enumerate(SEVERITIES)}
_CONFIDENCE_PLACE = {name: place for place, name in enumerate(CONFIDENCES)}
_SEVERITY_ALIASES = {
    "error": "high",
    "warning": "medium",
    "warn": "medium",
    "moderate": "medium",
    "note": "low",
    "minor": "low",
    "major": "high",
    "blocker": "critical",
    "informational": "info",
    "none": "info",
}
_FAMILY_OF_CWE = {
    20: "input-validation",
    22: "path-traversal",
    78: "command-injection",
    77: "command-injection",
    79: "cross-site-scripting",
    89: "sql-injection",
    94: "code-injection",
    95: "code-injection",
    259: SECRET_FAMILY,
    295: "certificate-validation",
    319: "cleartext-transport",
    321: SECRET_FAMILY,
    326: "weak-cryptography",
    327: "weak-cryptography",
    328: "weak-cryptography",
    330: "weak-random",
    338: "weak-random",
    347: "signature-verification",
    377: "insecure-temporary-file",
    400: "resource-exhaustion",
    502: "unsafe-deserialisation",
    605: "bind-all-interfaces",
    611: "xml-external-entity",
    703: "error-handling",
    732: "file-permissions",
    798: SECRET_FAMILY,
    1104: DEPENDENCY_FAMILY,
    1336: "template-injection",
    1395: DEPENDENCY_FAMILY,
}
_FAMILIES = frozenset(_FAMILY_OF_CWE.values())


class Finding(TypedDict):
    """One problem at one place, `file` relative to `repository`; line 0 is the whole file.

    `rules` and `tools` list everything that reported it, `rule` is the one whose words are shown.
    `snippet` is the source line, and is never there for secrets.
    """

    fingerprint: str
    tool: str
    tools: list[str]
    rule: str
    rules: list[str]
    title: str
    message: str
    severity: str
    confidence: str
    cwe: str | None
    family: str
    file: str
    line: int
    repository: str
    end_line: NotRequired[int]
    snippet: NotRequired[str]
    package: NotRequired[str]
    installed_version: NotRequired[str]
    fixed_version: NotRequired[str]
    ecosystem: NotRequired[str]
    fixable: NotRequired[bool]
    aliases: NotRequired[list[str]]
    occurrences: NotRequired[list[str]]


def family_of_cwe(cwe: str | None) -> str | None:
    """The rule family of `CWE-78` (or `78`), or None where no family is defined for it."""
    number = _cwe_number(cwe)
    return _FAMILY_OF_CWE.get(number) if number is not None else None


def names_an_upgrade(finding: Finding) -> bool:
    """Whether it names a package and a fixed version that may be written into a manifest."""
    return may_be_pinned(_text(finding.get("package")), _text(finding.get("fixed_version")))


def may_be_pinned(package: str, version: str) -> bool:
    """Whether a manifest may say this: a version with a line break would add a dependency."""
    return bool(_PACKAGE.match(package) and _VERSION.match(version))


def ecosystem_of(finding: Finding) -> str:
    """`PyPI` or `npm`, as the finding says or its file's name shows."""
    name = finding["file"].rpartition("/")[2]
    shown = "npm" if name.startswith(("package", "npm-")) else "PyPI"
    return str(finding.get("ecosystem") or shown)


def fingerprint(family: str, file: str, text: str, occurrence: int = 0) -> str:
    """Sixteen hex digits that stay the same when unrelated lines move.

    `text` is the source line (its white space does not matter); `occurrence` counts equal lines
    of one family in one file from 0, so that two copies stay two findings.
    """
    parts = (family, file, " ".join(text.split()), str(occurrence))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normalise(raw: Mapping[str, Any], repository: str = "") -> Finding:
    """A Finding out of whatever a worker program reported, with every missing field filled in.

    Accepts the usual other names (`path`, `line_number`, `description`, `check_id`); keeps
    unknown fields. Never raises: what cannot be read becomes the field's neutral value.
    """
    kept: dict[str, Any] = dict(raw)
    file = _text(_first(raw, "file", "path", "filename"))
    rule = _text(_first(raw, "rule", "rule_id", "check_id", "id")) or "unnamed"
    cwe = _cwe_text(raw.get("cwe"))
    family = _text(raw.get("family")) or family_of_cwe(cwe) or rule
    message = _text(_first(raw, "message", "description", "title", "summary")) or rule
    tools = _texts(raw.get("tools")) or [_text(raw.get("tool")) or "unknown"]
    line = _line(_first(raw, "line", "line_number", "start_line"))
    kept.update(
        tool=_text(raw.get("tool")) or tools[0],
        tools=sorted(set(tools)),
        rule=rule,
        rules=sorted(set(_texts(raw.get("rules")) or [rule])),
        title=_one_line(_text(raw.get("title"))) or message.splitlines()[0][:120],
        message=message,
        severity=_severity(raw.get("severity")),
        confidence=_confidence(raw.get("confidence")),
        cwe=cwe,
        family=family,
        file=file,
        line=line,
        repository=_text(raw.get("repository")) or repository,
    )
    _tidy(kept)
    given = _text(raw.get("fingerprint"))
    text = _text(raw.get("snippet")) or f"{rule}\0{message}"
    kept["fingerprint"] = given or fingerprint(family, file, text)
    return cast(Finding, kept)


def merge(findings: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Reports of one problem joined into one finding each, ranked.

    Two reports are one problem when they name the same repository, file and line and share the
    CWE or the rule family; vulnerable dependencies when they share an advisory id. Where neither
    a CWE nor a family of one stands behind them they share the title too: two failing tests or
    two dead links of one line are two problems. Severity and confidence are the highest
    reported, `tools` and `rules` the union. The result does not depend on the order of the
    input, and merging it again changes nothing.
    """
    entries = sorted((normalise(raw) for raw in findings), key=_canonical)
    leader = list(range(len(entries)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    seen: dict[tuple[str, ...], int] = {}
    for place, entry in enumerate(entries):
        for key in _join_keys(entry):
            other = seen.setdefault(key, place)
            leader[find(place)] = find(other)
    members: dict[int, list[Finding]] = defaultdict(list)
    for place, entry in enumerate(entries):
        members[find(place)].append(entry)
    return rank(_joined(group) for group in members.values())


def rank_key(finding: Mapping[str, Any]) -> tuple[int, int, str, str, int, int, str, str]:
    """Sort key: severity, how many tools agree, then place; confidence and rule break ties."""
    return (
        _SEVERITY_PLACE.get(str(finding.get("severity")), len(SEVERITIES)),
        -len(finding.get("tools") or ()),
        str(finding.get("repository", "")),
        str(finding.get("file", "")),
        int(finding.get("line") or 0),
        _CONFIDENCE_PLACE.get(str(finding.get("confidence")), len(CONFIDENCES)),
        str(finding.get("rule", "")),
        str(finding.get("fingerprint", "")),
    )


def rank(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in the order to look at them; the same for any order of the input."""
    return sorted(findings, key=lambda finding: (rank_key(finding), _canonical(finding)))


def severity_counts(findings: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many findings there are of each severity; every severity is a key, worst first."""
    counts = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        severity = str(finding.get("severity"))
        counts[severity if severity in counts else "info"] += 1
    return counts


def _join_keys(finding: Finding) -> list[tuple[str, ...]]:
    place = (finding["repository"], finding["file"], str(finding["line"]))
    if finding["family"] == DEPENDENCY_FAMILY:
        package = finding.get("package", "")
        ids = {*finding["rules"], *_texts(finding.get("aliases"))}
        return [(*place, "advisory", package, advisory) for advisory in sorted(ids)]
    family = (*place, "family", finding["family"])
    if finding["cwe"]:
        return [family, (*place, "cwe", finding["cwe"])]
    return [family if finding["family"] in _FAMILIES else (*family, finding["title"])]


def _joined(group: Sequence[Finding]) -> Finding:
    speaker = rank(group)[0]
    if len(group) == 1:
        return speaker
    joined: dict[str, Any] = dict(speaker)
    joined["tools"] = sorted({tool for entry in group for tool in entry["tools"]})
    joined["rules"] = sorted({rule for entry in group for rule in entry["rules"]})
    joined["severity"] = min(
        (entry["severity"] for entry in group), key=_SEVERITY_PLACE.__getitem__
    )
    joined["confidence"] = min(
        (entry["confidence"] for entry in group), key=_CONFIDENCE_PLACE.__getitem__
    )
    aliases = {alias for entry in group for alias in _texts(entry.get("aliases"))}
    if aliases:
        joined["aliases"] = sorted(aliases)
    if any(entry["family"] == SECRET_FAMILY for entry in group):
        joined.pop("snippet", None)
    return cast(Finding, joined)


def _canonical(finding: Mapping[str, Any]) -> str:
    return json.dumps(finding, sort_keys=True, default=str)


def _first(raw: Mapping[str, Any], *names: str) -> Any:
    return next((raw[name] for name in names if raw.get(name) not in (None, "")), None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ("" if value is None else str(value))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [_text(item) for item in value] if isinstance(value, (list, tuple, set)) else []


def _one_line(text: str) -> str:
    """A title for lists and for the tasks that come of it, whatever a worker wrote there."""
    return " ".join(text.split())[:_TITLE_LENGTH].rstrip()


def _tidy(kept: dict[str, Any]) -> None:
    """Makes fields that only some findings have what their names say, or takes them out."""
    for name in _TEXTS_OF_SOME:
        value = kept.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            kept[name] = str(value)
        elif not isinstance(value, str):
            kept.pop(name, None)
    for name in _LISTS_OF_SOME:
        if name in kept:
            kept[name] = _texts(kept[name])
    if "end_line" in kept:
        kept["end_line"] = _line(kept["end_line"])
    if "fixable" in kept:
        kept["fixable"] = kept["fixable"] is True


def _line(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def _severity(value: Any) -> str:
    word = _text(value).strip().lower()
    word = _SEVERITY_ALIASES.get(word, word)
    return word if word in _SEVERITY_PLACE else "info"


def _confidence(value: Any) -> str:
    word = _text(value).strip().lower()
    return word if word in _CONFIDENCE_PLACE else "medium"


def _cwe_number(cwe: Any) -> int | None:
    digits = _text(cwe).strip().upper().removeprefix("CWE-")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else None


def _cwe_text(cwe: Any) -> str | None:
    if isinstance(cwe, (list, tuple)):
        cwe = cwe[0] if cwe else None
    number = _cwe_number(cwe)
    return None if number is None else f"CWE-{number}"
