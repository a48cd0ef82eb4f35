"""Rows of what lies in the home as files of its own: definitions and refused drops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.model.definitions import WorkerTypeDefinition

__all__ = ["in_force", "masters", "personas", "rejections", "worker_types"]

Row = dict[str, Any]
_Read = TypeVar("_Read")


def masters(home: Home) -> list[Row]:
    """One row a master file, with what the ledger and the queue say about it."""
    from cortex.model.definitions import read_master

    usable, broken = _read_all(home, home.paths.masters, read_master)
    rows = [
        {
            "name": master.name,
            "description": master.description,
            "routes": master.routes,
            "own": master.budget.allocated,
            "share": master.budget.worker_pool,
            "path": _name(home, path),
        }
        for path, master in usable
    ]
    rows = sorted([*rows, *broken], key=_path)
    _add_use(home, rows)
    return rows


def _add_use(home: Home, rows: list[Row]) -> None:
    """Puts used of own tokens and of its share, as in the ledger, and the open tasks into rows."""
    from cortex.model.ids import master_key

    funds, tasks = home.budget().get("masters"), home.tasks()
    for row in rows:
        fund = funds.get(master_key(row["name"])) if isinstance(funds, dict) else None
        fund = fund if isinstance(fund, dict) else {}
        own = fund.get("allocated", row.get("own", 0))
        share = fund.get("worker_pool", row.get("share", 0))
        row["own"] = f"{fund.get('used', 0):,}/{own:,}"
        row["share"] = f"{fund.get('worker_pool_used', 0):,}/{share:,}"
        row["open_tasks"] = sum(
            1
            for task in tasks
            if task.get("assigned_to") == row["name"] and not task.get("ended_at")
        )


def worker_types(home: Home) -> list[Row]:
    """One row a worker type file."""
    from cortex.cli.ages import short
    from cortex.model.definitions import read_worker_type

    usable, broken = _read_all(home, home.paths.prompts, read_worker_type)
    rows = [
        {
            "name": worker_type.name,
            "short_type": worker_type.short,
            "token_budget": worker_type.token_budget,
            "timeout": short(worker_type.timeout),
            "runtime": _runtime(worker_type),
            "deliverables": worker_type.deliverables,
            "description": worker_type.description,
            "path": _name(home, path),
        }
        for path, worker_type in usable
    ]
    return sorted([*rows, *broken], key=_path)


def personas(home: Home) -> list[Row]:
    """One row a persona file, with who names it."""
    from cortex.model.definitions import read_master, read_worker_type
    from cortex.model.personas import read_persona

    used_by: dict[str, list[str]] = {}
    named: list[Any] = [one for _, one in _read_all(home, home.paths.masters, read_master)[0]]
    named += [one for _, one in _read_all(home, home.paths.prompts, read_worker_type)[0]]
    for one in named:
        if one.persona is not None:
            used_by.setdefault(one.persona, []).append(one.name)
    usable, broken = _read_all(home, home.paths.personas, read_persona)
    rows = [
        {
            "name": persona.name,
            "description": persona.description or persona.character,
            "used_by": used_by.get(persona.name, []),
            "path": _name(home, path),
        }
        for path, persona in usable
    ]
    return sorted([*rows, *broken], key=_path)


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


def _read_all(
    home: Home, folder: Path, read: Callable[[str, Path], _Read]
) -> tuple[list[tuple[Path, _Read]], list[Row]]:
    """Every definition that can be used, and a row for each that cannot: what is wrong with it,
    and whether its last good version is in force."""
    from cortex.home.documents import definition_files
    from cortex.model.errors import DefinitionError

    found, broken = [], []
    for path in definition_files(folder):
        try:
            found.append((path, read(path.read_text(encoding="utf-8"), path)))
        except DefinitionError as error:
            where = str(error).removeprefix(f"{path}:")
            broken.append(_broken_row(home, path, f"line {where}"))
        except (OSError, UnicodeDecodeError) as error:
            broken.append(_broken_row(home, path, f"cannot be read: {error}"))
    return found, broken


def _broken_row(home: Home, path: Path, problem: str) -> Row:
    name = in_force(home, path)
    word = "its last good version is in force" if name else "not in force"
    return {
        "name": name or path.stem,
        "description": f"broken, {word}; {problem}",
        "broken": problem,
        "in_force": name is not None,
        "path": _name(home, path),
    }


def in_force(home: Home, path: Path) -> str | None:
    """The name under which a file's last good version is in force, though it is broken now."""
    from cortex.home.health import daemon_head

    rows = daemon_head(home).get("broken") if home.daemon().running else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("file") == _name(home, path):
            return row.get("in_force")
    return None


def _path(row: Row) -> str:
    return str(row["path"])


def _name(home: Home, path: Path) -> str:
    """The file as it is called in its home."""
    return str(path.relative_to(home.root))


def _runtime(worker_type: WorkerTypeDefinition) -> str:
    """What a task that says nothing runs on; a type may have a tools program and prefer another."""
    if worker_type.runtime == "auto" and worker_type.tools_runtime:
        return "tools"
    return worker_type.runtime
