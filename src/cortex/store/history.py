"""Reading a home's past: the state as the journal had it at any moment, and what is wrong with it.

Read-only, beside a running daemon or without one. Nothing is repaired here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.decide.lifecycle import InvalidTransitionError
from cortex.decide.snapshot import documents
from cortex.model.errors import CortexError
from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.store import checkpoint
from cortex.store.journal_scan import raise_if_damaged, read_lines, scan

__all__ = ["Checked", "check_home", "state_at"]

_PROBLEMS_AT_MOST = 100


def state_at(disk: Disk, paths: HomePaths, at: str | None = None) -> State:
    """The state after the last line that is not younger than `at` (RFC 3339, as in the journal).

    Raises JournalDamaged where the journal cannot tell.
    """
    state = State()
    for line in _until(disk, paths, at):
        evolve(state, line.seq, line.at, line.events)
    return state


def _until(disk: Disk, paths: HomePaths, at: str | None) -> Iterator[Line]:
    for line in read_lines(disk, paths.journal):
        if at is not None and line.at > at:
            return
        yield line


@dataclass(slots=True)
class Checked:
    """What `check_home` looked at, and each thing that is wrong as a sentence."""

    lines: int = 0
    tasks: int = 0
    workers: int = 0
    problems: list[str] = field(default_factory=list)

    def say(self, problem: str) -> None:
        """Notes one problem; past a hundred, more of them tell nobody anything."""
        if len(self.problems) < _PROBLEMS_AT_MOST:
            self.problems.append(problem)


def check_home(disk: Disk, paths: HomePaths) -> Checked:
    """Holds journal, books, checkpoint, published files and the logs tree against each other."""
    checked = Checked()
    try:
        state, marked = _replay(disk, paths, checked)
    except CortexError as error:
        checked.say(str(error))
        return checked
    checked.tasks, checked.workers = len(state.tasks), len(state.workers)
    _check_checkpoint(disk, paths, marked, checked)
    _check_documents(paths, state, checked)
    _check_folders(paths, state, checked)
    return checked


def _replay(
    disk: Disk, paths: HomePaths, checked: Checked
) -> tuple[State, tuple[int, dict[str, Any]] | None]:
    """The newest state, and the state at the checkpoint's line; books are held after each line."""
    saved = checkpoint.load(disk, paths.checkpoint, previous=paths.previous_checkpoint).checkpoint
    wanted = saved.position.seq if saved is not None else -1
    state, marked = State(), None
    found = scan(disk, paths.journal)
    raise_if_damaged(found)
    if found.fault is not None:
        place = f"{found.folder / found.fault.segment}:{found.fault.line}"
        checked.say(f"{place}: torn ({found.fault.reason}); the next start sets it aside")
    for line in found.lines(disk):
        checked.lines += 1
        try:
            evolve(state, line.seq, line.at, line.events)
        except (InvalidTransitionError, KeyError) as error:
            checked.say(f"journal line {line.seq} cannot follow from the lines before it: {error}")
            break
        for broken in violations(state):
            checked.say(f"after journal line {line.seq} ({line.why}): {broken}")
        if line.seq == wanted:
            marked = (line.seq, json.loads(json.dumps(state.to_json())))
    return state, marked


def _check_checkpoint(
    disk: Disk,
    paths: HomePaths,
    marked: tuple[int, dict[str, Any]] | None,
    checked: Checked,
) -> None:
    loaded = checkpoint.load(disk, paths.checkpoint, previous=paths.previous_checkpoint)
    for note in loaded.notes:
        checked.say(note)
    if loaded.checkpoint is None:
        return
    seq = loaded.checkpoint.position.seq
    if marked is None:
        checked.say(f"the checkpoint stands for line {seq}, which the journal does not have")
    elif dict(loaded.checkpoint.state) != marked[1]:
        checked.say(f"the checkpoint at line {seq} is not what the journal says")


def _check_documents(paths: HomePaths, state: State, checked: Checked) -> None:
    """A published file that claims the newest line must say what the state says."""
    made = documents(state)
    for path in paths.documents:
        wanted = made.get(path.name)
        try:
            published = json.loads(path.read_bytes())
        except FileNotFoundError:
            if state.seq:
                checked.say(f"{path.name} is missing; a daemon makes it again")
            continue
        except ValueError as error:
            checked.say(f"{path.name} is not JSON: {error}")
            continue
        seq = published.get("journal_seq", 0) if isinstance(published, dict) else None
        if not isinstance(seq, int) or seq > state.seq:
            checked.say(f"{path.name} claims journal line {seq}, the newest is {state.seq}")
        elif wanted is not None and seq == state.seq:
            for name, value in json.loads(json.dumps(wanted)).items():
                if name != "active_workers" and published.get(name) != value:
                    checked.say(f"{path.name}: {name} is not what the journal says")


def _check_folders(paths: HomePaths, state: State, checked: Checked) -> None:
    """Every ended task and every worker that ran has its dated folder."""
    for task in state.tasks.values():
        if task.result_location and not (paths.root / task.result_location).is_dir():
            checked.say(f"{task.id} has lost its folder {task.result_location}")
    for worker in state.workers.values():
        if worker.spawned_at and worker.folder and not (paths.root / worker.folder).is_dir():
            checked.say(f"{worker.id} has lost its folder {worker.folder}")
