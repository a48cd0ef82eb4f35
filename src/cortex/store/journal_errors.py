"""What can go wrong with the journal, sorted by what the daemon has to do about it."""

import errno
from pathlib import Path

from cortex.model.errors import CortexError
from cortex.model.formats import WRITER, FormatTooNew

__all__ = [
    "JournalBroken",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalTooNew",
    "JournalUnknown",
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


class JournalTooNew(FormatTooNew, JournalError):  # noqa: N818 - see JournalFull
    """A newer version wrote this journal in a format that this one cannot read."""


class JournalUnknown(JournalError):  # noqa: N818 - see JournalFull
    """A line tells of something that this version does not know. `writer` is who wrote it."""

    def __init__(self, place: str, what: str, writer: str | None) -> None:
        by = writer or "another version"
        super().__init__(
            f"{place}: {what}, which {WRITER} does not know; {by} wrote it. "
            f"Start {by} or a newer one. Nothing was changed."
        )
        self.writer = writer
