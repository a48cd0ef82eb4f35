"""`python -m cortex.cli.quickstart`: one scan, from a dropped file to a ranked report.

The way is the one that any user has: a home, cortexd, a task file copied into its inbox. Nothing is
fetched here; scripts/setup has brought the packages that are scanned when no path is named.
"""

from __future__ import annotations

import argparse
import errno
import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.cli import exits
from cortex.cli.progress import follow_tasks
from cortex.cli.quickstart_report import heading, print_report, shown_path
from cortex.cli.quickstart_session import DROPS, QuickstartError, Session
from cortex.cli.terminal import clean, one_line
from cortex.home import Home, create_home
from cortex.model.errors import CortexError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]

Row = dict[str, Any]

_INTERRUPTED = 130
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What a copy of this project leaves out: what is hidden, made at run time, or fetched.
_LEFT_OUT = ("__pycache__", "*.egg-info", "coordination", "worker-specs", "logs", "build", "dist")
_NEEDED_BYTES = 50 * 1024 * 1024


class _StoppedError(Exception):
    """Ctrl-C, or a request to end: clean up and leave."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the quickstart and returns its exit code: 0, 1 where the scan failed, 2 for a wrong
    path, 130 after Ctrl-C.
    """
    from rich.console import Console

    options = _options(arguments)
    console = Console(highlight=False)
    try:
        with _stoppable():
            return _quickstart(options, console)
    except _StoppedError:
        return _INTERRUPTED
    except CortexError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _complain(f"no space left for {error.filename or options.folder}; free some")
        return _complain(f"{error.filename or options.folder}: {error.strerror}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart",
        description="Scans repositories with real analyzers, through Cortex, for no tokens: this "
        "project and two well-known packages, or the repositories that you name.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="a repository")
    parser.add_argument("--project", type=Path, default=Path(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.project = options.project.absolute()
    options.folder = options.project / ".quickstart"
    for path in options.paths:
        if not path.is_dir():
            problem = "is not a folder" if path.exists() else "does not exist"
            parser.error(f"{path} {problem}; name the folder of a repository")
    return options


def _complain(text: str) -> int:
    print(f"quickstart: {clean(text)}", file=sys.stderr)
    return exits.FAILED


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM and a closed terminal into _StoppedError."""

    def stop(number: int, _frame: object) -> None:
        raise _StoppedError(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quickstart(options: argparse.Namespace, console: Console) -> int:
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder)
    repositories = [path.absolute() for path in options.paths]
    repositories = list(dict.fromkeys(repositories)) or _example_repositories(options)
    home = Home(create_home(folder / "home").root)
    _introduce(console, repositories, home)
    session = Session(home, folder / "cortexd.log")
    try:
        session.start()
        console.print(f"cortexd serves it (process {session.pid}).")
        if left := session.clear():
            console.print(f"{_count(left, 'task', 'tasks')} of a killed quickstart cancelled.")
        return _scan(console, session, repositories, folder)
    except _StoppedError as stopped:
        console.print(f"\nStopping ({stopped}).")
        raise
    finally:
        _end(console, session)


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise QuickstartError(
            f"{folder} has {free // 1024**2} MB left; free at least {_NEEDED_BYTES // 1024**2} MB"
        )


def _example_repositories(options: argparse.Namespace) -> list[Path]:
    """A fresh copy of this project, and the packages that the set-up has fetched."""
    fetched = options.folder / "repositories"
    if not (options.project / "pyproject.toml").is_file() or not fetched.is_dir():
        raise QuickstartError(
            f"{options.project} holds nothing to scan; name a repository: scripts/quickstart PATH"
        )
    copy = options.folder / "project" / "cortex"
    shutil.rmtree(copy.parent, ignore_errors=True)
    ignored = shutil.ignore_patterns(".*", *_LEFT_OUT)
    shutil.copytree(options.project, copy, ignore=ignored, symlinks=True)
    return [copy, *sorted(path for path in fetched.iterdir() if path.is_dir())]


def _introduce(console: Console, repositories: list[Path], home: Home) -> None:
    console.print("Cortex quickstart", style="bold")
    console.print("A scan with real analyzers: no model, no key, no tokens.\n")
    _path_line(console, "home", home.root)
    for number, repository in enumerate(repositories):
        _path_line(console, "" if number else "scanned", repository)


def _path_line(console: Console, label: str, path: Path | str) -> None:
    text = f"  {label:<10}{one_line(shown_path(path))}"
    console.print(text, markup=False, soft_wrap=True)


def _scan(console: Console, session: Session, repositories: list[Path], folder: Path) -> int:
    started = time.monotonic()
    file = _write_task(folder, repositories)
    _show_drop(console, session.home, file)
    ident = session.drop(file)
    code = follow_tasks(session.home, [ident], console)
    session.check()
    took_s = time.monotonic() - started
    task = session.home.task(ident) or {}
    console.print(f"{ident} ended {took_s:.1f} s after it was dropped.")
    print_report(session.home, task, console)
    if code != exits.OK:
        _show_failures(console, session.home, task)
    _show_files(console, session.home, task, session.log)
    return code


def _write_task(folder: Path, repositories: list[Path]) -> Path:
    """The task's file. Its name is new each time: by it the task that it becomes is found."""
    task = {
        "title": f"Security scan of {_count(len(repositories), 'repository', 'repositories')}",
        "type": "security-scan",
        "priority": "high",
        "scope": {"repositories": [str(path) for path in repositories]},
    }
    unique = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 1000:03d}"
    file = folder / DROPS.replace("*", unique)
    for old in folder.glob(DROPS):
        old.unlink()
    file.write_text(json.dumps(task, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _show_drop(console: Console, home: Home, file: Path) -> None:
    heading(console, "A task is a file, and handing it in is a copy")
    source, target = (shlex.quote(shown_path(path)) for path in (file, home.paths.inbox))
    command = f"  cp {source} \\\n     {target}/"
    console.print(clean(command), style="cyan", markup=False, soft_wrap=True)
    for line in file.read_text(encoding="utf-8").splitlines():
        console.print(f"  {clean(line)}", style="dim", markup=False, soft_wrap=True)
    console.print()


def _show_failures(console: Console, home: Home, task: Row) -> None:
    heading(console, "What failed")
    console.print(f"  {clean(task.get('reason') or task.get('status'))}", markup=False)
    for result in task.get("worker_results") or []:
        if result.get("status") != "completed":
            log = home.root / str(result.get("result_location")) / "log.md"
            words = f"  {result.get('worker_id')}: {result.get('error')}; see {shown_path(log)}"
            console.print(clean(words), markup=False, soft_wrap=True)


def _show_files(console: Console, home: Home, task: Row, log: Path) -> None:
    heading(console, "Look for yourself")
    report = home.root / str(task.get("result_location") or "")
    places: dict[str, Path] = {
        "report": report / "report.md",
        "findings": report / "findings.json",
        "SARIF": report / "findings.sarif",
    }
    for result in task.get("worker_results") or []:
        places[str(result.get("worker_id"))] = home.root / str(result.get("result_location"))
    places["journal"] = max(home.paths.journal.glob("*.jsonl"), default=home.paths.journal)
    places["log"] = log
    width = max(len(label) for label in places)
    for label, path in places.items():
        line = f"  {one_line(label):<{width}}  {one_line(shlex.quote(shown_path(path)))}"
        console.print(line, markup=False, soft_wrap=True)


def _end(console: Console, session: Session) -> None:
    """Withdraws what is open, ends the daemon, and says so; Ctrl-C cannot cut this short."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    if session.pid is None:
        return
    cancelled: list[str] = []
    try:
        cancelled = session.withdraw()
    except CortexError:
        # The daemon died meanwhile; the error that is on its way says so.
        pass
    finally:
        status, left = session.stop()
    parts = [f"{_count(len(cancelled), 'open task', 'open tasks')} cancelled"] if cancelled else []
    parts.append("cortexd ended" if status == 0 else f"cortexd ended with status {status}")
    parts.append(f"still running: {left}" if left else "no process of it is left")
    console.print(f"\nStopped: {', '.join(parts)}.", markup=False)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


if __name__ == "__main__":
    sys.exit(main())
