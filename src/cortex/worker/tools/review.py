"""The review worker: linters and analyzers on the lines of a change, and a verdict.

Only what stands on a changed line counts, so that nobody pays for older code. `approve` is said
only where every analyzer that had something to look at ran to its end. Asks no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from cortex.model.findings import SEVERITIES, Finding, severity_counts
from cortex.model.markdown import bullets, code, plain, table
from cortex.model.report import ToolRun, count_words, tool_runs_markdown
from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools.changes import Change, read_change
from cortex.worker.tools.lint import LintError, has_own_configuration, lint
from cortex.worker.tools.options import text
from cortex.worker.tools.readers import RawFinding
from cortex.worker.tools.scan import analyze_tree, settle_states
from cortex.worker.tools.scan_findings import harvest
from cortex.worker.tools.source_files import SourceTree, read_tree

__all__ = ["review"]

_THRESHOLD = "medium"
_FINDINGS_LIMIT = 1_000
_MANIFESTS = ("requirements", "constraints", "pyproject.toml", "setup.cfg", "package", ".lock")


def review(worker: Worker) -> None:
    """Review the change of the spec and write review.md and results.json.

    Raises what `read_change` raises, and ValueError for a threshold that is no severity.
    """
    threshold = text(worker, "request_changes_at") or _THRESHOLD
    if threshold not in SEVERITIES:
        known = ", ".join(SEVERITIES)
        raise ValueError(f"scope.request_changes_at is {threshold!r}; choose from {known}")
    worker.heartbeat.beat(0.0, "reading the change", now=True)
    change = read_change(worker)
    tree = _changed_tree(change)
    findings, tool_runs = _look(worker, change, tree)
    verdict, why = _verdict(findings, tool_runs, threshold, bool(tree.files))
    _write(worker, change, tree, findings, tool_runs, verdict, why)


def _changed_tree(change: Change) -> SourceTree:
    whole = read_tree(str(change.clone.root))
    changed = set(change.files)
    return SourceTree(whole.root, [file for file in whole.files if file.path in changed])


def _look(worker: Worker, change: Change, tree: SourceTree) -> tuple[list[Finding], list[ToolRun]]:
    scan_types = ["vulnerabilities", "secrets"]
    names = [file.path.rsplit("/", 1)[-1] for file in tree.files]
    if any(part in name for name in names for part in _MANIFESTS):
        scan_types.append("dependencies")
    worker.heartbeat.beat(0.05, f"{len(tree.files)} changed files", now=True)
    found = analyze_tree(worker, tree, scan_types)
    raw = [*found.raw, *_conflict_marks(change)]
    tool_runs = found.tool_runs
    linted, run = _lint(worker, tree)
    tool_runs.append(run)
    harvested = harvest(tree, raw, include_tests=False)
    styled = harvest(tree, linted, include_tests=True)
    settle_states([row for row in tool_runs if row is not run], harvested)
    run["findings"] = len(styled.findings)
    if run["state"] == "clean" and styled.findings:
        run["state"] = "findings"
    blot = harvested.secrets.blot
    every = [*harvested.findings, *blot(styled.findings)]
    touched = [
        finding
        for finding in every
        if change.touches(finding["file"], finding["line"], finding.get("end_line", 0))
    ]
    for finding in touched:
        finding["repository"] = change.clone.source  # the clone is gone tomorrow
    touched.sort(key=lambda finding: (SEVERITIES.index(finding["severity"]), finding["file"]))
    return touched, tool_runs


def _lint(worker: Worker, tree: SourceTree) -> tuple[list[RawFinding], ToolRun]:
    files = [file.path for file in tree.of("python")]
    own = has_own_configuration(tree.root)
    run = ToolRun(
        name="ruff-lint",
        what=f"lint of Python by {'the repository' if own else 'ruff'}'s rules",
        scan_type="lint",
        state="clean" if files else "not_audited",
        reason=None if files else "no python files here",
        seconds=0.0,
        files=len(files),
        findings=0,
        version=None,
        applicable=bool(files),
    )
    if not files:
        return [], run
    try:
        return lint(tree.root, files, worker.dir / "lint"), run
    except LintError as problem:
        run["state"], run["reason"] = "error", str(problem)
        return [], run


def _conflict_marks(change: Change) -> list[RawFinding]:
    """Left-over conflict markers, which git itself knows."""
    git = change.clone.git
    outcome = git.run("-c", "core.whitespace=-trailing-space,-space-before-tab,-blank-at-eof",
                      "diff", "--check", "--no-color", change.base, change.head)  # fmt: skip
    found = []
    for row in outcome.stdout.decode("utf-8", "replace").splitlines():
        place, _, words = row.partition(": ")
        file, _, line = place.rpartition(":")
        if words.startswith("leftover conflict marker") and line.isdigit():
            found.append(
                {
                    "tool": "git", "rule": "conflict-marker", "title": "Left-over conflict marker",
                    "message": "A merge was committed before it was resolved", "severity": "high",
                    "confidence": "high", "cwe": None, "family": "conflict-marker", "file": file,
                    "line": int(line),
                }
            )  # fmt: skip
    return found


def _verdict(
    findings: Sequence[Finding], tool_runs: Sequence[ToolRun], threshold: str, looked: bool
) -> tuple[str | None, str]:
    """(approve, request_changes or None where nothing can be said, why)."""
    worst = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    blocking = [finding for finding in findings if finding["severity"] in worst]
    if blocking:
        noun = "remark" if len(blocking) == 1 else "remarks"
        return "request_changes", f"{len(blocking)} {noun} of severity {threshold} or worse"
    short = [
        row["name"]
        for row in tool_runs
        if row["applicable"]
        and row["scan_type"] != "dependencies"
        and row["state"] in ("error", "not_audited")
    ]
    if short:
        return None, f"{', '.join(sorted(short))} did not run, so that nothing can be approved"
    if not looked:
        return None, "no analyzer reads any of the changed files"
    return "approve", f"nothing of severity {threshold} or worse on a changed line"


def _write(
    worker: Worker,
    change: Change,
    tree: SourceTree,
    findings: list[Finding],
    tool_runs: list[ToolRun],
    verdict: str | None,
    why: str,
) -> None:
    words = {"approve": "Approve", "request_changes": "Request changes", None: "No verdict"}
    counts = severity_counts(findings)
    lines = sum(len(numbers) for numbers in change.lines.values())
    summary = f"{words[verdict]}: {why}; {counted(len(findings), 'remark')}"
    summary += f" ({count_words(counts)})" if findings else ""
    summary += f" on {counted(lines, 'changed line')} in {counted(len(change.files), 'file')}."
    kept = findings[:_FINDINGS_LIMIT]
    report = _markdown(change, tree, kept, tool_runs, words[verdict], summary)
    worker.write_artifact("review.md", report)
    comments = [
        {"path": row["file"], "line": row["line"], "side": "RIGHT", "body": _comment(row)}
        for row in kept
    ]
    worker.write_artifact("review_comments.json", {"verdict": verdict, "comments": comments})
    worker.write_results(
        "completed" if verdict else "partial",
        summary,
        findings=list(kept),
        artifacts=["review.md", "review_comments.json"],
        verdict=verdict,
        change={"what": change.what, "base": change.base, "head": change.head,
                "files": change.files[:1_000], "removed": change.removed[:1_000]},
        comments=comments,
        analyzers=tool_runs,
    )  # fmt: skip
    worker.heartbeat.beat(1.0, "done", now=True)


def _comment(finding: Finding) -> str:
    rules = ", ".join(finding["rules"])
    return (
        f"**{finding['severity']}**: {finding['message']} ({', '.join(finding['tools'])}: {rules})"
    )


def _markdown(
    change: Change,
    tree: SourceTree,
    findings: Sequence[Finding],
    tool_runs: Sequence[ToolRun],
    verdict: str,
    summary: str,
) -> str:
    looked_at = {file.path for file in tree.files}
    unread = [name for name in change.files if name not in looked_at]
    lines = [f"# {verdict}", "", plain(summary), ""]
    lines += [f"- repository: {code(change.clone.source)}"]
    lines += [f"- change: {code(change.what)} ({change.base[:12]}..{change.head[:12]})"]
    lines += bullets(change.clone.notes) or [""]
    if findings:
        lines += ["## Remarks", ""]
        rows = (
            (row["severity"], code(f"{row['file']}:{row['line']}"), plain(row["message"][:300]),
             plain(", ".join(row["rules"])))
            for row in findings
        )  # fmt: skip
        lines += [*table(("severity", "where", "what", "rule"), rows), ""]
    lines += ["## What was looked at", "", tool_runs_markdown(tool_runs), ""]
    if unread:
        names = ", ".join(code(name) for name in unread[:50])
        lines += [f"Not looked at (too large, vendored by name, links or binary): {names}.", ""]
    if change.removed:
        names = ", ".join(code(name) for name in change.removed[:50])
        lines += [f"Removed: {names}.", ""]
    return "\n".join(lines).rstrip() + "\n"
