"""The daemon's end of its nursery: starting it, handing over launches, hearing of forks.

A nursery that died is noticed by the end of its socket, one that hangs by its silence; both are
replaced at the next hand-over. Whether a launch whose answer never came did run is for the claim
to say, not for this module.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from cortex.model import failpoints
from cortex.runtime.executor import Launch, StartFailed
from cortex.runtime.shim_order import frame, split_frames

_PROGRAM = Path(__file__).with_name("nursery.py")
_LAUNCHES_A_FRAME = 64
_SEND_WAIT_MS = 50
_LOG_BYTES_AT_MOST = 1 << 20
#: An answer takes milliseconds. Less than `spawn.claim_timeout`, or the start would be given up.
_ANSWER_WITHIN_S = 5.0


class NurseryLink:
    """At most one nursery at a time; not safe for use from several threads at once."""

    def __init__(self, python: str, wake_path: Path, log_path: Path, containment: str) -> None:
        self._command = [python, "-I", "-S", "-E", str(_PROGRAM), str(wake_path), containment]
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._unsent = bytearray()
        # When each launch was handed over, the oldest first.
        self._unanswered: dict[tuple[str, int], float] = {}

    @property
    def pid(self) -> int | None:
        """The living nursery's process id."""
        return self._process.pid if self._process is not None else None

    def fileno(self) -> int | None:
        """What to watch for reading; None while there is no nursery."""
        return self._socket.fileno() if self._socket is not None else None

    def hand_over(self, launches: list[tuple[Launch, dict[str, Any]]]) -> list[StartFailed]:
        """Send launches with their orders; the ones that found no nursery."""
        failed = self._notice_end()
        if self._socket is None:
            try:
                self._start()
            except OSError as problem:
                name = errno_text(problem)
                return failed + [
                    StartFailed(launch.worker_id, launch.nonce, name, f"nursery: {problem}")
                    for launch, _ in launches
                ]
        for first in range(0, len(launches), _LAUNCHES_A_FRAME):
            batch = launches[first : first + _LAUNCHES_A_FRAME]
            self._unsent += frame([order for _, order in batch])
            now = time.monotonic()
            self._unanswered.update(((launch.worker_id, launch.nonce), now) for launch, _ in batch)
        return failed + self._flush(_SEND_WAIT_MS)

    def poll(self) -> list[StartFailed]:
        """Forks that failed, as far as heard of; never blocks."""
        return self._notice_end() + self._flush(0)

    def close(self) -> None:
        """Close the socket, at whose end the nursery ends, and wait for that briefly."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._open_log() as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"} | failpoints.inherited(),
                    start_new_session=True,  # Ctrl-C at the daemon's terminal is not for workers
                    close_fds=True,
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        self._socket = ours

    def _open_log(self) -> IO[bytes]:
        """Where a fault inside nursery or shim leaves its traceback."""
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        large = self._log_path.exists() and self._log_path.stat().st_size > _LOG_BYTES_AT_MOST
        return self._log_path.open("wb" if large else "ab")

    def _flush(self, wait_ms: int) -> list[StartFailed]:
        """Send what is unsent, waiting at most `wait_ms` for room."""
        while self._unsent and self._socket is not None:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                if not _is_writable(self._socket, wait_ms):
                    break
            except OSError:
                return self._end()
            else:
                del self._unsent[:sent]
        return []

    def _notice_end(self) -> list[StartFailed]:
        """Read the answers; at the end of the stream, what had none."""
        failed: list[StartFailed] = []
        while self._socket is not None:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                failed += self._end()
                break
            self._received += data
            for answers in split_frames(self._received):
                failed += self._heard(answers)
        if self._is_silent() and self._process is not None:
            self._process.kill()
            failed += self._end()
        return failed

    def _is_silent(self) -> bool:
        """Whether a launch waits for its answer for longer than any answer takes."""
        oldest = next(iter(self._unanswered.values()), None)
        return oldest is not None and time.monotonic() - oldest > _ANSWER_WITHIN_S

    def _heard(self, answers: Iterable[dict[str, Any]]) -> list[StartFailed]:
        failed = []
        for answer in answers:
            self._unanswered.pop((answer["worker_id"], answer["nonce"]), None)
            if "error" in answer:
                failed.append(StartFailed(**answer))
        return failed

    def _end(self) -> list[StartFailed]:
        """The nursery is gone: let go of it, and say which launches have no answer."""
        lost = [
            StartFailed(worker_id, nonce, "NURSERY_GONE", "the nursery ended before it answered")
            for worker_id, nonce in self._unanswered
        ]
        self._unanswered.clear()
        self._unsent.clear()
        self._received.clear()
        self.close()
        return lost


def errno_text(problem: OSError) -> str:
    """ENOENT for 2, and the number itself where it has no name."""
    number = problem.errno or 0
    return errno.errorcode.get(number, str(number))


def _is_writable(connection: socket.socket, wait_ms: int) -> bool:
    poller = select.poll()
    poller.register(connection, select.POLLOUT)
    return bool(poller.poll(wait_ms))
