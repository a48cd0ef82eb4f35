"""What live workers say of themselves, and how long they may be silent.

A heartbeat is judged by when it arrived, on the monotonic clock, never by the date in it. Only
workers that declare heartbeats are held to them; a daemon that itself stood still grants everybody
one full interval.
"""

from __future__ import annotations

from cortex.control.context import Context
from cortex.control.observing import Seen
from cortex.decide.entry import Entry, Now
from cortex.decide.project import Vitals
from cortex.model.state import Worker

__all__ = ["Heartbeats"]

#: Silent for one interval: unhealthy. For this many: ended.
INTERVALS_AT_MOST = 3
#: Looks come every second or two; a longer gap is the daemon's own silence.
DAEMON_GAP_S = 10.0


class Heartbeats:
    """Takes in heartbeats for one daemon; they live in memory, never in the journal."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._versions: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._looked: dict[str, float] = {}

    def take(self, worker: Worker, seen: Seen, now: Now) -> Entry | None:
        """Keeps what a running worker last said; the line that ends it where it fell silent."""
        clock = self._context.engine.clock.monotonic()
        if seen.heartbeat_ns and self._versions.get(worker.id) != seen.heartbeat_ns:
            self._versions[worker.id] = seen.heartbeat_ns
            self._heard[worker.id] = clock
            self._told(worker, seen, now)
        gap = clock - self._looked.get(worker.id, clock)
        self._looked[worker.id] = clock
        if gap > self._longest_gap_s(worker):
            self._heard[worker.id] = clock
        if not worker.heartbeats or worker.status != "running":
            return None
        return self._judge(worker, clock - self._heard.setdefault(worker.id, clock))

    def last(self, worker: Worker, seen: Seen, now: Now) -> int:
        """The tokens that an ended worker last said it had used, at most what was reserved."""
        # One that was taken in already may be older than what the worker's row said since.
        if seen.heartbeat_ns and self._versions.get(worker.id) != seen.heartbeat_ns:
            self._told(worker, seen, now)
        vitals = self._context.vitals.get(worker.id)
        return vitals.tokens_used if vitals else 0

    def _longest_gap_s(self, worker: Worker) -> float:
        """Between two looks; after a longer one the daemon cannot tell what it did not read."""
        kind = self._context.catalog.types.get(worker.worker_type)
        interval_s = kind.heartbeat_interval if kind else DAEMON_GAP_S
        return min(DAEMON_GAP_S, max(interval_s, 2 * self._context.settings.daemon.resync))

    def edited(self, worker: Worker, tokens: int | None, now: Now) -> None:
        """A running worker wrote into its row of worker-pool.json: a heartbeat as any other."""
        self._heard[worker.id] = self._context.engine.clock.monotonic()
        vitals = self._context.vitals.setdefault(worker.id, Vitals())
        vitals.last_heartbeat, vitals.healthy = now.at, True
        if tokens is not None:
            vitals.tokens_used = max(vitals.tokens_used, min(tokens, worker.reserved))
        self._context.state.touch("worker", worker.id)

    def _told(self, worker: Worker, seen: Seen, now: Now) -> None:
        vitals = self._context.vitals.setdefault(worker.id, Vitals())
        vitals.last_heartbeat = now.at
        vitals.healthy = True
        said = seen.heartbeat or {}
        tokens = said.get("tokens_used")
        if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
            vitals.tokens_used = min(tokens, worker.reserved)
        progress = said.get("progress")
        if isinstance(progress, int | float) and not isinstance(progress, bool):
            # Bounded first: a whole number may be too large for a float.
            vitals.progress = round(float(min(1.0, max(0.0, progress))), 3)
        message = said.get("message")
        if isinstance(message, str):
            vitals.message = "".join(c for c in message if c.isprintable())[:200]
        self._context.state.touch("worker", worker.id)

    def _judge(self, worker: Worker, silent_s: float) -> Entry | None:
        kind = self._context.catalog.types.get(worker.worker_type)
        interval_s = kind.heartbeat_interval if kind else 150.0
        if silent_s <= interval_s:
            return None
        vitals = self._context.vitals.setdefault(worker.id, Vitals())
        if vitals.healthy:
            vitals.healthy = False
            self._context.log.warning("a worker is silent", worker=worker.id, seconds=silent_s)
            self._context.state.touch("worker", worker.id)
        if silent_s <= INTERVALS_AT_MOST * interval_s:
            return None
        reason = f"no heartbeat for {silent_s:.0f} s, and one is due every {interval_s:g} s"
        event = {
            "event": "worker_ending",
            "worker_id": worker.id,
            "cause": "heartbeat",
            "reason": reason,
        }
        return Entry(worker.master, reason, [event])

    def forget(self, worker_id: str) -> None:
        """Drops what was kept of a worker that has ended."""
        for memory in (self._versions, self._heard, self._looked, self._context.vitals):
            memory.pop(worker_id, None)
