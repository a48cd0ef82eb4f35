"""The controller of hand edits: what somebody wrote in a published file's place is merged, or kept
in rejected/ with the reasons.

Reading an edit and the history behind it happens in an effect thread; whether it fits the state is
decided in the control thread. The file leaves `.state/out/` only after its line is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.control.context import Context
from cortex.control.reading import archived_names
from cortex.decide.edit import Merged
from cortex.decide.entry import Entry
from cortex.decide.health import Sign
from cortex.decide.merge import merge
from cortex.decide.refusals import PARTS_AT_MOST, problem_parts
from cortex.model.errors import RequestError
from cortex.model.failpoints import failpoint
from cortex.model.seams import Disk
from cortex.store.archive import Archive
from cortex.store.drop import Problem
from cortex.store.edits import Study, study
from cortex.store.publish import LateEdit, Publisher
from cortex.store.rejecting import reject_file

__all__ = ["Editing"]

#: What can't be read must have been left alone for so long before it is refused.
SETTLED_S = 1.0
AGAIN_S = 0.1
FAULT_AGAIN_S = 1.0


@dataclass(slots=True)
class _Waiting:
    """An edit that lies in `.state/out/`. `version` has been so since `since_s`, by our looks."""

    document: Path
    kept: Path
    due_s: float = 0.0
    version: Any = None
    since_s: float = 0.0
    fault: str | None = None


class Editing:
    """Takes edits up, one at a time, in the order in which they came out."""

    def __init__(
        self,
        context: Context,
        disk: Disk,
        archive: Archive,
        publisher: Publisher,
        heard: Callable[[str, int | None], None],
    ) -> None:
        self._heard = heard
        self._context = context
        self._disk = disk
        self._archive = archive
        self._publisher = publisher
        self._waiting: list[_Waiting] = []
        self._under_way = False

    def take(self, edits: Iterable[LateEdit]) -> None:
        """Takes in what was found where a published document had been."""
        known = {waiting.kept for waiting in self._waiting}
        for edit in edits:
            if edit.kept not in known:
                self._waiting.append(_Waiting(edit.document, edit.kept))

    def next_due(self) -> float | None:
        """Monotonic instant at which an edit is looked at next."""
        if self._under_way or not self._waiting:
            return None
        return min(waiting.due_s for waiting in self._waiting)

    def signs(self) -> Iterable[Sign]:
        """Edits that lie in `.state/out/` and are not judged."""
        for waiting in self._waiting:
            name = waiting.document.name
            cause = f"an edit of {name} is not taken up: somebody has it open, or writes into it"
            if waiting.fault is not None:
                cause = f"an edit of {name} cannot be read: {waiting.fault}"
            yield Sign("drops_stuck", f"{waiting.kept.name} {waiting.version}", cause)

    def turn(self) -> None:
        """Has the first edit read that is due."""
        context = self._context
        clock = context.engine.clock.monotonic()
        due = (waiting for waiting in self._waiting if waiting.due_s <= clock)
        waiting = next(due, None)
        if self._under_way or waiting is None or context.full is not None:
            return
        self._under_way = True
        disk, paths, archive = self._disk, context.paths, self._archive
        document, kept = waiting.document, waiting.kept

        def work() -> tuple[Study, bool]:
            found = study(disk, paths, document, kept, lambda i, k: archived_names(archive, i, k))
            return found, _has_writer(disk, found)

        context.effects.run("edits", work, lambda outcome: self._studied(waiting, outcome))

    # --- what was read

    def _studied(self, waiting: _Waiting, outcome: Any) -> None:
        self._under_way = False
        clock = self._context.engine.clock.monotonic()
        if isinstance(outcome, FileNotFoundError) and str(outcome.filename) == str(waiting.kept):
            self._waiting.remove(waiting)  # somebody cleared `.state/out/` away
            return
        if isinstance(outcome, Exception):
            self._context.log.warning(
                "an edit cannot be read now", file=waiting.document.name, error=str(outcome)
            )
            waiting.due_s, waiting.fault = clock + FAULT_AGAIN_S, str(outcome)
            return
        waiting.fault = None
        found, has_writer = outcome
        if has_writer or (found.problem is not None and self._is_fresh(waiting, found)):
            waiting.due_s = clock + AGAIN_S
            return
        self._waiting.remove(waiting)
        self._decide(found)

    def _is_fresh(self, waiting: _Waiting, found: Study) -> bool:
        """Whether the file was changed in the last second, by its own time and by our looks."""
        clock = self._context.engine.clock
        now = clock.monotonic()
        if waiting.version != found.stat.version:
            waiting.version, waiting.since_s = found.stat.version, now
        age_s = clock.now().timestamp() - found.stat.mtime_ns / 1e9
        return 0.0 <= age_s < SETTLED_S and now - waiting.since_s < SETTLED_S

    def _decide(self, found: Study) -> None:
        """One journal line of the edit; the file goes once that is durable."""
        context = self._context
        name = found.document.name
        if found.receipt in context.state.edits:
            told = context.state.edits[found.receipt]
            self._let_go(found, None if told is None else _problem_of(told))
            return
        merged, problem = Merged(), found.problem
        if found.edit is not None:
            try:
                merged = merge(context.state, found.edit, context.engine.now())
            except RequestError as error:
                problem = Problem(error.message, field=error.field, hint=error.hint)
        for worker_id, tokens in merged.heard.items():
            self._heard(worker_id, tokens)
        problem = problem or _problem_in(merged)
        if problem is None and not merged.events:
            self._let_go(found, None)
            return
        event: dict[str, Any] = {"file": name, "receipt": found.receipt}
        if problem is not None:
            event["refusal"] = _told(problem)
            context.log.warning("an edit was refused", file=name, reason=problem.reason)
        if merged.events:
            why = f"{name} was edited: {'; '.join(merged.changes)}"
            event |= {"event": "file_edited", "changes": merged.changes[:PARTS_AT_MOST]}
        else:
            why = f"{name} was edited by hand, and refused"
            event |= {"event": "file_edit_refused"}
        failpoint("edit.before_line")
        context.engine.apply(Entry("person", why, [event, *merged.events]))
        self._let_go(found, problem)

    def _let_go(self, found: Study, problem: Problem | None) -> None:
        """Moves the file to rejected/ with its reasons, or lets it lie until its editor is done;
        one that was written into meanwhile is looked at again."""
        context, disk, publisher = self._context, self._disk, self._publisher
        paths, at = context.paths, context.engine.now().at
        document, kept, version = found.document, found.kept, found.stat.version

        def work() -> bool:
            failpoint("edit.durable")
            try:
                if disk.stat(kept).version != version:
                    return True
            except FileNotFoundError:
                return False
            if problem is None:
                publisher.linger(document, kept, version)
            else:
                reject_file(disk, paths, kept, document.name, problem, at, found.receipt)
            failpoint("edit.let_go")
            return False

        def done(outcome: Any) -> None:
            if isinstance(outcome, Exception):
                context.log.warning("an edit stays in .state/out/", error=str(outcome))
            if outcome is not False:
                clock = context.engine.clock.monotonic()
                self._waiting.append(_Waiting(document, kept, clock + FAULT_AGAIN_S))

        context.engine.afterwards(lambda: context.effects.run("publish", work, done))


def _has_writer(disk: Disk, found: Study) -> bool:
    if found.stat.kind != "file":
        return False
    try:
        handle = disk.open_read(found.kept)
    except OSError:
        return False
    try:
        return disk.has_writer(handle) is True
    finally:
        disk.close(handle)


# --- what people are told


def _problem_in(merged: Merged) -> Problem | None:
    """All refused parts of an edit in one reason; None where there are none."""
    if not merged.refusals:
        return None
    first = merged.refusals[0]
    reason, parts, taken = problem_parts(merged)
    return Problem(reason, field=first.field, hint=first.hint, refused=parts, taken=taken)


def _told(problem: Problem) -> dict[str, Any]:
    told: dict[str, Any] = {"reason": problem.reason, "field": problem.field, "hint": problem.hint}
    told |= {"line": problem.line, "refused": list(problem.refused), "taken": list(problem.taken)}
    return {key: value for key, value in told.items() if value}


def _problem_of(told: Mapping[str, Any]) -> Problem:
    lists = {key: tuple(told.get(key, ())) for key in ("refused", "taken")}
    return Problem(told["reason"], told.get("line"), told.get("field"), told.get("hint"), **lists)
