"""The analysis as Markdown. A pure function from the JSON artifact to text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cortex.model.markdown import code, table

__all__ = ["analysis_markdown"]

_ROWS = 15


def analysis_markdown(analysis: Mapping[str, Any], name: str) -> str:
    """A report that starts with one sentence and goes on from what to look at first."""
    inventory, graph = analysis["inventory"], analysis["dependencies"]
    complexity, churn = analysis["complexity"], analysis["churn"]
    lines = [f"# Analysis of {name}", "", analysis["summary"], ""]
    lines += ["## Hot spots", "", "Complex files that change often (commits × complexity).", ""]
    if analysis["hot_spots"]:
        spots = (
            (code(spot["file"]), spot["commits"], spot["complexity"], spot["score"])
            for spot in analysis["hot_spots"]
        )
        lines += table(("file", "commits", "complexity", "score"), spots, _ROWS)
    else:
        lines.append(f"None: {churn['reason'] or 'no measured file has a history'}.")
    lines += ["", "## Inventory", ""]
    rows: Iterable[tuple[object, ...]]
    rows = ((row["language"], row["files"], f"{row['lines']:,}") for row in inventory["languages"])
    lines += table(("language", "files", "lines"), rows, _ROWS)
    lines += ["", "## Most complex functions", ""]
    if complexity["reason"]:
        lines += [f"Not complete: {complexity['reason']}.", ""]
    rows = (
        (
            code(row["function"]),
            code(f"{row['file']}:{row['line']}"),
            row["complexity"],
            row["lines"],
        )
        for row in complexity["top_functions"]
    )
    lines += table(("function", "where", "complexity", "lines"), rows, _ROWS)
    lines += ["", "## Dependencies", ""]
    rows = ((code(row["file"]), row["dependents"]) for row in graph["most_depended_on"])
    lines += table(("most depended on", "dependents"), rows, _ROWS)
    lines += ["", *_cycles(graph["cycles"])]
    for kind, packages in graph["external"].items():
        names = ", ".join(f"{row['package']} ({row['files']})" for row in packages)
        lines += ["", f"External {kind} packages by files that use them: {names}."]
    if churn["files"]:
        lines += ["", "## Most changed files", ""]
        lines += [f"In the newest {churn['commits']} commits.", ""]
        rows = (
            (code(row["file"]), row["commits"], row["added"], row["removed"])
            for row in churn["files"]
        )
        lines += table(("file", "commits", "added", "removed"), rows, _ROWS)
    return "\n".join(lines).rstrip() + "\n"


def _cycles(cycles: Sequence[Sequence[str]]) -> list[str]:
    if not cycles:
        return ["No import cycles."]
    lines = [f"{len(cycles)} import {'cycle' if len(cycles) == 1 else 'cycles'}:", ""]
    lines += [f"- {', '.join(code(file) for file in cycle[:12])}" for cycle in cycles[:_ROWS]]
    return lines
