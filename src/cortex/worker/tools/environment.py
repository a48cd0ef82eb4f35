"""The environment that a repository's own programs run in: setup command, interpreter, variables.

Nothing is installed or guessed here. A Python comes from `scope.python`, from a `.venv` that the
setup command made, or from the `.venv` of the repository; without one there is none, and Cortex's
own is never it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.model.paths import expanded
from cortex.worker.contract import Worker
from cortex.worker.tools import processes
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.options import text, time_left_s
from cortex.worker.tools.outcomes import NotRunError

__all__ = ["HOW_TO_PYTHON", "Environment", "Python", "prepare_environment"]

HOW_TO_PYTHON = (
    "a Python environment: a .venv in the repository, scope.python (an interpreter or a virtual "
    "environment), or scope.setup (a command that makes .venv)"
)
_VENVS = (".venv", "venv")
_TAIL_BYTES = 200_000
_ASK = """\
import importlib.util as u, json, sys
there = {name: u.find_spec(name) is not None for name in ("pytest", "pytest_cov", "coverage")}
print(json.dumps({"version": sys.version.split()[0], **there}))
"""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter and what of use is installed beside it. `origin` says who named it."""

    path: Path
    origin: str
    version: str
    has_pytest: bool
    has_pytest_cov: bool
    has_coverage: bool


@dataclass(slots=True)
class Environment:
    """Variables for the repository's programs, and its Python; None where nobody named one."""

    variables: dict[str, str]
    python: Python | None = None
    setup: str | None = None
    notes: list[str] = field(default_factory=list)

    def program(self, name: str) -> str | None:
        """Where a program is on this environment's PATH."""
        for folder in self.variables["PATH"].split(os.pathsep):
            path = Path(folder or ".") / name
            if path.is_absolute() and path.is_file() and os.access(path, os.X_OK):
                return str(path)
        return None

    def python_variables(self, root: Path) -> dict[str, str]:
        """The variables with the clone's own code first on Python's path.

        A package that is installed from the source tree for editing would else be imported from
        there, and what was changed in the clone never be tested.
        """
        own = [str(root / "src")] if (root / "src").is_dir() else []
        more = [self.variables["PYTHONPATH"]] if self.variables.get("PYTHONPATH") else []
        return {**self.variables, "PYTHONPATH": os.pathsep.join([*own, str(root), *more])}


def prepare_environment(worker: Worker, clone: Clone) -> Environment:
    """Run the setup command in the clone, if one is named, and find the Python.

    Raises NotRunError where the setup fails, or where a Python was named that does not run.
    """
    made = Environment(_variables(worker))
    made.setup = text(worker, "setup")
    if made.setup:
        _set_up(worker, clone, made)
    found = _named_python(worker, clone, made) or _own_python(clone)
    if found is not None:
        made.python = _asked(made, clone, *found)
        folder = made.python.path.parent
        made.variables["PATH"] = f"{folder}{os.pathsep}{made.variables['PATH']}"
    return made


def _variables(worker: Worker) -> dict[str, str]:
    """What the task names, a home, and a PATH without Cortex's own virtual environment."""
    home = worker.dir / "home"
    home.mkdir(parents=True, exist_ok=True)
    variables = processes.minimal_environment(
        home,
        CI="true",
        PYTHONDONTWRITEBYTECODE="1",
        NO_UPDATE_NOTIFIER="1",
        npm_config_update_notifier="false",
        GOTOOLCHAIN="local",
        GOFLAGS="-modcacherw",  # else its cache of modules cannot be cleared away
        CARGO_TERM_COLOR="never",
    )
    named = worker.spec.get("env")
    for name in named if isinstance(named, dict) else {}:
        if name in os.environ and not str(name).startswith("CORTEX_"):
            variables[name] = os.environ[name]
    variables["PATH"] = _path_without_cortex(variables.get("PATH", os.defpath))
    return variables


def _path_without_cortex(path: str) -> str:
    if sys.prefix == sys.base_prefix:
        return path
    own = Path(sys.executable).parent
    return os.pathsep.join(part for part in path.split(os.pathsep) if Path(part) != own)


def _set_up(worker: Worker, clone: Clone, made: Environment) -> None:
    assert made.setup is not None
    worker.heartbeat.beat(0.05, f"setup: {made.setup}", now=True)
    outcome = processes.run(
        ["/bin/sh", "-c", made.setup],
        cwd=clone.root,
        env=made.variables,
        limit_s=time_left_s(worker),
        tail_bytes=_TAIL_BYTES,
    )
    output = outcome.stdout.decode("utf-8", "replace")
    worker.write_artifact("setup.log", output or "(no output)\n")
    if outcome.problem or outcome.returncode != 0:
        why = outcome.problem or f"ended with status {outcome.returncode}"
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        raise NotRunError(
            f"the setup command {made.setup!r} {why}: {last[0][:200]}",
            [f"a setup command that succeeds ({why}: {last[0][:80]}; setup.log has its output)"],
        )


def _named_python(worker: Worker, clone: Clone, made: Environment) -> tuple[Path, str] | None:
    named = text(worker, "python")
    if named is None:
        return None
    if "/" not in named:
        on_path = made.program(named)
        candidates = [Path(on_path)] if on_path else []
    else:
        roots = [clone.root, *([clone.source_path] if clone.source_path else [])]
        candidates = [root / expanded(named) for root in roots]
    for candidate in candidates:
        path = candidate / "bin" / "python" if candidate.is_dir() else candidate
        if path.is_file() and os.access(path, os.X_OK):
            return path, "scope.python"
    raise NotRunError(f"scope.python {named!r} is not there", [f"{named!r}, as scope.python"])


def _own_python(clone: Clone) -> tuple[Path, str] | None:
    for root in (clone.root, clone.source_path):
        for name in _VENVS if root else ():
            path = Path(root or "") / name / "bin" / "python"
            if path.is_file() and os.access(path, os.X_OK):
                where = "setup" if root == clone.root else "repository"
                return path, f"{name} of the {where}"
    return None


def _asked(made: Environment, clone: Clone, path: Path, origin: str) -> Python:
    outcome = processes.run([str(path), "-c", _ASK], cwd=clone.root, env=made.variables, limit_s=60)
    try:
        said: dict[str, Any] = json.loads(outcome.stdout)
        return Python(
            path,
            origin,
            str(said["version"]),
            bool(said["pytest"]),
            bool(said["pytest_cov"]),
            bool(said["coverage"]),
        )
    except (ValueError, KeyError, TypeError):
        why = outcome.problem or f"ended with status {outcome.returncode}"
        missing = f"a Python that runs: {path} ({origin}) {why}"
        raise NotRunError(f"{path} ({origin}) does not run: {why}", [missing]) from None
