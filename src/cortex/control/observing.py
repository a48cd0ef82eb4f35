"""Looking at attempts, in an effect thread: what became of them, as values for the decision.

Takes paths and gives back sightings and ends; it knows no state and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortex.control.launching import AttemptPaths
from cortex.decide.review import Observed
from cortex.model.failpoints import failpoint
from cortex.model.formats import FormatTooNew
from cortex.model.results_schema import schema_problems
from cortex.runtime.collect import collect, read_heartbeat
from cortex.runtime.environment import HEARTBEAT_NAME
from cortex.runtime.executor import Executor, ExitRecord

__all__ = ["Question", "Seen", "observe"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one attempt."""

    worker_id: str
    paths: AttemptPaths
    nonce: int
    deliverables: tuple[str, ...] = ()
    results_schema: dict[str, Any] | None = None
    results_limit: int = 8 * 1024 * 1024
    same_boot: bool = True
    is_anothers: bool = False
    give_up: bool = False
    stop: bool = False
    heartbeat: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one attempt. `ended` is set when there is an end to collect."""

    worker_id: str
    claimed: bool = False
    pid: int | None = None
    started_at: str | None = None
    alive: bool = True
    won_claim: bool = False
    ended: Observed | None = None
    heartbeat_ns: int = 0
    heartbeat: dict[str, object] | None = None
    unreadable: str | None = None


def observe(executor: Executor, questions: Sequence[Question]) -> list[Seen]:
    """Answers every question; a stop is asked for, and a lost attempt's remains are ended, here."""
    return [_observe_or_say(executor, question) for question in questions]


def _observe_or_say(executor: Executor, question: Question) -> Seen:
    """An end that only a newer version can read is left for it: this worker stays as it is."""
    try:
        return _observe(executor, question)
    except FormatTooNew as error:
        return Seen(question.worker_id, unreadable=str(error))


def _observe(executor: Executor, asked: Question) -> Seen:
    paths = asked.paths
    sighting = executor.look(asked.worker_id, paths.locks, paths.attempt)
    claim = sighting.claim
    if sighting.exit is not None and sighting.exit.nonce == asked.nonce:
        said = read_heartbeat(f"{paths.folder}/{HEARTBEAT_NAME}")
        return Seen(
            asked.worker_id,
            claimed=True,
            pid=claim.get("pid") if claim else None,
            started_at=sighting.exit.started_at,
            alive=False,
            ended=_observed(asked, sighting.exit),
            heartbeat_ns=said.mtime_ns,
            heartbeat=said.document,
        )
    if asked.is_anothers:
        # It runs, if it does, for the home of which this one is a copy: nothing of it is touched.
        return Seen(asked.worker_id, alive=False, ended=Observed(asked.worker_id, lost=True))
    by_shim = claim is not None and claim.get("by") == "shim" and claim.get("nonce") == asked.nonce
    if not asked.same_boot:
        return _lost(executor, asked)
    if by_shim and (not sighting.lock_held or not sighting.shim_alive):
        return _lost_after_second_look(executor, asked)
    if not by_shim:
        return _unclaimed(executor, asked, claim)
    if asked.stop:
        executor.stop(asked.worker_id, paths.locks)
    beat = read_heartbeat(f"{paths.folder}/{HEARTBEAT_NAME}") if asked.heartbeat else None
    assert claim is not None
    return Seen(
        asked.worker_id,
        claimed=True,
        pid=claim.get("pid"),
        started_at=claim.get("at"),
        heartbeat_ns=beat.mtime_ns if beat else 0,
        heartbeat=beat.document if beat else None,
    )


def _unclaimed(executor: Executor, asked: Question, claim: dict[str, Any] | None) -> Seen:
    # A daemon that died before it could say so has won it: no shim can run any more.
    if claim is not None and claim.get("by") == "daemon" and claim.get("nonce") == asked.nonce:
        return Seen(asked.worker_id, alive=False, won_claim=True)
    if not (asked.give_up or asked.stop):
        return Seen(asked.worker_id, alive=True)
    if executor.claim(asked.worker_id, asked.paths.locks, asked.nonce):
        return Seen(asked.worker_id, alive=False, won_claim=True)
    return Seen(asked.worker_id)


def _lost_after_second_look(executor: Executor, asked: Question) -> Seen:
    """The shim may have written its record between two looks; only then is it lost."""
    again = executor.look(asked.worker_id, asked.paths.locks, asked.paths.attempt)
    if again.exit is not None and again.exit.nonce == asked.nonce:
        return _observe(executor, asked)
    if again.shim_alive and again.lock_held:
        return Seen(asked.worker_id, claimed=True)
    return _lost(executor, asked)


def _lost(executor: Executor, asked: Question) -> Seen:
    executor.hunt(asked.worker_id, asked.paths.locks)
    record = executor.look(asked.worker_id, asked.paths.locks, asked.paths.attempt).exit
    observed = Observed(asked.worker_id, lost=True)
    if record is not None and record.nonce == asked.nonce:
        observed = _observed(asked, record)
    return Seen(asked.worker_id, claimed=True, alive=False, ended=observed)


def _observed(asked: Question, record: ExitRecord) -> Observed:
    if record.spawn_error is not None:
        error = record.spawn_error
        path = f": {error['path']}" if error.get("path") else ""
        return Observed(
            asked.worker_id,
            spawn_error=f"the program could not be started{path}: {error.get('message')}",
            retryable=record.retryable,
            cause=record.cause,
            started_at=record.started_at,
        )
    failpoint("collect.before_read")
    found = collect(asked.paths.folder, record, asked.deliverables, max_bytes=asked.results_limit)
    failpoint("collect.read")
    problems = found.problems
    if asked.results_schema is not None and found.results is not None and record.code == 0:
        problems += schema_problems(found.results, asked.results_schema)
    return Observed(
        asked.worker_id,
        code=record.code,
        signal=record.signal,
        cause=record.cause,
        duration_s=record.duration_s,
        started_at=record.started_at,
        tail=record.tail,
        results=found.results,
        problems=problems,
        missing_deliverables=found.missing_deliverables,
        demands_results=asked.results_schema is not None,
        deliverables=asked.deliverables,
        ended_descendants=record.ended_descendants,
        limits_met=tuple(record.limits_met),
    )
