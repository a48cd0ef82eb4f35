"""The worker contract as a program inside a worker process sees it.

Reads the `CORTEX_*` environment, writes results.json and heartbeats whole or not at all.
Standard library only, so that any Python program may use it; it knows nothing of what a worker
does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cortex.model.formats import SPEC, WRITER

__all__ = ["ContractError", "Heartbeat", "Needed", "Worker", "read_worker", "write_json"]

_HEARTBEAT_GAP_S = 0.2
_INPUT_LIMIT_BYTES = 64 * 1024 * 1024


class ContractError(Exception):
    """The environment or the spec lacks something that this program cannot go on without."""


@dataclass(slots=True)
class Heartbeat:
    """Writes progress for whoever watches, at most five times a second; a failed write is not an
    error. With `log` each new message is a line there too, for who reads the log afterwards.
    """

    path: Path | None
    tokens_used: int = 0
    log: TextIO | None = None
    _last: str = field(default="", repr=False)
    _progress: float = 0.0
    _written_at_s: float = field(default=-1.0, repr=False)

    def beat(self, progress: float, message: str, *, now: bool = False) -> None:
        """Report `progress` from 0 to 1 (it never goes back) and a short message."""
        self._progress = max(self._progress, min(1.0, max(0.0, progress)))
        if message != self._last:
            self._last = message
            self.say(message)
        moment_s = time.monotonic()
        if self.path is None or (
            not now and moment_s - self._written_at_s < _HEARTBEAT_GAP_S and self._written_at_s >= 0
        ):
            return
        self._written_at_s = moment_s
        body = {
            "tokens_used": self.tokens_used,
            "progress": round(self._progress, 3),
            "message": message[:200],
        }
        try:
            write_json(self.path, body, durable=False)
        except OSError:
            return

    def say(self, words: str) -> None:
        """One line in the log, if there is one."""
        if self.log is not None:
            with suppress(OSError, ValueError):
                print(" ".join(words.split()), file=self.log, flush=True)


@dataclass(frozen=True, slots=True)
class Needed:
    """What one needed step handed over: its name, its results as read, and its worker's folder."""

    name: str
    results: Mapping[str, Any]
    dir: Path

    @property
    def artifacts_dir(self) -> Path:
        """Where its files lie; a stranger's, so mind links and sizes."""
        return self.dir / "artifacts"


@dataclass(frozen=True, slots=True)
class Worker:
    """What the environment told: the spec as it was read, and where to put what."""

    worker_id: str
    task_id: str
    spec: Mapping[str, Any]
    dir: Path
    results_path: Path
    artifacts_dir: Path
    input_paths: tuple[Path, ...]
    heartbeat: Heartbeat
    started_s: float = field(default_factory=time.monotonic)

    @property
    def worker_type(self) -> str:
        """`scan-worker` and so on, always with the ending."""
        name = str(self.spec.get("worker_type", ""))
        return name if name.endswith("-worker") or not name else f"{name}-worker"

    @property
    def scope(self) -> Mapping[str, Any]:
        """The spec's scope; empty where it has none."""
        scope = self.spec.get("scope")
        return scope if isinstance(scope, Mapping) else {}

    @property
    def context(self) -> Mapping[str, Any]:
        """The spec's context; empty where it has none."""
        context = self.spec.get("context")
        return context if isinstance(context, Mapping) else {}

    def inputs(self) -> dict[str, Any]:
        """What the needed steps handed over, by name; empty where there are none.

        Each goes by its step's name, as the spec's `inputs` have it. Without those `CORTEX_INPUTS`
        holds paths joined by `:`: a results.json goes by its folder's name, another file by its
        own; of a folder every JSON file counts. A file that is not there or cannot be read is
        left out.
        """
        found: dict[str, Any] = {}
        for name, path in self._input_files():
            value = _read_json(path)
            if value is not None:
                found[_free(name, found)] = value
        return found

    def needed(self) -> list[Needed]:
        """The needed steps that succeeded, in the order of `needs`.

        A command that wrote no results.json has empty results; one that cannot be read as an
        object is left out.
        """
        found = []
        for name, path in self._input_files():
            value = _read_json(path) if path.exists() else {}
            if isinstance(value, dict) and path.parent.is_dir():
                found.append(Needed(name, value, path.parent))
        return found

    def _input_files(self) -> list[tuple[str, Path]]:
        told = self.spec.get("inputs")
        if isinstance(told, list):
            rows = [row for row in told if isinstance(row, Mapping) and row.get("results")]
            return [(str(row.get("step") or "input"), Path(str(row["results"]))) for row in rows]
        found: list[tuple[str, Path]] = []
        for path in self.input_paths:
            if path.is_dir():
                files = sorted(file for file in path.rglob("*.json") if file.is_file())
                found += [(str(file.relative_to(path).with_suffix("")), file) for file in files]
            else:
                of_a_worker = path.name == self.results_path.name
                found.append((path.parent.name if of_a_worker else path.stem, path))
        return found

    def write_artifact(self, name: str, content: str | Mapping[str, Any]) -> Path:
        """Put one artifact in its folder, whole; a mapping is written as JSON. Returns its path."""
        self.artifacts_dir.mkdir(parents=True, exist_ok=True)
        path = self.artifacts_dir / name
        if isinstance(content, str):
            _replace(path, content.encode("utf-8", "replace"), durable=True)
        else:
            write_json(path, content)
        return path

    def write_results(
        self,
        status: str,
        summary: str,
        *,
        findings: list[Any] | None = None,
        artifacts: list[str] | None = None,
        error: str | None = None,
        **extra: Any,
    ) -> None:
        """Write results.json: `status` is completed, failed or partial, `artifacts` names of
        files.
        """
        body: dict[str, Any] = {
            "status": status,
            "summary": summary,
            "findings": findings or [],
            "artifacts": artifacts or [],
            "files_modified": [],
            "follow_ups": [],
            "tokens_used": self.heartbeat.tokens_used,
            "turn_count": 0,
            "error": error,
        }
        write_json(self.results_path, {**body, **extra})
        self.heartbeat.say(f"{status}: {error or summary}")


def read_worker(environ: Mapping[str, str] | None = None) -> Worker:
    """The worker that this process is, by its environment (default: `os.environ`).

    Raises ContractError naming the variable or file that is missing or unreadable.
    """
    env = os.environ if environ is None else environ
    spec_path = Path(_needed(env, "CORTEX_SPEC"))
    results_path = Path(_needed(env, "CORTEX_RESULTS"))
    worker_dir = Path(env.get("CORTEX_WORKER_DIR") or results_path.parent)
    try:
        spec = json.loads(spec_path.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise ContractError(f"CORTEX_SPEC {spec_path} cannot be read as JSON: {problem}") from None
    if not isinstance(spec, dict):
        raise ContractError(f"CORTEX_SPEC {spec_path} holds no JSON object; write the spec as one")
    if isinstance(number := spec.get("format"), int) and number > SPEC:
        raise ContractError(
            f"CORTEX_SPEC {spec_path} has format {number}; this is {WRITER}, which reads up to "
            f"format {SPEC}. A newer daemon wrote it: restart it, so that its workers are as new"
        )
    inputs = env.get("CORTEX_INPUTS")
    heartbeat = env.get("CORTEX_HEARTBEAT")
    return Worker(
        worker_id=env.get("CORTEX_WORKER_ID") or str(spec.get("worker_id", "worker")),
        task_id=env.get("CORTEX_TASK_ID") or str(spec.get("task_id", "")),
        spec=spec,
        dir=worker_dir,
        results_path=results_path,
        artifacts_dir=Path(env.get("CORTEX_ARTIFACTS") or worker_dir / "artifacts"),
        input_paths=_paths(inputs or ""),
        heartbeat=Heartbeat(Path(heartbeat) if heartbeat else None),
    )


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write JSON so that a reader sees the old file or the whole new one; `durable` also syncs
    it.
    """
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    _replace(path, text.encode("utf-8", "replace") + b"\n", durable=durable)


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)


def _paths(joined: str) -> tuple[Path, ...]:
    """A path that holds the separator itself can only be meant where it is the only one."""
    if os.pathsep in joined and Path(joined).exists():
        return (Path(joined),)
    return tuple(Path(part) for part in joined.split(os.pathsep) if part)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    while name in taken:
        name = f"{name.rpartition('#')[0] or name}#{number}"
        number += 1
    return name


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _INPUT_LIMIT_BYTES:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _needed(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise ContractError(f"{name} is not set; start this program as a Cortex worker, or set it")
    return value
