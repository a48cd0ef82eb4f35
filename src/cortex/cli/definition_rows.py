"""Rows of what lies in the home as files of its own: definitions and refused drops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cortex.cli.terminal import note

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.model.definitions import WorkerTypeDefinition

__all__ = ["masters", "personas", "rejections", "worker_types"]

Row = dict[str, Any]
_Read = TypeVar("_Read")


def masters(home: Home) -> list[Row]:
    """One row a master file, with what the ledger and the queue say about it."""
    from cortex.model.definitions import read_master
    from cortex.model.ids import master_key

    funds = home.budget().get("masters")
    funds = funds if isinstance(funds, dict) else {}
    tasks = home.tasks()
    rows = []
    for path, master in _read_all(home.paths.masters, read_master):
        fund = funds.get(master_key(master.name)) or {}
        own = fund.get("allocated", master.budget.allocated)
        share = fund.get("worker_pool", master.budget.worker_pool)
        rows.append(
            {
                "name": master.name,
                "description": master.description,
                "routes": master.routes,
                "own": f"{fund.get('used', 0):,}/{own:,}",
                "share": f"{fund.get('worker_pool_used', 0):,}/{share:,}",
                "open_tasks": sum(
                    1
                    for task in tasks
                    if task.get("assigned_to") == master.name and not task.get("ended_at")
                ),
                "path": str(path.relative_to(home.root)),
            }
        )
    return rows


def worker_types(home: Home) -> list[Row]:
    """One row a worker type file."""
    from cortex.cli.ages import short
    from cortex.model.definitions import read_worker_type

    return [
        {
            "name": worker_type.name,
            "short_type": worker_type.short,
            "token_budget": worker_type.token_budget,
            "timeout": short(worker_type.timeout),
            "runtime": _runtime(worker_type),
            "deliverables": worker_type.deliverables,
            "description": worker_type.description,
            "path": str(path.relative_to(home.root)),
        }
        for path, worker_type in _read_all(home.paths.prompts, read_worker_type)
    ]


def personas(home: Home) -> list[Row]:
    """One row a persona file, with who names it."""
    from cortex.model.definitions import read_master, read_worker_type
    from cortex.model.personas import read_persona

    used_by: dict[str, list[str]] = {}
    named: list[Any] = [one for _, one in _read_all(home.paths.masters, read_master)]
    named += [one for _, one in _read_all(home.paths.prompts, read_worker_type)]
    for one in named:
        if one.persona is not None:
            used_by.setdefault(one.persona, []).append(one.name)
    return [
        {
            "name": persona.name,
            "description": persona.description or persona.character,
            "used_by": used_by.get(persona.name, []),
            "path": str(path.relative_to(home.root)),
        }
        for path, persona in _read_all(home.paths.personas, read_persona)
    ]


def rejections(home: Home) -> list[Row]:
    """One row an error file in rejected/, youngest first."""
    from cortex.home.documents import read_json

    rows = []
    for path in home.paths.rejected.glob("*.error.json"):
        row = read_json(path)
        if row is not None:
            row.setdefault("file", path.name.removesuffix(".error.json"))
            rows.append(row)
    return sorted(rows, key=lambda row: str(row.get("at")), reverse=True)


def _read_all(folder: Path, read: Callable[[str, Path], _Read]) -> list[tuple[Path, _Read]]:
    """Every definition that can be used; what cannot is said on stderr."""
    from cortex.model.errors import DefinitionError

    found = []
    for path in sorted(folder.glob("*.md")):
        try:
            found.append((path, read(path.read_text(encoding="utf-8"), path)))
        except (DefinitionError, OSError, UnicodeDecodeError) as error:
            place = "" if isinstance(error, DefinitionError) else f"{path}: "
            note(f"{place}{error}; `cortex validate` says more")
    return found


def _runtime(worker_type: WorkerTypeDefinition) -> str:
    """What a task that says nothing runs on; a type may have a tools program and prefer another."""
    if worker_type.runtime == "auto" and worker_type.tools_runtime:
        return "tools"
    return worker_type.runtime
