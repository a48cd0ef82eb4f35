"""The runtimes table: for each runtime its name, what it needs, and the program that it starts.

A worker's program keeps the worker contract and nothing more, so a runtime is a row here and a
function from spec to program. Which runtime a worker gets is decided in `decide.catalog`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex.decide.catalog import RuntimeInfo

__all__ = ["RUNTIMES", "Program", "Runtime", "runtime_infos"]

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: `env` is added to the worker's environment; `cwd` None: the worker's folder."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """One row. `requires` says for people what must be there; `program` raises ValueError with
    the spec's field if the spec does not say what to run.
    """

    info: RuntimeInfo
    requires: str
    program: Callable[[Spec], Program]


def _tools(_spec: Spec) -> Program:
    """The built-in tools worker. The analyzers stand beside the interpreter, so its folder leads
    the PATH.
    """
    beside = str(Path(sys.executable).parent)
    path = f"{beside}:{os.environ.get('PATH', os.defpath)}"
    return Program((sys.executable, "-m", "cortex.worker.tools"), {"PATH": path})


def _command(spec: Spec) -> Program:
    """The spec's own command, a list or a text by the shell: in a clone if its scope says so, and
    behind the planner where it is asked for a plan.
    """
    command = spec.get("command") or _mapping(spec.get("scope")).get("command")
    if isinstance(command, str) and command.strip():
        argv: tuple[str, ...] = ("/bin/sh", "-c", command)
    elif isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        argv = tuple(command)
    else:
        raise ValueError("command: names no program; write a text or a list of texts")
    if any("\0" in word for word in argv):
        raise ValueError("command: holds a NUL character, which no program can be given")
    if spec.get("items"):
        # -P: what lies in the repository, where it runs, is not taken for a module of ours.
        argv = (sys.executable, "-P", "-m", "cortex.worker.batch")
    if "plan" in _mapping(spec.get("context")):
        return Program((sys.executable, "-m", "cortex.worker.planner", *argv))
    workspace = _mapping(spec.get("scope")).get("workspace", "in place")
    if workspace == "clone":
        return Program((sys.executable, "-m", "cortex.worker.tools.workspace", *argv))
    if workspace != "in place":
        raise ValueError(f"scope.workspace: {workspace!r} is none; write clone or in place")
    return Program(argv, cwd=_local_folder(spec))


def _local_folder(spec: Spec) -> str | None:
    """The scope's repository, which must be a folder of this machine; None where none is named.

    A command that quietly ran somewhere else would pass for one that ran in the repository.
    """
    repository = _mapping(spec.get("scope")).get("repository")
    if repository is None:
        return None
    try:
        if isinstance(repository, str) and Path(repository).is_dir():
            return repository
    except (OSError, ValueError):
        pass
    raise ValueError(f"scope.repository: {repository!r} is no folder here; name a local one")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


RUNTIMES: dict[str, Runtime] = {
    row.info.name: row
    for row in (
        Runtime(
            RuntimeInfo("tools", lane="tools", heartbeats=False, uses_tokens=False),
            "nothing: the analyzers come with Cortex",
            _tools,
        ),
        Runtime(
            RuntimeInfo("command", lane="tools", heartbeats=False, uses_tokens=True),
            "a task that names its command",
            _command,
        ),
    )
}
"""Every runtime that this machine can start, by name. Agents and agent CLIs are further rows."""


def runtime_infos() -> dict[str, RuntimeInfo]:
    """The table as the deciding code sees it."""
    return {name: row.info for name, row in RUNTIMES.items()}
