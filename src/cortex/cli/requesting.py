"""Hands a request to the daemon and says what became of it: taken, refused, or left for later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cortex.cli.terminal import note
from cortex.model.errors import CortexError

if TYPE_CHECKING:
    from cortex.home import Home, Outcome, Receipt

__all__ = ["RefusedError", "await_outcome", "refusal", "send_verb"]

#: A daemon takes a drop up within this time, unless it has very much to do.
PATIENCE_S = 5.0


class RefusedError(CortexError):
    """The daemon refused a request."""


def send_verb(home: Home, payload: Mapping[str, Any], done: str) -> None:
    """Drops a verb, waits a moment for its effect, and prints `done` or what is known instead.

    Raises RefusedError with the reason if the daemon refused it.
    """
    receipt = home.submit(payload)
    outcome = await_outcome(home, receipt)
    if outcome is not None:
        print(done)
        return
    where = home.paths.inbox / receipt.name
    if home.daemon().running:
        note(f"the daemon has not taken it up yet; it waits in {where}")
    else:
        note(f"no daemon runs for {home.root}; the next one takes it up from {where}")


def await_outcome(home: Home, receipt: Receipt, patience_s: float = PATIENCE_S) -> Outcome | None:
    """What became of a drop, or None if nobody took it up in time or no daemon runs.

    Raises RefusedError with the reason if it was refused.
    """
    if not home.daemon().running:
        return None
    end = time.monotonic() + patience_s
    for _ in home.changes(every_s=0.5):
        outcome = home.find_submitted(receipt)
        if outcome is not None:
            if outcome.rejection is not None:
                raise refusal(receipt.name, outcome.rejection)
            return outcome
        if time.monotonic() >= end:
            break
    return None


def refusal(name: str, error: Mapping[str, Any]) -> RefusedError:
    """The error file of a refused drop as one sentence: what, where, what next."""
    field = f" {error['field']}:" if error.get("field") else ""
    line = f" line {error['line']}:" if error.get("line") else ""
    hint = f"; {error['hint']}" if error.get("hint") else ""
    reason = error.get("reason", "no reason given")
    return RefusedError(f"refused:{line}{field} {reason}{hint} (kept as rejected/{name})")
