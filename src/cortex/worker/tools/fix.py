"""The fix and remediation workers: a dependency's version, or what ruff can mend by itself.

The version comes from the finding or the task and never from the network. What needs thought is
left, and said. Asks no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from cortex.model.findings import Finding
from cortex.worker.contract import Worker
from cortex.worker.tools import processes
from cortex.worker.tools.branches import commit_files, incoming, merge_incoming
from cortex.worker.tools.bump import Bump, bump
from cortex.worker.tools.clone import Clone, clone_repository
from cortex.worker.tools.deliver import Work, deliver, deliver_nothing
from cortex.worker.tools.environment import prepare_environment
from cortex.worker.tools.lint import LintError, fix, lint
from cortex.worker.tools.options import text, time_left_s
from cortex.worker.tools.outcomes import NotRunError
from cortex.worker.tools.proof import Package
from cortex.worker.tools.readers import RawFinding
from cortex.worker.tools.source_files import read_tree
from cortex.worker.tools.wanted_fixes import Wanted, read_wanted

__all__ = ["fix_findings"]

_THOUGHT = " needs thought"


def fix_findings(worker: Worker) -> None:
    """Fix what the task names in a clone, prove it and hand over a branch.

    Raises NotRunError where no tool can fix any of it, or nothing is named.
    """
    worker.heartbeat.beat(0.0, "cloning", now=True)
    clone = clone_repository(worker)
    merge_incoming(clone, incoming(worker, clone))
    wanted = read_wanted(worker, clone)
    start = clone.head()
    work = Work("")
    for package in wanted.packages:
        _upgrade(worker, clone, package, work)
    if wanted.rules:
        _autofix(worker, clone, wanted, work)
    work.left += [f"{_place(row)}: {row['title']}{_THOUGHT}" for row in wanted.by_hand]
    work.left += [f"{words} could not be looked up" for words in wanted.unknown]
    work.extra["gone"] = wanted.gone
    if clone.head() == start:
        _nothing_changed(worker, clone, wanted, work)
        return
    work.title = work.done[0] if len(work.done) == 1 else f"{len(work.done)} fixes"
    work.done += [f"{name} is gone already" for name in wanted.gone]
    deliver(worker, clone, start, work)


def _nothing_changed(worker: Worker, clone: Clone, wanted: Wanted, work: Work) -> None:
    """Everything gone already is a good result; anything left needs somebody who thinks."""
    if work.left:
        raise NotRunError(
            f"no tool can fix this: {'; '.join(work.left[:5])}",
            [f"an agent or a person, for: {words.removesuffix(_THOUGHT)}" for words in work.left],
        )
    summary = f"Nothing to fix: {'; '.join(work.done) or 'the findings are gone'}."
    told = [*work.done, *(f"{name} is gone" for name in wanted.gone)]
    deliver_nothing(worker, clone, summary, told, **work.extra)


def _upgrade(worker: Worker, clone: Clone, package: Package, work: Work) -> None:
    made = bump(read_tree(str(clone.root)), package.ecosystem, package.name, package.version)
    words = f"{package.name} to {package.version}"
    if not made.present:
        work.left.append(f"Upgrade {words}: no manifest names {package.name}")
        return
    if made.is_there_already:
        work.done.append(f"{package.name} is at {package.version} or later already")
        return
    files = list(made.changed)
    files += _lock(worker, clone, made, work)
    was = f" from {', '.join(made.was)}" if made.was else ""
    work.left += [f"Upgrade {words}: {place}" for place in made.left]
    title = f"Upgrade {package.name}{was} to {package.version}"
    if files and commit_files(clone, files, f"{title}\n\n{_trailer(worker)}"):
        work.done.append(title)
        work.packages.append(package)


def _lock(worker: Worker, clone: Clone, made: Bump, work: Work) -> list[str]:
    """The lock files that the task's own command wrote; without one they are left."""
    if not made.locks:
        return []
    command = text(worker, "lock_command")
    if command is None:
        work.left += [
            f"{name} pins {made.name} and only its package manager can write it: name "
            "scope.lock_command"
            for name in made.locks
        ]
        return []
    environment = prepare_environment(worker, clone)
    outcome = processes.run(
        ["/bin/sh", "-c", command],
        cwd=clone.root,
        env=environment.variables,
        limit_s=time_left_s(worker),
        tail_bytes=100_000,
    )
    worker.write_artifact("lock.log", outcome.stdout.decode("utf-8", "replace") or "(no output)\n")
    if outcome.problem or outcome.returncode != 0:
        why = outcome.problem or f"ended with status {outcome.returncode}"
        work.left.append(f"the lock command {command!r} {why}: lock.log has its output")
        return []
    after = bump(read_tree(str(clone.root)), made.ecosystem, made.name, made.version)
    work.left += [f"{name} still pins an older {made.name}" for name in after.locks]
    return [name for name in made.locks if name not in after.locks]


def _autofix(worker: Worker, clone: Clone, wanted: Wanted, work: Work) -> None:
    """Let ruff mend each file's rules, and look again which of them are still there."""
    home = worker.dir / "lint"
    found = {finding["file"] for finding in wanted.findings}
    for file, rules in sorted(wanted.rules.items()):
        if not _is_own_file(clone, file):
            work.left.append(f"{file} is not there")
            continue
        before = (clone.root / file).read_bytes()
        try:
            fix(clone.root, [file], home, rules)
            still = _shown(lint(clone.root, [file], home, rules))
            why = "has no safe automatic fix"
            if not still and file in found and (clone.root / file).read_bytes() == before:
                still = _shown(lint(clone.root, [file], home, rules, isolated=True))
                why = "is left out by the repository's configuration of ruff"
        except LintError as problem:
            work.left.append(f"{file}: {problem}")
            continue
        if still:
            work.left.append(f"{file}: {', '.join(still)} {why}")
    for group in sorted({tuple(sorted(rules)) for rules in wanted.rules.values()}):
        files = [name for name, listed in wanted.rules.items() if tuple(sorted(listed)) == group]
        title = f"Apply ruff's fixes for {', '.join(group)}"
        here = [name for name in files if _is_own_file(clone, name)]
        if commit_files(clone, here, f"{title}\n\n{_trailer(worker)}"):
            work.done.append(title)


def _shown(rows: Sequence[RawFinding]) -> list[str]:
    return sorted({str(row["rule"]) for row in rows})


def _is_own_file(clone: Clone, file: str) -> bool:
    """A regular file inside the clone with no link on the way to it."""
    path = clone.root / file
    return (
        not file.startswith("/")
        and ".." not in file.split("/")
        and path.is_file()
        and path.resolve() == clone.root.resolve() / file
    )


def _trailer(worker: Worker) -> str:
    return f"Task: {worker.task_id}\nWorker: {worker.worker_id}"


def _place(finding: Finding) -> str:
    return f"{finding['file'] or 'the repository'}:{finding['line']}"
