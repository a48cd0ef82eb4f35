"""What keeps the whole fleet from starting anything: a pause or a drain, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.home.client import Home
    from cortex.model.journal_line import Line

__all__ = ["FleetHold", "fleet_hold"]


@dataclass(frozen=True, slots=True)
class FleetHold:
    """Why nothing starts, since when (RFC 3339) it holds up what asks, and what lets it go on."""

    reason: str
    since: str | None
    freed_by: tuple[str, ...]


def fleet_hold(home: Home, since: str | None) -> FleetHold | None:
    """The pause or drain of the fleet; None where there is none.

    `since` is when the subject began to wait: it waits for the fleet no longer than that.
    """
    daemon = home.queue().get("daemon")
    if not isinstance(daemon, dict):
        return None
    if daemon.get("draining"):
        ways = ("`cortex resume`, which takes the drain back", "or the next cortexd")
        return FleetHold("the daemon drains", _began(home, "fleet_draining", since), ways)
    if daemon.get("paused"):
        began = _began(home, "fleet_paused", since)
        return FleetHold("the fleet is paused", began, ("`cortex resume`",))
    return None


def _began(home: Home, event: str, since: str | None) -> str | None:
    """The last such event, if the subject waited already when it came."""
    last = None
    for line in home.journal(mentioning=[f'"{event}"'], since_at=(since or "")[:19]):
        last = line.at if _begins(line, event) else last
    return last if last is not None and last > (since or "") else since


def _begins(line: Line, name: str) -> bool:
    return any(one.get("event") == name and one.get("paused", True) for one in line.events)
