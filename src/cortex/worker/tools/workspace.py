"""`python -m cortex.worker.tools.workspace PROGRAM ARGUMENT …`: a command in a clone of its own.

The clone begins at the merge of the branches that the needed steps handed over. What the command
changed is committed, unless it did so itself, and goes out as a bundle; the source is only read.
The command's own status, output and results.json stay what they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from cortex.model.strict_json import parse
from cortex.model.words import counted
from cortex.worker.contract import ContractError, Worker, read_worker, write_json
from cortex.worker.tools.branches import branch_name, export_branch, incoming, merge_incoming
from cortex.worker.tools.clone import Clone, clear_away, clone_repository
from cortex.worker.tools.endings import to_its_end

__all__ = ["main"]

_RESULTS_BYTES_AT_MOST = 64 * 1024 * 1024
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def main() -> int:
    """Run the command that the arguments name; its exit status, or 2 for a broken contract."""
    try:
        worker = read_worker()
    except ContractError as problem:
        sys.stderr.write(f"cortex.worker.tools.workspace: {problem}\n")
        return 2
    status = to_its_end(worker, "cortex.worker.tools.workspace", lambda: _in_a_clone(worker))
    return status or 0


def _in_a_clone(worker: Worker) -> int:
    """The command's status; the clone of one that failed stays, to look at it."""
    clone = clone_repository(worker)
    merge_incoming(clone, incoming(worker, clone))
    start = clone.head()
    status = _run(sys.argv[1:], clone)
    if status == 0 and _hand_over(worker, clone, start):
        clear_away(worker)
    return status


def _run(argv: list[str], clone: Clone) -> int:
    """The command in the clone, with this process's own output; its status as a shell has it."""
    sys.stdout.flush()
    try:
        status = subprocess.run(argv, cwd=clone.root, check=False).returncode
        return status if status >= 0 else 128 - status
    except OSError as problem:
        sys.stderr.write(f"{argv[0]}: {problem.strerror}\n")
        missing = isinstance(problem, FileNotFoundError)
        return _NOT_FOUND if missing else _NOT_EXECUTABLE


def _hand_over(worker: Worker, clone: Clone, start: str) -> bool:
    """Commit what is left uncommitted, and name the branch in results.json; False where the command
    wrote one that cannot be read, which stays as it is, to be refused.
    """
    try:
        own = _own_results(worker)
    except (OSError, ValueError):
        return False
    files: list[str] = []
    title = str(worker.context.get("parent_task") or worker.task_id)
    step = str(worker.context.get("step") or "work")
    clone.git.text("add", "--all")
    if clone.git.run("diff", "--cached", "--quiet").returncode != 0:
        message = f"{title}: {step}\n\nTask: {worker.task_id}\nWorker: {worker.worker_id}"
        clone.git.text("commit", "--quiet", "--no-verify", "--message", message)
    summary = f"{step}: nothing was changed"
    if clone.head() != start:
        files = clone.git.paths("diff", "--name-only", "--no-renames", "-z", start, "HEAD")
        summary = f"{counted(len(files), 'file')} changed on {branch_name(worker)}"
    said = own or {"status": "completed", "summary": summary}
    if clone.head() == clone.base:
        write_json(worker.results_path, {"branches": [], **said})
        return True
    # Where it changed nothing, what the needed steps made goes on: later ones may need only it.
    branch = export_branch(worker, clone)
    artifacts = [*_texts(said.get("artifacts")), branch["bundle"]]
    modified = _texts(said.get("files_modified")) or files[:10_000]
    known = said.get("branches")
    branches = [*known, branch] if isinstance(known, list) else [branch]
    made = {"artifacts": artifacts, "files_modified": modified, "branches": branches}
    write_json(worker.results_path, {**said, **made})
    return True


def _own_results(worker: Worker) -> Mapping[str, Any] | None:
    """What the command wrote to results.json, None where it wrote none.

    Raises OSError or ValueError for what is no object that the daemon would read.
    """
    path = worker.results_path
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or path.stat().st_size > _RESULTS_BYTES_AT_MOST:
        raise ValueError("results.json is a link, or too large")
    value = parse(path.read_bytes(), max_bytes=_RESULTS_BYTES_AT_MOST)
    if not isinstance(value, dict) or not value:
        raise ValueError("results.json is no object, or an empty one")
    return value


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
