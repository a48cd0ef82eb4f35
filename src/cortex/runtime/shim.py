"""One attempt from its claim to its exit record: the process that outlives the daemon.

Runs in a child that the nursery forked; standard library only, nothing imported after the fork.
It keeps the timeout by CLOCK_MONOTONIC whether or not a daemon runs. SIGTERM with a stop file
beside the lock asks it to end its worker. It decides nothing: the daemon reads its exit record.

A shim whose worker's tree is gone may take another order: a fork costs ten times what a warm
shim's own work does. So a signal alone asks for nothing, since it may be meant for the last one.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import time
from contextlib import suppress

from cortex.model.failpoints import failpoint
from cortex.model.formats import EXIT_RECORD
from cortex.runtime.shim_log import Log, timestamp
from cortex.runtime.shim_record import (
    RETRYABLE,
    Lock,
    is_stop_asked,
    seal_results,
    win_claim,
    write_exit_record,
)
from cortex.runtime.shim_tree import Tree, become_subreaper, name_process, start_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cortex.runtime.shim_cage import Cage
    from cortex.runtime.shim_order import Channel, Hints, Order

_CHUNK_BYTES = 65536
_LEFTOVER_GRACE_S = 0.2  # for what ends by itself, such as a `tee` behind the main program
_LEFTOVER_BOUND_S = 5.0
_KILL_AGAIN_S = 1.0
_ORDERS_AT_MOST = 1000  # by one process; whatever grows in it ends with it


class Signals:
    """SIGTERM and SIGCHLD as readable bytes, so that one poll waits for everything."""

    def __init__(self) -> None:
        """Install handlers and unblock both; the nursery forks with SIGTERM blocked."""
        self.terminated = True  # one may have come before the handler did
        self.fileno, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._note_stop)
        signal.signal(signal.SIGCHLD, _note_nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGCHLD))

    def _note_stop(self, _number: int, _frame: object) -> None:
        self.terminated = True

    def clear(self) -> None:
        """Take the bytes out; call it before looking at what they may mean."""
        with suppress(BlockingIOError):
            os.read(self.fileno, 4096)


def _note_nothing(_number: int, _frame: object) -> None:
    """SIGCHLD only has to wake the poll."""


class Self:
    """What a shim process is, whichever attempt it serves."""

    def __init__(self, cage: Cage) -> None:
        os.setsid()
        if not cage.is_first:
            become_subreaper()
        self.cage = cage
        self.stat = cage.outside.stat
        self.signals = Signals()


class Program:
    """The running program with its output and its tree."""

    def __init__(
        self, order: Order, log: Log, me: Self, lock: Lock, limits: list[tuple[int, int]]
    ) -> None:
        """Start it; raises OSError if that is impossible."""
        self._order = order
        self._log = log
        self._signals = signals = me.signals
        self.tree = Tree(me.cage.is_first)
        self.cause: str | None = None
        self.left_descendants = 0
        output, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid = start_program(order, limits, write_end, lock.for_program)
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(write_end)
        os.set_blocking(output, False)
        signals.terminated = True  # look for a stop file at least once
        self._output: int | None = output
        self._poll = select.poll()
        self._poll.register(output, select.POLLIN)
        self._poll.register(signals.fileno, select.POLLIN)

    def run(self) -> tuple[int, resource.struct_rusage]:
        """Watch it until its whole tree is gone; its wait status and what it used."""
        self._watch(time.monotonic() + self._order.timeout_s)
        _, status, usage = os.wait4(self.pid, 0)
        self._end_descendants()
        self._drain()
        return status, usage

    def _watch(self, timeout_at_s: float) -> None:
        """Until the program itself has ended; it stays unreaped, so its group stays its own."""
        next_kill_s = timeout_at_s
        while not self.tree.reap_orphans(self.pid):
            now_s = time.monotonic()
            if self.cause is None:
                self.cause = self._why_to_end(now_s >= timeout_at_s)
                if self.cause is not None:
                    self._ask_to_end()
                    next_kill_s = now_s + self._order.grace_s
            elif now_s >= next_kill_s:
                self.tree.signal(signal.SIGKILL)
                next_kill_s = now_s + _KILL_AGAIN_S
            self._wait(next_kill_s - now_s)

    def _why_to_end(self, is_late: bool) -> str | None:
        if self._signals.terminated:
            self._signals.terminated = False
            if is_stop_asked(self._order.lock_dir):
                return "stop"
        return "timeout" if is_late else None

    def _ask_to_end(self) -> None:
        self.tree.signal(signal.SIGTERM)
        # A stopped process takes its SIGTERM only when it goes on.
        self.tree.signal(signal.SIGCONT)

    def _end_descendants(self) -> None:
        """End what the program left behind: a moment for its own end, then without asking."""
        started_s = time.monotonic()
        kill_at_s = started_s + (_LEFTOVER_GRACE_S if self.cause is None else 0.0)
        while self.tree.reap_all():
            now_s = time.monotonic()
            if now_s >= started_s + _LEFTOVER_BOUND_S:
                self.left_descendants = self.tree.left()
                break
            if now_s >= kill_at_s:
                self.tree.signal(signal.SIGKILL)
                self._wait(0.01)
            else:
                self._wait(kill_at_s - now_s)

    def _wait(self, seconds: float) -> None:
        """Until a signal, output or the time is up; takes the output."""
        for descriptor, _event in self._poll.poll(max(0, min(seconds, 86_400.0)) * 1000 + 1):
            if descriptor == self._signals.fileno:
                self._signals.clear()
            else:
                self._take_output()

    def _take_output(self) -> bool:
        """Read one chunk; False at the end of it or when there is nothing now."""
        if self._output is None:
            return False
        try:
            chunk = os.read(self._output, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._poll.unregister(self._output)
            os.close(self._output)
            self._output = None
            return False
        self._log.output(chunk)
        return True

    def _drain(self) -> None:
        """What is still in the pipe; whoever else holds it open is not waited for."""
        for _ in range(64):  # a pipe holds at most 1 MiB (pipe(7))
            if not self._take_output():
                break
        if self._output is not None:
            os.close(self._output)


def live(order: Order | None, hints: Hints, channel: Channel, cage: Cage) -> None:
    """All of a shim's life: one order after the other, as long as nothing is left of the last."""
    name_process(b"cortex-shim")
    me = Self(cage)
    for _ in range(_ORDERS_AT_MOST):
        if order is None:
            break
        if not run_attempt(order, hints, me, channel.say_idle):
            return
        order = channel.next_order()
    cage.leave()


def run_attempt(
    order: Order, hints: Hints, me: Self, say_idle: Callable[[], None] = lambda: None
) -> bool:
    """One attempt; True if this process is as new afterwards. `say_idle` comes before the hint
    of the end, so that whoever starts the next worker on that hint finds this shim free.
    """
    lock = None
    try:
        lock = Lock(order.lock_dir)
        limits = me.cage.prepare(order.limits)
        failpoint("shim.before_claim")
        if not win_claim(order, lock, me.cage):
            return False
        failpoint("shim.claimed")
    except FileNotFoundError:
        return False  # the attempt is over: its lock and claims were taken away
    except OSError as problem:
        hints.start_failed(order.worker_id, order.nonce, errno_name(problem.errno or 0))
        return False
    hints.claimed(order.worker_id, me.stat.pid, me.stat.start_ticks, order.nonce)
    record = _attempt(order, lock, me, limits)
    os.chdir("/")
    failpoint("shim.before_record")
    if not write_exit_record(order.attempt_dir, record):
        return False
    failpoint("shim.recorded")
    lock.free()
    failpoint("shim.freed")
    is_clean = record["left_descendants"] == 0 and me.cage.is_intact()
    if is_clean:
        say_idle()
    hints.exited(order.worker_id)
    return is_clean


def _attempt(order: Order, lock: Lock, me: Self, limits: list[tuple[int, int]]) -> dict[str, Any]:
    """Run the program; the exit record as a document."""
    record = _new_record(order)
    started_s = time.monotonic()
    log = None
    try:
        _make_folder(order)
        log = Log(order)
        os.chdir(order.cwd or order.worker_dir)
        failpoint("shim.before_spawn")
        program = Program(order, log, me, lock, limits)
    except OSError as problem:
        record["spawn_error"] = _spawn_error(problem)
        record["retryable"] = problem.errno in RETRYABLE
    else:
        lock.leave_to_program()
        failpoint("shim.spawned")
        status, usage = program.run()
        _note_end(record, program, status, usage)
        record["results"] = seal_results(order.worker_dir)
        record["limits_met"] = me.cage.limits_met()
    record["duration_s"] = round(time.monotonic() - started_s, 6)
    record["ended_at"] = timestamp()
    if log is not None:
        record.update(tail=log.tail(), log_bytes=log.seen_bytes)
        log.finish(_foot(order, record, log.cut))
        record["log_cut"] = log.cut
    return record


def _new_record(order: Order) -> dict[str, Any]:
    return {
        "format": EXIT_RECORD,
        "worker_id": order.worker_id,
        "nonce": order.nonce,
        "code": None,
        "signal": None,
        "cause": None,
        "spawn_error": None,
        "retryable": False,
        "started_at": timestamp(),
        "ended_at": "",
        "duration_s": 0.0,
        "results": None,
        "tail": "",
        "log_bytes": 0,
        "log_cut": False,
        "max_rss_kb": 0,
        "cpu_s": 0.0,
        "ended_descendants": 0,
        "left_descendants": 0,
        "limits_met": [],
    }


def _note_end(
    record: dict[str, Any], program: Program, status: int, usage: resource.struct_rusage
) -> None:
    code = os.waitstatus_to_exitcode(status)
    record["code"] = code if code >= 0 else None
    record["signal"] = -code if code < 0 else None
    record["cause"] = program.cause
    record["max_rss_kb"] = usage.ru_maxrss
    record["cpu_s"] = round(usage.ru_utime + usage.ru_stime, 6)
    record["ended_descendants"] = program.tree.killed
    record["left_descendants"] = program.left_descendants


def _spawn_error(problem: OSError) -> dict[str, Any]:
    number = problem.errno or 0
    return {
        "errno": number,
        "error": errno_name(number),
        "message": os.strerror(number),
        "path": problem.filename,
    }


def errno_name(number: int) -> str:
    """ENOENT for 2, and the number itself where it has no name."""
    return errno.errorcode.get(number, str(number))


def _make_folder(order: Order) -> None:
    """The attempt's and the worker's folders and the spec; a second start finds them there."""
    for folder in (order.attempt_dir, order.worker_dir, f"{order.worker_dir}/artifacts"):
        _make_one(folder)
    home = order.env.get("HOME", "")
    if home.startswith(f"{order.worker_dir}/"):
        _make_one(home)
    copy = f"{order.worker_dir}/spec.json"
    _write_new(copy, order.spec_text.encode())
    try:
        os.link(copy, order.spec_path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(os.path.dirname(order.spec_path), exist_ok=True)
        _write_new(order.spec_path, order.spec_text.encode())
    except OSError:  # another file system, or one without links
        _write_new(order.spec_path, order.spec_text.encode())


def _make_one(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)


def _write_new(path: str, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _foot(order: Order, record: dict[str, Any], cut: bool) -> list[str]:
    """The last lines of log.md: how it ended, how long it took, what limit it met."""
    lines = [f"ended: {record['ended_at']} after {record['duration_s']:.3f} s"]
    if record["spawn_error"] is not None:
        problem = record["spawn_error"]
        lines.append(f"not started: {problem['path'] or 'set-up'}: {problem['message']}")
    elif record["signal"] is not None:
        lines.append(f"ended by {_signal_name(record['signal'])}")
    else:
        lines.append(f"exit status: {record['code']}")
    if record["cause"] == "timeout":
        lines.append(f"limit: timeout of {order.timeout_s:g} s")
    elif record["cause"] == "stop":
        lines.append("limit: stopped on request")
    lines += [f"limit: {limit}" for limit in record["limits_met"]]
    if record["ended_descendants"]:
        lines.append(f"left-over processes ended: {record['ended_descendants']}")
    if cut:
        lines.append(f"log cut: {record['log_bytes']} bytes came, kept {order.log_limit_bytes}")
    return lines


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
