"""The refactor worker: the formatter and the safe automatic fixes that the repository configures.

Behaviour is held by the repository's tests, run before and after. Other restructuring needs
thought. Asks no model.
"""

from __future__ import annotations

from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools.branches import commit_files, incoming, merge_incoming
from cortex.worker.tools.clone import clone_repository
from cortex.worker.tools.deliver import Work, deliver, deliver_nothing
from cortex.worker.tools.lint import LintError, fix, format_files, has_own_configuration
from cortex.worker.tools.options import flag
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.source_files import read_tree

__all__ = ["refactor"]


def refactor(worker: Worker) -> None:
    """Format and fix the Python files of the scope in a clone, prove it, hand over a branch.

    Raises NotRunError where there is no Python, or no configuration says how it should look.
    """
    worker.heartbeat.beat(0.0, "cloning", now=True)
    clone = clone_repository(worker)
    merge_incoming(clone, incoming(worker, clone))
    if not has_own_configuration(clone.root) and not flag(worker, "default_style"):
        raise NotRunError(
            f"{clone.source} does not say how its code should look",
            ["a configuration of ruff ([tool.ruff] in pyproject.toml, or ruff.toml), or "
             "scope.default_style: true"],
        )  # fmt: skip
    paths = [str(path) for path in worker.scope.get("paths") or []]
    places = ("source", "tests", "examples")
    files = [file.path for file in read_tree(str(clone.root), paths).of("python", places=places)]
    if not files:
        raise NotRunError("there is no Python in the scope", ["Python files: ruff reads no other"])
    start, home = clone.head(), worker.dir / "lint"
    work = Work("Format and tidy")
    trailer = f"Task: {worker.task_id}\nWorker: {worker.worker_id}"
    try:
        format_files(clone.root, files, home)
        if commit_files(clone, files, f"Format with ruff\n\n{trailer}"):
            work.done.append("Formatted with ruff, as the repository configures it")
        fix(clone.root, files, home)
        format_files(clone.root, files, home)
        if commit_files(clone, files, f"Apply ruff's safe fixes\n\n{trailer}"):
            work.done.append("Applied ruff's safe fixes of the rules that the repository selects")
    except LintError as problem:
        raise NotRunError(str(problem), ["a configuration and code that ruff can read"]) from None
    if clone.head() == start:
        files_seen = counted(len(files), "file")
        summary = f"Nothing to change: {files_seen} formatted and without a safe fix."
        deliver_nothing(worker, clone, summary, [])
        return
    deliver(worker, clone, start, work)
