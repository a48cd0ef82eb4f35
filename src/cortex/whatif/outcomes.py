"""How an attempt of a rerun goes: as the recorded one did, or as is typical of its type."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from cortex.decide.review import Observed
from cortex.model.settings import Settings
from cortex.model.state import State, Worker
from cortex.whatif.recording import Attempt, Event, Recording

__all__ = ["Outcome", "Outcomes", "observed_of"]

_NOTHING_KNOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long an attempt holds its slot and its tokens, in seconds, and how it ends.

    `recorded` False: it never was, and is assumed to go as is typical. `ends_by_itself` False: only
    a stop ends it, as far as anybody knows. `stop_s` is how long its end took when it was asked to.
    """

    held_s: float
    start_s: float
    end: Event
    recorded: bool
    ends_by_itself: bool = True
    ended_at: float | None = None
    stop_s: float | None = None
    backoff_s: float | None = None

    def luck(self, settings: Settings, attempt: int) -> float:
        """The random number that gives the recorded backoff again; 0.5 where none is known."""
        workers = settings.workers
        ceiling = min(workers.backoff * 2.0 ** (attempt - 1), workers.backoff_max)
        if self.backoff_s is None or ceiling <= 0:
            return 0.5
        return min(1.0, max(0.0, 2 * self.backoff_s / ceiling - 1))


class Outcomes:
    """Answers for every attempt of one rerun; `assumed` counts those that were never made."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._typical: dict[str, Outcome] = {}
        self._assumed: set[str] = set()

    @property
    def assumed(self) -> int:
        """How many attempts were given a typical outcome."""
        return len(self._assumed)

    def of(self, state: State, worker: Worker) -> Outcome:
        """What becomes of this worker."""
        task = state.tasks[worker.task_id]
        earlier = task.workers[: task.workers.index(worker.id)]
        same = [i for i in earlier if i in state.workers and state.workers[i].step == worker.step]
        attempt = self._recording.attempts.get((worker.task_id, worker.step, len(same)))
        if attempt is None:
            self._assumed.add(worker.id)
            return self._typical_of(worker.worker_type)
        return self._recorded(attempt)

    def _recorded(self, attempt: Attempt) -> Outcome:
        typical = self._typical_of(attempt.worker_type)
        if attempt.ended_at is None:
            # Still at it when the record ends: at least as long as it has been.
            so_far = self._recording.end_s - attempt.approved_at
            held = max(typical.held_s, so_far + 1.0)
            return Outcome(held, attempt.start_s, typical.end, True)
        # One that was stopped would have gone on: nobody knows for how long.
        stopped = attempt.end["status"] == "cancelled" and attempt.ending_at is not None
        return Outcome(
            _held(self._recording, attempt),
            attempt.start_s,
            attempt.end,
            True,
            ends_by_itself=not stopped,
            ended_at=attempt.ended_at,
            stop_s=None if attempt.ending_at is None else attempt.ended_at - attempt.ending_at,
            backoff_s=attempt.backoff_s,
        )

    def _typical_of(self, worker_type: str) -> Outcome:
        """The median of the type's completed attempts; of all, where it has none."""
        if worker_type not in self._typical:
            ended = [
                attempt
                for attempt in self._recording.attempts.values()
                if attempt.end.get("status") == "completed"
            ]
            own = [attempt for attempt in ended if attempt.worker_type == worker_type] or ended
            held = [_held(self._recording, attempt) for attempt in own] or [_NOTHING_KNOWN_S]
            tokens = [attempt.end["tokens_used"] for attempt in own] or [0]
            end = {
                "status": "completed",
                "tokens_used": round(median(tokens)),
                "summary": "typical",
            }
            starts = [attempt.start_s for attempt in own] or [0.0]
            self._typical[worker_type] = Outcome(median(held), median(starts), end, False)
        return self._typical[worker_type]


def _held(recording: Recording, attempt: Attempt) -> float:
    """Seconds from its approval to its end; one that ended without a daemon was only seen later."""
    assert attempt.ended_at is not None
    duration = attempt.end.get("duration_s") or 0.0
    if duration and recording.was_down_between(attempt.approved_at, attempt.ended_at):
        return attempt.start_s + float(duration)
    return attempt.ended_at - attempt.approved_at


def observed_of(worker: Worker, outcome: Outcome, *, stopped: bool) -> Observed:
    """What a review has to see so that it says again what was recorded."""
    end = outcome.end
    tokens = int(end.get("tokens_used") or 0)
    status, code = end["status"], end.get("exit_code")
    duration = float(end.get("duration_s") or 0.0)
    results: Event = {"tokens_used": tokens, "summary": end.get("summary")}
    if "plan" in end:
        results["plan"] = end["plan"]
    if stopped:
        return Observed(worker.id, cause="stop", duration_s=duration, results=results)
    if status == "completed":
        # What is typical of a type may be more than this one was given.
        results["tokens_used"] = min(tokens, worker.reserved)
        results["status"] = "partial" if end.get("partial") else "completed"
        return Observed(worker.id, code=0, duration_s=duration, results=results)
    if status in ("timeout", "cancelled"):
        cause = "timeout" if status == "timeout" else "stop"
        return Observed(worker.id, cause=cause, duration_s=duration, results=results)
    if status == "lost":
        return Observed(worker.id, lost=True, duration_s=duration)
    if status == "budget_exhausted":
        results |= {"status": "completed", "tokens_used": worker.reserved + 1}
        return Observed(worker.id, code=0, duration_s=duration, results=results)
    said = str(end.get("reason") or "").removeprefix(f"exit {code}").removeprefix(": ")
    results |= {"status": "failed", "error": said or None, "permanent": end.get("permanent")}
    kind, colon, _ = said.partition(": ")
    if colon and kind in ("conflict", "not run"):
        missing = [said.rpartition("missing: ")[2]]
        results |= {"outcome": kind.replace(" ", "_"), "missing": missing}
    if end.get("exit_signal") is not None:
        return Observed(worker.id, signal=end["exit_signal"], duration_s=duration, results=results)
    return Observed(worker.id, code=code or 0, duration_s=duration, results=results)
