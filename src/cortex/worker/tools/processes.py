"""Runs an analyzer as a bounded child: own process group, time limit, output limit, never the
network's.

Output goes through pipes into memory and never to a file, because an analyzer's raw words may
hold a secret. It knows nothing of what the output means.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "minimal_environment", "run"]

_OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
_ERROR_LIMIT_BYTES = 256 * 1024
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended. `returncode` is None when it never started; `problem` is set when it
    was cut.
    """

    returncode: int | None
    stdout: bytes
    stderr: bytes
    seconds: float
    problem: str | None = None


def minimal_environment(home: Path, **extra: str) -> dict[str, str]:
    """PATH, a locale and a home of its own: nothing of this process's environment that an analyzer
    could pick settings (or keys) out of."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "NO_COLOR": "1", **extra}


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limit_s: float,
    tail_bytes: int | None = None,
    own_session: bool = True,
) -> Outcome:
    """Run `argv` to its end or to `limit_s` seconds, then end its whole process group.

    With `tail_bytes` errors are part of the output, of which the last so many bytes are kept, and
    no amount of it stops the child. Without `own_session` it stays in this process's session, by
    which whoever started this process can end it too.
    """
    started_s = time.monotonic()
    try:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if tail_bytes is None else subprocess.STDOUT,
            start_new_session=own_session,
            process_group=None if own_session else 0,
        )
    except (OSError, ValueError) as refusal:
        return Outcome(None, b"", b"", 0.0, f"could not start {argv[0]}: {refusal}")
    try:
        if tail_bytes is None:
            stdout, stderr, problem = _collect(child, started_s + limit_s)
        else:
            stdout, problem = _collect_tail(child, started_s + limit_s, tail_bytes)
            stderr = b""
    finally:
        _end_group(child)
    if problem == "time":
        problem = f"stopped at its limit of {limit_s:g} s"
    return Outcome(child.returncode, stdout, stderr, time.monotonic() - started_s, problem)


def _collect(child: subprocess.Popen[bytes], deadline_s: float) -> tuple[bytes, bytes, str | None]:
    assert child.stdout is not None and child.stderr is not None
    kept = {child.stdout: bytearray(), child.stderr: bytearray()}
    limits = {child.stdout: _OUTPUT_LIMIT_BYTES, child.stderr: _ERROR_LIMIT_BYTES}
    problem: str | None = None
    with selectors.DefaultSelector() as selector, child.stdout, child.stderr:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and problem is None:
            rest_s = deadline_s - time.monotonic()
            if rest_s <= 0:
                problem = "time"
                break
            for key, _ in selector.select(rest_s):
                stream = child.stdout if key.fileobj is child.stdout else child.stderr
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(stream)
                elif len(kept[stream]) + len(chunk) <= limits[stream]:
                    kept[stream] += chunk
                elif stream is child.stdout:
                    problem = f"printed more than {_OUTPUT_LIMIT_BYTES >> 20} MiB"
        if problem is None:
            try:
                child.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                problem = "time"
        return bytes(kept[child.stdout]), bytes(kept[child.stderr]), problem


def _collect_tail(
    child: subprocess.Popen[bytes], deadline_s: float, tail_bytes: int
) -> tuple[bytes, str | None]:
    """The end of the output. A grandchild that holds the pipe open does not hold up the answer."""
    assert child.stdout is not None
    kept = bytearray()
    with selectors.DefaultSelector() as selector, child.stdout as stream:
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, selectors.EVENT_READ)
        while time.monotonic() < deadline_s:
            ended = child.poll() is not None
            ready = selector.select(0.0 if ended else min(0.1, deadline_s - time.monotonic()))
            chunk = os.read(stream.fileno(), 1 << 16) if ready else b""
            kept += chunk
            if len(kept) > 2 * tail_bytes:
                del kept[:-tail_bytes]
            if (ready and not chunk) or (ended and not ready):
                break
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, deadline_s - time.monotonic()))
    return bytes(kept[-tail_bytes:]), None if child.poll() is not None else "time"


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the group, also grandchildren that outlived an analyzer's own end."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group_id: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group_id, number)
