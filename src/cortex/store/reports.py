"""Writing a task's report folder: small files, each replaced whole, durable before they are named.

What stands in the files is decided elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_report"]


def write_report(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Puts the files into the folder, which is made where it is missing; OSError as it comes.

    Every file is synced before it takes its name, so that after a power cut a name means a whole
    file.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        draft = target / f".{name}.tmp"
        with open(draft, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fdatasync(handle.fileno())
        draft.replace(target / name)
