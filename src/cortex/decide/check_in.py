"""A master's check-in: at its own times it looks over what is its, and says what does not move.

Numbers and names only, so that it needs no model; what hangs for long goes to a person, once.
"""

from __future__ import annotations

from typing import Any

from cortex.decide.catalog import Catalog
from cortex.decide.entry import Entry, Now, was_set_back
from cortex.decide.escalate import raise_escalation
from cortex.model.calendar import next_after
from cortex.model.state import OPEN_TASK, State, Task
from cortex.model.times import format_duration, parse_time

__all__ = ["ON_DEMAND", "next_check_in"]

Event = dict[str, Any]
ON_DEMAND = "on demand"
#: What is blocked or waits for a person so long hangs.
HANGS_S = 86400.0
_STUCK = frozenset({"blocked", "awaiting_approval"})
_NAMED = 5


def next_check_in(state: State, catalog: Catalog, now: Now) -> Entry | None:
    """The line of one master whose check-in is due, or None; to be applied before the next.

    A master that was never seen gets its first instant, so that a start is no check-in. Instants
    that were missed are one check-in.
    """
    for name, master in catalog.masters.items():
        if master.check_in == ON_DEMAND:
            continue
        known = state.check_ins.get(name)
        if known is None or known["words"] != master.check_in:
            return _plan(state, name, master.check_in, now, f"checks in {master.check_in}")
        if was_set_back(now, known["set_at"]):
            return _plan(state, name, master.check_in, now, "the clock was set back")
        if now.wall >= known["next_at"]:
            return _check_in(state, name, master.check_in, now)
    return None


def _plan(state: State, name: str, words: str, now: Now, why: str) -> Entry:
    event = {"event": "check_in_planned", **_planned(state, name, words, now)}
    return Entry(name, why, [event])


def _planned(state: State, name: str, words: str, now: Now) -> Event:
    then = next_after(words, state.budget.timezone, now.wall, 0.0)
    return {"master": name, "words": words, "next_at": then, "set_at": now.wall}


def _check_in(state: State, name: str, words: str, now: Now) -> Entry:
    own = [task for task in state.tasks.values() if _is_of(task, name)]
    stuck = [task for task in own if task.status in _STUCK]
    waiting = [
        handoff.id
        for handoff in state.handoffs.values()
        if handoff.status == "pending" and handoff.to_agent == name
    ]
    event: Event = {
        "event": "master_checked_in",
        **_planned(state, name, words, now),
        "open": len(own),
        "stuck": [task.id for task in stuck[:_NAMED]],
        "handoffs": waiting[:_NAMED],
    }
    told = [f"{len(own)} open", f"{len(stuck)} stuck", f"{len(waiting)} handoffs wait"]
    return Entry(name, ", ".join(told), [event, *_hanging(state, name, stuck, now)])


def _is_of(task: Task, master: str) -> bool:
    return task.status in OPEN_TASK and task.assigned_to == master


def _hanging(state: State, name: str, stuck: list[Task], now: Now) -> list[Event]:
    """Tells a person of what has hung for over a day, unless that was told already."""
    subject = f"{name} has work that does not move"
    if any(one.subject == subject and one.status == "open" for one in state.escalations.values()):
        return []
    ages = {task.id: now.wall - parse_time(task.created_at) for task in stuck}
    hanging = [task for task in stuck if ages[task.id] > HANGS_S]
    if not hanging:
        return []
    words = [
        f"{task.id} is {task.status} for {format_duration(ages[task.id])}: {task.blocked_on or ''}"
        for task in hanging[:_NAMED]
    ]
    more = f"; {len(hanging) - _NAMED} more" if len(hanging) > _NAMED else ""
    reason = "; ".join(word.rstrip(": ") for word in words) + more
    return [raise_escalation(state, subject, reason[:500], None, now)]
