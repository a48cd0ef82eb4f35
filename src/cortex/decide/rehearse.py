"""Tries events out on a copy of the state, so that a line which cannot be is never written."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

from cortex.decide.evolve import evolve
from cortex.model.state import State

__all__ = ["rehearse"]

Event = dict[str, Any]
_RECORDS = ("tasks", "workers", "handoffs", "escalations", "approvals", "schedules")


def rehearse(state: State, events: list[Event]) -> State:
    """The state as these events would leave it; the one that was given stays as it is.

    Raises what `evolve` raises where they cannot follow from it.
    """
    if not events:
        return state
    trial = copy(state)
    for name in State.__slots__:
        value = getattr(state, name)
        if isinstance(value, dict):
            setattr(trial, name, dict(value))
    trial.dependents = {need: set(others) for need, others in state.dependents.items()}
    trial.budget = deepcopy(state.budget)
    named = {value for event in events for value in event.values() if isinstance(value, str)}
    named |= {i for i in named if i in state.tasks for i in state.tasks[i].workers}
    for name in _RECORDS:
        records: dict[str, Any] = getattr(trial, name)
        for ident in named & records.keys():
            records[ident] = deepcopy(records[ident])
    evolve(trial, state.seq + 1, state.at or "1970-01-01T00:00:00Z", events)
    return trial
