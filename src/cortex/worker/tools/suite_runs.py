"""Runs a repository's test suites in its environment and reads how each of them went.

A suite that cannot run is `not_run` with the missing part, and one whose outcome cannot be told is
an `error`; neither counts as passed. What a failing test means for a worker is decided elsewhere.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cortex.worker.contract import Worker
from cortex.worker.tools import processes
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.environment import HOW_TO_PYTHON, Environment
from cortex.worker.tools.junit import TestCase, count, counts_in, read_go_events, read_junit
from cortex.worker.tools.options import time_left_s
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.suites import Suite, is_within

__all__ = ["SuiteRun", "run_suites"]

#: So much of the output is read for its tests, and so much is kept as a log.
_READ_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 400_000
_NO_TESTS = 5  # pytest's exit status
_MODULES = "installed node modules: scope.setup, such as `npm ci`"


@dataclass(slots=True)
class SuiteRun:
    """One suite's run: `state` is passed, failed, error or not_run; `counts` is None if unknown."""

    suite: Suite
    state: str = "not_run"
    reason: str | None = None
    missing: list[str] = field(default_factory=list)
    argv: list[str] = field(default_factory=list)
    returncode: int | None = None
    seconds: float = 0.0
    counts: dict[str, int] | None = None
    cases: list[TestCase] = field(default_factory=list)
    coverage: float | None = None
    output: str = ""


@dataclass(slots=True)
class _Job:
    """What to start for a suite, and where it leaves its report."""

    argv: list[str]
    variables: dict[str, str]
    junit: Path | None = None
    first_line: int = 1
    coverage: Callable[[], float | None] | None = None


def run_suites(
    worker: Worker,
    clone: Clone,
    environment: Environment,
    suites: Sequence[Suite],
    label: str = "tests",
    paths: Sequence[str] = (),
) -> list[SuiteRun]:
    """Run the suites one after another in the clone; one row each, in the same order."""
    folder = worker.dir / "runs" / label
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for number, suite in enumerate(suites):
        share = number / len(suites)
        worker.heartbeat.beat(0.1 + 0.6 * share, f"{label}: {suite.name}", now=True)
        runs.append(_suite_run(worker, clone, environment, suite, folder, paths))
    return runs


def _suite_run(
    worker: Worker,
    clone: Clone,
    environment: Environment,
    suite: Suite,
    folder: Path,
    paths: Sequence[str],
) -> SuiteRun:
    run = SuiteRun(suite)
    if suite.folder:
        prefix = f"{suite.folder}/"
        clone, environment = _in_part(clone, environment, suite.folder)
        folder = folder / suite.file_name
        folder.mkdir()
        whole = any(is_within(suite.folder, path) for path in paths)
        inside = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
        paths = [] if whole else inside
    try:
        job = _job(clone, environment, suite, folder, paths)
    except NotRunError as problem:
        run.reason, run.missing = str(problem), problem.missing
    else:
        _run(worker, clone, run, job)
    if suite.folder:
        run.cases = [
            replace(case, file=f"{suite.folder}/{case.file}") if case.file else case
            for case in run.cases
        ]
    return run


def _in_part(clone: Clone, environment: Environment, folder: str) -> tuple[Clone, Environment]:
    """The clone as if it began at a folder of it; Python finds the code of the whole, too."""
    whole = environment.python_variables(clone.root)["PYTHONPATH"]
    variables = {**environment.variables, "PYTHONPATH": whole}
    return replace(clone, root=clone.root / folder), replace(environment, variables=variables)


def _run(worker: Worker, clone: Clone, run: SuiteRun, job: _Job) -> None:
    limit_s = time_left_s(worker)
    outcome = processes.run(
        job.argv, cwd=clone.root, env=job.variables, limit_s=limit_s, tail_bytes=_READ_BYTES
    )
    run.argv, run.returncode, run.seconds = job.argv, outcome.returncode, outcome.seconds
    run.output = outcome.stdout[-_TAIL_BYTES:].decode("utf-8", "replace")
    if outcome.problem:
        run.state, run.reason = "error", outcome.problem
        return
    try:
        _read(run, job, clone.root, outcome.stdout)
    except ValueError as problem:
        run.reason = str(problem)
        run.counts = counts_in(run.output)
    _judge(run)
    if run.state in ("passed", "failed") and job.coverage is not None:
        run.coverage = job.coverage()


def _read(run: SuiteRun, job: _Job, root: Path, stdout: bytes) -> None:
    if job.junit is not None:
        run.cases = read_junit(job.junit, root, job.first_line)
        run.counts = count(run.cases)
    elif run.suite.kind == "go":
        run.cases = read_go_events(stdout, root)
        run.counts = count(run.cases)
    else:
        run.counts = counts_in(stdout.decode("utf-8", "replace"))


def _judge(run: SuiteRun) -> None:
    """Passed only with status 0 and at least one test that is known to have run, where counted."""
    counts = run.counts
    ran = sum(counts.values()) if counts is not None else None
    broken = counts is not None and (counts["failed"] or counts["errors"])
    last = (run.output.strip().splitlines() or ["it printed nothing"])[-1][:200]
    nothing = run.suite.kind == "pytest" and run.returncode == _NO_TESTS
    if nothing or (ran == 0 and run.returncode == 0):
        run.state, run.reason = "not_run", "it found no tests"
        run.missing = [f"tests that {run.suite.kind} finds"]
    elif run.returncode == 0 and not broken:
        if run.reason is None:
            run.state = "passed"
        else:
            run.state = "error"
    elif broken:
        run.state, run.reason = "failed", None
    elif run.suite.kind in ("make", "command", "npm") and run.reason is None:
        run.state, run.reason = "failed", f"status {run.returncode}: {last}"
    else:
        run.state = "error"
        run.reason = f"{run.suite.kind} ended with status {run.returncode}: {last}"


def _job(
    clone: Clone, environment: Environment, suite: Suite, folder: Path, paths: Sequence[str]
) -> _Job:
    if suite.kind in ("pytest", "unittest"):
        return _python_job(clone, environment, suite, folder, paths)
    variables = environment.variables
    if environment.python is not None:
        variables = environment.python_variables(clone.root)
    if suite.kind == "command":
        return _Job(["/bin/sh", "-c", suite.command or ""], variables)
    if suite.kind == "node":
        return _node_job(clone, environment, suite, folder)
    if suite.kind == "npm":
        _node_modules(clone, suite)
        return _Job([_program(environment, "npm"), "test", "--silent"], variables)
    if suite.kind == "go":
        return _Job([_program(environment, "go"), "test", "-json", "./..."], variables)
    if suite.kind == "cargo":
        cargo = _program(environment, "cargo")
        _must_run(clone, environment, [cargo, "--version"])
        return _Job([cargo, "test", "--offline", "--no-fail-fast"], variables)
    return _Job([_program(environment, "make"), "test"], variables)


def _python_job(
    clone: Clone, environment: Environment, suite: Suite, folder: Path, paths: Sequence[str]
) -> _Job:
    python = environment.python
    if python is None:
        raise NotRunError(f"no Python environment for {suite.kind}", [HOW_TO_PYTHON])
    junit = folder / f"{suite.kind}.xml"
    data, report = folder / "coverage.data", folder / "coverage.json"
    variables = {**environment.python_variables(clone.root), "COVERAGE_FILE": str(data)}
    if suite.kind == "pytest":
        if not python.has_pytest:
            raise NotRunError(
                f"{suite.mark} asks for pytest, and {python.path} has none",
                ["pytest in that environment"],
            )
        tail = ["-m", "pytest", f"--junitxml={junit}", "-o", "junit_family=xunit1"]
        chosen = _test_paths(clone, paths, suite.without)
        tail += ["--tb=short", "-p", "no:cacheprovider", *chosen]
        tail += [f"--ignore={part}" for part in suite.without]
        if python.has_pytest_cov:
            tail += [f"--cov={_code(clone)}", "--cov-report=", "--cov-fail-under=0"]
    else:
        script = Path(__file__).with_name("unittest_junit.py")
        tail = [str(script), str(junit), _unittest_start(clone)]
    measured = suite.kind == "pytest" and python.has_pytest_cov
    if python.has_coverage and not measured:
        tail = ["-m", "coverage", "run", f"--source={_code(clone)}", *tail]
        measured = True

    def coverage() -> float | None:
        return _coverage(python.path, clone, variables, report)

    first_line = 0 if suite.kind == "pytest" else 1
    argv = [str(python.path), *tail]
    return _Job(argv, variables, junit, first_line, coverage if measured else None)


def _code(clone: Clone) -> str:
    """What coverage is measured of: `src` where the code lies there, else everything."""
    return "src" if (clone.root / "src").is_dir() else "."


def _unittest_start(clone: Clone) -> str:
    for name in ("tests", "test"):
        folder = clone.root / name
        if folder.is_dir() and any(folder.rglob("*test*.py")):
            return name
    return "."


def _test_paths(clone: Clone, paths: Sequence[str], without: Sequence[str]) -> list[str]:
    """Those paths that are or hold tests, of no other part; without any the whole suite runs."""
    return [f"./{path}" for path in paths if _holds_tests(clone.root, path, without)]


def _holds_tests(root: Path, path: str, without: Sequence[str]) -> bool:
    files = [root / path] if (root / path).is_file() else (root / path).rglob("*.py")
    return any(
        (file.name.startswith("test_") or file.name.endswith("_test.py"))
        and not any(is_within(file.relative_to(root).as_posix(), part) for part in without)
        for file in files
    )


def _coverage(python: Path, clone: Clone, variables: dict[str, str], report: Path) -> float | None:
    """Percent of statements that ran; None where no report can be made of it."""
    argv = [str(python), "-m", "coverage", "json", "-q", "-i", "--fail-under=0", "-o", str(report)]
    processes.run(argv, cwd=clone.root, env=variables, limit_s=120)
    try:
        percent = json.loads(report.read_bytes())["totals"]["percent_covered"]
        return round(float(percent), 1)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _node_job(clone: Clone, environment: Environment, suite: Suite, folder: Path) -> _Job:
    _node_modules(clone, suite)
    node = _program(environment, "node")
    junit = folder / "node.xml"
    line = f"{shlex.quote(node)} --test --test-reporter=spec --test-reporter-destination=stdout "
    line += f"--test-reporter=junit --test-reporter-destination={shlex.quote(str(junit))} "
    # The script's own words are for a shell, which expands its patterns.
    return _Job(["/bin/sh", "-c", line + (suite.command or "")], environment.variables, junit)


def _node_modules(clone: Clone, suite: Suite) -> None:
    """Raises NotRunError without the modules: beside package.json, or all of them above it, where
    the workspaces of a monorepo have theirs.
    """
    if not suite.modules or (clone.root / "node_modules").is_dir():
        return
    above = clone.root.parents[: len(Path(suite.folder).parts)]
    for name in suite.modules:
        if not any(os.path.lexists(folder / "node_modules" / name) for folder in above):
            raise NotRunError("package.json names packages that are not installed", [_MODULES])


def _program(environment: Environment, name: str) -> str:
    path = environment.program(name)
    if path is None:
        raise NotRunError(f"{name} is not installed", [f"the {name} program on PATH"])
    return path


def _must_run(clone: Clone, environment: Environment, argv: list[str]) -> None:
    outcome = processes.run(argv, cwd=clone.root, env=environment.variables, limit_s=60)
    if outcome.returncode != 0:
        said = (outcome.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"])[0]
        name = Path(argv[0]).name
        raise NotRunError(f"{name} does not run here: {said[:200]}", [f"a working {name}"])
