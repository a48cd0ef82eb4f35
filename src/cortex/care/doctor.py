"""The whole of `cortex doctor`: the machine, the programs, and the home if there is one.

Looks and tries; what it makes on the disk goes away again, and it asks nothing of the network.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from shutil import which

from cortex import __version__
from cortex.care import machine
from cortex.care.file_system import file_system, kind_of
from cortex.care.finding import Finding, Level
from cortex.decide.catalog import Catalog, Missing
from cortex.home import Home
from cortex.home.health import health_of
from cortex.home.journal import last_lines
from cortex.masters.library import Library
from cortex.model.errors import CortexError, HomeError
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings, load_settings
from cortex.model.state import Step
from cortex.model.times import format_duration, parse_time
from cortex.runtime.table import runtime_infos
from cortex.worker.tools.analyzers import ANALYZERS, program

__all__ = ["look"]

_PYTHON = (3, 11)
_GIT_S = 1.0
_AGENTS = ("claude", "codex", "gemini", "opencode", "aider", "cursor-agent", "goose", "amp")
#: The wall clock may be this far behind the journal's last line before it matters.
_BEHIND_S = 2.0


def look(paths: HomePaths | None, folder: Path) -> list[Finding]:
    """Every finding; `paths` None: there is no home, and `folder` is where one would be made."""
    found: list[Finding] = []
    steps: list[Callable[[], Iterator[Finding]]] = [_versions]
    if paths is not None:
        home = paths
        steps += [lambda: _home(home), lambda: _daemon(home)]
    steps += [
        lambda: file_system(_place(paths, folder)),
        machine.system,
        machine.clocks,
        machine.events,
        machine.limits,
        machine.containment,
        machine.sandboxes,
        _programs,
    ]
    if paths is not None:
        steps.append(lambda: _types(home))
    for step in steps:
        try:
            found += step()
        except (OSError, HomeError) as error:
            what = f"could not be looked at: {error}"
            found.append(Finding("machine", getattr(step, "__name__", "look"), what, "warn"))
    return found


def _place(paths: HomePaths | None, folder: Path) -> Path:
    """Where the file system is tried: out of sight of people and their editors."""
    if paths is None:
        return folder
    return paths.state if paths.state.is_dir() else paths.root


# --- Cortex itself


def _versions() -> Iterator[Finding]:
    told = f"{__version__}, Python {platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] < _PYTHON:
        yield Finding("cortex", "version", told, "problem", "Cortex needs Python 3.11 or newer.")
    else:
        yield Finding("cortex", "version", told)
    missing = list(_unmet())
    if missing:
        remedy = "Install Cortex again: pip install --upgrade cortexd"
        yield Finding("cortex", "dependencies", "; ".join(missing), "problem", remedy)
    else:
        count = sum(1 for name in requires("cortexd") or () if "extra ==" not in name)
        yield Finding("cortex", "dependencies", f"all {count} are here")


def _unmet() -> Iterator[str]:
    from packaging.requirements import Requirement

    for text in requires("cortexd") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield f"{wanted.name} {found} is not {wanted.specifier}"


# --- the home


def _home(paths: HomePaths) -> Iterator[Finding]:
    yield Finding("home", "folder", str(paths.root))
    try:
        settings = load_settings(paths.settings)
    except CortexError as error:
        yield Finding("home", "settings", str(error), "problem", "Correct cortex.toml.")
        return
    yield Finding("home", "settings", "cortex.toml is fine")
    library = Library(paths, runtime_infos())
    library.refresh()
    for text in library.problems.values():
        remedy = "Correct the file; until then the last good version of it counts, or none."
        yield Finding("home", "definitions", text, "problem", remedy)
    yield _runtime_dir(paths, settings)
    behind = _behind_journal(paths)
    if behind is not None:
        yield behind


def _runtime_dir(paths: HomePaths, settings: Settings) -> Finding:
    chosen = settings.daemon.runtime_dir
    record = paths.state / "runtime-dir"
    try:
        folder = Path(record.read_text(encoding="utf-8").strip())
    except OSError:
        folder = paths.attempts
    if chosen == "home":
        folder = paths.attempts
    kind = kind_of(folder) if folder.exists() else "not there yet"
    return Finding("home", "runtime dir", f"{folder} ({kind}), by daemon.runtime_dir = {chosen}")


def _behind_journal(paths: HomePaths) -> Finding | None:
    """A clock that was set back shows in the journal, whose times never go back."""
    lines = last_lines(paths.journal, 1)
    if not lines:
        return None
    ahead = parse_time(lines[0].at) - time.time()
    if ahead <= _BEHIND_S:
        return Finding("home", "journal", f"line {lines[0].seq} at {lines[0].at}")
    what = f"its last line is {format_duration(ahead)} ahead of this machine's clock"
    remedy = "The clock was set back, or was wrong then. New lines keep the time of the last one."
    return Finding("home", "journal", what, "warn", remedy)


def _daemon(paths: HomePaths) -> Iterator[Finding]:
    """Whether a daemon runs, which one, and everything that is wrong with it."""
    health = health_of(Home(paths.root))
    if not health.daemon.running:
        remedy = f"Nothing is done meanwhile. Start one: cortexd --home {paths.root}"
        yield Finding("home", "daemon", "none runs", "warn", remedy)
        return
    theirs = health.head.get("version", "unknown")
    told = f"runs as pid {health.daemon.pid}, version {theirs}"
    if theirs != __version__:
        remedy = "Restart it; workers live on, and it adopts them."
        yield Finding("home", "daemon", f"{told}; this is {__version__}", "warn", remedy)
    elif health.head.get("paused"):
        yield Finding("home", "daemon", f"{told}, paused", "warn", "`cortex resume` lets it go on.")
    else:
        yield Finding("home", "daemon", told)
    for row in health.conditions:
        level: Level = "problem" if row.get("degrading") else "warn"
        what = f"{row.get('cause')} (since {row.get('since')})"
        remedy = str(row.get("remedy") or "See its log.")
        yield Finding("home", str(row.get("name")).replace("_", " "), what, level, remedy)
    if health.head.get("status") == "degraded" and not health.degrading:
        cause = f"degraded: {health.head.get('cause', 'unknown')}"
        yield Finding("home", "degraded", cause, "problem", "See its log.")
    for sentence in health.seen:
        yield Finding("home", "from outside", sentence, "warn", "See its log, and `cortex status`.")


# --- programs


def _programs() -> Iterator[Finding]:
    git = which("git")
    if git is None:
        remedy = "Install git: workers that change repositories need it."
        yield Finding("programs", "git", "not found", "warn", remedy)
    else:
        yield Finding("programs", "git", _git_version(git))
    found, missing = [], []
    for row in ANALYZERS:
        name = row.distribution or row.name
        if program(row.name) is None:
            missing.append(row.name)
            continue
        try:
            found.append(f"{row.name} {version(name)}")
        except PackageNotFoundError:
            found.append(row.name)
    if found:
        yield Finding("programs", "analyzers", ", ".join(found))
    if missing:
        remedy = "Scans go on without them and say so. They come with: pip install cortexd"
        yield Finding("programs", "analyzers", f"not found: {', '.join(missing)}", "warn", remedy)
    agents = [f"{name} ({path})" for name in _AGENTS if (path := which(name))]
    yield Finding("programs", "agents", ", ".join(agents) or "no agent command line found")


def _git_version(git: str) -> str:
    try:
        done = subprocess.run(
            [git, "--version"], check=False, capture_output=True, text=True, timeout=_GIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{git} does not answer"
    return f"{done.stdout.strip().removeprefix('git version ')} ({git})"


def _types(paths: HomePaths) -> Iterator[Finding]:
    """What each worker type would run on, were its runtime left to Cortex."""
    catalog = Library(paths, runtime_infos()).refresh() or Catalog()
    by_runtime: dict[str, list[str]] = {}
    cannot: dict[str, list[str]] = {}
    for name in catalog.types:
        found = catalog.runtime_for(Step("main", name))
        short = name.removesuffix("-worker")
        if not isinstance(found, Missing):
            by_runtime.setdefault(found.name, []).append(short)
        elif short == "command":
            by_runtime.setdefault("command", []).append(short)
        else:
            cannot.setdefault(found.reason.replace(name, "…"), []).append(short)
    for runtime, names in by_runtime.items():
        yield Finding("types", runtime, ", ".join(names))
    for reason, names in cannot.items():
        remedy = "Tasks that need one wait as blocked, unless they name a command."
        yield Finding("types", "cannot run", f"{', '.join(names)}: {reason}", "warn", remedy)
