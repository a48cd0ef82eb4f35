"""Reads the published documents as plain dicts, whole, while their writer replaces them.

The daemon replaces a document in one step, so a reader sees the old or the new one. A person may
write into it in place; then it is read again for a moment before anything is said.
"""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any, BinaryIO

from cortex.model.errors import HomeError
from cortex.model.formats import DOCUMENT, FormatTooNew
from cortex.model.paths import definitions_in

__all__ = ["Row", "definition_files", "open_plain", "read_document", "read_json", "rows_of"]

Row = dict[str, Any]

_TRIES = 6
_PAUSE_S = 0.05


def read_document(path: Path) -> Row | None:
    """The document's object, or None if it was never published.

    Raises HomeError naming file and line if it stays unreadable for a third of a second, and for a
    newer format.
    """
    problem = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S)
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            if attempt == 0 or not problem:
                return None
            continue
        except OSError as error:
            raise HomeError(f"{path} cannot be read: {error.strerror}") from None
        except json.JSONDecodeError as error:
            problem = f"{path}:{error.lineno}: {error.msg}"
            continue
        except (UnicodeDecodeError, RecursionError) as error:
            problem = f"{path}: {error}"
            continue
        if isinstance(value, dict):
            _refuse_newer(path, value)
            return value
        problem = f"{path}: holds no object"
    raise HomeError(
        f"{problem}; the file was edited by hand. A running daemon restores it within seconds; "
        "without one, correct or remove it and start cortexd"
    )


def _refuse_newer(path: Path, document: Row) -> None:
    number, writer = document.get("format"), document.get("written_by")
    if isinstance(number, int) and number > DOCUMENT:
        raise FormatTooNew(path, number, DOCUMENT, writer if isinstance(writer, str) else None)


def read_json(path: Path) -> Row | None:
    """The object in a small JSON file of the home, or None where there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def open_plain(path: Path, limit_bytes: int | None = None) -> BinaryIO:
    """Opens what lies in a worker's reach, which may be anything. OSError for what is no regular
    file of at most so many bytes: no link is followed, and no pipe waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or (limit_bytes is not None and about.st_size > limit_bytes):
        file.close()
        raise OSError(f"{path} is no plain file of bearable size")
    return file


def definition_files(folder: Path) -> list[Path]:
    """The definitions in a folder by name, as the daemon reads them: a link may lead to one, and
    what is no file at all (a pipe would let its reader wait) is none.
    """
    return [path for path in definitions_in(folder) if path.is_file()]


def rows_of(document: Row | None, *lists: str) -> list[Row]:
    """The rows of the named lists, one after another; things that are no rows are passed over."""
    found: list[Row] = []
    for name in lists:
        value = (document or {}).get(name)
        if isinstance(value, list):
            found += [row for row in value if isinstance(row, dict)]
    return found
