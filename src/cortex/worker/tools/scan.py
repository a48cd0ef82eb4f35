"""The scan: runs every analyzer that has something to look at, and makes one ranked list of what
they said.

No model is asked and no token spent. Analyzers run side by side, each in its own process group
under its own time limit; one that cannot run is reported with its reason and never counts as
clean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cortex.model.report import ToolRun
from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools import processes
from cortex.worker.tools.analyzers import ANALYZERS, Analyzer, program
from cortex.worker.tools.dependency_audit import AUDIT_NAME, Audit, audit_dependencies
from cortex.worker.tools.readers import RawFinding
from cortex.worker.tools.reading import tree_to_read
from cortex.worker.tools.scan_findings import Harvest, harvest
from cortex.worker.tools.scan_report import write_report
from cortex.worker.tools.source_files import SourceFile, SourceTree

__all__ = ["SCAN_TYPES", "Analysis", "analyze_tree", "scan", "settle_states"]

SCAN_TYPES = ("dependencies", "vulnerabilities", "secrets")
_DEPTHS = ("quick", "full", "deep")


@dataclass(slots=True)
class _Run:
    """One analyzer at work: its jobs' findings and troubles until the last of them ended."""

    analyzer: Analyzer
    files: list[SourceFile]
    path: str
    raw: list[RawFinding] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    open_jobs: int = 0


@dataclass(slots=True)
class Analysis:
    """What all analyzers said of one tree, and how each of them fared."""

    raw: list[RawFinding]
    tool_runs: list[ToolRun]
    audit: Audit | None


def scan(worker: Worker) -> None:
    """Scan the spec's repository and write the artifacts and results.json.

    Raises ValueError where the scope is not one that a scan understands, and what `tree_to_read`
    raises where the repository cannot be read.
    """
    scan_types = _scan_types(worker)
    depth = _depth(worker)
    worker.heartbeat.beat(0.0, "reading the repository", now=True)
    tree = tree_to_read(worker)
    worker.heartbeat.beat(0.05, counted(len(tree.files), "file"), now=True)
    found = analyze_tree(worker, tree, scan_types, depth)
    worker.heartbeat.beat(0.9, "merging findings", now=True)
    include_tests = bool(worker.scope.get("include_tests"))
    harvested = harvest(tree, found.raw, include_tests=include_tests)
    settle_states(found.tool_runs, harvested)
    write_report(worker, tree, harvested, found.tool_runs, found.audit)
    worker.heartbeat.beat(1.0, "done", now=True)


def analyze_tree(
    worker: Worker, tree: SourceTree, scan_types: Sequence[str], depth: str = "full"
) -> Analysis:
    """Run the analyzers of these scan types on the tree's files; their raw findings."""
    with TemporaryDirectory(prefix="scan-", dir=worker.dir) as home:
        runs, tool_runs, audit = _analyze(worker, tree, scan_types, depth, Path(home))
    raw = [finding for run in runs for finding in run.raw]
    if audit:
        raw += audit.findings
        tool_runs += audit.tool_runs
    return Analysis(raw, tool_runs, audit)


def _analyze(
    worker: Worker, tree: SourceTree, scan_types: Sequence[str], depth: str, home: Path
) -> tuple[list[_Run], list[ToolRun], Audit | None]:
    wanted = [analyzer for analyzer in ANALYZERS if analyzer.scan_type in scan_types]
    runs: list[_Run] = []
    tool_runs: list[ToolRun] = []
    for analyzer in wanted:
        skipped, run = _prepare(analyzer, tree, depth)
        if run is not None:
            runs.append(run)
        if skipped is not None:
            tool_runs.append(skipped)
    env = processes.minimal_environment(home)
    audit: Audit | None = None
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        audit_job = None
        if "dependencies" in scan_types:
            audit_job = pool.submit(partial(audit_dependencies, worker, tree, home))
        jobs = _submit(pool, runs, tree, env)
        _wait(worker, jobs, runs)
        if audit_job is not None:
            audit = audit_job.result()
    tool_runs += [_tool_run(run) for run in runs]
    return runs, tool_runs, audit


def _prepare(
    analyzer: Analyzer, tree: SourceTree, depth: str
) -> tuple[ToolRun | None, _Run | None]:
    files = tree.of(*analyzer.languages, places=analyzer.places)
    if not files:
        words = (
            f"no {' or '.join(analyzer.languages)} files here" if analyzer.languages else "no files"
        )
        return _skipped(analyzer, words, applicable=False), None
    if depth not in analyzer.depths:
        reason = f"left out at depth {depth}; use depth {analyzer.depths[0]}"
        return _skipped(analyzer, reason, files=len(files)), None
    path = program(analyzer.name)
    if path is None:
        reason = f"{analyzer.name} is not installed; pip install {analyzer.distribution}"
        return _skipped(analyzer, reason, files=len(files)), None
    return None, _Run(analyzer, files, path)


def _submit(
    pool: ThreadPoolExecutor, runs: Sequence[_Run], tree: SourceTree, env: dict[str, str]
) -> dict[Future[processes.Outcome], _Run]:
    parallel = os.cpu_count() or 2
    jobs: dict[Future[processes.Outcome], _Run] = {}
    # Those with the longest limit first: the slowest one decides when the scan ends.
    for run in sorted(runs, key=lambda run: -run.analyzer.limit_s):
        build: Callable[..., list[list[str]]] = run.analyzer.build
        for argv in build(run.path, tree, run.files, parallel):
            limit_s = run.analyzer.limit_s
            start = partial(processes.run, argv, cwd=tree.root, env=env, limit_s=limit_s)
            jobs[pool.submit(start)] = run
            run.open_jobs += 1
    return jobs


def _wait(
    worker: Worker, jobs: dict[Future[processes.Outcome], _Run], runs: Sequence[_Run]
) -> None:
    for done, job in enumerate(as_completed(jobs), start=1):
        run = jobs[job]
        _take(run, job.result())
        run.open_jobs -= 1
        message = f"{run.analyzer.name}: {counted(len(run.files), 'file')}"
        left = [other.analyzer.name for other in runs if other.open_jobs]
        if left:
            message += f"; running: {', '.join(left)}"
        worker.heartbeat.beat(0.05 + 0.8 * done / len(jobs), message)


def _take(run: _Run, outcome: processes.Outcome) -> None:
    run.seconds = max(run.seconds, outcome.seconds)
    analyzer = run.analyzer
    if outcome.problem is not None:
        run.problems.append(outcome.problem)
        return
    if outcome.returncode not in analyzer.ok | analyzer.found:
        # The program's own words may quote the source, and so a secret: only the status is told.
        run.problems.append(f"ended with status {outcome.returncode}")
        return
    try:
        run.raw += analyzer.read(outcome.stdout)
    except (ValueError, KeyError, TypeError) as problem:
        kind = "JSON" if isinstance(problem, json.JSONDecodeError) else type(problem).__name__
        run.problems.append(f"its output could not be read ({kind})")


def _tool_run(run: _Run) -> ToolRun:
    entry = _skipped(run.analyzer, None, files=len(run.files))
    entry["seconds"] = round(run.seconds, 2)
    entry["state"] = "error" if run.problems else "clean"
    entry["reason"] = "; ".join(sorted(set(run.problems))) or None
    return entry


def _skipped(
    analyzer: Analyzer, reason: str | None, *, applicable: bool = True, files: int = 0
) -> ToolRun:
    return ToolRun(
        name=analyzer.name,
        what=analyzer.what,
        scan_type=analyzer.scan_type,
        state="not_audited",
        reason=reason,
        seconds=0.0,
        files=files,
        findings=0,
        version=_version(analyzer.distribution) if applicable else None,
        applicable=applicable,
    )


def settle_states(tool_runs: Sequence[ToolRun], harvested: Harvest) -> None:
    """An analyzer is clean only if it ran to its end and nothing that it said was kept or
    counted.
    """
    for run in tool_runs:
        if run["name"] != AUDIT_NAME:
            run["findings"] = harvested.by_tool.get(run["name"], 0)
        if run["state"] == "clean" and run["findings"]:
            run["state"] = "findings"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _scan_types(worker: Worker) -> tuple[str, ...]:
    asked: Any = worker.scope.get("scan_types") or SCAN_TYPES
    if isinstance(asked, str):
        asked = [asked]
    unknown = sorted({str(name) for name in asked} - set(SCAN_TYPES))
    if unknown:
        known = ", ".join(SCAN_TYPES)
        raise ValueError(
            f"scope.scan_types: {', '.join(unknown)} is not known; choose from {known}"
        )
    return tuple(name for name in SCAN_TYPES if name in asked)


def _depth(worker: Worker) -> str:
    depth = str(worker.scope.get("depth") or "full")
    depth = {"standard": "full", "shallow": "quick", "normal": "full"}.get(depth, depth)
    if depth not in _DEPTHS:
        raise ValueError(f"scope.depth: {depth!r} is not known; choose from {', '.join(_DEPTHS)}")
    return depth
