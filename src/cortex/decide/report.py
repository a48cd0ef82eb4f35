"""The files of a task's report folder, made from its row, its workers' rows and its findings.

Pure text and JSON: `report.md` for people, `worker_results.json` for programs, and for tasks that
looked for problems `findings.json` and `findings.sarif` (SARIF 2.1.0).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cortex.decide.findings import Finding, severity_counts
from cortex.model.markdown import code, plain
from cortex.model.report import ToolRun, findings_markdown, to_sarif
from cortex.model.times import format_duration

__all__ = ["combine_runs", "report_files"]

#: From the least to the most worth telling; several workers' states of one tool show the last.
_STATES = ("clean", "findings", "not_audited", "error")

Document = tuple[str, Mapping[str, Any]]


def report_files(
    row: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    findings: Sequence[Finding],
    documents: Sequence[Document],
) -> dict[str, bytes]:
    """File name → content. `documents` are (repository, results.json) of the done workers."""
    runs = combine_runs(documents)
    files = {"worker_results.json": _json({"task_id": row["id"], "worker_results": list(results)})}
    if runs or findings:
        files["findings.json"] = _json(
            {
                "task_id": row["id"],
                "title": row["title"],
                "counts": severity_counts(findings),
                "analyzers": runs,
                "findings": list(findings),
            }
        )
        files["findings.sarif"] = _json(to_sarif(findings, runs))
        text = findings_markdown(findings, title=str(row["title"]), tool_runs=runs)
    else:
        text = f"# {plain(str(row['title']))}\n"
    files["report.md"] = (text.rstrip("\n") + "\n\n" + _story(row, results)).encode()
    return files


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _story(row: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    lines = ["## The task", ""]
    lines.append(
        f"- **{row['status']}**" + (f": {plain(str(row['reason']))}" if row.get("reason") else "")
    )
    lines.append(f"- task {row['id']}, {row['type']}, priority {row['priority']}")
    if row.get("command"):
        command = row["command"]
        words = command if isinstance(command, str) else " ".join(command)
        lines.append(f"- command {code(words)}")
    if row.get("assigned_to"):
        lines.append(f"- carried out by {row['assigned_to']}")
    if row.get("source"):
        lines.append(f"- dropped as {plain(str(row['source']))}")
    if row.get("started_at"):
        lines.append(f"- began {row['started_at']}")
    workers = [_worker_line(result) for result in results]
    lines += ["", "## Its workers", "", *(workers or ["none"])]
    said = [result for result in results if result.get("summary")]
    if said:
        lines += ["", "## What they said", ""]
        for result in said:
            lines += [f"{result['worker_id']}:", "", *_quoted(str(result["summary"])), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _quoted(text: str) -> list[str]:
    return [f"> {plain(line)}".rstrip() for line in text.strip().splitlines()]


def _worker_line(result: Mapping[str, Any]) -> str:
    took = format_duration(result["duration_s"]) if result.get("duration_s") else "not started"
    line = f"- {result['worker_id']} ({result['step']}): {result['status']}, {took}, "
    line += f"{result['tokens_used']} tokens, `{result['result_location']}/`"
    return line + (f"; {plain(str(result['error']))}" if result.get("error") else "")


def combine_runs(documents: Iterable[Document]) -> list[ToolRun]:
    """One run per analyzer over all workers: numbers added, the state most worth telling."""
    combined: dict[str, dict[str, Any]] = {}
    for _, found in documents:
        rows = found.get("analyzers")
        for row in rows if isinstance(rows, list) else ():
            if not isinstance(row, dict) or not isinstance(row.get("name"), str):
                continue
            run = _run(row)
            known = combined.setdefault(row["name"], run)
            if known is not run:
                _add(known, run)
    return list(combined.values())  # type: ignore[arg-type]


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with all that a run has: a worker may have written anything there."""
    texts = {name: row.get(name) for name in ("what", "scan_type", "reason", "version")}
    run: dict[str, Any] = {
        **row,
        **{name: text if isinstance(text, str) else None for name, text in texts.items()},
        **{name: int(_number(row.get(name))) for name in ("findings", "files")},
        "seconds": _number(row.get("seconds")),
        "applicable": bool(row.get("applicable")),
        "state": row["state"] if row.get("state") in _STATES else "not_audited",
    }
    return {**run, "what": run["what"] or "", "scan_type": run["scan_type"] or ""}


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0.0
    return float(min(max(value, 0), 10**15))


def _add(known: dict[str, Any], run: Mapping[str, Any]) -> None:
    if _rank(run) > _rank(known) or (run["applicable"] and not known["applicable"]):
        known["state"], known["reason"] = run["state"], run["reason"]
    known["applicable"] = known["applicable"] or run["applicable"]
    for name in ("findings", "files", "seconds"):
        known[name] += run[name]
    known["version"] = known["version"] or run["version"]


def _rank(run: Mapping[str, Any]) -> int:
    applicable = len(_STATES) if run["applicable"] else 0
    return applicable + _STATES.index(run["state"])
