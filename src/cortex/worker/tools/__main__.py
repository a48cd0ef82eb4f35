"""`python -m cortex.worker.tools`: the zero-token worker program, started by the worker
contract.

Looks at the spec's worker type and runs the scan or the analysis. Exits 0 once results.json says
how it went, also when that is `failed`; 2 where the contract itself is broken and there is
nowhere to write.
"""

from __future__ import annotations

import sys

from cortex.worker.contract import ContractError, Worker, read_worker


def main() -> int:
    """Run the worker that the environment describes; the process's exit status."""
    try:
        worker = read_worker()
    except ContractError as problem:
        sys.stderr.write(f"cortex.worker.tools: {problem}\n")
        return 2
    from cortex.worker.tools.source_files import RepositoryError

    try:
        _run(worker)
    except (RepositoryError, ValueError) as problem:
        _fail(worker, str(problem), permanent=True)
    except OSError as problem:
        _fail(worker, f"the {worker.worker_type} could not go on: {problem}", permanent=False)
    return 0


def _run(worker: Worker) -> None:
    kind = worker.worker_type
    if kind in ("scan-worker", "audit-worker"):
        from cortex.worker.tools.scan import scan

        scan(worker)
    elif kind == "analysis-worker":
        from cortex.worker.tools.analysis import analyze

        analyze(worker)
    else:
        raise ValueError(
            f"worker_type {kind or '(none)'} has no zero-token program; the tools runtime can do "
            "scan-worker, audit-worker and analysis-worker: give this one another runtime"
        )


def _fail(worker: Worker, error: str, *, permanent: bool) -> None:
    sys.stderr.write(f"cortex.worker.tools: {error}\n")
    worker.write_results("failed", error, error=error, permanent=permanent)


if __name__ == "__main__":
    sys.exit(main())
