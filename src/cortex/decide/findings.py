"""What a task makes of its workers' findings: one ranked list, and groups worth a fix task each.

Pure, like the rest of this room: it maps lists to lists. The normal form, the join and the order
are the model's; this module adds whose work a finding becomes.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cortex.model.findings import (
    DEPENDENCY_FAMILY,
    SEVERITIES,
    Finding,
    ecosystem_of,
    merge,
    names_an_upgrade,
    normalise,
    rank,
    rank_key,
    severity_counts,
)
from cortex.model.words import counted

__all__ = [
    "Finding",
    "Group",
    "group",
    "merge",
    "merge_workers",
    "normalise",
    "rank",
    "severity_counts",
]

_NAME_LENGTH, _TITLE_LENGTH = 40, 300
_RUFF_RULE = re.compile(r"[A-Z]{1,4}\d{3,4}\Z")


@dataclass(frozen=True, slots=True)
class Group:
    """Findings that one fix can answer.

    `key` names the same problem on any day, however many places show it, so a follow-up task
    that carries it is made once. `family` and `cwe` are None in the group of the rest, and so is
    `repository` where its findings span several. `remedy` is the scope with which a tool can mend
    all of it without thought; empty where it cannot.
    """

    key: str
    title: str
    severity: str
    count: int
    repository: str | None
    repositories: tuple[str, ...]
    family: str | None
    cwe: str | None
    package: str | None
    files: tuple[str, ...]
    fingerprints: tuple[str, ...]
    remedy: Mapping[str, Any] = field(default_factory=dict)
    is_rest: bool = False


def merge_workers(reports: Iterable[tuple[str, Iterable[Mapping[str, Any]]]]) -> list[Finding]:
    """One ranked list from `(repository, findings)` pairs, one pair a worker, joined by `merge`."""
    return merge(
        normalise(finding, repository) for repository, findings in reports for finding in findings
    )


def group(findings: Iterable[Finding], limit: int, *, at_least: str = "info") -> list[Group]:
    """At most `limit` groups, most urgent first, and one more for the rest if there are more.

    A group is one repository's findings of one rule family (or CWE, where the tool's family is
    only its rule), or of one package for dependencies. Findings below severity `at_least` are
    left out; every other finding is in exactly one group, so the counts add up. Raises
    ValueError for a limit below 1 or an unknown severity.
    """
    if limit < 1:
        raise ValueError(f"group: limit is {limit}, and must be at least 1")
    if at_least not in SEVERITIES:
        raise ValueError(
            f"group: at_least is {at_least!r}, and must be one of {', '.join(SEVERITIES)}"
        )
    wanted = SEVERITIES[: SEVERITIES.index(at_least) + 1]
    buckets: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in rank(findings):
        if finding["severity"] in wanted:
            buckets[_bucket(finding)].append(finding)
    ordered = sorted(buckets.items(), key=lambda item: (rank_key(item[1][0]), item[0]))
    names = _short_names({repository for repository, _, _ in buckets})
    groups = [_group(bucket, members, names) for bucket, members in ordered[:limit]]
    rest = [finding for _, members in ordered[limit:] for finding in members]
    if rest:
        groups.append(_rest(rank(rest), len(ordered) - limit))
    return groups


def _bucket(finding: Finding) -> tuple[str, str, str]:
    if finding["family"] == DEPENDENCY_FAMILY:
        return (finding["repository"], DEPENDENCY_FAMILY, finding.get("package", ""))
    by_rule_only = finding["family"] in finding["rules"] and finding["cwe"] is not None
    return (finding["repository"], str(finding["cwe"] if by_rule_only else finding["family"]), "")


def _short_names(repositories: Iterable[str]) -> dict[str, str]:
    """The last part of each path or URL; those that share it have the part before it too."""
    parts = {name: name.rstrip("/").removesuffix(".git").split("/") for name in repositories}
    last = Counter(each[-1] for each in parts.values())
    return {name: _cut("/".join(each[-1 - (last[each[-1]] > 1) :])) for name, each in parts.items()}


def _where(word: str, name: str) -> str:
    """` in shop`; empty for findings of no repository."""
    return f" {word} {name}" if name else ""


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _group(bucket: tuple[str, str, str], members: list[Finding], names: Mapping[str, str]) -> Group:
    repository, family, package = bucket
    first = members[0]
    files = _files(members)
    if package:
        fixed = _highest_fix(members)
        advice = f" to {fixed}" if fixed else ""
        told = counted(len(members), "advisory", "advisories")
        title = f"Upgrade {package}{advice}{_where('in', names[repository])}: {told}"
    else:
        where = files[0] if len(files) == 1 else f"{len(files)} files"
        places = counted(len(members), "place")
        title = (
            f"{first['title'].rstrip('.')}: {places} in {where}{_where('of', names[repository])}"
        )
    cwes = {finding["cwe"] for finding in members}
    return Group(
        key=_key(repository, family, package),
        title=" ".join(title.split())[:_TITLE_LENGTH],
        severity=first["severity"],
        count=len(members),
        repository=repository,
        repositories=(repository,),
        family=first["family"],
        cwe=first["cwe"] if len(cwes) == 1 else None,
        package=package or None,
        files=files,
        fingerprints=tuple(sorted(finding["fingerprint"] for finding in members)),
        remedy=_remedy(package, members),
    )


def _remedy(package: str, members: list[Finding]) -> dict[str, Any]:
    """A dependency's version that all findings name, or the rules that ruff says it can mend."""
    if package:
        if not all(map(names_an_upgrade, members)):
            return {}
        version = _highest_fix(members)
        return {"package": package, "version": version, "ecosystem": ecosystem_of(members[0])}
    mendable = all(
        finding.get("fixable") is True
        and finding["tools"] == ["ruff"]
        and all(_RUFF_RULE.match(rule) for rule in finding["rules"])
        for finding in members
    )
    rules = sorted({rule for finding in members for rule in finding["rules"]})
    return {"rules": rules} if mendable else {}


def _rest(members: list[Finding], kinds: int) -> Group:
    repositories = tuple(sorted({finding["repository"] for finding in members}))
    findings = counted(len(members), "finding")
    return Group(
        key=_key("\n".join(repositories), "other", ""),
        title=f"{findings} of {counted(kinds, 'other kind')}",
        severity=members[0]["severity"],
        count=len(members),
        repository=repositories[0] if len(repositories) == 1 else None,
        repositories=repositories,
        family=None,
        cwe=None,
        package=None,
        files=_files(members),
        fingerprints=tuple(sorted(finding["fingerprint"] for finding in members)),
        is_rest=True,
    )


def _key(repository: str, family: str, package: str) -> str:
    digest = hashlib.sha256("\0".join((repository, family, package)).encode()).hexdigest()[:12]
    return f"finding:{package or family}:{digest}"


def _files(members: list[Finding]) -> tuple[str, ...]:
    return tuple(sorted({finding["file"] for finding in members}))


def _highest_fix(members: list[Finding]) -> str:
    fixes = {finding.get("fixed_version", "") for finding in members} - {""}
    return max(fixes, key=_release) if fixes else ""


def _release(version: str) -> tuple[int, ...]:
    release = version.split("-", maxsplit=1)[0]
    return tuple(int(part) for part in release.split(".") if part.isdigit())
