"""How a tools worker ends when it could not do its work: not run, or in conflict.

`not_run` is never a pass: results.json says `failed` for good, with what is missing. Programs
raise; `__main__` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortex.worker.contract import Worker

__all__ = ["ConflictError", "NotRunError", "write_not_done"]


class NotRunError(Exception):
    """The work cannot be done here: `missing` names what it needs, each as a thing to provide."""

    def __init__(self, why: str, missing: Sequence[str]) -> None:
        super().__init__(why)
        self.missing = list(missing)


class ConflictError(Exception):
    """Changes that a program cannot join; `files` are where they meet.

    `outcome` is `conflict` where branches of needed steps meet, which integration may solve, and
    `does_not_fit` for a patch or a remote that went another way, which it cannot.
    """

    def __init__(self, why: str, files: Sequence[str], outcome: str = "conflict") -> None:
        super().__init__(why)
        self.files = list(files)
        self.outcome = outcome


def write_not_done(worker: Worker, problem: NotRunError | ConflictError, **extra: Any) -> None:
    """Write the declared reports and results.json of a worker that ends without a result."""
    outcome, lines = _told(problem)
    error = f"{outcome.replace('_', ' ')}: {problem}"
    if isinstance(problem, NotRunError):
        error += f"; missing: {', '.join(problem.missing)}"
    body = "\n".join([f"# {outcome.replace('_', ' ').capitalize()}", "", f"{problem}.", "", *lines])
    named = [name for name in worker.spec.get("deliverables") or [] if str(name).endswith(".md")]
    artifacts = [str(name) for name in named] or [f"{outcome}.md"]
    for name in artifacts:
        worker.write_artifact(name, body + "\n")
    worker.write_results(
        "failed",
        error,
        error=error,
        artifacts=artifacts,
        permanent=True,
        outcome=outcome,
        **_fields(problem),
        **extra,
    )


def _told(problem: NotRunError | ConflictError) -> tuple[str, list[str]]:
    if isinstance(problem, NotRunError):
        return "not_run", ["What is missing:", "", *(f"- {part}" for part in problem.missing)]
    return problem.outcome, ["Where it meets:", "", *(f"- `{file}`" for file in problem.files)]


def _fields(problem: NotRunError | ConflictError) -> dict[str, Any]:
    if isinstance(problem, NotRunError):
        return {"missing": problem.missing}
    findings = [
        {
            "rule": "merge-conflict",
            "tool": "git",
            "title": "Changes that a program cannot join",
            "message": f"{problem}",
            "severity": "medium",
            "confidence": "high",
            "file": file,
            "line": 0,
        }
        for file in problem.files
    ]
    return {"findings": findings, "conflicts": problem.files}
