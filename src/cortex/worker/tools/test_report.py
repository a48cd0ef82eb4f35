"""What test runs amount to: totals, one sentence, and the report as Markdown. Pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cortex.model.markdown import bullets, code, fenced, plain, table
from cortex.worker.tools.suite_runs import SuiteRun

__all__ = ["suite_rows", "test_markdown", "totals", "words_of"]

_SHOWN = 50
_COUNTED = ("passed", "failed", "errors", "skipped")


def totals(runs: Sequence[SuiteRun]) -> dict[str, Any]:
    """Counts over all suites that were counted, seconds, and coverage where one suite measured it:
    percents of several are no percent of the whole.
    """
    numbers = {name: sum((run.counts or {}).get(name, 0) for run in runs) for name in _COUNTED}
    measured = [run.coverage for run in runs if run.coverage is not None]
    return {
        **numbers,
        "seconds": round(sum(run.seconds for run in runs), 2),
        "coverage": measured[0] if len(measured) == 1 else None,
    }


def suite_rows(runs: Sequence[SuiteRun]) -> list[dict[str, Any]]:
    """One row a suite for results.json, with the words of why where it did not pass."""
    return [
        {
            "suite": run.suite.kind,
            "folder": run.suite.folder,
            "known_by": run.suite.mark,
            "state": run.state,
            "reason": run.reason,
            "missing": run.missing,
            "command": shlex.join(run.argv),
            "exit_status": run.returncode,
            "seconds": round(run.seconds, 2),
            "counts": run.counts,
            "coverage": run.coverage,
        }
        for run in runs
    ]


def words_of(runs: Sequence[SuiteRun]) -> str:
    """One sentence: the counts, what did not run, the time and the coverage."""
    total = totals(runs)
    counted = [run for run in runs if run.counts is not None]
    parts = [f"{total[name]} {name}" for name in ("failed", "errors") if total[name]]
    parts += [f"{total['passed']} passed"] if counted else []
    parts += [f"{total['skipped']} skipped"] if total["skipped"] else []
    parts += [
        f"{run.suite.name} {run.state.replace('_', ' ')}"
        + (f" ({run.reason})" if run.reason else "")
        for run in runs
        if run.counts is None or run.state in ("error", "not_run")
    ]
    words = f"Tests: {', '.join(parts)} in {total['seconds']:.1f} s"
    words += f" ({', '.join(run.suite.name for run in runs)})"
    if total["coverage"] is not None:
        words += f"; coverage {total['coverage']:g} %"
    return words + "."


def test_markdown(
    summary: str,
    runs: Sequence[SuiteRun],
    tests: Mapping[str, Any],
    about: Mapping[str, str],
    notes: Sequence[str],
) -> str:
    """The report: the sentence, what was run on what, the failing tests, the ends of the logs."""
    lines = ["# Test report", "", f"**{plain(summary)}**", ""]
    lines += [f"- repository: {code(about['source'])} at {code(str(tests['commit'])[:12])}"]
    lines += [f"- environment: {plain(about['environment'])}"]
    lines += [f"- with {code(name)} merged in" for name in tests["branches"]]
    lines += bullets(notes) or [""]
    lines += ["## Suites", ""]
    head = ("suite", "known by", "state", *_COUNTED, "seconds", "coverage")
    lines += [*table(head, (_row(run) for run in runs)), ""]
    for run in runs:
        if run.argv:
            lines += [f"{run.suite.name}: {code(shlex.join(run.argv))}", ""]
    broken = [
        (run, case) for run in runs for case in run.cases if case.outcome in ("failed", "error")
    ]
    if broken:
        lines += [f"## Failing tests ({len(broken)})", ""]
    for run, case in broken[:_SHOWN]:
        where = f" {code(f'{case.file}:{case.line}')}" if case.file else ""
        lines += [f"- **{plain(case.name)}** ({run.suite.name}){where}", ""]
        if case.message:
            lines += [f"  {line}" for line in fenced(case.message, 20)] + [""]
    if len(broken) > _SHOWN:
        lines += [f"{len(broken) - _SHOWN} more are in the logs.", ""]
    for run in runs:
        if run.state != "passed" and run.output and not run.cases:
            lines += [f"## The end of {run.suite.file_name}.log", "", *fenced(run.output), ""]
    return "\n".join(lines).rstrip() + "\n"


def _row(run: SuiteRun) -> tuple[object, ...]:
    counts = run.counts or {}
    state = run.state.replace("_", " ") + (f": {plain(run.reason)}" if run.reason else "")
    if run.missing:
        state += f" (missing: {plain(', '.join(run.missing))})"
    coverage = f"{run.coverage:g} %" if run.coverage is not None else "-"
    numbers = (counts.get(name, "-") for name in _COUNTED)
    return (
        run.suite.name, code(run.suite.mark), state, *numbers, f"{run.seconds:.1f}", coverage,
    )  # fmt: skip
