"""What people are told of the funds: once in a period each, as use passes a threshold.

An alert stands in token-budget.json until the reset; at `budget.escalate_at` it is an escalation
too, which is open for as long as the fund is that full. A person who raises a fund hears anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cortex.decide.entry import Entry, Now
from cortex.decide.escalate import end_escalation, raise_escalation
from cortex.model.settings import Settings
from cortex.model.state import Escalation, State

__all__ = ["next_alert"]

Event = dict[str, Any]
_SUBJECT = " is nearly used up"


@dataclass(frozen=True, slots=True)
class _Use:
    """How full one fund is: tokens that are held or spent, of how many."""

    fund: str
    name: str
    used: int
    total: int

    def passes(self, share: float) -> bool:
        """Whether so much of it is in use; a fund of nothing never is."""
        return self.total > 0 and self.used >= share * self.total

    def __str__(self) -> str:
        return f"{self.used:,} of {self.name}'s {self.total:,} tokens are held or spent"


def next_alert(state: State, settings: Settings, now: Now) -> Entry | None:
    """The line of one alert that is due or of one escalation that is over; to be applied before
    the next is asked for."""
    uses = list(_uses(state))
    for use in uses:
        for level, share in _levels(state, settings, use):
            if use.passes(share) and f"{use.fund}:{level}" not in state.budget.alerts:
                return _raised(state, use, level, now)
    full = {use.name + _SUBJECT for use in uses if use.passes(settings.budget.escalate_at)}
    for told in _open(state):
        if told.subject not in full:
            return Entry("coordinator-master", f"{told.subject}: no longer", [end_escalation(told)])
    return None


def _uses(state: State) -> Iterator[_Use]:
    budget = state.budget
    pool = budget.pool_allocated + budget.pool_spent
    yield _Use("pool", "the worker pool", pool, budget.pool_total)
    reserve = budget.reserve_allocated + budget.reserve_spent
    yield _Use("reserve", "the emergency reserve", reserve, budget.reserve_total)
    for name, fund in budget.masters.items():
        yield _Use(
            f"master:{name}", f"the {name} master", fund.used + fund.reserved, fund.allocated
        )


def _levels(state: State, settings: Settings, use: _Use) -> Iterator[tuple[str, float]]:
    yield "alert", settings.budget.alert_at
    yield "escalation", settings.budget.escalate_at
    if use.fund == "pool" and state.budget.reserve_total > 0:
        yield "reserve_next", state.budget.trigger_threshold


def _raised(state: State, use: _Use, level: str, now: Now) -> Entry:
    share = round(use.used / use.total, 3)
    alert = f"{use.fund}:{level}"
    events: list[Event] = [
        {"event": "alert_raised", "alert": alert, "fund": use.fund, "share": share}
    ]
    why = str(use)
    if level == "reserve_next":
        why += "; the emergency reserve is next, for critical work alone"
    if level == "escalation":
        way = "`cortex budget --set-total N` adds to the pool; else it waits for the reset"
        reason = f"{use}; {way}" if use.fund == "pool" else f"{use}; it is full again at the reset"
        subject = use.name + _SUBJECT
        events += [end_escalation(told) for told in _open(state) if told.subject == subject]
        events.append(raise_escalation(state, subject, reason, None, now))
    return Entry("coordinator-master", why, events)


def _open(state: State) -> Iterator[Escalation]:
    return (
        told
        for told in state.escalations.values()
        if told.status == "open" and told.task_id is None and told.subject.endswith(_SUBJECT)
    )
