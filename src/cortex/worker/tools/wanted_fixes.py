"""What a fix worker is to fix: findings that the task, the needed steps or a new scan name.

A follow-up task names findings by fingerprint; unless it also says what mends them (a package and
its version, or rules), the clone is scanned again, which gives their present place and shows those
that are gone. Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortex.model.findings import (
    DEPENDENCY_FAMILY,
    SECRET_FAMILY,
    Finding,
    ecosystem_of,
    may_be_pinned,
    names_an_upgrade,
    normalise,
)
from cortex.worker.contract import Worker
from cortex.worker.tools.bump import is_at_least
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.options import names, option, text
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.proof import Package
from cortex.worker.tools.scan import SCAN_TYPES, analyze_tree, settle_states
from cortex.worker.tools.scan_findings import harvest
from cortex.worker.tools.source_files import read_tree

__all__ = ["Wanted", "read_wanted"]

_RUFF_RULE = re.compile(r"[A-Z]{1,4}\d{3,4}\Z")
_ECOSYSTEMS = ("PyPI", "npm")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}\Z")


@dataclass(slots=True)
class Wanted:
    """The work, by what can do it: `rules` are ruff's by file, `by_hand` no tool can fix.

    `gone` are findings of a scan that the clone no longer shows. `unknown` says what was asked for
    and could not be looked up, or may be of another kind than a scan's.
    """

    packages: list[Package] = field(default_factory=list)
    rules: dict[str, list[str]] = field(default_factory=dict)
    by_hand: list[Finding] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def read_wanted(worker: Worker, clone: Clone) -> Wanted:
    """What is to be fixed in this clone. Raises NotRunError where nothing is named."""
    wanted = Wanted()
    given, prints = _named(worker, clone)
    package, version = text(worker, "package"), text(worker, "version")
    rules = names(worker, "rules")
    _check_rules(rules)
    told = bool(rules or (package and version))
    if prints and not told:
        given += _looked_up(worker, clone, prints, wanted)
    if version and package:
        wanted.packages.append(_asked_for(worker, package, version))
    if rules:
        paths = [str(path) for path in worker.scope.get("paths") or []]
        for file in read_tree(str(clone.root), paths).of(
            "python", places=("source", "tests", "examples")
        ):
            wanted.rules[file.path] = list(rules)
    for finding in given:
        _sort_in(wanted, finding, None if version else package)
    _settle_packages(wanted)
    if not (wanted.findings or wanted.packages or wanted.rules or wanted.gone or wanted.unknown):
        raise NotRunError(
            "nothing is named that is to be fixed",
            ["scope.findings, a needed step with findings, scope.package with scope.version, or "
             "scope.rules (rules of ruff)"],
        )  # fmt: skip
    return wanted


def _asked_for(worker: Worker, package: str, version: str) -> Package:
    """The upgrade that the task names. Raises ValueError for what no manifest may say."""
    named = text(worker, "ecosystem") or "PyPI"
    ecosystem = next((name for name in _ECOSYSTEMS if name.lower() == named.lower()), None)
    if ecosystem is None:
        raise ValueError(f"scope.ecosystem is {named!r}; choose from {', '.join(_ECOSYSTEMS)}")
    if not may_be_pinned(package, "1"):
        raise ValueError(f"scope.package is {package!r}; write the name of one package")
    comparable = may_be_pinned(package, version) and is_at_least(ecosystem, version, version)
    if not (comparable and any(map(str.isdigit, version))):
        raise ValueError(f"scope.version is {version!r}; write one version, such as 2.31.0")
    return Package(ecosystem, package, version)


def _named(worker: Worker, clone: Clone) -> tuple[list[Finding], list[str]]:
    """(findings as objects, fingerprints) that task, scope and needed steps name."""
    rows: list[Any] = []
    for value in (worker.scope.get("findings"), worker.context.get("findings")):
        rows += value if isinstance(value, list) else []
    for needed in worker.needed():
        found = needed.results.get("findings")
        rows += found if isinstance(found, list) else []
    objects = [normalise(row, clone.source) for row in rows if isinstance(row, Mapping)]
    here = {clone.source, str(clone.source_path or ""), ""}
    prints = [row for row in rows if isinstance(row, str) and _FINGERPRINT.match(row)]
    return [row for row in objects if row["repository"] in here], list(dict.fromkeys(prints))


def _looked_up(
    worker: Worker, clone: Clone, prints: Sequence[str], wanted: Wanted
) -> list[Finding]:
    tree = read_tree(str(clone.root))
    package, cwe = option(worker, "package"), option(worker, "cwe")
    types: Sequence[str] = SCAN_TYPES
    if package or cwe:
        types = ["dependencies"] if package else ["vulnerabilities", "secrets"]
    worker.heartbeat.beat(0.05, "scanning for the findings", now=True)
    found = analyze_tree(worker, tree, types)
    harvested = harvest(tree, found.raw, include_tests=True)
    settle_states(found.tool_runs, harvested)
    by_print = {row["fingerprint"]: row for row in harvested.findings}
    missing = [name for name in prints if name not in by_print]
    short = [row for row in found.tool_runs
             if row["applicable"] and row["state"] in ("not_audited", "error")]  # fmt: skip
    words = ", ".join(f"{row['name']} ({row['reason']})" for row in short)
    if not words and not (package or cwe):
        words = "no scan shows it, and whether one ever did is not told"
    if words:
        wanted.unknown += [f"{name}: {words}" for name in missing]
    else:
        wanted.gone += missing
    return [by_print[name] for name in prints if name in by_print]


def _check_rules(rules: Sequence[str]) -> None:
    wrong = [rule for rule in rules if not _RUFF_RULE.match(rule)]
    if wrong:
        raise ValueError(f"scope.rules: {wrong[0]!r} is no rule of ruff; write it like UP032")


def _sort_in(wanted: Wanted, finding: Finding, package: str | None) -> None:
    if package and finding.get("package") not in (None, package):
        return
    wanted.findings.append(finding)
    if finding["family"] == DEPENDENCY_FAMILY:
        fixed, name = finding.get("fixed_version"), finding.get("package")
        if fixed and name and names_an_upgrade(finding):
            wanted.packages.append(Package(ecosystem_of(finding), name, fixed))
        else:
            wanted.by_hand.append(finding)
        return
    rules = [rule for rule in finding["rules"] if _RUFF_RULE.match(rule)]
    if "ruff" in finding["tools"] and rules and finding["family"] != SECRET_FAMILY:
        listed = wanted.rules.setdefault(finding["file"], [])
        listed += [rule for rule in rules if rule not in listed]
    else:
        wanted.by_hand.append(finding)


def _settle_packages(wanted: Wanted) -> None:
    """One version a package: the highest that a finding needs."""
    highest: dict[tuple[str, str], Package] = {}
    for package in wanted.packages:
        key = (package.ecosystem, package.name.lower())
        known = highest.get(key)
        if known is None or is_at_least(package.ecosystem, package.version, known.version):
            highest[key] = package
    wanted.packages = list(highest.values())
