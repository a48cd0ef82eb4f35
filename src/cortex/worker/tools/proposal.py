"""The words of a pull request: title and body, out of the task and what its steps handed over.

What other workers wrote is shown as text, never as markup. Sends nothing.
"""

from __future__ import annotations

from typing import Any

from cortex.model.markdown import bullets, code, fenced
from cortex.worker.contract import Needed, Worker
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.options import text

__all__ = ["body_of", "title_of"]

_TITLE_CHARACTERS = 70
_FINDINGS_SHOWN = 20
_COMMITS_SHOWN = 50


def title_of(worker: Worker, clone: Clone) -> str:
    """At most 70 characters: the task's own title, else the first commit's subject."""
    subject = clone.git.text("log", "--reverse", "--format=%s", f"{clone.base}..HEAD")
    given = text(worker, "title") or str(worker.context.get("parent_task") or "")
    words = " ".join((given or subject.split("\n")[0]).split())
    if len(words) <= _TITLE_CHARACTERS:
        return words or "Changes"
    return words[: _TITLE_CHARACTERS - 1].rstrip() + "…"


def body_of(worker: Worker, clone: Clone, row: dict[str, Any]) -> str:
    """Why, what, how it was tested, what is left, and where it comes from."""
    needed = worker.needed()
    lines = ["## What", ""]
    made_before = f"The branch {code(row['name'])}, which no step of this task made."
    lines += bullets(_said(step) for step in needed) or [made_before, ""]
    log = clone.git.text("log", "--format=%h %s", f"{clone.base}..HEAD").split("\n")
    lines += ["## Commits", "", *bullets(log[:_COMMITS_SHOWN])]
    if len(log) > _COMMITS_SHOWN:
        lines += [f"{len(log) - _COMMITS_SHOWN} more.", ""]
    lines += ["## Tests", "", *_tests(needed)]
    left = [str(part) for step in needed for part in _list(step.results.get("left"))]
    if left:
        lines += ["## Left", "", *bullets(left[:_FINDINGS_SHOWN])]
    findings = [found for step in needed for found in _list(step.results.get("findings"))]
    titles = [str(found.get("title")) for found in findings if isinstance(found, dict)]
    if titles:
        lines += ["## Findings of the steps", "", *bullets(titles[:_FINDINGS_SHOWN])]
    lines += ["## Files", "", *fenced(clone.changed_since(clone.base), 60), ""]
    lines += bullets(clone.notes)
    lines.append(
        f"Prepared by Cortex for task {code(worker.task_id)} ({code(worker.worker_id)}), from "
        f"{code(str(row['base'])[:12])}. To go back, close it: nothing else was changed."
    )
    return "\n".join(lines) + "\n"


def _said(step: Needed) -> str:
    return f"{step.name}: {str(step.results.get('summary') or 'no summary')[:500]}"


def _tests(needed: list[Needed]) -> list[str]:
    """What each step says of tests; silence is said to be silence."""
    words = []
    for step in needed:
        results = step.results
        if results.get("verdict") in ("passed", "failed", "unknown"):
            words.append(f"{step.name}: {results.get('summary')}")
        elif results.get("tested") is True:
            words.append(
                f"{step.name}: no test got worse. {_counts(results.get('tests'))}".rstrip()
            )
        elif results.get("tested") is False:
            words.append(f"{step.name}: NOT TESTED, which its task allowed")
    return bullets(words) or ["No step ran the tests.", ""]


def _counts(tests: object) -> str:
    """What ran before and after: some may have failed before the change already."""
    return str(tests.get("reason") or "")[:500] if isinstance(tests, dict) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
