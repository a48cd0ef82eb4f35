"""The executor of this machine: a nursery that forks shims, and the files that they keep.

Puts the pieces of this room together behind the `Executor` protocol; decides nothing.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex.model.failpoints import failpoint
from cortex.runtime import attempts
from cortex.runtime.executor import Launch, Report, Sighting, StartFailed
from cortex.runtime.hunt import hunt
from cortex.runtime.nursery_link import NurseryLink, errno_text
from cortex.runtime.processes import boot_id, pid_namespace, signal_exactly
from cortex.runtime.shim_record import ask_to_stop
from cortex.runtime.wake import WakeSocket

__all__ = ["LocalExecutor"]


class LocalExecutor:
    """Runs workers as processes of this machine. Methods may be called from several threads.

    `state_dir` is the home's `.state`; `wake_path` (there by default) is where this daemon and
    every later one listen for shims; `home` is the folder that its workers' folders lie in;
    `containment` is the setting `workers.containment`.
    """

    def __init__(
        self,
        state_dir: Path,
        python: str = sys.executable,
        *,
        wake_path: Path | None = None,
        home: Path | None = None,
        containment: str = "auto",
    ) -> None:
        """Bind the wake path and start a nursery. Raises OSError."""
        state_dir = state_dir.resolve()
        wake_path = wake_path or state_dir / "wake.sock"
        self._home = str((home or state_dir.parent).resolve())
        self._attempts_dir = state_dir / "attempts"
        self._boot_id = boot_id()
        self._mutex = threading.Lock()
        self._unreported: list[StartFailed] = []
        self._wake = WakeSocket(wake_path)
        self._nursery = NurseryLink(python, wake_path, state_dir / "nursery.log", containment)

    @property
    def nursery_pid(self) -> int | None:
        """The nursery's process id, None before the first start or after its end."""
        return self._nursery.pid

    def start(self, launches: Sequence[Launch]) -> None:
        """Hand over launches; what cannot be handed over is reported by the next `poll`."""
        orders = []
        failed = []
        for launch in launches:
            order = _order(launch)
            try:
                attempts.allow_start(launch.lock_dir)
            except OSError as problem:
                text = f"{launch.lock_dir}/lock: {problem.strerror}"
                failed.append(
                    StartFailed(launch.worker_id, launch.nonce, errno_text(problem), text)
                )
            else:
                orders.append((launch, order))
        with self._mutex:
            self._unreported += failed
            if orders:
                failpoint("start.before_hand_over")
                self._unreported += self._nursery.hand_over(orders)
                failpoint("start.handed_over")

    def filenos(self) -> list[int]:
        """The wake socket and, while there is one, the nursery's socket."""
        nursery = self._nursery.fileno()
        return [self._wake.fileno()] if nursery is None else [self._wake.fileno(), nursery]

    def poll(self) -> list[Report]:
        """Everything that was reported since the last call; never blocks."""
        with self._mutex:
            reports: list[Report] = [*self._unreported, *self._nursery.poll()]
            self._unreported.clear()
        return reports + self._wake.receive()

    def look(self, worker_id: str, lock_dir: str, attempt_dir: str) -> Sighting:
        """What is known of an attempt now, read from its files; some twenty system calls."""
        return attempts.look(worker_id, lock_dir, attempt_dir, self._boot_id)

    def claim(self, worker_id: str, lock_dir: str, nonce: int) -> bool:
        """Win claim `nonce` for the daemon; False: somebody has it. Raises OSError."""
        return attempts.claim_for_daemon(worker_id, lock_dir, nonce, self._boot_id)

    def stop(self, worker_id: str, lock_dir: str) -> bool:
        """SIGTERM to the shim, after boot, pid namespace and start time match.

        False also if the request could not be written (a full disk): ask again later. A shim
        may serve another worker by the time of the signal; without a stop file of that
        worker it takes no notice.
        """
        claim = self._shims_claim(worker_id, lock_dir)
        if claim is None:
            return False
        if not attempts.is_lock_held(lock_dir):
            return False
        try:
            ask_to_stop(lock_dir)
        except OSError:
            return False
        return signal_exactly(claim["pid"], claim["start_ticks"], signal.SIGTERM)

    def hunt(self, worker_id: str, lock_dir: str | None = None) -> int:
        """End whatever is left of the worker; slow, for an effect thread."""
        if lock_dir is None:
            return hunt(worker_id, self._home, None)
        claim = self._shims_claim(worker_id, lock_dir)
        return hunt(worker_id, self._home, f"{lock_dir}/lock", claim)

    def _shims_claim(self, worker_id: str, lock_dir: str) -> dict[str, Any] | None:
        """A shim's claim whose pid means something here and now; else None."""
        claim = attempts.read_claim(worker_id, lock_dir)
        if claim is None or claim.get("by") != "shim":
            return None
        here = (self._boot_id, pid_namespace())
        return claim if (claim.get("boot_id"), claim.get("pid_namespace")) == here else None

    def forget(self, lock_dir: str) -> None:
        """Remove lock and claims; the folder too, unless it is the one of the exit record."""
        inside = Path(lock_dir).parent == self._attempts_dir
        attempts.forget(lock_dir, keep_folder=inside)

    def close(self) -> None:
        """Let the nursery end and stop listening. Workers and their shims live on."""
        with self._mutex:
            self._nursery.close()
        self._wake.close()


def _order(launch: Launch) -> dict[str, Any]:
    """The launch as the shim reads it. Raises ValueError if a path is not absolute."""
    for name in ("attempt_dir", "lock_dir", "worker_dir", "spec_path"):
        if not getattr(launch, name).startswith("/"):
            problem = f"Launch.{name} of {launch.worker_id} must be an absolute path"
            raise ValueError(f"{problem}, not {getattr(launch, name)!r}")
    limits = launch.limits
    return {
        "worker_id": launch.worker_id,
        "nonce": launch.nonce,
        "attempt_dir": launch.attempt_dir,
        "lock_dir": launch.lock_dir,
        "worker_dir": launch.worker_dir,
        "spec_text": json.dumps(launch.spec, indent=2, ensure_ascii=False) + "\n",
        "spec_path": launch.spec_path,
        "task_id": str(launch.spec.get("task_id") or ""),
        "title": launch.title,
        "argv": launch.argv,
        "env": launch.env,
        "cwd": launch.cwd,
        "timeout_s": launch.timeout_s,
        "grace_s": launch.grace_s,
        "log_limit_bytes": launch.log_limit_bytes,
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "processes": limits.processes,
            "cpu_s": limits.cpu_s,
        },
        "boot_id": launch.boot_id,
    }
