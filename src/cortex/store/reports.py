"""Writing a task's report folder: small files, each replaced whole.

What stands in the files is decided elsewhere. A report that holds findings is made durable before
the line that ends its task; a plain one says nothing that the journal does not say, and is not
worth two syncs a task.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_report"]


def write_report(folder: str | Path, files: Mapping[str, bytes], *, durable: bool) -> None:
    """Puts the files into the folder, which is made where it is missing; OSError as it comes.

    With `durable` every file is synced before it takes its name, so that after a power cut a name
    means a whole file.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        draft = target / f".{name}.tmp"
        # Whatever a worker put there is neither opened nor followed.
        draft.unlink(missing_ok=True)
        with open(draft, "xb") as handle:
            handle.write(data)
            if durable:
                handle.flush()
                os.fdatasync(handle.fileno())
        draft.replace(target / name)
