"""How many workers at once get the most done: learned from how long they took side by side (B10).

By Little's law a lane that keeps `n` workers busy ends `n` in the mean time that one takes. For
each worker type and each `n` the state keeps that mean, so that two numbers can be compared over
the same mix of work. One step up or down is tried at a time; a larger number stays only where it
clearly ends more, a smaller one where nothing is lost. What is learned is a number below the
policy's own limits, never above them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cortex.decide.entry import Entry
from cortex.model.settings import Settings
from cortex.model.state import State, Worker

__all__ = ["EVENTS", "at_start", "learned_count", "next_count", "take_end"]

Event = dict[str, Any]
_LANES = ("tools", "agent")
#: Ends that a number is judged by: at least so many, and so many for each that runs at once.
_ENDS, _ENDS_EACH = 8, 3
#: A worker type counts in a comparison with so many ends at either number.
_SAMPLES = 3
#: The mean follows the last ends; so many of them weigh as one.
_MEMORY = 20
#: More at once must end so much more, or fewer end at least so much of what it was.
_GAIN, _LOSS = 1.10, 0.95
#: After a trial that was taken back, so many ends pass until the next; doubled up to the last.
_REST, _REST_AT_MOST = 32, 1024
#: With so many waiting, a number that is not reached is held down by something else.
_MANY_WAIT = 10


# --- what the state keeps


def at_start(state: State, worker: Worker) -> int:
    """How many of its lane hold a slot now, this worker among them."""
    return sum(1 for ident in state.live if state.workers[ident].lane == worker.lane)


def take_end(state: State, worker: Worker) -> None:
    """Takes in how long a completed worker took beside others; a part of `evolve`, after its end.

    One that saw the number change while it ran says nothing of either.
    """
    at_end = at_start(state, worker) + 1
    beside = max(worker.beside, at_end)
    is_steady = worker.beside > 0 and beside - min(worker.beside, at_end) <= 1
    if worker.status != "completed" or not worker.duration_s or not is_steady:
        return
    # What is there stays as it is: a state that somebody copied to ask a question has it too.
    pace = dict(state.pace.get(worker.lane, {}))
    kinds = dict(pace.get("kinds", {}))
    counts = dict(kinds.get(worker.worker_type, {}))
    number, mean = counts.get(str(beside), (0, 0.0))
    number = min(number + 1, _MEMORY)
    mean += (worker.duration_s - mean) / number
    counts[str(beside)] = [number, round(mean, 6)]
    kinds[worker.worker_type] = counts
    pace["kinds"] = kinds
    if beside == pace.get("count"):
        pace["seen"] = pace.get("seen", 0) + 1
    elif beside < pace.get("count", 0) and len(state.waiting) >= _MANY_WAIT:
        pace["short"] = pace.get("short", 0) + 1
        pace["reached"] = max(beside, pace.get("reached", 0))
    state.pace = {**state.pace, worker.lane: pace}


def _count_set(state: State, event: Event, at: str) -> None:
    pace = dict(state.pace.get(event["lane"], {}))
    for name in ("count", "before", "rest", "down"):
        pace[name] = event[name]
    pace.update(seen=0, short=0, reached=0, reason=event["reason"], at=at)
    state.pace = {**state.pace, event["lane"]: pace}
    state.touch("pace", event["lane"])


EVENTS = {"workers_at_once_set": _count_set}


# --- what follows from it


def learned_count(state: State, lane: str) -> int | None:
    """How many of a lane at once were learned to be best, or are tried now; None: nothing yet."""
    count = state.pace.get(lane, {}).get("count")
    return int(count) if count else None


def next_count(state: State, settings: Settings, cores: int) -> Entry | None:
    """The line in which a lane's number changes by what was seen of it, if one should."""
    limits = {"tools": settings.tools_limit(cores), "agent": settings.limits.agents}
    for lane in _LANES:
        if "kinds" not in state.pace.get(lane, {}):
            continue
        event = _next(state.pace[lane], min(settings.spawn.adaptive_max, limits[lane]))
        if event is not None:
            event = {"event": "workers_at_once_set", "lane": lane, **event}
            return Entry("coordinator-master", f"{lane}: {event['reason']}", [event])
    return None


def _next(pace: dict[str, Any], most: int) -> Event | None:
    count = pace.get("count")
    if count is None or count > most:
        reason = f"{most} at once to begin with, the most that the settings allow"
        return _set(most, 0, 0, True, reason)
    needed = max(_ENDS, _ENDS_EACH * count)
    if pace.get("short", 0) >= 2 * needed and pace["short"] > pace["seen"]:
        return _not_reached(pace)
    if most == 1 or pace["seen"] < needed:
        return None
    if pace["before"]:
        return _judged(pace, most, needed)
    return _trial(pace, most) if pace["seen"] >= needed + pace["rest"] else None


def _set(count: int, before: int, rest: int, down: bool, reason: str) -> Event:
    return {"count": count, "before": before, "rest": rest, "down": down, "reason": reason}


def _trial(pace: dict[str, Any], most: int) -> Event:
    """One more or one fewer is tried, in turns where both can be."""
    count = pace["count"]
    down = count == most or (bool(pace["down"]) and count > 1)
    other = count - 1 if down else count + 1
    reason = f"{other} at once are tried, after {count}"
    return _set(other, count, pace["rest"], down, reason)


def _judged(pace: dict[str, Any], most: int, needed: int) -> Event | None:
    """What comes of a trial: it stays, and the next step the same way follows, or is taken back."""
    count, before, down = pace["count"], pace["before"], bool(pace["down"])
    rates = _rates(pace["kinds"], count, before)
    if rates is None:
        if pace["seen"] < 5 * needed:
            return None
        reason = f"{before} at once again: {count} had other work, and cannot be compared"
        return _back(pace, reason)
    now, then = rates
    told = f"{count} at once end {now:.3g} a minute, {before} ended {then:.3g}"
    if now < then * (_LOSS if down else _GAIN):
        return _back(pace, f"{before} at once again: {told}")
    further = count - 1 if down else count + 1
    if not 1 <= further <= most:
        return _set(count, 0, _REST, not down, f"{count} at once stay: {told}")
    return _set(further, count, 0, down, f"{further} at once are tried: {told}")


def _not_reached(pace: dict[str, Any]) -> Event:
    """Something else holds the lane below its number: that is what can be learned of."""
    held = f"{pace['count']} are not reached, other limits hold {pace['reached']}"
    if pace["before"]:
        return _back(pace, f"{pace['before']} at once again: {held}")
    return _set(pace["reached"], 0, 0, True, f"{pace['reached']} at once: {held}")


def _back(pace: dict[str, Any], reason: str) -> Event:
    rest = min(_REST_AT_MOST, max(_REST, 2 * pace["rest"]))
    return _set(pace["before"], 0, rest, not pace["down"], reason)


def _rates(kinds: dict[str, Any], count: int, other: int) -> tuple[float, float] | None:
    """Ends a minute with these numbers at once, over the same mix of worker types."""
    shared = list(_shared(kinds, str(count), str(other)))
    weight = sum(each[0] for each in shared)
    if not weight:
        return None
    here = sum(each[0] * each[1] for each in shared)
    there = sum(each[0] * each[2] for each in shared)
    return 60 * count * weight / here, 60 * other * weight / there


def _shared(kinds: dict[str, Any], one: str, other: str) -> Iterable[tuple[int, float, float]]:
    """(weight, mean, mean) of each worker type that was seen often enough with both numbers."""
    for counts in kinds.values():
        if one in counts and other in counts:
            (many, mean), (more, also) = counts[one], counts[other]
            if min(many, more) >= _SAMPLES:
                yield min(many, more), mean, also
