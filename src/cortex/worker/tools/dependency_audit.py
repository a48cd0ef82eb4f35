"""The dependency audit: pins against an operator's OSV folder, and online auditors where asked
for.

Without a source of advisories the answer is `not_audited` and never `clean`; the inventory of
pins is made all the same.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cortex.model.findings import DEPENDENCY_FAMILY
from cortex.model.paths import expanded
from cortex.model.report import ToolRun
from cortex.worker.contract import Worker
from cortex.worker.tools.advisories import Advisories, Advisory, read_advisories
from cortex.worker.tools.online_audit import audit_online
from cortex.worker.tools.pins import Pin, read_pins
from cortex.worker.tools.readers import RawFinding
from cortex.worker.tools.source_files import SourceTree

__all__ = ["AUDIT_NAME", "Audit", "audit_dependencies"]

AUDIT_NAME = "osv-audit"
_HOW_TO = (
    "no advisories: name a folder of OSV advisories (JSON or the zip files of osv.dev) as [scan] "
    "advisories_dir in cortex.toml, or ask a service with [scan] audit_online, and restart cortexd"
)


@dataclass(slots=True)
class Audit:
    """What was pinned, what of it is vulnerable, and how the auditors fared."""

    pins: list[Pin]
    findings: list[RawFinding] = field(default_factory=list)
    tool_runs: list[ToolRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def audit_dependencies(worker: Worker, tree: SourceTree, home: Path) -> Audit:
    """Audit every pin of the tree. Never raises for what a manifest or an advisory holds."""
    started_s = time.monotonic()
    pins, problems = read_pins(tree)
    audit = Audit(pins, notes=problems)
    exact = [pin for pin in pins if pin.version is not None]
    run = _tool_run(len({pin.file for pin in pins}), applicable=bool(pins))
    folder = _advisories_dir(worker)
    if not pins:
        run["reason"] = "no manifest or lock file names a dependency"
    elif folder is None:
        run["reason"] = _HOW_TO
    elif not exact:
        run["reason"] = f"{len(pins)} requirements and none pinned to a version: add a lock file"
    else:
        _audit_offline(audit, run, folder, exact)
    run["seconds"] = round(time.monotonic() - started_s, 2)
    audit.tool_runs.append(run)
    if pins and worker.context.get("audit_online") is True:
        online_findings, online_runs = audit_online(tree, pins, home)
        audit.findings += online_findings
        audit.tool_runs += online_runs
    return audit


def _audit_offline(audit: Audit, run: ToolRun, folder: Path, exact: list[Pin]) -> None:
    try:
        advisories = read_advisories(folder, {(pin.ecosystem, pin.name) for pin in exact})
    except (OSError, ValueError) as problem:
        run["state"], run["reason"] = "error", f"the advisories cannot be read: {problem}"
        return
    for pin in exact:
        for advisory in advisories.of(pin.ecosystem, pin.name, str(pin.version)):
            audit.findings.append(_finding(pin, advisory))
    missing = _ecosystems_without_advisories(advisories, exact)
    run["findings"] = len(audit.findings)
    run["state"] = "findings" if audit.findings else "clean"
    if missing:
        run["reason"] = f"{folder} holds no advisory for {', '.join(missing)}"
        if not audit.findings:
            run["state"] = "not_audited"
    ranges = len(audit.pins) - len(exact)
    total = ", ".join(f"{count:,} {name}" for name, count in sorted(advisories.counts.items()))
    audit.notes.append(
        f"Audited {len(exact)} exact pins against {total or 'no'} advisories"
        + (f", the newest of {advisories.newest[:10]}." if advisories.newest else ".")
    )
    if ranges:
        audit.notes.append(f"{ranges} requirements leave the version open and were not audited.")
    if advisories.unreadable:
        audit.notes.append(f"{advisories.unreadable} files in {folder} are no OSV advisories.")


def _finding(pin: Pin, advisory: Advisory) -> RawFinding:
    fix = _fix(pin, advisory)
    advice = f"Upgrade to {fix}." if fix else "No fixed version is known."
    return {
        "tool": AUDIT_NAME,
        "rule": advisory.id,
        "aliases": list(advisory.aliases),
        "file": pin.file,
        "line": pin.line,
        "severity": advisory.severity,
        "confidence": "high",
        "cwe": advisory.cwe or "CWE-1395",
        "family": DEPENDENCY_FAMILY,
        "package": pin.name,
        "installed_version": pin.version,
        **({"fixed_version": fix} if fix else {}),
        "title": f"{pin.name} {pin.version} is vulnerable: {advisory.id}",
        "message": f"{(advisory.summary or 'No summary').rstrip('.')}. {advice}",
    }


def _fix(pin: Pin, advisory: Advisory) -> str | None:
    """The first fixed version of the pin's own release line, else the last one named."""
    major = str(pin.version).split(".", maxsplit=1)[0]
    same_line = [fix for fix in advisory.fixed if fix.split(".", maxsplit=1)[0] == major]
    return next(iter(same_line or advisory.fixed[-1:]), None)


def _ecosystems_without_advisories(advisories: Advisories, exact: list[Pin]) -> list[str]:
    present = Counter(pin.ecosystem for pin in exact)
    return sorted(name for name in present if not advisories.counts.get(name))


def _advisories_dir(worker: Worker) -> Path | None:
    for value in (
        worker.context.get("advisories_dir"),
        worker.scope.get("advisories_dir"),
        os.environ.get("CORTEX_ADVISORIES_DIR"),
    ):
        if value:
            return expanded(str(value))
    return None


def _tool_run(files: int, *, applicable: bool) -> ToolRun:
    return ToolRun(
        name=AUDIT_NAME,
        what="pinned dependencies with known vulnerabilities",
        scan_type="dependencies",
        state="not_audited",
        reason=None,
        seconds=0.0,
        files=files,
        findings=0,
        version=None,
        applicable=applicable,
    )
