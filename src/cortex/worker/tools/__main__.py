"""`python -m cortex.worker.tools`: the zero-token worker program, started by the worker
contract.

Looks at the spec's worker type and runs the program that it has. Exits 0 once results.json says
how it went, also when that is `failed`; 2 where the contract itself is broken and there is
nowhere to write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from cortex.worker.contract import ContractError, Worker, read_worker

_PROGRAMS = {
    "scan-worker": "scan:scan",
    "audit-worker": "scan:scan",
    "analysis-worker": "analysis:analyze",
    "test-worker": "run_tests:run_tests",
    "review-worker": "review:review",
    "fix-worker": "fix:fix_findings",
    "remediation-worker": "fix:fix_findings",
    "refactor-worker": "refactor:refactor",
    "documentation-worker": "documentation:document",
    "integration-worker": "integrate:integrate",
    "pr-worker": "pull_request:propose",
}


def main() -> int:
    """Run the worker that the environment describes; the process's exit status."""
    try:
        worker = read_worker()
    except ContractError as problem:
        sys.stderr.write(f"cortex.worker.tools: {problem}\n")
        return 2
    worker.heartbeat.log = sys.stdout
    from cortex.worker.tools.clone import clear_away
    from cortex.worker.tools.endings import to_its_end

    to_its_end(worker, "cortex.worker.tools", lambda: _program(worker)(worker))
    clear_away(worker)
    return 0


def _program(worker: Worker) -> Callable[[Worker], None]:
    found = _PROGRAMS.get(worker.worker_type)
    if found is None:
        *others, last = sorted(_PROGRAMS)
        raise ValueError(
            f"worker_type {worker.worker_type or '(none)'} has no zero-token program; the tools "
            f"runtime can do {', '.join(others)} and {last}: give this one another runtime"
        )
    module, _, function = found.partition(":")
    program: Callable[[Worker], None] = getattr(
        import_module(f"cortex.worker.tools.{module}"), function
    )
    return program


if __name__ == "__main__":
    sys.exit(main())
