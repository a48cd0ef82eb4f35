"""Runs a worker's program to its end, and writes results.json for whatever it raises.

The one place that knows which error is for good and which may pass. It decides nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from cortex.worker.contract import Worker
from cortex.worker.tools.clone import CloneError
from cortex.worker.tools.git import GitError
from cortex.worker.tools.outcomes import ConflictError, NotRunError, write_not_done
from cortex.worker.tools.source_files import RepositoryError

__all__ = ["to_its_end"]

T = TypeVar("T")


def to_its_end(worker: Worker, program: str, work: Callable[[], T]) -> T | None:
    """What the work returns; None where it raised, and then results.json says why.

    A scope that cannot be understood and a repository that cannot be had are for good; a disk or a
    git that failed may do better next time.
    """
    try:
        return work()
    except (NotRunError, ConflictError) as ending:
        sys.stderr.write(f"{program}: {ending}\n")
        write_not_done(worker, ending)
    except CloneError as problem:
        _fail(worker, program, str(problem), permanent=problem.permanent)
    except (RepositoryError, ValueError) as problem:
        _fail(worker, program, str(problem), permanent=True)
    except (OSError, GitError) as problem:
        words = f"the {worker.worker_type} could not go on: {problem}"
        _fail(worker, program, words, permanent=False)
    return None


def _fail(worker: Worker, program: str, error: str, *, permanent: bool) -> None:
    sys.stderr.write(f"{program}: {error}\n")
    worker.write_results("failed", error, error=error, permanent=permanent)
