"""Judges a home after a drill: one verdict a promise, with its figure, from files alone.

The evidence beside the journal is what the drill itself saw: what it dropped and edited, and a file
into which every worker's program wrote its id as it began. Nothing is started or changed here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cortex.care.fsck import examine
from cortex.care.processes import orphans
from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.model.errors import CortexError
from cortex.model.paths import HomePaths
from cortex.model.state import TERMINAL_TASK, State
from cortex.store.disk import RealDisk
from cortex.store.journal_scan import read_lines

__all__ = ["Evidence", "Verdict", "judge", "programs"]

_RUNS = ("spawning", "running", "ending", "collecting")


@dataclass(slots=True)
class Evidence:
    """What a drill knows by itself. `ran` has a line `WORKER` for each program that began;
    `edits` maps a task to the title that a hand edit gave it."""

    dropped: list[str]
    ran: Path
    kills: int = 0
    edits: dict[str, str] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """One promise: its name, what was counted, and every way in which it was broken."""

    name: str
    figure: str
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _History:
    """What one pass over the journal tells."""

    state: State = field(default_factory=State)
    lines: int = 0
    broken: list[str] = field(default_factory=list)
    starts: int = 0
    adopted: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)


def judge(paths: HomePaths, evidence: Evidence) -> list[Verdict]:
    """Every promise, after everything that was dropped has had its time to end."""
    try:
        history = _read(paths)
    except CortexError as error:
        return [Verdict("journal", "cannot be read", [str(error)])]
    return [
        _tasks(history, evidence),
        _starts(history, evidence),
        _restarts(history, evidence),
        _books(history),
        *([_edits(paths, history, evidence)] if evidence.edits else []),
        _processes(paths, history),
        _files(paths),
    ]


def _read(paths: HomePaths) -> _History:
    history = _History()
    for line in read_lines(RealDisk(), paths.journal):
        history.lines += 1
        for event in line.events:
            name = event["event"]
            if name == "task_accepted":
                history.accepted[event["task"]["id"]] += 1
            elif name == "worker_running":
                history.starts += 1
            elif name == "worker_ended":
                history.ended[event["worker_id"]] += 1
            elif name == "daemon_started" and line.seq > 2:
                live = (history.state.workers[ident] for ident in history.state.live)
                history.adopted += [worker.id for worker in live if worker.status in _RUNS]
        evolve(history.state, line.seq, line.at, line.events)
        history.broken += [f"after line {line.seq}: {text}" for text in violations(history.state)]
    return history


def _tasks(history: _History, evidence: Evidence) -> Verdict:
    state, broken = history.state, []
    for ident in evidence.dropped:
        task = state.tasks.get(ident)
        if task is None:
            broken.append(f"{ident} was dropped, and is nowhere")
        elif task.status not in TERMINAL_TASK:
            broken.append(f"{ident} is still {task.status}")
        if history.accepted[ident] > 1:
            broken.append(f"{ident} was accepted {history.accepted[ident]} times")
    lost = sum(ident not in state.tasks for ident in evidence.dropped)
    ended = sum(
        ident in state.tasks and state.tasks[ident].status in TERMINAL_TASK
        for ident in evidence.dropped
    )
    return Verdict("tasks", f"{len(evidence.dropped)} dropped, {ended} ended, {lost} lost", broken)


def _starts(history: _History, evidence: Evidence) -> Verdict:
    """The programs counted themselves: the journal alone could not tell of a second start."""
    ran = Counter(programs(evidence.ran))
    broken = [f"the program of {ident} began {n} times" for ident, n in ran.items() if n > 1]
    unknown = ran.keys() - history.state.workers.keys()
    broken += [f"{ident} ran, and no line knows it" for ident in sorted(unknown)]
    broken += [f"{ident} ended {n} times" for ident, n in history.ended.items() if n > 1]
    most = max(ran.values(), default=0)
    figure = f"{len(ran)} attempts ran, each was started {'once' if most <= 1 else f'≤ {most} ×'}"
    return Verdict("starts", figure, broken)


def programs(path: Path) -> list[str]:
    """The workers whose programs began, as `Evidence.ran` has them; nothing without that file."""
    try:
        return path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []


def _restarts(history: _History, evidence: Evidence) -> Verdict:
    """A worker that lives through a kill of the daemon is adopted, and its end is known."""
    workers = history.state.workers
    lost = [ident for ident in workers if workers[ident].status == "lost"]
    broken = [f"{ident} was lost, though only the daemon was killed" for ident in lost]
    broken += [f"the daemon died by itself: {text}" for text in evidence.deaths]
    adopted = len(history.adopted)
    figure = f"{evidence.kills} kills of the daemon; {adopted} workers adopted, {len(lost)} lost"
    return Verdict("restarts", figure, broken)


def _books(history: _History) -> Verdict:
    state, budget = history.state, history.state.budget
    broken = list(history.broken)
    held = budget.pool_allocated + budget.reserve_allocated
    held += sum(fund.reserved for fund in budget.masters.values())
    if held:
        broken.append(f"{held} tokens are held, though nothing runs")
    spent = budget.pool_spent + budget.reserve_spent
    spent += sum(fund.used for fund in budget.masters.values())
    used = sum(worker.tokens_used for worker in state.workers.values() if worker.ended_at)
    # A period that began meanwhile has taken what was spent before along.
    if spent != used and not any(worker.charged for worker in state.workers.values()):
        broken.append(f"{spent} tokens are spent, and workers used {used}")
    return Verdict(
        "books",
        f"balance after each of {history.lines} lines; {spent:,} spent, {held} held",
        broken,
    )


def _edits(paths: HomePaths, history: _History, evidence: Evidence) -> Verdict:
    """A hand edit is taken up, or lies in rejected/ beside its reason."""
    taken, kept, broken = 0, 0, []
    refused = [path.read_bytes() for path in paths.rejected.glob("*") if path.is_file()]
    for ident, title in evidence.edits.items():
        task = history.state.tasks.get(ident)
        if task is not None and task.title == title:
            taken += 1
        elif any(title.encode() in data for data in refused):
            kept += 1
        else:
            broken.append(f"the edit of {ident} to {title!r} is neither taken up nor in rejected/")
    figure = f"{len(evidence.edits)} by hand, {taken} taken up, {kept} refused and kept"
    return Verdict("edits", figure, broken)


def _processes(paths: HomePaths, history: _History) -> Verdict:
    left = list(orphans(paths, history.state.live))
    broken = [f"process {pid} of {ident} is left: {command}" for pid, ident, command in left]
    return Verdict("processes", "none is left" if not left else f"{len(left)} are left", broken)


def _files(paths: HomePaths) -> Verdict:
    """What `cortex fsck` says of it."""
    problems = [problem for problem in examine(paths).checked.problems if not problem.note]
    figure = "journal, checkpoint, published files and logs agree"
    if problems:
        figure = f"{len(problems)} problems by cortex fsck"
    return Verdict("files", figure, [str(problem) for problem in problems])
