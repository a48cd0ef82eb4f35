"""Makes a home, and brings the files of an older one up to date: `cortex init`.

What a person changed or removed stays as it is. The documents are the daemon's to write; none is
made here.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cortex.home.documents import read_json
from cortex.home.templates import templates
from cortex.model.errors import HomeError
from cortex.model.paths import HomePaths, expanded

__all__ = ["Created", "create_home"]


@dataclass(slots=True)
class Created:
    """What `create_home` did, by path inside the home."""

    root: Path
    was_home: bool = False
    written: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    #: A person changed it; `True` where this version has another one than the last.
    kept: dict[str, bool] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def create_home(path: Path, *, restore: bool = False) -> Created:
    """Makes `path` a home, or refreshes it if it is one; safe to repeat.

    A template that nobody touched since it was copied is replaced by a newer one; one that was
    changed is kept; one that was removed stays away unless `restore`. Raises HomeError naming the
    path that cannot be made.
    """
    root = expanded(path).absolute()
    paths = HomePaths(root)
    created = Created(root, was_home=paths.settings.is_file())
    if os.pathsep in str(root) and not created.was_home:
        raise HomeError(
            f"{root} has a {os.pathsep!r} in its path, by which workers tell the paths of their "
            "inputs apart; choose another folder"
        )
    try:
        _make_folders(paths)
        _copy_templates(created, paths, restore)
    except OSError as error:
        raise HomeError(
            f"{error.filename or root}: {error.strerror}; choose a folder that you may write to"
        ) from None
    return created


def _make_folders(paths: HomePaths) -> None:
    for folder in (
        paths.inbox,
        paths.rejected,
        paths.journal,
        paths.archive,
        paths.state,
        paths.worker_specs,
        paths.masters,
        paths.prompts,
        paths.personas,
        paths.worker_logs,
        paths.task_logs,
        paths.schemas,
    ):
        folder.mkdir(parents=True, exist_ok=True)


def _copy_templates(created: Created, paths: HomePaths, restore: bool) -> None:
    manifest_path = paths.state / "templates.json"
    manifest = (read_json(manifest_path) or {}).get("sha256")
    known: dict[str, str] = manifest if isinstance(manifest, dict) else {}
    wanted = dict(known)
    for name, data in templates().items():
        if _place(created, name, data, known.get(name), restore):
            wanted[name] = _digest(data)
    if wanted != known:
        text = json.dumps({"format": 1, "sha256": wanted}, indent=2) + "\n"
        _replace(manifest_path, text.encode())


def _place(created: Created, name: str, data: bytes, last: str | None, restore: bool) -> bool:
    """Brings one template to its place if nobody minds; whether it stands there now."""
    target = created.root / name
    if not os.path.lexists(target):
        if last is not None and not restore:
            created.left_out.append(name)
            return False
        _replace(target, data)
        created.written.append(name)
        return True
    present = target.read_bytes() if target.is_file() else b""
    if present == data:
        return True
    if last is not None and _digest(present) == last:
        _replace(target, data)
        created.updated.append(name)
        return True
    created.kept[name] = last is not None and last != _digest(data)
    return False


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    hidden.write_bytes(data)
    hidden.replace(target)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
