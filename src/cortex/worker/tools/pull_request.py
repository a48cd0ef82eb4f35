"""The pr worker: one branch out of what the needed steps made, its title and body, and the way out.

It pushes and opens only where the task or type says `allow_push` and a credential that the type
names is there; else the patch series and the texts are what it delivers. What did not pass is not
proposed. Asks no model.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from cortex.model.branches import OWN
from cortex.model.markdown import plain
from cortex.model.words import counted
from cortex.worker.contract import Needed, Worker
from cortex.worker.tools.branches import (
    Incoming,
    branch_name,
    export_branch,
    incoming,
    merge_incoming,
)
from cortex.worker.tools.clone import Clone, clone_repository, resolve
from cortex.worker.tools.credentials import named_credentials, token_for, tokens_for_host
from cortex.worker.tools.forge import Request, find_remote, has_target, open_request, push
from cortex.worker.tools.git import GitError
from cortex.worker.tools.options import flag, option, text
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.proposal import body_of, title_of

__all__ = ["propose"]

_PASSED = ("passed", "approve")
_WORDS = {
    "failed": "its tests failed",
    "request_changes": "it asks for changes",
    "unknown": "its tests have no known outcome",
    "None": "it reached no verdict",
}


@dataclass(slots=True)
class _Way:
    """How far it came: prepared, pushed or opened, and what stopped it there."""

    state: str = "prepared"
    url: str | None = None
    words: str = "nothing was pushed: the task does not say allow_push"
    missing: list[str] = field(default_factory=list)


def propose(worker: Worker) -> None:
    """Prepare, push and open a pull request, as far as it is allowed.

    Raises NotRunError without a branch or where a needed step did not pass, ConflictError where
    branches do not fit together or the remote's went another way.
    """
    worker.heartbeat.beat(0.0, "cloning", now=True)
    clone = clone_repository(worker)
    branches = incoming(worker, clone)
    target = text(worker, "target") or _started_from(worker, clone, branches)
    target = target or clone.default_branch or "main"
    if not branches and _nothing_was_changed(worker.needed()):
        said = (f"{one.name}: {_summary(one) or 'nothing was changed'}" for one in worker.needed())
        _nothing(worker, clone, " ".join(said))
        return
    name = _branch(worker, branches) if branches else _named(worker, clone)
    if name is None:
        notes = "; ".join(clone.notes)
        raise NotRunError(
            "no step handed over a branch" + (f" ({notes})" if notes else ""),
            ["a needed step with `branches` in its results.json, or a branch as scope.ref"],
        )
    if name == target:
        raise NotRunError(f"the branch is the target {target} itself", ["another scope.target"])
    if not flag(worker, "allow_failing"):
        _must_have_passed(worker.needed())
    merge_incoming(clone, branches)
    is_on_kept = (text(worker, "ref") or "").startswith(OWN)
    if (is_on_kept or not branches) and not _begins_at(clone, target):
        _nothing(worker, clone, f"{target} has all of {name} already")
        return
    row = export_branch(worker, clone, name)
    title = title_of(worker, clone)
    body = body_of(worker, clone, row)
    body_file = worker.write_artifact("body.md", body)
    patches = _patches(worker, clone, title)
    request = Request(row["name"], target, title, body_file, flag(worker, "draft"))
    worker.heartbeat.beat(0.5, "pushing", now=True)
    way = _send(worker, clone, request, row["head"]) if _may_push(worker) else _Way()
    _write(worker, clone, request, row, way, patches)


def _nothing_was_changed(needed: list[Needed]) -> bool:
    """Whether the needed steps that make branches say that there was nothing to change; steps that
    make none, such as tests, say nothing of that, as long as they name no files that they changed.
    """
    said = [step.results["branches"] for step in needed if "branches" in step.results]
    kept = [step.results.get("files_modified") for step in needed if "branches" not in step.results]
    return bool(said) and all(branches == [] for branches in said) and not any(kept)


def _summary(step: Needed) -> str:
    return str(step.results.get("summary") or "")[:300]


def _nothing(worker: Worker, clone: Clone, why: str) -> None:
    summary = f"Nothing to propose: {why}"
    for name in ("pull_request.md", "body.md"):
        worker.write_artifact(name, f"# Nothing to propose\n\n{plain(summary)}\n")
    worker.write_results(
        "completed",
        summary[:1_000],
        artifacts=["pull_request.md", "body.md"],
        branches=[],
        pull_request={"state": "nothing", "repository": clone.source},
    )


def _must_have_passed(needed: list[Needed]) -> None:
    for step in needed:
        verdict = step.results.get("verdict", "passed")
        if verdict not in _PASSED:
            why = _WORDS.get(str(verdict), f"its verdict is {str(verdict)[:80]!r}")
            raise NotRunError(
                f"{step.name} did not pass: {why}",
                [f"a {step.name} that passes ({why}), or allow_failing: true in the task's scope"],
            )


def _branch(worker: Worker, branches: list[Incoming]) -> str:
    """One branch keeps its name; several become one of this step's name."""
    return branches[0].name if len(branches) == 1 else branch_name(worker)


def _started_from(worker: Worker, clone: Clone, branches: list[Incoming]) -> str | None:
    """The branch that the steps started from, as `scope.ref` names it."""
    ref = text(worker, "ref")
    if not branches or ref is None or ref.startswith(OWN):
        return None
    return ref if _is_branch(clone, ref) else None


def _named(worker: Worker, clone: Clone) -> str | None:
    """The branch that `scope.ref` names, where no step was to make one; a commit gets this step's
    name.
    """
    ref = text(worker, "ref")
    said = [step.results for step in worker.needed()]
    if ref is None or any("branches" in one or one.get("files_modified") for one in said):
        return None
    return ref if ref.startswith(OWN) or _is_branch(clone, ref) else branch_name(worker)


def _is_branch(clone: Clone, name: str) -> bool:
    """Whether the source has a branch of this name."""
    return clone.git.commit_of(f"refs/remotes/origin/{name}") is not None


def _begins_at(clone: Clone, target: str) -> bool:
    """Sets the clone's base to where its commit left the target; False where it never did."""
    onto = resolve(clone, target, kept=False)
    if onto is None:
        said = f"{clone.source} has no branch {target!r} to merge into"
        raise NotRunError(said, ["scope.target: a branch that is there"])
    shared = clone.git.run("merge-base", onto, "HEAD")
    if shared.returncode != 0:
        said = f"the branch and {target} have no commit in common"
        raise NotRunError(said, ["scope.target: the branch that it came from"])
    clone.base = shared.stdout.decode("ascii").strip()
    return clone.base != clone.head()


def _patches(worker: Worker, clone: Clone, title: str) -> list[str]:
    """The commits as a series for `git am`, or one patch of all where the series does not give the
    same: merges have no patch, so that what a person resolved in one stands in no series.
    """
    made = _series(worker, clone, f"{clone.base}..HEAD")
    if clone.git.text("rev-list", "--merges", f"{clone.base}..HEAD") and not _fits(
        worker, clone, made
    ):
        for name in made:
            (worker.artifacts_dir / name).unlink()
        whole = clone.git.text("commit-tree", "HEAD^{tree}", "-p", clone.base, "-m", title)
        made = _series(worker, clone, f"{clone.base}..{whole}")
    return made


def _series(worker: Worker, clone: Clone, commits: str) -> list[str]:
    folder = worker.artifacts_dir
    argv = ["format-patch", "--quiet", "--no-signature", "--no-renames", "--no-ext-diff"]
    clone.git.text(*argv, "--output-directory", str(folder), commits)
    return sorted(path.name for path in folder.glob("[0-9][0-9][0-9][0-9]-*.patch"))


def _fits(worker: Worker, clone: Clone, patches: list[str]) -> bool:
    """Whether the series, applied to the base, gives the very files of the branch."""
    folder = clone.root.parent / "series"
    clone.git.text("worktree", "add", "--quiet", "--detach", str(folder), clone.base)
    try:
        git = clone.git.at(folder)
        files = [str(worker.artifacts_dir / name) for name in patches]
        applied = git.run("am", "--quiet", *files).returncode == 0
        return applied and git.run("diff", "--quiet", "HEAD", clone.head()).returncode == 0
    finally:
        clone.git.run("worktree", "remove", "--force", str(folder))


def _may_push(worker: Worker) -> bool:
    return flag(worker, "allow_push") or flag(worker, "push")


def _send(worker: Worker, clone: Clone, request: Request, commit: str) -> _Way:
    way = _Way(words="")
    try:
        remote = find_remote(clone, text(worker, "remote"))
        keys = tokens_for_host(worker, remote.host)
        if remote.host and not keys and not _has_agent(worker, remote.address):
            named = ", ".join(named_credentials(worker)) or "scope.credentials"
            raise NotRunError(
                f"no credential for {remote.host} is in the environment",
                [
                    f"one of the variables {named} (those of GitHub and GitLab are sent to "
                    "github.com and gitlab.com alone: name another for another host)"
                ],
            )
        token = token_for(worker, remote.address)
        is_chosen = text(worker, "target") is not None or text(worker, "ref") is not None
        if is_chosen and not has_target(clone, remote, request.target, token):
            said = f"{remote.onto.shown} has no branch {request.target!r} to merge into"
            raise NotRunError(said, ["scope.target: a branch that is there"])
        how = push(clone, remote, request.branch, commit, token)
    except (NotRunError, GitError) as problem:
        way.words = f"nothing was pushed: {problem}"
        way.missing = problem.missing if isinstance(problem, NotRunError) else ["a push that works"]
        return way
    way.state, way.words = "pushed", f"{request.branch} {how} at {remote.shown}"
    if option(worker, "open") is False:
        return way
    way.url, told = open_request(clone, remote, request, text(worker, "forge"), keys)
    way.words += f"; {told}"
    if told.startswith(("opened", "it was open")):
        way.state = "opened"
    else:
        way.missing = ["a forge client (gh or glab) that opens it"]
    return way


def _has_agent(worker: Worker, address: str) -> bool:
    """Whether a named ssh agent is there for an address that goes by ssh."""
    named = "SSH_AUTH_SOCK" in named_credentials(worker) and os.environ.get("SSH_AUTH_SOCK")
    return bool(named) and not address.startswith("http")


def _write(
    worker: Worker,
    clone: Clone,
    request: Request,
    row: dict[str, Any],
    way: _Way,
    patches: list[str],
) -> None:
    told = f"{way.state}: {way.words}" if way.words else way.state
    commits = counted(row["commits"], "commit")
    words = f"{request.title} ({commits} on {request.branch} for {request.target})"
    lines = [f"# {request.title}", "", f"- state: {told}"]
    lines += [f"- address: {way.url}"] if way.url else []
    lines += [f"- branch `{request.branch}` for `{request.target}`, in `{row['bundle']}`"]
    lines += [f"- patches for `git am`: {', '.join(f'`{name}`' for name in patches)}"]
    lines += [f"- missing: {part}" for part in way.missing]
    body = request.body_file.read_text("utf-8")
    worker.write_artifact("pull_request.md", "\n".join([*lines, "", "---", "", body]))
    artifacts = ["pull_request.md", "body.md", row["bundle"], *patches]
    worker.write_results(
        "partial" if way.missing else "completed",
        f"{words}; {told}."[:1_000],
        artifacts=artifacts[:1_000],
        branches=[row],
        missing=way.missing,
        pull_request={
            "state": way.state,
            "url": way.url,
            "title": request.title,
            "branch": request.branch,
            "target": request.target,
            "patches": patches[:1_000],
            "repository": clone.source,
        },
    )
    worker.heartbeat.beat(1.0, "done", now=True)
