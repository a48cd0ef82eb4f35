"""The environment of a worker: the contract's variables, and next to nothing else.

The daemon's own environment may hold keys and tokens, so a worker gets a list of names from it,
never the rest. Source: the worker contract in docs (spec section C).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

__all__ = ["HEARTBEAT_NAME", "HOME_NAME", "worker_environment"]

HEARTBEAT_NAME = "heartbeat.json"
HOME_NAME = "home"
_FROM_DAEMON = ("PATH", "LANG", "TZ")
#: The kernel takes 128 KiB for one variable (execve(2), MAX_ARG_STRLEN).
_PATHS_BYTES_AT_MOST = 64 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def worker_environment(
    *,
    worker_id: str,
    task_id: str,
    attempt: int,
    worker_dir: str,
    inputs: str | None = None,
    paths: Sequence[str] = (),
    named: Mapping[str, str] | None = None,
    gateway: Mapping[str, str] | None = None,
    daemon_env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Every variable of the worker's program.

    `inputs` is where the results of the steps lie that this one needs. `paths` are those of its
    scope; more than a variable can hold are left to the spec. `named` is what the spec or the
    worker type names; it may not touch the contract's own names. `gateway` holds the base URLs and
    this worker's keys. `daemon_env` is `os.environ` by default. Raises ValueError for a variable
    that cannot be passed on, naming it.
    """
    source = os.environ if daemon_env is None else daemon_env
    env = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    env |= {name: source[name] for name in _FROM_DAEMON if source.get(name)}
    env["HOME"] = f"{worker_dir}/{HOME_NAME}"
    for name, value in (named or {}).items():
        env[name] = _checked(name, value)
    env |= gateway or {}
    env |= {
        "CORTEX_WORKER_ID": worker_id,
        "CORTEX_TASK_ID": task_id,
        "CORTEX_ATTEMPT": str(attempt),
        "CORTEX_SPEC": f"{worker_dir}/spec.json",
        "CORTEX_WORKER_DIR": worker_dir,
        "CORTEX_RESULTS": f"{worker_dir}/results.json",
        "CORTEX_ARTIFACTS": f"{worker_dir}/artifacts",
        "CORTEX_HEARTBEAT": f"{worker_dir}/{HEARTBEAT_NAME}",
    }
    if inputs is not None:
        env["CORTEX_INPUTS"] = inputs
    joined = os.pathsep.join(paths)
    if joined and len(joined.encode()) <= _PATHS_BYTES_AT_MOST:
        env["CORTEX_PATHS"] = joined
    return env


def _checked(name: str, value: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"env: {name!r} is no name of a variable; write letters, digits and _")
    if name.startswith("CORTEX_"):
        raise ValueError(f"env.{name}: CORTEX_ names belong to the worker contract; rename it")
    if "\0" in value:
        raise ValueError(f"env.{name}: holds a NUL character, which no environment can hold")
    return value
