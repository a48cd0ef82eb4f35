"""Which module of a repository imports which: Python by its syntax tree, JavaScript by its
statements.

Only what the repository holds is a node; everything else is counted as external. Reads files and
runs none of them.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from cortex.worker.tools.source_files import SourceTree

__all__ = ["cycles", "read_import_graph"]

_TOP = 20
_CYCLE_LIMIT = 50
_SCRIPT = re.compile(
    r"""(?:\bimport\b|\bexport\b)[^'"();]*?\bfrom\s*["']([^"'\n]+)["']"""
    r"""|\bimport\s*["']([^"'\n]+)["']"""
    r"""|\b(?:require|import)\s*\(\s*["']([^"'\n]+)["']\s*\)"""
)
_SCRIPT_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")


def read_import_graph(tree: SourceTree) -> dict[str, Any]:
    """Edges between files, cycles, the files most depended on, and the external packages by use."""
    edges: dict[str, set[str]] = defaultdict(set)
    external: dict[str, Counter[str]] = {"python": Counter(), "javascript": Counter()}
    unread = 0
    modules = _python_modules(tree)
    for file in tree.of("python", places=("source", "examples")):
        text = _text(tree, file.path)
        try:
            wanted = list(_python_imports(text, file.path, modules))
        except (SyntaxError, ValueError, RecursionError):
            unread += 1
            continue
        _add(file.path, wanted, modules, edges, external["python"])
    scripts = {file.path for file in tree.of("javascript", "typescript")}
    for file in tree.of("javascript", "typescript", places=("source", "examples")):
        for name in _script_imports(_text(tree, file.path)):
            target = _script_target(file.path, name, scripts)
            if target and target != file.path:
                edges[file.path].add(target)
            elif not name.startswith("."):
                external["javascript"][_package(name)] += 1
    dependents = Counter(target for targets in edges.values() for target in targets)
    return {
        "modules": len(set(edges) | set(dependents)),
        "edges": {path: sorted(targets) for path, targets in sorted(edges.items())},
        "cycles": cycles(edges)[:_CYCLE_LIMIT],
        "most_depended_on": [
            {"file": path, "dependents": count}
            for path, count in sorted(dependents.items(), key=lambda item: (-item[1], item[0]))[
                :_TOP
            ]
        ],
        "external": {
            kind: [{"package": name, "files": count} for name, count in counts.most_common(_TOP)]
            for kind, counts in external.items()
            if counts
        },
        "unread": unread,
    }


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that import one another, largest first (Tarjan's strongly connected
    components).
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    for root in sorted(edges):
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found += _close(node, stack, on_stack)
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                on_stack.add(target)
                work.append((target, iter(sorted(edges.get(target, ())))))
            elif target in on_stack:
                low[node] = min(low[node], index[target])
    return sorted(found, key=lambda group: (-len(group), group))


def _close(node: str, stack: list[str], on_stack: set[str]) -> list[list[str]]:
    """Take one component off the stack; one file alone is no cycle."""
    group = []
    while True:
        member = stack.pop()
        on_stack.discard(member)
        group.append(member)
        if member == node:
            return [sorted(group)] if len(group) > 1 else []


def _python_modules(tree: SourceTree) -> dict[str, str]:
    """Dotted name -> file, for every start that could be on the path (`src/`, or the top)."""
    modules: dict[str, str] = {}
    packages = {file.path for file in tree.of("python") if file.path.endswith("/__init__.py")}
    for file in tree.of("python"):
        parts = file.path.removesuffix(".py").removesuffix(".pyi").split("/")
        if parts[-1] == "__init__":
            parts.pop()
        start = len(parts) - 1
        while start > 0 and f"{'/'.join(parts[:start])}/__init__.py" in packages:
            start -= 1
        modules.setdefault(".".join(parts[start:]), file.path)
        modules.setdefault(".".join(parts), file.path)
    return modules


def _python_imports(text: str, path: str, modules: dict[str, str]) -> Iterator[str]:
    own = next((name for name, file in modules.items() if file == path), "")
    package = own.split(".") if path.endswith("__init__.py") else own.split(".")[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{start}.{alias.name}" if start else alias.name


def _add(
    path: str,
    wanted: Iterable[str],
    modules: dict[str, str],
    edges: dict[str, set[str]],
    external: Counter[str],
) -> None:
    outside = set()
    for name in wanted:
        parts = name.split(".")
        names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        target = next((modules[found] for found in names if found in modules), None)
        if target is None:
            outside.add(parts[0])
        elif target != path:
            edges[path].add(target)
    external.update(outside)


def _script_imports(text: str) -> set[str]:
    return {next(filter(None, match.groups())) for match in _SCRIPT.finditer(text)}


def _script_target(path: str, name: str, known: set[str]) -> str | None:
    if not name.startswith("."):
        return None
    base = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    # TypeScript imports `./x.js` and means `./x.ts`.
    stem = re.sub(r"\.[cm]?jsx?$", "", base)
    candidates = [base, *(f"{stem}{ending}" for ending in _SCRIPT_ENDINGS)]
    candidates += [f"{base}/index{ending}" for ending in _SCRIPT_ENDINGS]
    return next((candidate for candidate in candidates if candidate in known), None)


def _package(name: str) -> str:
    parts = name.split("/")
    return "/".join(parts[:2]) if name.startswith("@") else parts[0]


def _text(tree: SourceTree, path: str) -> str:
    try:
        return (tree.root / path).read_text("utf-8-sig", "replace")
    except OSError:
        return ""
