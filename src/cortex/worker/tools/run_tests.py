"""The test worker: runs the repository's own suites in a clone, and reports what failed where.

Running the tests is the work, so failing tests are completed work with `verdict: failed` and a
finding each; `scope.must_pass` makes them a failed step instead, for a plan in which others wait
for it. A suite that could not run is never a pass. Asks no model.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Any

from cortex.worker.contract import Worker
from cortex.worker.tools.branches import incoming, merge_incoming
from cortex.worker.tools.clone import Clone, clone_repository
from cortex.worker.tools.environment import Environment, prepare_environment
from cortex.worker.tools.junit import TestCase
from cortex.worker.tools.options import flag, text
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.source_files import RepositoryError, read_tree
from cortex.worker.tools.suite_runs import SuiteRun, run_suites
from cortex.worker.tools.suites import Suite, find_suites, is_within
from cortex.worker.tools.test_report import suite_rows, test_markdown, totals, words_of

__all__ = ["run_tests", "suites_of"]

#: A path from the first part on that has a sign of a pattern in it.
_PATTERN = re.compile(r"[^/]*[*?\[].*", re.DOTALL)

_FINDINGS_LIMIT = 500


def run_tests(worker: Worker) -> None:
    """Run the suites of the spec's repository, with the branches of the needed steps merged in.

    Raises NotRunError where no suite can run, CloneError or ConflictError where there is nothing
    to run it on, RepositoryError for paths outside.
    """
    worker.heartbeat.beat(0.0, "cloning", now=True)
    clone = clone_repository(worker)
    branches = incoming(worker, clone)
    merge_incoming(clone, branches)
    paths = _paths(worker)
    suites = _meant(suites_of(worker, clone), paths)
    environment = prepare_environment(worker, clone)
    runs = run_suites(worker, clone, environment, suites, paths=paths)
    if all(run.state == "not_run" for run in runs):
        missing = list(dict.fromkeys(part for run in runs for part in run.missing))
        raise NotRunError("; ".join(run.reason or "not run" for run in runs), missing)
    _write(worker, clone, environment, runs, [branch.name for branch in branches])


def suites_of(worker: Worker, clone: Clone) -> list[Suite]:
    """The suites that count here. Raises NotRunError where the repository has none."""
    suites = find_suites(read_tree(str(clone.root)), text(worker, "test_command"))
    if not suites:
        raise NotRunError(
            f"{clone.source} has no test suite that is known by its files",
            ["a test suite, or scope.test_command (the command that runs it)"],
        )
    return suites


def _paths(worker: Worker) -> list[str]:
    """The scope's paths, each as git writes it, a pattern as its folder; none where one of them is
    the whole.

    Raises RepositoryError for one that lies outside.
    """
    told = [_PATTERN.sub("", str(path)) for path in worker.scope.get("paths") or []]
    paths = [posixpath.normpath(path) for path in told]
    for path in paths:
        if path.startswith("/") or is_within(path, ".."):
            raise RepositoryError(
                f"scope.paths: {path!r} lies outside the repository; write it as seen from its root"
            )
    return [] if "." in paths else paths


def _meant(suites: list[Suite], paths: Sequence[str]) -> list[Suite]:
    """The suites of a monorepo that test what the scope's paths touch; all, if none does."""
    return [suite for suite in suites if _is_meant(suite, paths)] or suites


def _is_meant(suite: Suite, paths: Sequence[str]) -> bool:
    if not paths:
        return True
    if suite.folder:
        return any(is_within(one, suite.folder) or is_within(suite.folder, one) for one in paths)
    return not all(any(is_within(path, part) for part in suite.without) for path in paths)


def _write(
    worker: Worker,
    clone: Clone,
    environment: Environment,
    runs: Sequence[SuiteRun],
    branches: Sequence[str],
) -> None:
    verdict = _verdict(runs)
    findings = _findings(runs, clone.source)
    summary = words_of(runs)
    if verdict != "passed" and clone.notes:
        summary += f" Perhaps because of this: {'; '.join(clone.notes)}."
    tests = {
        **totals(runs),
        "suites": suite_rows(runs),
        "commit": clone.head(),
        "branches": list(branches),
    }
    about = {"source": clone.source, "environment": _environment_words(environment)}
    notes = [*clone.notes, *environment.notes]
    worker.write_artifact("test_report.md", test_markdown(summary, runs, tests, about, notes))
    worker.write_artifact("test_results.json", {"verdict": verdict, **tests})
    logs = [f"{run.suite.file_name}.log" for run in runs if run.output]
    for run in runs:
        if run.output:
            worker.write_artifact(f"{run.suite.file_name}.log", run.output)
    status, error = _status(runs), None
    if status == "failed":
        error = summary
    elif verdict != "passed" and flag(worker, "must_pass"):
        status, error = "failed", f"tests must pass here: {summary}"
    worker.write_results(
        status,
        summary,
        findings=findings[:_FINDINGS_LIMIT],
        artifacts=["test_report.md", "test_results.json", *logs],
        error=error,
        permanent=status == "failed"
        and not any("its limit of" in (run.reason or "") for run in runs),
        verdict=verdict,
        tests=tests,
    )
    worker.heartbeat.beat(1.0, "done", now=True)


def _verdict(runs: Sequence[SuiteRun]) -> str:
    """failed where a test failed, passed where every suite did, else unknown."""
    states = {run.state for run in runs}
    if "failed" in states:
        return "failed"
    return "passed" if states == {"passed"} else "unknown"


def _status(runs: Sequence[SuiteRun]) -> str:
    """completed where every suite ran to its end, partial where some did."""
    ran = [run.state in ("passed", "failed") for run in runs]
    return "completed" if all(ran) else "partial" if any(ran) else "failed"


def _environment_words(environment: Environment) -> str:
    python = environment.python
    words = f"Python {python.version} ({python.origin})" if python else "programs on PATH"
    return f"{words}; setup `{environment.setup}`" if environment.setup else words


def _findings(runs: Sequence[SuiteRun], source: str) -> list[dict[str, Any]]:
    found = [
        _finding(case, run.suite.kind)
        for run in runs
        for case in run.cases
        if case.outcome in ("failed", "error")
    ]
    for run in runs:
        told = any(case.outcome in ("failed", "error") for case in run.cases)
        if run.state in ("failed", "error") and not told:
            name = f"the {run.suite.name} suite"
            found.append(
                _finding(TestCase(name, run.state, message=run.reason or ""), run.suite.kind)
            )
    return [{**finding, "repository": source} for finding in found]


def _finding(case: TestCase, kind: str) -> dict[str, Any]:
    word = "failed" if case.outcome == "failed" else "ended in an error"
    return {
        "tool": kind,
        "rule": "test-failed",
        "family": "failing-test",
        "title": f"Test {word}: {case.name}"[:300],
        "message": case.message or f"{case.name} {word}",
        "severity": "medium",
        "confidence": "high",
        "file": case.file,
        "line": case.line,
        "snippet": case.name[:200],
    }
