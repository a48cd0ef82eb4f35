"""What a worker that only reads looks at: the folder itself, or a clone.

A folder of this machine is read where it lies, with what is not committed yet. A URL, a bare
repository, a `ref`, and branches that needed steps handed over are read in a clone of the worker's
own.
"""

from __future__ import annotations

from pathlib import Path

from cortex.model.branches import is_url
from cortex.worker.contract import Worker
from cortex.worker.tools.branches import incoming, merge_incoming
from cortex.worker.tools.clone import clone_repository
from cortex.worker.tools.options import text
from cortex.worker.tools.source_files import SourceTree, read_tree

__all__ = ["tree_to_read"]


def tree_to_read(worker: Worker) -> SourceTree:
    """The files of the scope's repository, below its paths where it names some.

    Raises RepositoryError or CloneError where it cannot be had, NotRunError where a clone is meant
    and there is no commit, ConflictError where branches of needed steps meet.
    """
    repository = str(worker.scope.get("repository") or "")
    paths = [str(path) for path in worker.scope.get("paths") or []]
    handed_over = any(needed.results.get("branches") for needed in worker.needed())
    cloned = is_url(repository) or _is_bare(repository) or text(worker, "ref") or handed_over
    if not cloned:
        return read_tree(repository, paths)
    clone = clone_repository(worker)
    merge_incoming(clone, incoming(worker, clone))
    tree = read_tree(str(clone.root), paths)
    tree.repository, tree.notes = clone.source, list(clone.notes)
    return tree


def _is_bare(repository: str) -> bool:
    """Whether a folder is git's own: its files are in the history that it holds, not beside it."""
    folder = Path(repository)
    try:
        return (folder / "HEAD").is_file() and all(
            (folder / name).is_dir() for name in ("objects", "refs")
        )
    except OSError:
        return False
