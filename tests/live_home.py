"""A home in a test's own folder with a real cortexd on it, for tests that drive the whole daemon.

Every wait has a deadline. `close` ends exactly what was started here, and says what is left over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cortex.decide.evolve import evolve
from cortex.decide.ledger import violations
from cortex.home import Home, create_home
from cortex.home.journal import lines_of
from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.model.state import State

BIN = Path(sys.executable).parent
LIMIT_S = 30.0
STOPPED_S = 50.0
#: A machine with much other work takes half a minute until a new program has said anything.
STARTED_S = 90.0
Row = dict[str, Any]
T = TypeVar("T")


class LiveHome:
    """One home and its daemon. `settings` is the text of cortex.toml; `program` is what the
    daemon is started by, with `env` added to its environment.
    """

    def __init__(
        self,
        root: Path,
        settings: str = "",
        program: Iterable[str] = (str(BIN / "cortexd"),),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.root = create_home(root).root.resolve()
        self.home = Home(self.root)
        self.paths = HomePaths(self.root)
        self.program = tuple(program)
        self.env = dict(env or {})
        self.daemon: subprocess.Popen[bytes] | None = None
        self.paths.settings.write_text(settings)

    # --- the daemon

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a cortexd and waits for nothing."""
        clean = {name: value for name, value in os.environ.items() if name[:7] != "CORTEX_"}
        with (self.root / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                [*self.program, "--home", str(self.root), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean | self.env,
            )

    def start(self, *arguments: str) -> int:
        """Starts the daemon and waits until it serves; its pid."""
        assert self.daemon is None
        self.daemon = self.popen(*arguments)
        self.until(self.serves, "the daemon serves", STARTED_S)
        return self.daemon.pid

    def serves(self) -> bool:
        """Whether the daemon that was started last has published."""
        assert self.daemon is not None
        if self.daemon.poll() is not None:
            raise AssertionError(f"cortexd ended with {self.daemon.returncode}: {self._log_end()}")
        try:
            about = json.loads(self.paths.task_queue.read_bytes()).get("daemon") or {}
        except (OSError, ValueError):
            return False  # not there yet, or somebody's edit
        # The documents come one after another, task-queue.json last.
        return bool(about.get("pid") == self.daemon.pid)

    def kill(self) -> None:
        """kill -9, at whatever it is doing."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait(STOPPED_S)
            self.daemon = None

    def stop(self) -> None:
        """SIGTERM; the daemon leaves by itself, within ten times the five seconds it promises."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(STOPPED_S)
        assert self.daemon.returncode == 0, self._log_end()
        self.daemon = None

    def log(self) -> str:
        """All that the daemons have said."""
        path = self.root / "daemon.log"
        return path.read_text(errors="replace") if path.exists() else "no daemon ran"

    def logged(self) -> list[Row]:
        """The same as objects."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def _log_end(self) -> str:
        return self.log()[-6000:]

    # --- what is seen from outside

    def read(self, name: str) -> Row:
        """A published document by its stem; {} before the first. A torn one is a failure."""
        try:
            data = (self.paths.coordination / f"{name}.json").read_bytes()
        except FileNotFoundError:
            return {}
        value = json.loads(data)
        assert isinstance(value, dict)
        return value

    def task(self, ident: str) -> Row:
        return next(
            (row for row in self.read("task-queue").get("tasks", []) if row["id"] == ident), {}
        )

    def tasks(self) -> list[Row]:
        rows: list[Row] = self.read("task-queue").get("tasks", [])
        return rows

    def workers(self, *lists: str) -> list[Row]:
        """Rows of worker-pool.json: all, or of queued, active, completed, failed."""
        pool = self.read("worker-pool")
        return [
            row
            for name in lists or ("queued", "active", "completed", "failed")
            for row in pool.get(f"{name}_workers", [])
        ]

    def running(self, task_id: str | None = None) -> list[Row]:
        """Active workers whose process is known."""
        return [
            row
            for row in self.workers("active")
            if row.get("session_id") and task_id in (None, row["task_id"])
        ]

    def lines(self) -> list[Line]:
        """Every line of the journal."""
        return list(lines_of(self.paths.journal))

    def events(self, name: str, **fields: Any) -> list[Row]:
        """The journal's events of one name whose fields are these, oldest first."""
        return [
            event
            for line in self.lines()
            for event in line.events
            if event["event"] == name and all(event.get(k) == v for k, v in fields.items())
        ]

    def folder_of(self, worker_id: str) -> Path:
        """The dated folder of a worker."""
        return next(self.paths.worker_logs.glob(f"*/{worker_id}"))

    def report_of(self, task_id: str) -> Path:
        """The dated report folder of a task."""
        return next(self.paths.task_logs.glob(f"*/{task_id}"))

    def errors(self) -> dict[str, Row]:
        """rejected/: name → its error file's object, once the file itself lies beside it."""
        found = {
            path.name.removesuffix(".error.json"): json.loads(path.read_bytes())
            for path in self.paths.rejected.glob("*.error.json")
        }
        names = {path.name for path in self.paths.rejected.iterdir()} if found else set()
        return {name: error for name, error in found.items() if name in names}

    # --- what a person does

    def drop(self, payload: Mapping[str, Any] | bytes | str, name: str | None = None) -> str:
        """Puts a file into the inbox whole, as `mv` does; its name."""
        data = payload if isinstance(payload, bytes) else _text(payload).encode()
        number = len(list(self.root.glob("drops/*")))
        name = name or f"drop-{number}.json"
        (self.root / "drops").mkdir(exist_ok=True)
        (self.root / "drops" / f"{number}").touch()
        hidden = self.paths.inbox / f".{name}.tmp"
        hidden.write_bytes(data)
        hidden.rename(self.paths.inbox / name)
        return name

    def run(self, ident: str, command: str, **fields: Any) -> str:
        """Drops a command task; its id."""
        self.drop({"id": ident, "command": command, **fields}, f"{ident}.json")
        return ident

    def define(self, path: Path, text: str) -> None:
        """Puts a definition in its place as editors do, and waits until it is in force: a task that
        is dropped next is another file, which the daemon may see first."""
        aside = path.with_suffix(".tmp")
        aside.write_text(text)
        aside.rename(path)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.until(
            lambda: self.events("definition_changed", sha256=digest), f"{path.name} is in force"
        )

    # --- waiting

    def until(self, condition: Callable[[], T], what: str, limit_s: float = LIMIT_S) -> T:
        """The first true value of the condition, within the limit."""
        end = time.monotonic() + limit_s
        while True:
            is_last = time.monotonic() > end  # a look comes after the limit, however late
            value = condition()
            if value:
                return value
            if is_last:
                raise AssertionError(f"not within {limit_s} s: {what}\n{self._told()}")
            time.sleep(0.01)  # between two looks

    def until_ended(self, *idents: str, limit_s: float = LIMIT_S) -> list[Row]:
        """The rows of these tasks once all of them and their workers have ended.

        What else the end has changed stands in the other documents by then, unless one of them is
        being edited: task-queue.json is published last.
        """

        def ended() -> list[Row] | None:
            rows = {row["id"]: row for row in self.tasks()}
            found = [rows[ident] for ident in idents if rows.get(ident, {}).get("ended_at")]
            if len(found) < len(idents):
                return None
            over = {row["worker_id"] for row in self.workers("completed", "failed")}
            return found if all(over.issuperset(row.get("workers", [])) for row in found) else None

        rows = self.until(ended, f"{', '.join(idents)} ended", limit_s)
        assert rows is not None
        return rows

    def until_running(self, ident: str) -> Row:
        """The first worker of this task that runs, once task-queue.json tells of it too."""

        def found() -> Row | None:
            told = self.task(ident).get("workers", [])
            return next((row for row in self.running(ident) if row["worker_id"] in told), None)

        return self.until(found, f"{ident} runs") or {}

    def until_taken(self, name: str) -> None:
        """Until the journal has taken a drop in."""
        ending = f"-{name}"
        self.until(
            lambda: any(e["file"].endswith(ending) for e in self.events("receipt_taken")),
            f"{name} was taken in",
        )

    def until_idle(self) -> None:
        """Until no worker waits or lives, and it is published."""
        self.until(lambda: not self.workers("queued", "active"), "the fleet is idle")

    def _told(self) -> str:
        tasks = [
            {k: row.get(k) for k in ("id", "status", "reason", "waiting_for", "blocked_on")}
            for row in self.tasks()
        ]
        workers = [
            {k: row.get(k) for k in ("worker_id", "id", "status", "error", "waiting_for")}
            for row in self.workers()
        ]
        shown = json.dumps([tasks[-12:], workers[-12:]], indent=1)
        return f"{shown}\nrejected: {self.errors()}\n{self._log_end()}"

    # --- what must hold at any time

    def replay(self) -> State:
        """The state from the journal alone; the books are looked at after every line."""
        state = State()
        for line in self.lines():
            evolve(state, line.seq, line.at, line.events)
            assert violations(state) == [], f"after line {line.seq}"
        return state

    def assert_books(self) -> Row:
        """The equations of token-budget.json at idle: nothing allocated, spent is what was used."""
        self.until_idle()
        # Its document follows the workers' one a moment later.
        self.until(self._is_settled, "nothing is allocated any more, and all that was used told")
        budget = self.read("token-budget")
        pool, reserve = budget["worker_pool"], budget["emergency_reserve"]
        masters = budget["masters"].values()
        assert pool["allocated_to_workers"] == reserve["allocated"] == 0
        assert pool["total"] == sum(pool[k] for k in ("allocated_to_workers", "spent", "available"))
        parts = sum(fund["allocated"] for fund in masters) + pool["total"] + reserve["total"]
        assert budget["total_budget"] == parts
        assert all(fund["reserved"] == 0 for fund in masters)
        return budget

    def _is_settled(self) -> bool:
        budget = self.read("token-budget")
        pool, reserve = budget["worker_pool"], budget["emergency_reserve"]
        used = sum(row["tokens_used"] for row in self.workers("completed", "failed"))
        own = sum(fund["used"] for fund in budget["masters"].values())
        spent = pool["spent"] + reserve["spent"] + own
        return bool(pool["allocated_to_workers"] == 0 and used == spent)

    def assert_replay_is_published(self) -> None:
        """The published files say what the journal alone says, a moment later."""
        with contextlib.suppress(AssertionError):
            self.until(lambda: self._published() == self._replayed(), "the same is published")
        assert self._published() == self._replayed()

    def _published(self) -> tuple[object, ...]:
        return (
            {row["id"]: row["status"] for row in self.tasks()},
            {row["worker_id"]: row["status"] for row in self.workers("completed", "failed")},
            self.read("token-budget")["worker_pool"]["available"],
        )

    def _replayed(self) -> tuple[object, ...]:
        state = self.replay()
        return (
            {task.id: task.status for task in state.tasks.values()},
            {w.id: w.status for w in state.workers.values() if w.ended_at},
            state.budget.pool_available,
        )

    def assert_started_once(self) -> None:
        """No attempt ran or ended twice, and each has one process.

        A start that nobody claimed is given up and made again under the next number, so that an
        attempt may have several spawning lines.
        """
        for name in ("worker_running", "worker_ended"):
            seen = [event["worker_id"] for event in self.events(name)]
            assert len(seen) == len(set(seen)), (name, sorted(seen))
        numbers = [(e["worker_id"], e["nonce"]) for e in self.events("worker_spawning")]
        assert len(numbers) == len(set(numbers)), sorted(numbers)

    def watch(self) -> Watcher:
        """Reads the published files again and again until it is closed."""
        return Watcher(self)

    # --- the end

    def nurseries(self) -> list[int]:
        """The daemon's nursery: none before its first start, and while it is replaced."""
        assert self.daemon is not None
        return [
            pid
            for pid in _pids()
            if b"/nursery.py\0%b/" % os.fsencode(self.paths.state) in _says(pid)
            and _parent(pid) == self.daemon.pid
        ]

    def processes(self) -> list[int]:
        """Living processes whose environment or command line names this home."""
        mark = os.fsencode(str(self.root))
        return [pid for pid in _pids() if pid != os.getpid() and mark in _says(pid)]

    def worker_processes(self) -> list[int]:
        """Living processes that have a CORTEX_WORKER_DIR in this home."""
        mark = b"CORTEX_WORKER_DIR=" + os.fsencode(f"{self.root}/")
        return [pid for pid in _pids() if mark in _says(pid)]

    def close(self) -> None:
        """Ends what was started here; AssertionError if a process of a worker is left."""
        try:
            self._end_work()
        finally:
            if self.daemon is not None and self.daemon.poll() is None:
                self.daemon.terminate()
                self.daemon.wait(STOPPED_S)
            self.daemon = None
            left = self._left()
            for pid in left:
                end_process(pid)
            self._forget_locks()
        assert not left, f"processes were left: {left}\n{self._log_end()}"

    def _end_work(self) -> None:
        if not self.worker_processes():
            return
        if self.daemon is None or self.daemon.poll() is not None:
            self.daemon = None
            self.start()
        for row in self.tasks():
            if not row.get("ended_at"):
                self.drop({"kind": "cancel", "task_id": row["id"]}, f"end-{row['id']}.json")
        self.until(lambda: not self.workers("active"), "the workers that a test left end")

    def _left(self) -> list[int]:
        with contextlib.suppress(AssertionError):
            self.until(lambda: not self.processes(), "no process is left")
        return self.processes()

    def _forget_locks(self) -> None:
        with contextlib.suppress(OSError):
            folder = Path((self.paths.state / "runtime-dir").read_text().strip())
            if folder.name.startswith("home-"):
                shutil.rmtree(folder)


#: The fixture `make_home`: a name, `settings=` and what else a LiveHome takes.
MakeHome = Callable[..., LiveHome]


class Watcher:
    """A client that never stops reading: each file is there, whole, and its sums are right."""

    def __init__(self, home: LiveHome) -> None:
        self._home = home
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.faults: list[str] = []
        self.looks = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            try:
                self._look()
            except (OSError, ValueError, AssertionError) as error:
                self.faults.append(repr(error))
            self.looks += 1

    def _look(self) -> None:
        for path in self._home.paths.documents:
            document = json.loads(path.read_bytes())
            if path.stem == "token-budget":
                pool = document["worker_pool"]
                held = pool["allocated_to_workers"] + pool["spent"] + pool["available"]
                assert held == pool["total"], pool
                assert pool["available"] >= 0, pool


def _text(payload: Mapping[str, Any] | str) -> str:
    return payload if isinstance(payload, str) else json.dumps(payload)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _says(pid: int) -> bytes:
    folder = Path(f"/proc/{pid}")
    try:
        if (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return b""
        return (folder / "environ").read_bytes() + b"\0" + (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def end_process(pid: int, number: int = signal.SIGKILL) -> None:
    """Signals a process that may have ended since it was listed."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def mentioning(mark: str | Path) -> list[int]:
    """Living processes whose environment or command line has the mark.

    A worker that has a pid namespace of its own does not know its pids on this machine.
    """
    return [pid for pid in _pids() if pid != os.getpid() and os.fsencode(str(mark)) in _says(pid)]


def pid_and_start(pid: int) -> tuple[int, int] | None:
    """A process and when it began (clock ticks, proc(5) field 22); None once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (pid, int(fields[19]))
