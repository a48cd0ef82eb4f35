"""The end of a worker that changed code: proof, then a branch, or an honest refusal.

A branch goes out only where no test got worse, and where the tests ran at all or the task says
`allow_untested`. A refused change is kept as a patch for whoever wants to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cortex.model.markdown import bullets, code, fenced, plain
from cortex.model.words import counted
from cortex.worker.contract import Worker
from cortex.worker.tools.branches import export_branch
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.options import flag
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.proof import Package, Proof, prove

__all__ = ["Work", "deliver", "deliver_nothing", "report_name"]

_SHOWN = 200


@dataclass(slots=True)
class Work:
    """What was done: sentences of changes, and what is left, for report and results."""

    title: str
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def report_name(worker: Worker) -> str:
    """The Markdown file that this worker type declares."""
    declared = [str(name) for name in worker.spec.get("deliverables") or []]
    return next((name for name in declared if name.endswith(".md")), "patch_notes.md")


def deliver(worker: Worker, clone: Clone, start: str, work: Work) -> None:
    """Prove the commits between `start` and the clone's HEAD, and hand them over or refuse them.

    Raises NotRunError where the change is untested and the task does not allow that.
    """
    head = clone.head()
    files = clone.git.paths("diff", "--name-only", "--no-renames", "-z", start, head)
    worker.heartbeat.beat(0.1, "running the tests before and after", now=True)
    proof = prove(worker, clone, start, head, files, work.packages)
    if proof.state == "worse":
        _refuse(worker, clone, start, work, proof, files)
        return
    if proof.state == "untested" and not flag(worker, "allow_untested"):
        missing = [*proof.missing, "or allow_untested: true in the task's scope"]
        _patch(worker, clone, start)
        raise NotRunError(f"the change is not proved by tests: {proof.reason}", missing)
    branch = export_branch(worker, clone)
    summary = f"{work.title} on {branch['name']} ({counted(len(files), 'file')})"
    summary += "; tests as good as before" if proof.state == "same" else "; NOT TESTED"
    summary += f"; {len(work.left)} left" if work.left else ""
    name = report_name(worker)
    worker.write_artifact(name, _markdown(clone, start, work, proof, branch))
    worker.write_results(
        "partial" if work.left else "completed",
        f"{summary}.",
        artifacts=[name, branch["bundle"]],
        files_modified=files[:10_000],
        branches=[branch],
        tested=proof.state == "same",
        tests=proof.row(),
        left=work.left,
        **work.extra,
    )
    worker.heartbeat.beat(1.0, "done", now=True)


def deliver_nothing(
    worker: Worker, clone: Clone, summary: str, told: Sequence[str], **extra: Any
) -> None:
    """The good end of a worker that had nothing to change, with `told` in its report: what the
    needed steps handed over goes on as a branch of this one, because later steps may need only it.
    """
    handed_on = [export_branch(worker, clone)] if clone.head() != clone.base else []
    for branch in handed_on:
        summary += f" What the steps before made goes on as {branch['name']}."
    name = report_name(worker)
    lines = ["# Nothing to change", "", plain(summary), "", *bullets(told), *bullets(clone.notes)]
    worker.write_artifact(name, "\n".join(lines).rstrip() + "\n")
    artifacts = [name, *(branch["bundle"] for branch in handed_on)]
    worker.write_results("completed", summary, artifacts=artifacts, branches=handed_on, **extra)


def _refuse(
    worker: Worker, clone: Clone, start: str, work: Work, proof: Proof, files: Sequence[str]
) -> None:
    """Tests got worse: no branch, a failed step for good, and the patch beside the reason."""
    _patch(worker, clone, start)
    error = f"no commit, because tests got worse: {proof.reason}"
    name = report_name(worker)
    worker.write_artifact(name, _markdown(clone, start, work, proof, None))
    findings = [
        {
            "tool": "cortex",
            "rule": "tests-got-worse",
            "title": f"Passed before the change and not after: {test}"[:300],
            "severity": "medium",
            "confidence": "high",
            "file": files[0] if len(files) == 1 else "",
            "line": 0,
            "repository": clone.source,
        }
        for test in proof.worse[:_SHOWN]
    ]
    worker.write_results(
        "failed",
        error[:2_000],
        findings=findings,
        artifacts=[name, "refused.patch"],
        error=error[:2_000],
        permanent=True,
        outcome="tests_got_worse",
        tests=proof.row(),
        **work.extra,
    )


def _patch(worker: Worker, clone: Clone, start: str) -> None:
    diff = clone.git.text("diff", "--no-color", "--no-ext-diff", "--no-textconv", start, "HEAD")
    worker.write_artifact("refused.patch", f"{diff}\n")


def _markdown(
    clone: Clone,
    start: str,
    work: Work,
    proof: Proof,
    branch: dict[str, Any] | None,
) -> str:
    lines = [f"# {plain(work.title)}", ""]
    if branch is None:
        lines += [f"**Not delivered: {plain(proof.reason)}**", "",
                  "The change is in `refused.patch`.", ""]  # fmt: skip
    else:
        name, file = branch["name"], branch["bundle"]
        commits = counted(branch["commits"], "commit")
        lines += [f"- branch {code(name)}, {commits}, in {code(file)}; take it in:"]
        lines += [f"  `git fetch {file} {name}:{name}`"]
    lines += [f"- repository {code(clone.source)} at {code(clone.base[:12])}"]
    lines += bullets(clone.notes) or [""]
    lines += ["## Done", "", *bullets(work.done)]
    if work.left:
        lines += ["## Left", "", *bullets(work.left)]
    lines += ["## Tests", ""]
    words = {
        "same": "No test got worse.",
        "worse": "Tests got worse.",
        "untested": "**Not tested.**",
    }
    lines += [f"{words[proof.state]} {plain(proof.reason)}", ""]
    files = fenced(clone.changed_since(start), 60)
    return "\n".join([*lines, "## Files", "", *files]).rstrip() + "\n"
