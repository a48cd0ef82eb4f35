"""Has the branches of accepted workers taken into the mirrors of their repositories.

Level-triggered: whatever ended worker has a branch that no mirror has yet is due. The work is done
first and told by a line afterwards, so that a crash in between does it again, which changes
nothing. Until then, and where it cannot be done, the branch is in the bundle that its worker made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cortex.control.context import Context
from cortex.control.launching import attempt_paths, repository_from
from cortex.decide.branches import is_open
from cortex.decide.entry import Entry
from cortex.model.failpoints import failpoint
from cortex.model.state import Worker
from cortex.runtime.keeping import MARGIN_S

__all__ = ["LANE", "LONGEST_S", "Keep", "Mirroring"]

Keep = Callable[[Mapping[str, Any]], dict[str, Any]]

WORKERS_AT_ONCE = 8
#: Enough for a check of a large mirror, worker/tools/mirrors.py.
LIMIT_S = 140.0
LANE = "branches"
#: So long may one effect of the lane take; the program is ended then.
LONGEST_S = LIMIT_S + MARGIN_S
#: Seconds before each further try; after the last one the branch stays in its bundle.
AGAIN_AFTER_S = (2.0, 10.0, 60.0, 300.0, 1200.0)
WHAT = "branches could not be taken into their mirrors"


class Mirroring:
    """Keeps the branches of one home, a few workers at a time."""

    def __init__(self, context: Context, keep: Keep) -> None:
        self._context = context
        self._keep = keep
        self._due: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._alone: set[str] = set()
        self._under_way = False

    def start(self) -> None:
        """Finds workers whose branches an earlier daemon did not see kept."""
        for ident in self._context.state.workers:
            self.ended(ident)

    def ended(self, ident: str) -> None:
        """Takes in a worker that may have ended with a branch."""
        worker = self._context.state.workers.get(ident)
        if worker is not None and is_open(worker):
            self._due.setdefault(ident, 0.0)

    def turn(self) -> None:
        """Hands the workers that are due to the effect thread, once their ends are durable."""
        context = self._context
        now_s = context.engine.clock.monotonic()
        due = [ident for ident, due_s in self._due.items() if due_s <= now_s]
        if self._under_way or not due:
            return
        batch = due[:1] if due[0] in self._alone else [one for one in due if one not in self._alone]
        found = {ident: context.state.workers.get(ident) for ident in batch[:WORKERS_AT_ONCE]}
        order = {
            "mirrors": str(context.paths.mirrors),
            "limit_s": LIMIT_S,
            "workers": {
                ident: self._order(worker)
                for ident, worker in found.items()
                if worker is not None and is_open(worker)
            },
        }
        self._under_way = True
        for ident in found:
            del self._due[ident]
        context.engine.afterwards(
            lambda: context.effects.run(
                LANE,
                lambda: self._keep(order) if order["workers"] else {},
                lambda outcome: self._kept(list(found), outcome),
            )
        )

    def _order(self, worker: Worker) -> dict[str, Any]:
        context = self._context
        return {
            "repository": repository_from(context.paths.root, worker.repository or ""),
            "artifacts": f"{attempt_paths(context, worker).folder}/artifacts",
            "branches": worker.branches,
        }

    def _kept(self, idents: list[str], outcome: Any) -> None:
        self._under_way = False
        failpoint("branches.kept")
        problems = []
        answers = {} if isinstance(outcome, Exception) else outcome
        for ident in idents:
            worker = self._context.state.workers.get(ident)
            if worker is None or not is_open(worker):
                self._alone.discard(ident)
                continue
            answer = answers.get(ident, {})
            if not answer and len(idents) > 1:
                # Whose fault it was shows only where each is tried by itself.
                self._alone.add(ident)
                self._due[ident] = 0.0
                continue
            why = str(outcome if isinstance(outcome, Exception) else answer.get("again", ""))
            if "mirror" in answer:
                self._tell(worker, answer["mirror"], answer.get("refused") or {})
            elif not self._again(worker, why or "there was no answer"):
                problems.append(f"{ident}: {why}")
        context = self._context
        context.kept_up(WHAT, OSError("; ".join(problems)[:500]) if problems else None)

    def _again(self, worker: Worker, why: str) -> bool:
        """Puts a worker off; False where it will be tried again, True where that was the last."""
        tries = self._tries.get(worker.id, 0)
        if tries == len(AGAIN_AFTER_S):
            self._tell(worker, None, {row["ref"]: why for row in worker.branches})
            return True
        self._tries[worker.id] = tries + 1
        self._due[worker.id] = self._context.engine.clock.monotonic() + AGAIN_AFTER_S[tries]
        return False

    def _tell(self, worker: Worker, mirror: str | None, refused: Mapping[str, str]) -> None:
        self._tries.pop(worker.id, None)
        self._alone.discard(worker.id)
        event: dict[str, Any] = {
            "event": "branches_kept",
            "worker_id": worker.id,
            "mirror": f"mirrors/{mirror}" if mirror else None,
        }
        if refused:
            event["refused"] = dict(refused)
        kept = len(worker.branches) - len(refused)
        why = f"{kept} of {len(worker.branches)} branches of {worker.id} taken into their mirror"
        words = next(iter(refused.values()), "")
        self._context.engine.apply(Entry("daemon", f"{why}: {words}" if words else why, [event]))
