"""Finds what a new home is filled with: masters, worker types, personas and schemas.

An installed Cortex carries them as package data; a checkout has them at its top. Nothing is copied
here.
"""

from __future__ import annotations

from pathlib import Path

import cortex
from cortex.model.errors import HomeError

__all__ = ["installed_data", "templates"]

_FOLDERS = ("agents/masters", "agents/prompts/workers", "agents/personas", "schemas")


def templates() -> dict[str, bytes]:
    """Every file that a home begins with, by its path inside the home, cortex.toml first.

    Raises HomeError if this installation has lost them.
    """
    from cortex.model.settings import default_text

    files = {"cortex.toml": default_text().encode()}
    source = installed_data()
    for folder in _FOLDERS:
        for path in sorted((source / folder).glob("*")):
            if path.is_file() and not path.name.startswith("."):
                files[f"{folder}/{path.name}"] = path.read_bytes()
    return files


def installed_data() -> Path:
    """The folder of what comes with Cortex beside its code. HomeError if it is lost."""
    package = Path(cortex.__file__).resolve().parent
    for candidate in (package / "_data", package.parents[1]):
        if (candidate / "agents" / "masters").is_dir():
            return candidate
    raise HomeError(
        f"this installation of Cortex has lost its templates (looked in {package / '_data'}); "
        "install cortexd again"
    )
