"""The auditors that ask the network: pip-audit and npm audit, only where the spec says
`audit_online`.

Both can fail in ways that look like a clean answer (a skipped dependency, an error object with
status 0), so anything but a whole answer is `not_audited`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex.model.findings import DEPENDENCY_FAMILY
from cortex.model.report import ToolRun
from cortex.worker.tools import processes
from cortex.worker.tools.analyzers import program
from cortex.worker.tools.pins import Pin
from cortex.worker.tools.readers import RawFinding
from cortex.worker.tools.source_files import SourceTree

__all__ = ["audit_online", "read_npm_audit", "read_pip_audit"]

_LIMIT_S = 60.0
_NPM_SEVERITIES = {"moderate": "medium"}

Read = Callable[[bytes, list[Pin]], list[RawFinding]]


class _NotAuditedError(ValueError):
    """The auditor answered, but not about everything."""


def audit_online(
    tree: SourceTree, pins: list[Pin], home: Path
) -> tuple[list[RawFinding], list[ToolRun]]:
    """Findings and states of the online auditors that have something to audit."""
    findings: list[RawFinding] = []
    runs: list[ToolRun] = []
    python = [pin for pin in pins if pin.ecosystem == "PyPI" and pin.version]
    if python:
        listing = home / "pins.txt"
        names = sorted({f"{pin.name}=={pin.version}" for pin in python})
        listing.write_text("\n".join(names) + "\n")
        argv = ["--requirement", str(listing), "--no-deps", "--disable-pip", "--strict"]
        argv += ["--format", "json", "--progress-spinner", "off"]
        found, run = _ask("pip-audit", argv, home, home, python, read_pip_audit)
        findings += found
        runs.append(run)
    locked = [pin for pin in pins if pin.file == "package-lock.json"]
    if locked:
        argv = ["audit", "--json", "--package-lock-only", "--ignore-scripts"]
        found, run = _ask("npm", argv, tree.root, home, locked, read_npm_audit)
        findings += found
        runs.append(run)
    return findings, runs


def _ask(
    name: str, argv: list[str], cwd: Path, home: Path, pins: list[Pin], read: Read
) -> tuple[list[RawFinding], ToolRun]:
    run = ToolRun(
        name="npm audit" if name == "npm" else name,
        what="pinned dependencies with known vulnerabilities, asked online",
        scan_type="dependencies",
        state="not_audited",
        reason=None,
        seconds=0.0,
        files=len({pin.file for pin in pins}),
        findings=0,
        version=None,
        applicable=True,
    )
    path = program(name)
    if path is None:
        run["reason"] = f"{name} is not installed"
        return [], run
    env = processes.minimal_environment(home)
    outcome = processes.run([path, *argv], cwd=cwd, env=env, limit_s=_LIMIT_S)
    run["seconds"] = round(outcome.seconds, 2)
    if outcome.problem or outcome.returncode not in (0, 1):
        run["reason"] = outcome.problem or f"{name} ended with status {outcome.returncode}"
        return [], run
    try:
        findings = read(outcome.stdout, pins)
    except _NotAuditedError as problem:
        run["reason"] = str(problem)
        return [], run
    except (ValueError, KeyError, TypeError, AttributeError):
        run["reason"] = f"{name} gave no whole answer; is its service reachable?"
        return [], run
    run["findings"] = len(findings)
    run["state"] = "findings" if findings else "clean"
    return findings, run


def read_pip_audit(output: bytes, pins: list[Pin]) -> list[RawFinding]:
    """Findings of `pip-audit --format json`. Raises ValueError if any pin was skipped or is
    missing.
    """
    dependencies = json.loads(output)["dependencies"]
    skipped = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    if skipped:
        raise _NotAuditedError(
            f"pip-audit skipped {len(skipped)} of {len(dependencies)} dependencies"
        )
    answered = {(_lower(entry["name"]), entry["version"]) for entry in dependencies}
    if not {(pin.name, pin.version) for pin in pins} <= answered:
        raise _NotAuditedError("pip-audit did not answer for every dependency")
    findings = []
    for entry in dependencies:
        for problem in entry.get("vulns", []):
            for pin in pins:
                if (pin.name, pin.version) == (_lower(entry["name"]), entry["version"]):
                    fix = next(iter(problem.get("fix_versions") or ()), None)
                    findings.append(
                        _finding("pip-audit", pin, problem["id"], "medium", fix, problem)
                    )
    return findings


def read_npm_audit(output: bytes, pins: list[Pin]) -> list[RawFinding]:
    """Findings of `npm audit --json`. Raises ValueError for an error object, which has no
    answer.
    """
    report = json.loads(output)
    if "error" in report or not isinstance(report.get("vulnerabilities"), dict):
        raise _NotAuditedError("npm audit gave an error instead of an answer")
    findings = []
    for name, entry in report["vulnerabilities"].items():
        causes = [cause for cause in entry.get("via", []) if isinstance(cause, dict)]
        for cause in causes:
            word = str(cause.get("severity", "medium"))
            rule = str(cause.get("url", cause.get("source", "unnamed"))).rsplit("/", 1)[-1]
            for pin in pins:
                if pin.name == name:
                    severity = _NPM_SEVERITIES.get(word, word)
                    findings.append(_finding("npm audit", pin, rule, severity, None, cause))
    return findings


def _finding(
    tool: str, pin: Pin, rule: str, severity: str, fix: str | None, source: dict[str, Any]
) -> RawFinding:
    words = str(source.get("description") or source.get("title") or "").split("\n")[0][:300]
    return {
        "tool": tool,
        "rule": rule,
        "aliases": [str(alias) for alias in source.get("aliases") or ()],
        "file": pin.file,
        "line": pin.line,
        "severity": severity,
        "confidence": "high",
        "cwe": "CWE-1395",
        "family": DEPENDENCY_FAMILY,
        "package": pin.name,
        "installed_version": pin.version,
        **({"fixed_version": fix} if fix else {}),
        "title": f"{pin.name} {pin.version} is vulnerable: {rule}",
        "message": f"{words or 'No summary.'} " + (f"Upgrade to {fix}." if fix else ""),
    }


def _lower(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
