"""Which limit has no room for a waiting worker: its key, its size, and the workers that fill it.

Read from the published rows, cortex.toml and the masters' files as they are now, in the order in
which the daemon looks at them; the daemon decides, and may know of more by then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cortex.home.documents import Row, definition_files
from cortex.model.errors import CortexError
from cortex.model.ids import master_key
from cortex.model.settings import Settings, load_settings

if TYPE_CHECKING:
    from cortex.home.client import Home

__all__ = ["Limit", "full_limit"]

_TOOLS = ("tools", "command")


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that has no room: what to change for another one, its size, and who fills it.

    `key` is one of cortex.toml where `of_settings`, else words for what stands elsewhere.
    """

    key: str
    size: int
    holders: tuple[Row, ...]
    of_settings: bool = True


def full_limit(home: Home, row: Row) -> Limit | None:
    """The first limit that has no room for this waiting worker, as the daemon looks at them."""
    try:
        settings = load_settings(home.paths.settings)
    except CortexError:
        return None
    pool = home.pool()
    running = [one for one in pool.get("active_workers") or () if isinstance(one, dict)]
    found = [
        *_of_plan(row, running),
        *_of_settings(settings, running, row),
        *_of_master(home, running, row),
        *_by_policy(settings, pool, running, row),
    ]
    return next((one for one in found if one.size and len(one.holders) >= one.size), None)


def _alike(running: list[Row], name: str, value: object) -> tuple[Row, ...]:
    return tuple(one for one in running if value is not None and one.get(name) == value)


def _is_tool(row: Row) -> bool:
    return row.get("runtime") in _TOOLS


def _lane(running: list[Row], row: Row) -> tuple[Row, ...]:
    return tuple(one for one in running if _is_tool(one) == _is_tool(row))


def _of_plan(row: Row, running: list[Row]) -> Iterator[Limit]:
    task = row.get("task_id")
    most = row.get("max_parallel")
    if isinstance(most, int):
        key = f"max_parallel of the plan of {task}"
        yield Limit(key, most, _alike(running, "task_id", task), of_settings=False)


def _of_settings(settings: Settings, running: list[Row], row: Row) -> Iterator[Limit]:
    limits = settings.limits
    kind, runtime = str(row.get("worker_type")), str(row.get("runtime"))
    master = master_key(str(row.get("master_agent")))
    spawned = _alike(running, "spawned_by", row.get("master_agent"))
    yield Limit(f"limits.per_master {master}", limits.per_master.get(master, 0), spawned)
    alike = _alike(running, "worker_type", kind)
    yield Limit(f"limits.per_type {kind}", limits.per_type.get(kind, 0), alike)
    alike = _alike(running, "runtime", runtime)
    yield Limit(f"limits.per_runtime {runtime}", limits.per_runtime.get(runtime, 0), alike)
    if not _is_tool(row) and row.get("priority") != "critical":
        of_task = _alike([one for one in running if not _is_tool(one)], "task_id", row["task_id"])
        yield Limit("limits.agents_per_task", limits.agents_per_task, of_task)
    alike = _alike(running, "repository", row.get("repository"))
    yield Limit("limits.per_repository", limits.per_repository, alike)
    if _is_tool(row):
        cores = len(os.sched_getaffinity(0))
        yield Limit("limits.tools", settings.tools_limit(cores), _lane(running, row))
    else:
        yield Limit("limits.agents", limits.agents, _lane(running, row))


def _of_master(home: Home, running: list[Row], row: Row) -> Iterator[Limit]:
    """The limit that the master's own file gives it."""
    from cortex.model.definitions import read_master

    name = str(row.get("master_agent"))
    for path in definition_files(home.paths.masters):
        try:
            master = read_master(path.read_text(encoding="utf-8"), path)
        except (OSError, ValueError, CortexError):
            continue
        if master.name == name and master.limits.max_parallel:
            key = f"limits.max_parallel in agents/masters/{path.name}"
            spawned = _alike(running, "spawned_by", name)
            yield Limit(key, master.limits.max_parallel, spawned, of_settings=False)


def _by_policy(settings: Settings, pool: Row, running: list[Row], row: Row) -> Iterator[Limit]:
    """How many at once the policy allows for a queue of this depth (S3), or learned."""
    spawn = settings.spawn
    if spawn.policy == "on_demand":
        return
    holders = _lane(running, row)
    learned = (pool.get("learned") or {}).get("tools" if _is_tool(row) else "agent") or {}
    if spawn.policy == "learned" and isinstance(learned.get("count"), int):
        key = f"spawn.policy learned ({learned.get('reason')})"
        yield Limit(key, min(learned["count"], spawn.adaptive_max), holders)
    waiting = [one for one in pool.get("queued_workers") or () if isinstance(one, dict)]
    depth = len(holders) + len(_lane(waiting, row))
    steps = (count for below, count in spawn.adaptive_steps if depth < below)
    size = next(steps, min(spawn.adaptive_max, depth))
    yield Limit(f"spawn.policy {spawn.policy} for a queue of {depth}", size, holders)
