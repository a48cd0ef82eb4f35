"""What an ended attempt amounts to: its status, its tokens, and what its step does next.

The input is what the runtime observed: exit record, results and deliverables. The rule of the
worker contract: a non-zero exit fails, invalid results fail, missing deliverables fail, whatever
anybody said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cortex.decide.branches import handed_over
from cortex.decide.conflicts import conflict_events, is_conflict
from cortex.decide.entry import Entry, Now, due_after
from cortex.decide.evidence import notice
from cortex.decide.not_run import missing_in, not_run_event
from cortex.decide.planning import proposal_events
from cortex.model.settings import Settings
from cortex.model.state import PLANNER, State, Step, Task, Worker

__all__ = ["Observed", "review"]

Event = dict[str, Any]

_SUMMARY_LENGTH = 500
#: Of what a worker says of itself; all of it stays in its results.json.
_SAID_LENGTH = 2_000
_VERDICT_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of an attempt's end. `lost`: no exit record, and nothing of it lives."""

    worker_id: str
    lost: bool = False
    code: int | None = None
    signal: int | None = None
    cause: str | None = None
    spawn_error: str | None = None
    retryable: bool = False
    duration_s: float = 0.0
    started_at: str | None = None
    tail: str = ""
    results: dict[str, Any] | None = None
    problems: tuple[str, ...] = ()
    missing_deliverables: tuple[str, ...] = ()
    demands_results: bool = False
    deliverables: tuple[str, ...] = ()
    never_started: bool = False
    ended_descendants: int = 0
    limits_met: tuple[str, ...] = ()
    told_tokens: int = 0
    """What its last heartbeat said that it had used, at most what was reserved."""


@dataclass(slots=True)
class Verdict:
    """The outcome before it becomes events."""

    status: str
    reason: str | None = None
    summary: str | None = None
    partial: bool = False
    permanent: bool = False
    accepted: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def review(state: State, observed: Observed, settings: Settings, now: Now) -> Entry:
    """The line that ends an attempt: status, tokens back, and its step done, ready or failed."""
    worker = state.workers[observed.worker_id]
    task = state.tasks.get(worker.task_id)
    steps = task.every_step() if task is not None else []
    step = next((step for step in steps if step.name == worker.step), None)
    verdict = _verdict(worker, observed, _partial_will_do(step, settings))
    used, known = _tokens(worker, observed)
    if verdict.status == "completed" and known > used:
        verdict = Verdict("budget_exhausted", _overrun(worker, known))
    events: list[Event] = []
    if worker.status != "collecting":
        events.append({"event": "worker_collecting", "worker_id": worker.id})
    settled: Event = {
        "event": "tokens_settled",
        "worker_id": worker.id,
        "used": used,
        "returned": worker.reserved - used,
        "accepted": verdict.accepted,
    }
    if known > used:
        settled["tokens_reported"] = known
        settled["overrun"] = max(0, worker.tokens_used - worker.reserved)
    events.append(settled)
    events.append(_ended(worker, observed, verdict, used))
    is_open = task is not None and task.status not in ("completed", "failed", "cancelled")
    if is_open and step and step.worker_id == worker.id and step.status == "active":
        assert task is not None
        events += _step_events(state, task, step, worker, observed, verdict, settings, now)
    events += notice(state, worker, verdict.status, used, now)
    why = verdict.summary if verdict.status == "completed" else verdict.reason
    return Entry(worker.master, f"{worker.id} {verdict.status}: {why or 'done'}", events)


def _overrun(worker: Worker, known: int) -> str:
    said = f"reported {known} tokens of {worker.reserved}"
    return said if worker.token_budget else f"{said}; its step, task or type names no token_budget"


def _ended(worker: Worker, observed: Observed, verdict: Verdict, used: int) -> Event:
    results = observed.results or {}
    branches = handed_over(worker, results) if verdict.accepted else []
    return {
        "event": "worker_ended",
        "worker_id": worker.id,
        "status": verdict.status,
        "reason": verdict.reason,
        "summary": verdict.summary,
        "tokens_used": used,
        "partial": verdict.partial,
        "permanent": verdict.permanent,
        "review": "accepted" if verdict.accepted else None,
        "exit_code": observed.code,
        "exit_signal": observed.signal,
        "findings": len(results.get("findings") or []),
        "duration_s": round(observed.duration_s, 3),
        **({"branches": branches} if branches else {}),
        **_said_verdict(results),
    }


def _said_verdict(results: dict[str, Any]) -> dict[str, str]:
    """What a worker that looks at others' work says of it, such as `request_changes`."""
    said = results.get("verdict")
    return {"verdict": said} if isinstance(said, str) and 0 < len(said) <= _VERDICT_LENGTH else {}


def _partial_will_do(step: Step | None, settings: Settings) -> bool:
    """Whether `partial` results count as completed: as the step says, else the settings."""
    if step is not None and step.accept_partial is not None:
        return step.accept_partial
    return settings.workers.accept_partial


def _verdict(worker: Worker, observed: Observed, partial_will_do: bool) -> Verdict:
    if observed.never_started:
        return Verdict("cancelled", worker.reason or "cancelled before it started")
    if observed.lost:
        return Verdict("lost", "its end is unknown: no exit record, and nothing of it is alive")
    if observed.spawn_error is not None:
        return Verdict("failed", observed.spawn_error, permanent=not observed.retryable)
    if observed.cause == "timeout":
        return Verdict("timeout", f"ran over its timeout of {worker.timeout_s:g} s")
    if observed.cause == "stop" or (worker.status == "ending" and observed.signal is not None):
        if worker.cause == "timeout":
            return Verdict("timeout", f"ran over its timeout of {worker.timeout_s:g} s")
        if worker.cause == "heartbeat":
            return Verdict("failed", worker.reason)
        return Verdict("cancelled", worker.reason or "ended by a signal from outside")
    if observed.signal is not None:
        met = f", at its limit of {'; '.join(observed.limits_met)}" if observed.limits_met else ""
        return Verdict("failed", _with_tail(f"ended by signal {observed.signal}{met}", observed))
    return _by_results(observed, partial_will_do)


def _with_tail(reason: str, observed: Observed) -> str:
    last = observed.tail.strip().splitlines()
    return f"{reason}: {last[-1][:200]}" if last else reason


def _by_results(observed: Observed, partial_will_do: bool) -> Verdict:
    results = observed.results
    if observed.problems:
        return Verdict("failed", "results refused: " + "; ".join(observed.problems[:3]))
    if observed.code != 0:
        said = str((results or {}).get("error") or "")
        reason = f"exit {observed.code}"
        return Verdict(
            "failed",
            f"{reason}: {said[:300]}" if said else _with_tail(reason, observed),
            permanent=bool((results or {}).get("permanent")),
        )
    if results is None:
        if observed.deliverables or observed.demands_results:
            return Verdict("failed", "exit 0, but it wrote no results.json, as its type demands")
        return Verdict("completed", summary=_last_words(observed.tail) or None, accepted=True)
    if results.get("status") == "failed":
        reason = str(results.get("error") or results.get("summary") or "it says that it failed")
        return Verdict("failed", reason[:500], permanent=bool(results.get("permanent")))
    if observed.missing_deliverables:
        names = ", ".join(observed.missing_deliverables)
        return Verdict("failed", f"deliverables missing from artifacts/: {names}")
    partial = results.get("status") == "partial"
    if partial and not partial_will_do:
        return Verdict("failed", "only partial, and partial results are not accepted here")
    said = str(results.get("summary") or "")
    if len(said) > _SAID_LENGTH:
        said = f"{said[: _SAID_LENGTH - 1]}…"
    summary = said or _last_words(observed.tail) or None
    return Verdict("completed", summary=summary, partial=partial, accepted=True)


def _last_words(tail: str) -> str:
    """The end of what was printed, from the beginning of a line; `…` before a line that is cut."""
    text = tail.strip()
    if len(text) <= _SUMMARY_LENGTH:
        return text
    cut = text[-(_SUMMARY_LENGTH - 1) :]
    _, newline, whole = cut.partition("\n")
    return whole if newline else f"…{cut}"


def _tokens(worker: Worker, observed: Observed) -> tuple[int, int]:
    """(used, as known): used is clamped to what was reserved.

    Known is the largest of what was metered and what the worker says of itself, in its results or
    its last heartbeat; only the metered part above the reservation is an overrun of the books.
    """
    if observed.never_started:
        return 0, 0
    if observed.lost:
        used = worker.reserved if worker.uses_tokens and worker.runtime != "tools" else 0
        return used, used
    reported = (observed.results or {}).get("tokens_used")
    known = reported if isinstance(reported, int) and not isinstance(reported, bool) else 0
    known = max(known, worker.tokens_used, observed.told_tokens, 0)
    return min(known, worker.reserved), known


def _step_events(
    state: State,
    task: Task,
    step: Step,
    worker: Worker,
    observed: Observed,
    verdict: Verdict,
    settings: Settings,
    now: Now,
) -> list[Event]:
    results, plans = observed.results, step.name == PLANNER
    if plans and verdict.accepted:
        return proposal_events(task, worker, results)
    if verdict.status == "failed" and results is not None and is_conflict(results) and not plans:
        return conflict_events(state, task, step, worker, results, now)
    missing = missing_in(results) if verdict.status == "failed" else []
    if missing and not step.optional and not plans:
        return [not_run_event(task, step, missing, worker.made_of)]
    return [_step_event(task, step, worker, verdict, settings, now)]


def _step_event(
    task: Task, step: Step, worker: Worker, verdict: Verdict, settings: Settings, now: Now
) -> Event:
    event: Event = {"event": "step_changed", "task_id": task.id, "step": step.name}
    if verdict.accepted:
        return {**event, "status": "done"}
    if verdict.status == "cancelled":
        return {**event, "status": "cancelled", "reason": verdict.reason}
    if verdict.permanent or not _may_retry(step, verdict, settings):
        return {**event, "status": "failed", "reason": verdict.reason}
    delay = backoff_s(worker.attempt, settings, now.random)
    return {
        **event,
        "status": "ready",
        "again": True,
        "reason": verdict.reason,
        "not_before": due_after(now, delay) if delay > 0 else None,
    }


def _may_retry(step: Step, verdict: Verdict, settings: Settings) -> bool:
    allowed = step.retries
    if verdict.status == "timeout":
        allowed = min(allowed, settings.workers.retry_timeouts)
    if verdict.status == "budget_exhausted":
        allowed = 0
    return step.attempt < allowed


def backoff_s(attempt: int, settings: Settings, random: float) -> float:
    """Seconds before the next attempt: exponential with full jitter, in [half, whole]."""
    ceiling = min(settings.workers.backoff * 2.0 ** (attempt - 1), settings.workers.backoff_max)
    return float(ceiling * (0.5 + random / 2))
