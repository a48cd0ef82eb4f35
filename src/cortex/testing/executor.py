"""The executor of one simulated daemon: its connection to a machine that outlives it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cortex.runtime.executor import ExitRecord, Launch, Report, Sighting
from cortex.testing.machine import FakeMachine

__all__ = ["FakeExecutor"]


class FakeExecutor:
    """`runtime.executor.Executor` for one daemon on a `FakeMachine`."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.reports: list[Report] = []
        machine.executor = self

    def start(self, launches: Sequence[Launch]) -> None:
        """Hands launches over to the machine."""
        for launch in launches:
            self._machine.order(launch)

    def filenos(self) -> list[int]:
        """None: whoever drives a fake looks by himself."""
        return []

    def poll(self) -> list[Report]:
        """What has arrived since the last call."""
        reports, self.reports = self.reports, []
        return reports

    def look(self, worker_id: str, lock_dir: str, attempt_dir: str) -> Sighting:
        """What a daemon can know of an attempt."""
        del lock_dir
        attempt = self._machine.attempt(worker_id)
        run = attempt.run
        claim = attempt.claims[max(attempt.claims)] if attempt.claims else None
        held = run is not None or attempt.free_at > self._machine.clock.monotonic()
        data = self._machine.disk.content(f"{attempt_dir}/exit.json")
        record = ExitRecord(**json.loads(data)) if data else None
        return Sighting(claim, attempt.lock and held, record, run is not None and attempt.lock)

    def claim(self, worker_id: str, lock_dir: str, nonce: int) -> bool:
        """Wins the claim for the daemon; False where somebody has it, if only since the look."""
        del lock_dir
        self._machine.hurry(worker_id)
        claims = self._machine.attempt(worker_id).claims
        if nonce in claims:
            return False
        claims[nonce] = {"by": "daemon", "worker_id": worker_id, "nonce": nonce}
        return True

    def stop(self, worker_id: str, lock_dir: str) -> bool:
        """Asks the shim to end its worker."""
        del lock_dir
        return self._machine.end_soon(worker_id)

    def hunt(self, worker_id: str, lock_dir: str | None = None) -> int:
        """Ends what is left of a dead shim's tree."""
        del lock_dir
        attempt = self._machine.attempt(worker_id)
        left = attempt.free_at > self._machine.clock.monotonic()
        attempt.free_at = 0.0
        return int(left)

    def forget(self, lock_dir: str) -> None:
        """Removes lock and claims."""
        attempt = self._machine.attempt(Path(lock_dir).name)
        attempt.lock = False
        attempt.claims.clear()

    def close(self) -> None:
        """Workers live on."""
        self._machine.disconnect(nursery_lives=True)
