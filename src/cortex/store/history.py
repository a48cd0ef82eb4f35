"""Reading a home's past: the state as the journal had it at any moment, and what is wrong with it.

Read-only, beside a running daemon or without one. Repairing is `store.repair`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.decide.lifecycle import InvalidTransitionError
from cortex.decide.snapshot import documents
from cortex.model.errors import CortexError
from cortex.model.formats import DOCUMENT, WRITER
from cortex.model.journal_line import Line
from cortex.model.layout import encode_row, join
from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.model.state import State
from cortex.store import checkpoint
from cortex.store.journal_scan import (
    JournalPosition,
    Scan,
    opened_day,
    raise_if_damaged,
    scan,
)
from cortex.store.publish import Publisher
from cortex.store.replaying import state_of

__all__ = [
    "REPAIR",
    "Checked",
    "Problem",
    "check_home",
    "published",
    "published_later",
    "state_at",
]

_PROBLEMS_AT_MOST = 10_000
#: A daemon writes a checkpoint each few thousand lines; a home with more has lost its own.
_MANY_LINES = 10_000
#: What to do about everything that can be made again out of the journal.
REPAIR = "`cortex fsck --repair` makes it again out of the journal, and keeps what it replaces."


def state_at(disk: Disk, paths: HomePaths, at: str | None = None) -> State:
    """The state after the last line that is not younger than `at` (RFC 3339, as in the journal).

    A moment before a damaged line is told as ever; JournalDamaged where the journal cannot tell.
    """
    day = opened_day(disk, paths.journal, at)
    state, after = State(), None
    if day is not None:
        state = state_of(paths.journal / day.position.segment, day.state, day.line.written_by)
        evolve(state, day.line.seq, day.line.at, day.line.events)
        after = day.position
    found = scan(disk, paths.journal, after, last_day=at and at[:10])
    for line in found.lines(disk):
        if at is not None and line.at > at:
            return state
        evolve(state, line.seq, line.at, line.events)
    if at is None or at > state.at:
        raise_if_damaged(found)
    return state


def published(state: State) -> dict[str, list[bytes]]:
    """File name → the published document of this state, in chunks, as the daemon writes it."""
    files = {}
    for name, document in documents(state).items():
        rows = {key: value for key, value in document.items() if isinstance(value, list)}
        updated_at = f"{state.at[:19]}Z" if state.at else ""
        head = {
            "version": "1.0",
            "format": DOCUMENT,
            "written_by": WRITER,
            "updated_at": updated_at,
            "journal_seq": state.seq,
        }
        head |= {key: value for key, value in document.items() if key not in rows}
        lists = {
            key: [encode_row(row) for row in value]
            for key, value in rows.items()
            if all(isinstance(row, dict) for row in value)
        }
        files[name] = join(head, lists)
    return files


def published_later(disk: Disk, paths: HomePaths, seq: int) -> str | None:
    """A published file that names a line which the journal has lost proves that it was durable.

    Only a file that is as the daemon left it counts: anybody may write any number into an edit.
    """
    publisher = Publisher(disk, paths.out)
    for path in paths.documents:
        try:
            if not publisher.untouched(path):
                continue
            claimed = json.loads(disk.read(path)).get("journal_seq")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(claimed, int) and claimed >= seq:
            return f"{path.name} was published at line {claimed}"
    return None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what to do about it.

    `repair` names what `cortex fsck --repair` does about it; None: a person has to. A `note` is
    no fault: something that the next daemon or nobody needs to mind.
    """

    place: str
    what: str
    remedy: str = ""
    repair: str | None = None
    note: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(slots=True)
class Checked:
    """What was looked at, and each thing that is wrong. `state` is the newest that the journal
    tells, `position` the end of its last whole line; `damaged` that lines are lost for good."""

    lines: int = 0
    tasks: int = 0
    workers: int = 0
    problems: list[Problem] = field(default_factory=list)
    state: State = field(default_factory=State)
    position: JournalPosition | None = None
    archived: dict[str, int] = field(default_factory=dict)
    damaged: bool = False

    def say(
        self,
        place: str,
        what: str,
        remedy: str = "",
        *,
        repair: str | None = None,
        note: bool = False,
    ) -> None:
        """Notes one problem; past ten thousand, more of them tell nobody anything."""
        if len(self.problems) < _PROBLEMS_AT_MOST:
            self.problems.append(Problem(place, what, remedy, repair, note))


def check_home(disk: Disk, paths: HomePaths, *, serving: bool = False) -> Checked:
    """Holds journal, books, checkpoint, published files and the logs tree against each other.

    `serving` says that a daemon is at work: what it publishes meanwhile proves nothing.
    """
    checked = Checked()
    public = {path: _read_public(disk, path) for path in paths.documents}
    try:
        marked = _replay(
            disk, paths, checked, serving, {_claimed(read) for read in public.values()}
        )
    except CortexError as error:
        checked.damaged = True
        place, _, what = str(error).partition(": ")
        checked.say(place, what.removesuffix(" Run `cortex fsck` to see what can be rebuilt."))
        return checked
    state = checked.state
    checked.tasks, checked.workers = len(state.tasks), len(state.workers)
    _check_checkpoint(disk, paths, marked, checked)
    if not checked.damaged:
        publisher = Publisher(disk, paths.out)
        for path, read in public.items():
            _check_document(path, read, publisher, checked, marked, serving)
    _check_folders(paths, state, checked)
    return checked


@dataclass(slots=True)
class _Marked:
    """The past that the files speak of: the state at the checkpoint's line, and the documents at
    each line that a published file claims."""

    checkpoint: dict[str, Any] | None = None
    documents: dict[int, dict[str, Any]] = field(default_factory=dict)


def _read_public(disk: Disk, path: Path) -> Any:
    """A published file's value, or the error that reading it gave."""
    try:
        return json.loads(disk.read(path))
    except (ValueError, OSError, RecursionError) as error:
        return error


def _replay(
    disk: Disk, paths: HomePaths, checked: Checked, serving: bool, claimed: set[int]
) -> _Marked:
    """Evolves `checked.state` to the newest; books are held after each line."""
    saved = checkpoint.load(disk, paths.checkpoint, previous=paths.previous_checkpoint).checkpoint
    wanted = saved.position.seq if saved is not None else -1
    state, marked = checked.state, _Marked()
    later: Callable[[int], str | None] | None = None
    if not serving:
        later = lambda seq: published_later(disk, paths, seq)  # noqa: E731 - a bound argument
    found = scan(disk, paths.journal, later_traces=later)
    checked.position = found.end
    for line in found.lines(disk):
        checked.lines += 1
        _check_day(disk, paths, line, state, checked)
        try:
            evolve(state, line.seq, line.at, line.events)
        except (InvalidTransitionError, KeyError) as error:
            checked.say(
                _place_of(disk, paths, line.seq),
                f"journal line {line.seq} cannot follow from the lines before it: {error}",
                "This is a fault of Cortex, not of yours; please report it with this line.",
            )
            checked.damaged = True
            break
        _note_archived(checked, line.seq, line.events)
        for broken in violations(state):
            checked.say(
                _place_of(disk, paths, line.seq),
                f"after journal line {line.seq} ({line.why}): {broken}",
                "The books do not balance from here on: a fault of Cortex; please report it.",
            )
        if line.seq == wanted:
            marked.checkpoint = json.loads(json.dumps(state.to_json()))
        if line.seq in claimed:
            marked.documents[line.seq] = json.loads(json.dumps(documents(state)))
    # A daemon at work may be in the middle of a line.
    if found.fault is not None and (found.fault.evidence is not None or not serving):
        _tell_fault(disk, found, checked)
    return marked


def _check_day(disk: Disk, paths: HomePaths, line: Line, state: State, checked: Checked) -> None:
    """A day begins with the state as of the line before."""
    for event in line.events:
        if event["event"] != "day_opened":
            continue
        if _as_today(event["state"]) != json.loads(json.dumps(state.to_json())):
            checked.say(
                _place_of(disk, paths, line.seq),
                "the state that this day begins with is not what the lines before it say",
                "This is a fault of Cortex, not of yours; please report it with this line.",
            )


def _note_archived(checked: Checked, seq: int, events: list[dict[str, Any]]) -> None:
    for event in events:
        if event["event"] == "archived":
            for ident in (*event["tasks"], *event["workers"], *event.get("handoffs", ())):
                checked.archived[ident] = seq


def _place_of(disk: Disk, paths: HomePaths, seq: int) -> str:
    """FILE:LINE of a journal line."""
    found = scan(disk, paths.journal)
    before = 0
    for segment, start, end in found.spans:
        count = disk.read(paths.journal / segment)[start:end].count(b"\n")
        if before + count >= seq:
            return f"{paths.journal / segment}:{seq - before}"
        before += count
    return str(paths.journal)


def _tell_fault(disk: Disk, found: Scan, checked: Checked) -> None:
    """What the scan stumbled over: a torn tail, or lines that were durable and are gone."""
    fault = found.fault
    assert fault is not None
    place = str(found.folder / fault.segment) + (f":{fault.line}" if fault.line else "")
    if fault.evidence is None:
        checked.say(
            place,
            f"torn ({fault.reason}); it never was durable, so nothing relied on it",
            "The next start sets it aside, and so does `cortex fsck --repair`.",
            repair="journal",
        )
        return
    checked.damaged = True
    state = checked.state
    rest = _lines_after(disk, found)
    after = "No line is left after it"
    if rest:
        after = f"{rest} line{'s' if rest != 1 else ''} after it can be read, but not be believed"
    rescue = "Put this file back from a backup, then run `cortex fsck` again."
    if state.seq:
        rescue += (
            f" Without one: the lines up to {state.seq} ({state.at}) are whole."
            f" `cortex replay --at {state.at} --to FOLDER` gives the files as of then,"
            " `cortex init` another home, and open tasks are dropped again there."
        )
    checked.say(
        place,
        f"{fault.reason}; {fault.evidence}. A daemon does not start on it. {after}",
        rescue,
    )


def _lines_after(disk: Disk, found: Scan) -> int:
    """How many whole lines stand behind the bad one."""
    from cortex.model.journal_line import BadLine, check

    fault = found.fault
    assert fault is not None
    count = 0
    for segment in (name for name in found.segments if name >= fault.segment):
        data = disk.read(found.folder / segment)
        for raw in data[fault.offset if segment == fault.segment else 0 :].split(b"\n"):
            try:
                count += check(raw).seq >= fault.seq
            except BadLine:
                continue
    return count


def _check_checkpoint(disk: Disk, paths: HomePaths, marked: _Marked, checked: Checked) -> None:
    loaded = checkpoint.load(disk, paths.checkpoint, previous=paths.previous_checkpoint)
    for text in loaded.notes:
        place, _, what = text.partition(": ")
        checked.say(place, what, REPAIR, repair="checkpoint")
    if loaded.checkpoint is None:
        if checked.lines > _MANY_LINES and not loaded.notes:
            what = "there is none, so a start reads the whole journal"
            checked.say(str(paths.checkpoint), what, REPAIR, repair="checkpoint", note=True)
        return
    seq = loaded.checkpoint.position.seq
    place = str(paths.checkpoint)
    if marked.checkpoint is None and not checked.damaged:
        checked.damaged = True
        checked.say(
            place,
            f"it stands for line {seq}, which the journal does not have: {checked.state.seq} is "
            "its last. Durable lines are gone, and a daemon does not start",
            "Put the journal's newest files back from a backup. The checkpoint is the proof of "
            "what is missing, so it is not set aside: ids would be given twice.",
        )
    elif marked.checkpoint not in (None, _as_today(loaded.checkpoint.state)):
        what = f"the checkpoint at line {seq} is not what the journal says"
        checked.say(place, what, REPAIR, repair="checkpoint")


def _as_today(state: Mapping[str, Any]) -> Any:
    """A checkpoint's state as this version writes it: an older one knew fewer fields."""
    try:
        return json.loads(json.dumps(State.from_json(dict(state)).to_json()))
    except (TypeError, KeyError, AttributeError):
        return None


def _check_document(
    path: Path,
    read: Any,
    publisher: Publisher,
    checked: Checked,
    marked: _Marked,
    serving: bool,
) -> None:
    """A published file must say what the journal says up to the line that the file claims."""
    seq = checked.state.seq
    known = path.name in documents(State())
    remedy, repair = (REPAIR, "file") if known else ("", None)
    if isinstance(read, FileNotFoundError):
        if seq:
            what = "is missing; a daemon makes it again"
            checked.say(str(path), what, remedy, repair=repair, note=not known)
        return
    if isinstance(read, Exception):
        place = f"{path}:{read.lineno}" if isinstance(read, json.JSONDecodeError) else str(path)
        checked.say(place, f"{path.name} is not JSON: {read}", remedy, repair=repair)
        return
    claimed = _claimed(read)
    if not known or (serving and claimed > seq):
        return
    differences = _differences(path.name, read, marked.documents.get(claimed), seq)
    if differences and not publisher.untouched(path):
        _tell_edit(path, differences, checked)
    else:
        for what in differences:
            checked.say(str(path), what, REPAIR, repair="file")


def _tell_edit(path: Path, differences: list[str], checked: Checked) -> None:
    """A person's edit is no damage: it is the next daemon's to take up."""
    checked.say(
        str(path),
        f"was edited after it was published: {'; '.join(differences)}",
        "The next daemon takes a valid edit up, or keeps a wrong one in rejected/ with its reason.",
        note=True,
    )


def _claimed(value: Any) -> int:
    """The journal line that a published file says it stands for; 0 where it says none."""
    claimed = value.get("journal_seq", 0) if isinstance(value, dict) else 0
    return claimed if isinstance(claimed, int) else 0


def _differences(name: str, value: Any, wanted: dict[str, Any] | None, seq: int) -> list[str]:
    if not isinstance(value, dict):
        return [f"{name} is no object"]
    if _claimed(value) > seq:
        return [f"{name} claims journal line {_claimed(value)}, the newest is {seq}"]
    if value.get("written_by", WRITER) != WRITER:
        return []  # another version's rows may have fewer fields; the next daemon writes them anew
    # What live workers have used so far is in no line.
    live = any(value.get("active_workers") or ()) or name == "token-budget.json"
    unsure = ("active_workers", "usage_metrics") if live else ()
    return [
        f"{name}: {key} is not what the journal says"
        for key, rows in (wanted or {}).get(name, {}).items()
        if key not in unsure and _in_order(value.get(key)) != _in_order(rows)
    ]


def _in_order(value: Any) -> Any:
    """Rows are known by their ids: a document has them as they came, and a new one by age."""
    if not isinstance(value, list):
        return value
    return sorted(value, key=lambda row: json.dumps(row, sort_keys=True))


def _check_folders(paths: HomePaths, state: State, checked: Checked) -> None:
    """Every ended task and every worker that ran has its dated folder."""
    kept = "What was in it is gone unless a backup has it; `--repair` makes it again with a note."
    for task in state.tasks.values():
        if task.result_location and not (paths.root / task.result_location).is_dir():
            what = f"{task.id} has lost its folder {task.result_location}"
            checked.say(str(paths.root / task.result_location), what, kept, repair="folder")
    for worker in state.workers.values():
        if worker.spawned_at and worker.folder and not (paths.root / worker.folder).is_dir():
            what = f"{worker.id} has lost its folder {worker.folder}"
            checked.say(str(paths.root / worker.folder), what, kept, repair="folder")
