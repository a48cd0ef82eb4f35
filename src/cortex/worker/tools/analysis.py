"""The analysis: what is in a repository, what depends on what, what is complex, what changes
often.

No model is asked and no token spent. Writes analysis.json and analysis_report.md; judges nothing
beyond order, and says so where a part could not be made.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools.analysis_report import analysis_markdown
from cortex.worker.tools.churn import read_churn
from cortex.worker.tools.complexity import measure_complexity
from cortex.worker.tools.import_graph import read_import_graph
from cortex.worker.tools.reading import tree_to_read
from cortex.worker.tools.source_files import SourceTree

__all__ = ["ARTIFACTS", "analyze"]

ARTIFACTS = ("analysis.json", "analysis_report.md")
_TOP = 20


def analyze(worker: Worker) -> None:
    """Analyse the spec's repository and write both artifacts and results.json.

    Raises what `tree_to_read` raises where the repository cannot be read.
    """
    beat = worker.heartbeat.beat
    beat(0.0, "reading the repository", now=True)
    tree = tree_to_read(worker)
    beat(0.1, f"inventory: {counted(len(tree.files), 'file')}", now=True)
    inventory, lines_by_file = _inventory(tree)
    beat(0.3, "reading imports", now=True)
    graph = read_import_graph(tree)
    beat(0.5, "measuring complexity", now=True)
    complexity = measure_complexity(tree)
    beat(0.8, "reading the history", now=True)
    churn = read_churn(tree)
    analysis: dict[str, Any] = {
        "version": 1,
        "repository": tree.repository,
        "inventory": inventory,
        "dependencies": graph,
        "complexity": complexity,
        "churn": churn,
        "hot_spots": _hot_spots(complexity, churn),
    }
    analysis["summary"] = _summary(tree, analysis, lines_by_file)
    worker.write_artifact("analysis.json", analysis)
    worker.write_artifact("analysis_report.md", analysis_markdown(analysis, tree.name))
    worker.write_results("completed", analysis["summary"], artifacts=list(ARTIFACTS))
    beat(1.0, "done", now=True)


def _inventory(tree: SourceTree) -> tuple[dict[str, Any], dict[str, int]]:
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    places: Counter[str] = Counter()
    by_file: dict[str, int] = {}
    for file in tree.files:
        language = file.language or "other"
        count = _lines_in(tree, file.path) if file.language else 0
        files[language] += 1
        lines[language] += count
        places[file.place] += 1
        by_file[file.path] = count
    languages = [
        {"language": name, "files": files[name], "lines": lines[name]}
        for name in sorted(files, key=lambda name: (-lines[name], name))
    ]
    largest = sorted(by_file.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
    return {
        "files": len(tree.files),
        "lines": sum(lines.values()),
        "languages": languages,
        "places": dict(sorted(places.items())),
        "largest_files": [{"file": path, "lines": count} for path, count in largest if count],
        "left_out": dict(sorted(tree.left_out.items())),
    }, by_file


def _lines_in(tree: SourceTree, path: str) -> int:
    try:
        content = (tree.root / path).read_bytes()
    except OSError:
        return 0
    if b"\0" in content[:8192]:
        return 0
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def _hot_spots(complexity: dict[str, Any], churn: dict[str, Any]) -> list[dict[str, Any]]:
    """Files that are both complex and often changed, by the product; empty without a history."""
    changes = {entry["file"]: entry["commits"] for entry in churn["files"]}
    spots = [
        {
            "file": file,
            "commits": changes[file],
            "complexity": total,
            "score": changes[file] * total,
        }
        for file, total in complexity["by_file"].items()
        if file in changes
    ]
    spots.sort(key=lambda spot: (-spot["score"], spot["file"]))
    return spots[:_TOP]


def _summary(tree: SourceTree, analysis: dict[str, Any], lines_by_file: dict[str, int]) -> str:
    code = [
        entry
        for entry in analysis["inventory"]["languages"]
        if entry["language"] not in ("other", "text", "markdown", "restructuredtext", "json")
    ]
    main = code[0]["language"] if code else "no code"
    lines = counted(sum(lines_by_file.values()), "line")
    words = f"{tree.name}: {counted(len(tree.files), 'file')}, {lines}, "
    words += f"mostly {main}" if code else main
    functions = analysis["complexity"]["functions"]
    words += f"; {counted(functions, 'function')}"
    top = analysis["complexity"]["top_functions"]
    if top:
        words += f", the most complex {top[0]['function']} ({top[0]['complexity']})"
    cycles = len(analysis["dependencies"]["cycles"])
    words += f"; {cycles} import {'cycle' if cycles == 1 else 'cycles'}"
    spots = analysis["hot_spots"]
    if spots:
        words += f"; hottest file {spots[0]['file']}"
    elif analysis["churn"]["reason"]:
        words += f"; no history ({analysis['churn']['reason']})"
    return words + "."
