"""Whether a change leaves the repository's tests as good as they were: run before, run after.

Both runs have a fresh clone and an environment of their own, so that the setup command installs
what each side asks for. Whoever asks decides what an unproven change is worth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.worker.contract import Worker
from cortex.worker.tools import processes
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.environment import Environment, prepare_environment
from cortex.worker.tools.options import text
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.source_files import read_tree
from cortex.worker.tools.suite_runs import SuiteRun, run_suites
from cortex.worker.tools.suites import Suite, find_suites
from cortex.worker.tools.test_report import suite_rows, totals, words_of

__all__ = ["Package", "Proof", "prove"]

_NAMES_SHOWN = 20
_OF_LANGUAGE = {"pytest": "python", "unittest": "python", "node": "javascript", "npm": "javascript"}
_LANGUAGES = {
    "python": (".py", ".pyi", "pyproject.toml", "setup.cfg", ".in", ".txt", "uv.lock",
               "poetry.lock"),
    "javascript": (".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", "package.json",
                   "package-lock.json"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Package:
    """A dependency whose version changes: the tests after must run with this one installed."""

    ecosystem: str
    name: str
    version: str


@dataclass(slots=True)
class Proof:
    """`state` is same (no test got worse), worse, or untested; `worse` names the tests."""

    state: str
    reason: str
    missing: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    before: list[SuiteRun] = field(default_factory=list)
    after: list[SuiteRun] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The proof for results.json."""
        return {
            "state": self.state,
            "reason": self.reason,
            "worse": self.worse[:200],
            "before": {**totals(self.before), "suites": suite_rows(self.before)},
            "after": {**totals(self.after), "suites": suite_rows(self.after)},
        }


def prove(
    worker: Worker,
    clone: Clone,
    before: str,
    after: str,
    changed: Sequence[str],
    packages: Sequence[Package] = (),
) -> Proof:
    """Run the suites at both commits and compare them test by test."""
    suites = find_suites(read_tree(str(clone.root)), text(worker, "test_command"))
    suites = [suite for suite in suites if _concerns(suite, changed)]
    if not suites:
        return Proof("untested", "the repository has no test suite that is known by its files",
                     ["a test suite, or scope.test_command"])  # fmt: skip
    try:
        first, _ = _run(worker, clone, before, suites, "before")
        untested = _untested(first, "before the change")
        if untested is not None:
            return untested
    except NotRunError as problem:
        return Proof("untested", str(problem), problem.missing)
    try:
        second, environment = _run(worker, clone, after, suites, "after")
    except NotRunError as problem:
        reason = f"before the change the tests could be run, and not after: {problem}"
        return Proof("worse", reason, problem.missing, ["the environment"], first)
    proof = _compared(first, second)
    if proof.state == "same":
        _check_packages(proof, environment, clone.root.parent / "after", packages)
    return proof


def _concerns(suite: Suite, changed: Sequence[str]) -> bool:
    """Whether a suite can notice these files: one of another language cannot."""
    language = _OF_LANGUAGE.get(suite.kind)
    if language is None or not changed:
        return True
    other = _LANGUAGES["javascript" if language == "python" else "python"]
    return not all(name.endswith(other) for name in changed)


def _run(
    worker: Worker, clone: Clone, commit: str, suites: Sequence[Suite], label: str
) -> tuple[list[SuiteRun], Environment]:
    copy = clone.copy_at(commit, clone.root.parent / label)
    environment = prepare_environment(worker, copy)
    runs = run_suites(worker, copy, environment, suites, label=f"tests-{label}")
    for run in runs:
        if run.output:
            worker.write_artifact(f"{run.suite.file_name}-{label}.log", run.output)
    return runs, environment


def _untested(runs: list[SuiteRun], when: str) -> Proof | None:
    short = [run for run in runs if run.state in ("not_run", "error")]
    if not short:
        return None
    words = "; ".join(f"{run.suite.name}: {run.reason or run.state}" for run in short)
    missing = [part for run in short for part in run.missing] or ["tests that run to their end"]
    return Proof("untested", f"{words} ({when})", list(dict.fromkeys(missing)), before=runs)


def _compared(before: list[SuiteRun], after: list[SuiteRun]) -> Proof:
    worse: list[str] = []
    for first, second in zip(before, after, strict=True):
        worse += _worse(first, second)
    if worse:
        noun = "test" if len(worse) == 1 else "tests"
        reason = f"{len(worse)} {noun} that passed before do not after: "
        reason += ", ".join(worse[:_NAMES_SHOWN])
        return Proof("worse", reason, [], worse, before, after)
    reason = f"before: {words_of(before)} After: {words_of(after)}"
    return Proof("same", reason, [], [], before, after)


def _worse(before: SuiteRun, after: SuiteRun) -> list[str]:
    """Tests that passed before and are failed, skipped or gone after; else the whole suite."""
    if before.cases and after.cases:
        passed = {case.name for case in after.cases if case.outcome == "passed"}
        was = dict.fromkeys(case.name for case in before.cases if case.outcome == "passed")
        found = [name for name in was if name not in passed]
        if found:
            return found
    suite = [f"the {before.suite.name} suite"]
    if after.state not in ("passed", "failed"):
        return suite
    first, second = before.counts, after.counts
    if first is not None and second is not None:
        broken = second["failed"] + second["errors"] > first["failed"] + first["errors"]
        return suite if broken or second["passed"] < first["passed"] else []
    return suite if before.state == "passed" and after.state != "passed" else []


def _check_packages(
    proof: Proof, environment: Environment, root: Path, packages: Sequence[Package]
) -> None:
    """The tests prove nothing of a version that is not the installed one."""
    for package in packages:
        found = _installed(environment, root, package)
        if found != package.version:
            proof.state = "untested"
            proof.reason = (
                f"the tests ran with {package.name} {found or '(not installed)'} and not with "
                f"{package.version}"
            )
            proof.missing = [
                f"scope.setup: a command that makes an environment with {package.name} "
                f"{package.version}, as the changed files ask for"
            ]


def _installed(environment: Environment, root: Path, package: Package) -> str | None:
    if package.ecosystem == "npm":
        try:
            text_of = (root / "node_modules" / package.name / "package.json").read_bytes()
            return str(json.loads(text_of)["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    if environment.python is None:
        return None
    ask = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    outcome = processes.run(
        [str(environment.python.path), "-c", ask, package.name],
        cwd=root, env=environment.variables, limit_s=60,
    )  # fmt: skip
    return outcome.stdout.decode("utf-8", "replace").strip() if outcome.returncode == 0 else None
