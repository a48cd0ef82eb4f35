"""Finds the home that a command means: named, from the environment, or around the current folder.

Only the place is found here; what is in it is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cortex.model.errors import HomeError
from cortex.model.paths import expanded

__all__ = ["find_home"]

_MARKER = "cortex.toml"


def find_home(
    explicit: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Path:
    """The absolute path of the home: `explicit`, else CORTEX_HOME, else the nearest folder at or
    above `cwd` that has a cortex.toml.

    Raises HomeError that says where was looked and how to make a home.
    """
    environ = os.environ if environ is None else environ
    if explicit:
        return _named(Path(explicit), "--home")
    if environ.get("CORTEX_HOME"):
        return _named(Path(environ["CORTEX_HOME"]), "CORTEX_HOME")
    start = (cwd or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        if (folder / _MARKER).is_file():
            return folder
    raise HomeError(
        f"no Cortex home here: neither {start} nor a folder above it has a {_MARKER}; "
        "make one with `cortex init DIR`, or name one with --home or CORTEX_HOME"
    )


def _named(path: Path, origin: str) -> Path:
    root = expanded(path).absolute()
    if root.name == _MARKER and root.is_file():
        raise HomeError(f"{origin}: {root} is a file of a home; name its folder: {path.parent}")
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise HomeError(f"{origin}: {root} {what}; make a home with `cortex init {path}`")
    if not (root / _MARKER).is_file() and not (root / "coordination").is_dir():
        raise HomeError(
            f"{origin}: {root} is no Cortex home, it has no {_MARKER}; "
            f"make it one with `cortex init {path}`"
        )
    return root
