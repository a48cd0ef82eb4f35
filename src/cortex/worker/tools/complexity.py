"""Cyclomatic complexity by function, measured by lizard in the source files of the tree."""

from __future__ import annotations

import time
from typing import Any

from cortex.model.words import counted
from cortex.worker.tools.source_files import SourceTree

__all__ = ["measure_complexity"]

_TOP = 25
_LIMIT_S = 120.0
_WORTH_A_LOOK = 15
_LANGUAGES = (
    "python", "javascript", "typescript", "go", "rust", "java", "kotlin", "c", "c++", "c#", "ruby",
    "php", "swift", "scala", "lua",
)  # fmt: skip


def measure_complexity(tree: SourceTree) -> dict[str, Any]:
    """Functions counted, the most complex ones, and the sum by file.

    `reason` says why files were left unmeasured (time limit, or lizard could not read them).
    """
    import lizard  # type: ignore[import-untyped]

    files = [file.path for file in tree.of(*_LANGUAGES) if file.place in ("source", "examples")]
    deadline_s = time.monotonic() + _LIMIT_S
    functions: list[dict[str, Any]] = []
    by_file: dict[str, int] = {}
    unread = late = 0
    for path in files:
        if time.monotonic() > deadline_s:
            late += 1
            continue
        try:
            measured = lizard.analyze_file(str(tree.root / path))
        except Exception:
            # lizard's readers are hand-made tokenizers; any file may break one, and only that file.
            unread += 1
            continue
        for function in measured.function_list:
            functions.append(
                {
                    "function": function.name,
                    "file": path,
                    "line": function.start_line,
                    "complexity": function.cyclomatic_complexity,
                    "lines": function.nloc,
                    "parameters": len(function.parameters),
                }
            )
        by_file[path] = sum(item.cyclomatic_complexity for item in measured.function_list)
    functions.sort(key=lambda item: (-item["complexity"], item["file"], item["line"]))
    reasons = []
    if unread:
        reasons.append(f"{counted(unread, 'file')} could not be read")
    if late:
        reasons.append(f"{counted(late, 'file')} left at the limit of {_LIMIT_S:g} s")
    return {
        "functions": len(functions),
        "files": len(by_file),
        "over_15": sum(item["complexity"] > _WORTH_A_LOOK for item in functions),
        "top_functions": functions[:_TOP],
        "by_file": {path: total for path, total in sorted(by_file.items()) if total},
        "reason": "; ".join(reasons) or None,
    }
