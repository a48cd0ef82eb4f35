"""The documentation worker: what is public, what of it has no words, and which links lead nowhere.

Reads and reports; it writes no prose, which needs thought. Asks no model and no network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cortex.model.markdown import bullets, code, plain, table
from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools.api_inventory import Module, read_inventory
from cortex.worker.tools.markdown_links import Links, check_links
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.reading import tree_to_read
from cortex.worker.tools.source_files import SourceTree

__all__ = ["document"]

_FINDINGS_LIMIT = 2_000
_CODE = (
    "javascript",
    "typescript",
    "go",
    "rust",
    "java",
    "kotlin",
    "c",
    "c++",
    "c#",
    "ruby",
    "php",
)
_ROWS = 200


def document(worker: Worker) -> None:
    """Inventory and check the spec's repository; write the report and results.json.

    Raises NotRunError where there is neither Python nor Markdown, RepositoryError or CloneError
    for a repository that cannot be read.
    """
    worker.heartbeat.beat(0.0, "reading the repository", now=True)
    tree = tree_to_read(worker)
    source, notes = tree.repository, tree.notes
    modules = read_inventory(tree)
    worker.heartbeat.beat(0.5, "checking links", now=True)
    links = check_links(tree)
    if not modules and not links.files:
        raise NotRunError(
            f"{source} has neither Python of its own nor Markdown",
            ["Python or Markdown: nothing else is read"],
        )
    others = Counter(file.language for file in tree.of(*_CODE, places=("source",)))
    notes += [
        f"{counted(number, 'file')} of {name} not in the inventory"
        for name, number in others.items()
    ]
    findings = [*_about_readme(tree), *_missing(modules), *_broken(links)]
    for finding in findings:
        finding.update(tool="cortex", confidence="high", repository=source)
    numbers = _numbers(modules, links)
    summary = _summary(source, numbers, findings)
    report = _markdown(summary, modules, links, findings, notes)
    worker.write_artifact("documentation_notes.md", report)
    worker.write_artifact(
        "api_inventory.json",
        {"version": 1, "repository": source, **numbers, "modules": [m.row() for m in modules]},
    )
    worker.write_results(
        "completed",
        summary,
        findings=findings[:_FINDINGS_LIMIT],
        artifacts=["documentation_notes.md", "api_inventory.json"],
        documentation=numbers,
    )
    worker.heartbeat.beat(1.0, "done", now=True)


def _about_readme(tree: SourceTree) -> list[dict[str, Any]]:
    found = [path for path in tree.root.iterdir() if path.name.lower().split(".")[0] == "readme"]
    if not found:
        words = "There is no README at the top of the repository"
        return [_finding("no-readme", words, "medium", "", 0)]
    if all(_is_empty(path) for path in found):
        return [_finding("empty-readme", "The README says nothing", "low", found[0].name, 1)]
    return []


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size < 20


def _missing(modules: Sequence[Module]) -> Iterator[dict[str, Any]]:
    for module in modules:
        if module.problem is not None:
            words = f"{module.file} {module.problem}"
            yield _finding("unreadable", words, "medium", module.file, module.line)
            continue
        if not module.is_documented and not module.is_empty:
            words = f"Module {module.module} has no docstring"
            yield _finding("no-module-docstring", words, "low", module.file, 1)
        for name in module.names:
            if not name.is_documented:
                words = f"{name.kind.capitalize()} {module.module}.{name.name} has no docstring"
                yield _finding("no-docstring", words, "low", module.file, name.line)


def _broken(links: Links) -> Iterator[dict[str, Any]]:
    for link in links.broken:
        words = f"Link to {link.target[:200]}: {link.why}"
        yield _finding("broken-link", words, "low", link.file, link.line)


def _finding(rule: str, words: str, severity: str, file: str, line: int) -> dict[str, Any]:
    return {
        "rule": rule,
        "family": f"documentation-{rule}",
        "title": words[:200],
        "message": words,
        "severity": severity,
        "file": file,
        "line": line,
        "snippet": words[:200],
    }


def _numbers(modules: Sequence[Module], links: Links) -> dict[str, Any]:
    readable = [module for module in modules if module.problem is None and not module.is_empty]
    public = len(readable) + sum(len(module.names) for module in readable)
    documented = sum(module.is_documented for module in readable)
    documented += sum(name.is_documented for module in readable for name in module.names)
    return {
        "public": public,
        "documented": documented,
        "percent": round(100 * documented / public, 1) if public else None,
        "markdown_files": links.files,
        "links_checked": links.inside,
        "links_elsewhere": links.elsewhere,
        "links_broken": len(links.broken),
    }


def _summary(source: str, numbers: dict[str, Any], findings: Sequence[dict[str, Any]]) -> str:
    name = source.rstrip("/").rsplit("/", 1)[-1]
    parts = []
    if numbers["public"]:
        share = f"{numbers['documented']} of {numbers['public']} public names have a docstring"
        parts.append(f"{share} ({numbers['percent']:g} %)")
    if numbers["markdown_files"]:
        links = f"{numbers['links_broken']} of {numbers['links_checked']} links are broken"
        parts.append(f"{links} in {counted(numbers['markdown_files'], 'Markdown file')}")
    if any(finding["rule"].endswith("readme") for finding in findings):
        parts.append("no README that says anything")
    return f"{name}: {'; '.join(parts)}."


def _markdown(
    summary: str,
    modules: Sequence[Module],
    links: Links,
    findings: Sequence[dict[str, Any]],
    notes: Sequence[str],
) -> str:
    lines = ["# Documentation", "", f"**{plain(summary)}**", ""]
    notes = [
        *notes,
        f"{counted(links.elsewhere, 'link')} elsewhere not checked: no network is asked",
    ]
    lines += bullets(notes)
    if findings:
        lines += [f"## What is missing ({len(findings)})", ""]
        rows = ((code(f"{row['file'] or '.'}:{row['line']}"), plain(row["title"]))
                for row in findings)  # fmt: skip
        lines += [*table(("where", "what"), rows, _ROWS), ""]
        if len(findings) > _ROWS:
            lines += [f"{len(findings) - _ROWS} more are in results.json.", ""]
    lines += ["## Public names", ""]
    for module in modules[:_ROWS]:
        if module.names:
            lines += [f"### {plain(module.module)}", "", f"{code(module.file)}", ""]
            lines += [f"- {code(name.signature)}" for name in module.names[:_ROWS]]
            lines.append("")
    lines.append("The whole inventory is in `api_inventory.json`.")
    return "\n".join(lines) + "\n"
