"""The seam between the daemon and whatever runs workers: one launch, its reports, its sighting.

Reports are hints that something may have changed; `Executor.look` is the truth (level, not edge).
What should be started, stopped or given up is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "Claimed",
    "Executor",
    "ExitRecord",
    "Exited",
    "Launch",
    "Limits",
    "Report",
    "Sighting",
    "StartFailed",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel holds a worker to; None leaves a resource unlimited.

    `memory_bytes` bounds the address space of each process (RLIMIT_AS; at least 64 MiB),
    `file_bytes` the size of each file, `cpu_s` the CPU time of each process. `processes` is how
    many more processes this user may have than ran on the machine at the start: RLIMIT_NPROC
    counts a user's processes together, and does not bind root (setrlimit(2)).
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None
    processes: int | None = None
    cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that one attempt needs. All paths are absolute.

    `nonce` is the claim number, from 1. `attempt_dir` gets exit.json; `lock_dir` holds `lock` and
    `claim.N`, and may be the same folder or one on a tmpfs. `spec_path` is where the spec is
    published; the worker's folder gets its own copy as spec.json. `env` is the program's whole
    environment; a HOME inside `worker_dir` is made before the program starts.
    """

    worker_id: str
    nonce: int
    attempt_dir: str
    lock_dir: str
    worker_dir: str
    spec: dict[str, Any]
    spec_path: str
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str | None
    timeout_s: float
    grace_s: float
    log_limit_bytes: int
    boot_id: str
    title: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A shim won claim number `nonce` and is about to run the program."""

    worker_id: str
    pid: int
    start_ticks: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A shim wrote its exit record and let go of the lock."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A shim could not be forked or make its claim. `error`: an errno's name or NURSERY_GONE.

    NURSERY_GONE means that no answer came: the shim may run. Whoever gives the attempt up must
    win its claim first, after every kind of error.
    """

    worker_id: str
    nonce: int
    error: str
    message: str


Report: TypeAlias = Claimed | Exited | StartFailed


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How an attempt ended, as its shim saw it (exit.json).

    `code` or `signal` is set when the program ran; `spawn_error` when it never did: a dict with
    `errno`, `error` (its name), `message` and `path`; `retryable` then says that the machine
    was at fault (no space, no descriptors) and not the program. `cause` says who ended
    it; None: it ended by itself. `results` is {"sha256", "size"} of results.json, or None.
    `tail` is the end of the output, at most 2 kB, with control characters neutralised.
    `left_descendants` counts processes that could not be ended within the shim's bound.
    `limits_met` says of each limit of its control group that it met what came of that.
    """

    worker_id: str
    nonce: int
    code: int | None
    signal: int | None
    cause: Literal["timeout", "stop"] | None
    spawn_error: dict[str, Any] | None
    retryable: bool
    started_at: str
    ended_at: str
    duration_s: float
    results: dict[str, Any] | None
    tail: str
    log_bytes: int
    log_cut: bool
    max_rss_kb: int
    cpu_s: float
    ended_descendants: int
    left_descendants: int
    limits_met: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What `look` saw of one attempt, in an order that no race can turn into a false `lost`.

    `claim` is the claim with the highest number: by ("shim" or "daemon"), worker_id, nonce, pid,
    start_ticks, boot_id, at. `lock_held` means that the shim or something of its tree may be
    alive. `shim_alive` is True if the claim's shim process itself was seen: a held lock without
    a shim means that nobody keeps the timeout, and the rest should be hunted.
    """

    claim: dict[str, Any] | None
    lock_held: bool
    exit: ExitRecord | None
    shim_alive: bool


class Executor(Protocol):
    """Starts attempts and answers what became of them; one real and one fake implementation."""

    def start(self, launches: Sequence[Launch]) -> None:
        """Hand over launches; results come as reports. Does not wait for them."""

    def filenos(self) -> list[int]:
        """File descriptors to watch for reading; readable means: call `poll`.

        Ask again after each `poll` and `start`: a restarted nursery has another descriptor.
        """

    def poll(self) -> list[Report]:
        """Everything that was reported since the last call; never blocks."""

    def look(self, worker_id: str, lock_dir: str, attempt_dir: str) -> Sighting:
        """What is known of an attempt now, read from its files."""

    def claim(self, worker_id: str, lock_dir: str, nonce: int) -> bool:
        """Win claim `nonce` for the daemon, so that no shim can run; False: somebody has it."""

    def stop(self, worker_id: str, lock_dir: str) -> bool:
        """Ask the shim to end its worker; False if there is no such shim (any more)."""

    def hunt(self, worker_id: str, lock_dir: str | None = None) -> int:
        """End whatever is left of a worker whose shim is gone; how many processes that were."""

    def forget(self, lock_dir: str) -> None:
        """Remove lock and claims of a collected attempt; no shim can start it afterwards."""

    def close(self) -> None:
        """Let the nursery end. Workers and their shims live on."""
