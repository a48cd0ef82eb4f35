"""What can go wrong with the journal, sorted by what the daemon has to do about it."""

import errno
from pathlib import Path

from cortex.model.errors import CortexError

__all__ = [
    "JournalBroken",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalTooNew",
    "is_passing",
]

# The disk did not take the bytes, and says so before it took any: trying again is safe.
_PASSING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EFBIG,
}


def is_passing(error: OSError) -> bool:
    """Whether the cause may go away by itself (space, quota, read-only, handles, memory)."""
    return error.errno in _PASSING


class JournalError(CortexError):
    """Base of the journal's errors."""


class JournalFull(JournalError):  # noqa: N818 - a state of the disk, not a fault of ours
    """The lines could not be written for now: no space, or read-only. They stay buffered, the
    file ends in a whole line, and `commit` may be called again. `errno` is the system's."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path}: the journal cannot be written: {error.strerror}. Nothing new is started; "
            "it is tried again. Free some space, or make the home writable."
        )
        self.path = path
        self.errno = error.errno


class JournalBroken(JournalError):  # noqa: N818 - see JournalFull
    """The journal can no longer be trusted by this process, which must exit; the next start
    writes the lines after the last synced one again before it believes them."""


class JournalDamaged(JournalError):  # noqa: N818 - see JournalFull
    """Lines that were durable are gone or changed. `path` and `line` (from 1) say where."""

    def __init__(self, path: Path, line: int | None, what: str) -> None:
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(
            f"{place}: {what}. Nothing was changed. Run `cortex fsck` to see what can be rebuilt."
        )
        self.path = path
        self.line = line


class JournalTooNew(JournalError):  # noqa: N818 - see JournalFull
    """A newer release wrote this journal."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path}: the journal has format {found}; this version reads up to {known}. "
            "Start the newer Cortex that wrote it."
        )
        self.found = found
