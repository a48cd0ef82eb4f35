"""Writes what a scan leaves behind: its four artifacts and results.json. Decides nothing about
findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortex.model.findings import DEPENDENCY_FAMILY, Finding, severity_counts
from cortex.model.report import (
    ToolRun,
    count_words,
    findings_markdown,
    to_sarif,
    tool_runs_markdown,
)
from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools.dependency_audit import Audit
from cortex.worker.tools.scan_findings import Harvest
from cortex.worker.tools.source_files import SourceTree

__all__ = ["ARTIFACTS", "write_report"]

ARTIFACTS = (
    "scan_results.json",
    "vulnerability_list.md",
    "dependency_report.md",
    "findings.sarif",
)
_RESULT_LIMIT = 2_000
_PIN_LIMIT = 500


def write_report(
    worker: Worker,
    tree: SourceTree,
    harvested: Harvest,
    tool_runs: Sequence[ToolRun],
    audit: Audit | None,
) -> None:
    """Write the artifacts and results.json; at most 2,000 findings, and the summary says when
    more.
    """
    findings = harvested.findings
    notes = [*tree.notes, *harvested.not_shown_words()]
    for reason, count in sorted(tree.left_out.items()):
        notes.append(f"{count} left out: {reason}")
    if len(findings) > _RESULT_LIMIT:
        notes.append(f"only the first {_RESULT_LIMIT:,} of {len(findings):,} findings are listed")
    kept = findings[:_RESULT_LIMIT]
    name = tree.name
    summary = _summary(name, tree, harvested, tool_runs)
    results: dict[str, Any] = {
        "version": 1,
        "repository": tree.repository,
        "scope": dict(worker.scope),
        "summary": summary,
        "analyzers": list(tool_runs),
        "stats": {
            "files": len(tree.files),
            "by_severity": severity_counts(findings),
            "findings": len(findings),
            "not_shown": harvested.not_shown,
            "left_out": dict(tree.left_out),
            "dependencies": len(audit.pins) if audit else 0,
        },
        "findings": kept,
    }
    markdown = findings_markdown(
        kept, title=f"Security scan of {name}", tool_runs=tool_runs, notes=notes
    )
    dependencies = _dependency_report(name, findings, tool_runs, audit)
    blot = harvested.secrets.blot
    contents = (results, markdown, dependencies, to_sarif(kept, tool_runs))
    for artifact, content in zip(ARTIFACTS, contents, strict=True):
        worker.write_artifact(artifact, blot(content))
    worker.write_results(
        "completed", summary, findings=kept, artifacts=list(ARTIFACTS), analyzers=list(tool_runs)
    )


def _summary(name: str, tree: SourceTree, harvested: Harvest, tool_runs: Sequence[ToolRun]) -> str:
    findings = harvested.findings
    counts = severity_counts(findings)
    noun = "finding" if len(findings) == 1 else "findings"
    words = f"{len(findings)} {noun} in {counted(len(tree.files), 'file')} of {name}"
    if findings:
        words += f" ({count_words(counts)})"
    ran = [run for run in tool_runs if run["state"] in ("clean", "findings")]
    words += f"; {len(ran)} {'analyzer' if len(ran) == 1 else 'analyzers'} ran"
    short = [
        f"{run['name']} {run['state'].replace('_', ' ')}"
        for run in tool_runs
        if run["applicable"] and run["state"] in ("not_audited", "error")
    ]
    if short:
        words += f", {', '.join(short)}"
    if len(findings) > _RESULT_LIMIT:
        words += f"; the first {_RESULT_LIMIT:,} are listed"
    return words + "."


def _dependency_report(
    name: str, findings: Sequence[Finding], tool_runs: Sequence[ToolRun], audit: Audit | None
) -> str:
    lines = [f"# Dependencies of {name}", ""]
    if audit is None:
        return "\n".join([*lines, "Not part of this scan (scope.scan_types).", ""])
    runs = [run for run in tool_runs if run["scan_type"] == "dependencies"]
    vulnerable = [finding for finding in findings if finding["family"] == DEPENDENCY_FAMILY]
    lines += [tool_runs_markdown(runs), ""]
    lines += [f"- {note}" for note in audit.notes] + ([""] if audit.notes else [])
    lines += [f"## Vulnerable ({len(vulnerable)})", ""]
    if vulnerable:
        lines += ["| package | version | fixed in | advisory | severity | where |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
    for finding in vulnerable:
        lines.append(
            f"| {finding.get('package')} | {finding.get('installed_version')} "
            f"| {finding.get('fixed_version', '-')} | {finding['rule']} | {finding['severity']} "
            f"| {finding['file']}:{finding['line']} |"
        )
    if not vulnerable:
        audited = any(run["state"] == "clean" for run in runs)
        lines.append("None known." if audited else "Unknown: nothing was audited, see above.")
    exact = sum(pin.version is not None for pin in audit.pins)
    lines += ["", f"## Inventory ({exact} pinned, {len(audit.pins) - exact} open)", ""]
    if audit.pins:
        lines += ["| ecosystem | package | version | where |", "| --- | --- | --- | --- |"]
    for pin in audit.pins[:_PIN_LIMIT]:
        version = pin.version or pin.wanted.replace("|", "\\|")
        lines.append(f"| {pin.ecosystem} | {pin.name} | {version} | {pin.file}:{pin.line} |")
    if len(audit.pins) > _PIN_LIMIT:
        lines.append(f"\n{len(audit.pins) - _PIN_LIMIT} more are not listed.")
    return "\n".join(lines).rstrip() + "\n"
