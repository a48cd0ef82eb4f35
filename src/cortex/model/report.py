"""Findings as documents: SARIF 2.1.0 for machines, Markdown for people.

Pure functions from the normal form to text, shared by the worker that scanned one repository and
the task's report that joins several. Nothing is filtered or ranked here: what comes in is what
comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote

from cortex import __version__
from cortex.model.findings import (
    DEPENDENCY_FAMILY,
    SECRET_FAMILY,
    SEVERITIES,
    Finding,
    severity_counts,
)
from cortex.model.markdown import code, plain
from cortex.model.words import counted

__all__ = ["ToolRun", "count_words", "findings_markdown", "to_sarif", "tool_runs_markdown"]

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}
_STATES = {
    "clean": "clean",
    "findings": "findings",
    "not_audited": "**not audited**",
    "error": "**error**",
}


class ToolRun(TypedDict):
    """How one analyzer fared: `state` is clean, findings, not_audited or error.

    `applicable` False means that there was nothing of its kind in the repository.
    """

    name: str
    what: str
    scan_type: str
    state: str
    reason: str | None
    seconds: float
    files: int
    findings: int
    version: str | None
    applicable: bool
    repository: NotRequired[str]


def count_words(counts: Mapping[str, int]) -> str:
    """`1 critical, 3 high` of severity counts, worst first; `none` if all are 0."""
    words = [f"{counts[name]} {name}" for name in SEVERITIES if counts.get(name)]
    return ", ".join(words) or "none"


def to_sarif(findings: Sequence[Finding], tool_runs: Iterable[ToolRun] = ()) -> dict[str, Any]:
    """A SARIF 2.1.0 log with one run: rules with CWE tags, results with partial fingerprints.

    Paths are relative to one base id a repository (`%SRCROOT%`, `%SRCROOT1%`, …). Analyzers
    stand in `tool.extensions`; those that did not audit are notifications of the invocation.
    """
    runs = list(tool_runs)
    bases = _bases(findings)
    rule_ids = sorted({_rule_id(finding) for finding in findings})
    places = {rule: place for place, rule in enumerate(rule_ids)}
    examples = {_rule_id(finding): finding for finding in reversed(findings)}
    run = {
        "tool": {
            "driver": {
                "name": "Cortex",
                "version": __version__,
                "informationUri": "https://pypi.org/project/cortexd/",
                "rules": [_sarif_rule(rule, examples[rule]) for rule in rule_ids],
            },
            "extensions": [_extension(tool) for tool in _distinct(runs)],
        },
        "invocations": [_invocation(runs)],
        "originalUriBaseIds": {
            name: {"uri": f"file://{quote(repository.rstrip('/'))}/"}
            for repository, name in bases.items()
            if repository.startswith("/")
        },
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(finding, places, bases) for finding in findings],
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def findings_markdown(
    findings: Sequence[Finding],
    *,
    title: str,
    tool_runs: Iterable[ToolRun] = (),
    notes: Sequence[str] = (),
    limit: int = 200,
) -> str:
    """A report that reads from the top: the count, what was not looked at, then each finding in
    order.

    `limit` findings are shown with their place and words; the rest is counted.
    """
    runs = list(tool_runs)
    lines = [f"# {plain(title)}", "", _lead(findings), ""]
    for note in notes:
        lines.append(f"- {plain(note)}")
    if notes:
        lines.append("")
    if runs:
        lines += [tool_runs_markdown(runs), ""]
    several = len({finding["repository"] for finding in findings}) > 1
    shown = list(findings[:limit])
    for severity in SEVERITIES:
        members = [finding for finding in shown if finding["severity"] == severity]
        if members:
            lines += [f"## {severity.capitalize()} ({len(members)})", ""]
            lines += [_markdown_finding(finding, several=several) for finding in members]
    if len(findings) > limit:
        lines.append(f"{len(findings) - limit} more findings are in the JSON beside this file.")
    return "\n".join(lines).rstrip() + "\n"


def tool_runs_markdown(tool_runs: Iterable[ToolRun]) -> str:
    """A table of the analyzers that had something to look at, and one line for those that had
    not.
    """
    runs = list(tool_runs)
    lines = ["| analyzer | looks for | state | findings | files | seconds |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: |")
    for run in runs:
        if not run["applicable"]:
            continue
        state = _STATES.get(run["state"], run["state"])
        if run["reason"]:
            state += f": {plain(run['reason'])}"
        name = f"{run['name']} {run['version'] or ''}"
        lines.append(
            f"| {plain(name)} | {plain(run['what'])} | {state} | {run['findings']} "
            f"| {run['files']} | {run['seconds']:.1f} |"
        )
    idle = sorted({run["name"] for run in runs if not run["applicable"]})
    if idle:
        lines += ["", f"Nothing to look at for: {plain(', '.join(idle))}."]
    return "\n".join(lines)


def _lead(findings: Sequence[Finding]) -> str:
    if not findings:
        return "No findings."
    counts = severity_counts(findings)
    files = len({(finding["repository"], finding["file"]) for finding in findings})
    number, places = counted(len(findings), "finding"), counted(files, "file")
    return f"**{number}** in {places}: {count_words(counts)}."


def _markdown_finding(finding: Finding, *, several: bool) -> str:
    place = finding["file"] or "(whole repository)"
    if finding["line"]:
        place += f":{finding['line']}"
    if several:
        place = f"{finding['repository'].rstrip('/').rsplit('/', 1)[-1]}/{place}"
    facts = [plain(", ".join(finding["rules"]))]
    if finding["cwe"]:
        facts.append(plain(finding["cwe"]))
    if finding["tools"] != ["unknown"]:
        facts.append(f"found by {plain(', '.join(finding['tools']))}")
    if finding["confidence"] != "high":
        facts.append(f"{finding['confidence']} confidence")
    lines = [f"- **{plain(finding['title'])}**  ", f"  {code(place)} ({'; '.join(facts)})"]
    if finding["message"] not in (finding["title"], ""):
        lines[-1] += "  "
        lines.append(f"  {plain(finding['message'].splitlines()[0][:300])}")
    snippet = finding.get("snippet")
    if snippet:
        lines[-1] += "  "
        lines.append(f"  {code(snippet[:160])}")
    return "\n".join(lines) + "\n"


def _sarif_rule(rule: str, finding: Finding) -> dict[str, Any]:
    tags = ["security"]
    if finding["cwe"]:
        tags.append(f"external/cwe/{finding['cwe'].lower()}")
    if finding["family"] == DEPENDENCY_FAMILY:
        tags.append("dependency")
    # A secret's message holds a hint of that one secret; the rule is about all of them.
    secret = finding["family"] == SECRET_FAMILY
    words = finding["title"] if secret else finding["message"] or finding["title"]
    cwe = f" See {finding['cwe']}." if finding["cwe"] else ""
    return {
        "id": rule,
        "name": finding["family"],
        "shortDescription": {"text": finding["title"]},
        "fullDescription": {"text": words},
        "help": {"text": f"{finding['title'].rstrip('.')}.{cwe}"},
        "defaultConfiguration": {"level": _LEVELS[finding["severity"]]},
        "properties": {
            "tags": tags,
            "precision": finding["confidence"],
            "security-severity": _SCORES[finding["severity"]],
        },
    }


def _sarif_result(
    finding: Finding, places: Mapping[str, int], bases: Mapping[str, str]
) -> dict[str, Any]:
    rule = _rule_id(finding)
    location: dict[str, Any] = {
        "artifactLocation": {
            "uri": quote(finding["file"] or "."),
            "uriBaseId": bases[finding["repository"]],
        }
    }
    if finding["line"] > 0:
        region: dict[str, Any] = {"startLine": finding["line"]}
        if finding.get("end_line", 0) >= finding["line"]:
            region["endLine"] = finding["end_line"]
        if finding.get("snippet"):
            region["snippet"] = {"text": finding["snippet"]}
        location["region"] = region
    return {
        "ruleId": rule,
        "ruleIndex": places[rule],
        "level": _LEVELS[finding["severity"]],
        "message": {"text": finding["message"] or finding["title"]},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"cortexFinding/v1": finding["fingerprint"]},
        "properties": {
            "severity": finding["severity"],
            "confidence": finding["confidence"],
            "tools": finding["tools"],
        },
    }


def _rule_id(finding: Finding) -> str:
    return f"{finding['tool']}/{finding['rule']}"


def _bases(findings: Iterable[Finding]) -> dict[str, str]:
    repositories = sorted({finding["repository"] for finding in findings})
    return {repository: f"%SRCROOT{place or ''}%" for place, repository in enumerate(repositories)}


def _distinct(runs: Iterable[ToolRun]) -> list[ToolRun]:
    return list({run["name"]: run for run in runs}.values())


def _extension(run: ToolRun) -> dict[str, Any]:
    component: dict[str, Any] = {"name": run["name"], "shortDescription": {"text": run["what"]}}
    if run["version"]:
        component["version"] = run["version"]
    return component


def _invocation(runs: Iterable[ToolRun]) -> dict[str, Any]:
    notifications = [
        {
            "level": "error" if run["state"] == "error" else "warning",
            "message": {
                "text": f"{run['name']}: {run['state']}: {run['reason'] or 'no reason given'}"
            },
        }
        for run in runs
        if run["applicable"] and run["state"] in ("not_audited", "error")
    ]
    return {"executionSuccessful": True, "toolExecutionNotifications": notifications}
