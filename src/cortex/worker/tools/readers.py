"""Reads each analyzer's output into raw findings: one function a format, no process and no
judgement of state.

A raw finding is a mapping in the normal form's fields, less what depends on the source line
(fingerprint and snippet). Every function raises ValueError where the output is not what that
tool prints.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

from cortex.model.findings import CONFIDENCES, SECRET_FAMILY, SEVERITIES
from cortex.worker.tools.python_rules import python_rule

__all__ = [
    "RawFinding",
    "Reader",
    "read_ast_grep",
    "read_bandit",
    "read_kingfisher",
    "read_ruff",
    "read_shellcheck",
]

RawFinding = dict[str, Any]
Reader = Callable[[bytes], list[RawFinding]]

# Of ShellCheck's warnings those that let data become code or delete the wrong files.
_SHELL_SECURITY = {
    "SC2086": ("low", "CWE-88", "Unquoted variable: its value is split and expanded"),
    "SC2115": ("medium", "CWE-459", "rm may delete from / if the variable is empty"),
    "SC2029": ("low", "CWE-88", "Expanded here and not on the remote machine"),
    "SC2091": ("medium", "CWE-78", "Output of a command is run as a command"),
    "SC2294": ("medium", "CWE-95", "eval joins its arguments and runs them again"),
    "SC2046": ("low", "CWE-88", "Unquoted command output: it is split and expanded"),
    "SC2216": ("low", "CWE-703", "Piping to a command that reads nothing"),
}


_CALLS = frozenset({"B501", "B506", "B602", "B603", "B604", "B605", "B606", "B607", "B609"})
# The two marks only say which way a word runs; the overrides and isolates are what hides code.
_DIRECTION_MARK = re.compile(r"\\u200[ef]")
_SPELLING = {"aws": "AWS", "gcp": "GCP", "github": "GitHub", "gitlab": "GitLab", "pat": "token"}
_SPELLING |= {"api": "API", "uri": "URI", "url": "URL", "jwt": "JWT", "npm": "npm", "pypi": "PyPI"}


def read_bandit(output: bytes) -> list[RawFinding]:
    """`bandit -f json`. Bandit's own severity counts only where it tells a constant from a
    variable.
    """
    findings = []
    for result in _mapping(output).get("results", []):
        code = str(result["test_id"])
        rule = python_rule(code)
        confidence = str(result.get("issue_confidence", "")).lower()
        own_severity = str(result.get("issue_severity", "")).lower()
        severity = rule.severity if rule else own_severity
        if code in ("B602", "B605") and own_severity == "low":
            severity = "low"
        if code == "B613" and _DIRECTION_MARK.search(str(result["issue_text"])):
            severity = "low"
        findings.append(
            _finding(
                "bandit",
                code,
                file=result["filename"],
                line=_bandit_line(code, result),
                severity=severity,
                confidence=confidence,
                cwe=f"CWE-{rule.cwe}" if rule else _bandit_cwe(result),
                family=rule.family if rule else None,
                title=rule.title if rule else str(result["test_name"]).replace("_", " "),
                message=str(result["issue_text"]),
            )
        )
    return findings


def read_ruff(output: bytes) -> list[RawFinding]:
    """`ruff check --select S --output-format json`; a syntax error has no `S` code and is left
    out.
    """
    findings = []
    for result in _list(output):
        code = str(result.get("code") or "")
        rule = python_rule(code)
        if not code.startswith("S") or rule is None:
            continue
        message = str(result["message"])
        seems_safe = code in ("S602", "S605") and "seems safe" in message
        findings.append(
            _finding(
                "ruff",
                code,
                file=result["filename"],
                line=int(result["location"]["row"]),
                severity="low" if seems_safe else rule.severity,
                confidence="medium" if rule.cwe in (89, 259) else "high",
                cwe=f"CWE-{rule.cwe}",
                family=rule.family,
                title=rule.title,
                message=message,
            )
        )
    return findings


def read_ast_grep(output: bytes) -> list[RawFinding]:
    """`ast-grep scan --json=compact --include-metadata`; its lines count from 0."""
    findings = []
    for match in _list(output):
        metadata = match.get("metadata") or {}
        findings.append(
            _finding(
                "ast-grep",
                str(match["ruleId"]),
                file=match["file"],
                line=int(match["range"]["start"]["line"]) + 1,
                end_line=int(match["range"]["end"]["line"]) + 1,
                severity=str(metadata.get("severity", "medium")),
                confidence=str(metadata.get("confidence", "medium")),
                cwe=metadata.get("cwe"),
                family=metadata.get("family"),
                title=str(match["message"]),
                message=str(match["message"]),
            )
        )
    return findings


def read_shellcheck(output: bytes) -> list[RawFinding]:
    """`shellcheck -f json1`, of which only what lets data become code is kept."""
    findings = []
    for comment in _mapping(output).get("comments", []):
        code = f"SC{comment['code']}"
        if code not in _SHELL_SECURITY:
            continue
        severity, cwe, title = _SHELL_SECURITY[code]
        findings.append(
            _finding(
                "shellcheck",
                code,
                file=comment["file"],
                line=int(comment["line"]),
                severity=severity,
                confidence="medium",
                cwe=cwe,
                family="shell-quoting" if cwe == "CWE-88" else None,
                title=title,
                message=str(comment["message"]),
            )
        )
    return findings


def read_kingfisher(output: bytes) -> list[RawFinding]:
    """`kingfisher scan --format json --redact`; `columns` is where the secret stands in its line.

    A provider's pattern is critical, a password in a URL or under a telling name high; a medium
    confidence lowers each by one.
    """
    report, _ = json.JSONDecoder().raw_decode(output.decode("utf-8", "replace").lstrip())
    findings = []
    for entry in report["findings"]:
        rule, place = entry["rule"], entry["finding"]
        name = str(rule["id"]).removeprefix("betterleaks.")
        confidence = str(place.get("confidence", "medium")).lower()
        findings.append(
            _finding(
                "kingfisher",
                name,
                file=place["path"],
                line=int(place["line"]),
                severity="critical" if confidence == "high" else "high",
                confidence=confidence,
                cwe="CWE-798",
                family=SECRET_FAMILY,
                title=f"Secret in the source: {_secret_kind(name)}",
                message=str(rule.get("description") or name),
                columns=(int(place.get("column_start", 0)), int(place.get("column_end", 0))),
            )
        )
    return findings


def _secret_kind(rule: str) -> str:
    kinds = {
        "cortex.assigned-secret": "password or key in an assignment",
        "cortex.environment-secret": "password or key in an environment file",
        "cortex.aws-key-id": "AWS access key id",
        "cortex.private-key": "private key",
    }
    words = rule.removeprefix("generic-").split("-")
    return kinds.get(rule) or " ".join(_SPELLING.get(word, word) for word in words)


def _finding(tool: str, rule: str, **fields: Any) -> RawFinding:
    severity = fields["severity"] if fields["severity"] in SEVERITIES else "info"
    confidence = fields["confidence"] if fields["confidence"] in CONFIDENCES else "low"
    if confidence == "low" and severity != "info":
        severity = SEVERITIES[SEVERITIES.index(severity) + 1]
    fields.update(severity=severity, confidence=confidence)
    return {"tool": tool, "rule": rule, **fields, "file": os.path.normpath(fields["file"])}


def _bandit_line(code: str, result: dict[str, Any]) -> int:
    """Where the call starts, as Ruff has it; Bandit points at the argument, lines further down."""
    line = int(result["line_number"])
    return min([line, *map(int, result.get("line_range") or [])]) if code in _CALLS else line


def _bandit_cwe(result: dict[str, Any]) -> str | None:
    number = (result.get("issue_cwe") or {}).get("id")
    return f"CWE-{number}" if number else None


def _mapping(output: bytes) -> dict[str, Any]:
    value = json.loads(output)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


def _list(output: bytes) -> list[dict[str, Any]]:
    value = json.loads(output or b"[]")
    if not isinstance(value, list):
        raise ValueError("expected a JSON list")
    return value
