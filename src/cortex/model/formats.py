"""The format number of each kind of file, and the sentence that refuses a newer one.

Older formats are read for ever; a newer one is refused before anything is changed, with the version
that can read it. Standard library only: shims use it too.
"""

from __future__ import annotations

from cortex import __version__
from cortex.model.errors import HomeError

__all__ = [
    "ARCHIVE",
    "CHECKPOINT",
    "DOCUMENT",
    "EXIT_RECORD",
    "INDEX",
    "JOURNAL",
    "SPEC",
    "WRITER",
    "FormatTooNew",
    "format_of",
    "refuse_newer",
]

JOURNAL = 1
CHECKPOINT = 1
#: task-queue.json and the other published files.
DOCUMENT = 1
ARCHIVE = 1
#: The archive's index. It is derived: another number only means that it is made again.
INDEX = 2
EXIT_RECORD = 1
#: worker-specs/WORKER.json and the spec.json in a worker's folder.
SPEC = 1

#: What this version calls itself in the files that it writes.
WRITER = f"cortexd {__version__}"

_FORMAT = rb'[{,]\s*"format":\s*(\d{1,9})[,}\s]'
_WRITTEN_BY = rb'[{,]\s*"written_by":\s*"([^"\\]{1,60})"'


class FormatTooNew(HomeError):  # noqa: N818 - a state of the home, not a fault of ours
    """A newer version wrote the file. `writer` is what it calls itself, where that is known."""

    def __init__(self, place: object, found: int, known: int, writer: str | None = None) -> None:
        by = f", written by {writer}" if writer else ""
        start = f"Start {writer} or a newer one" if writer else "Start the newer cortexd"
        super().__init__(
            f"{place}: has format {found}{by}; this is {WRITER}, which reads up to format {known}. "
            f"{start}. Nothing was changed."
        )
        self.found = found
        self.known = known
        self.writer = writer


def format_of(head: bytes) -> tuple[int, str | None]:
    """(format, writer) by the first bytes of a JSON object, whatever else stands in it.

    A file of before formats had numbers counts as 1. Within a string a quote is escaped, so that
    no text can be taken for the field.
    """
    import re  # not at the top: a shim needs only the numbers

    number, writer = re.search(_FORMAT, head), re.search(_WRITTEN_BY, head)
    return (
        int(number[1]) if number else 1,
        writer[1].decode("utf-8", "replace") if writer else None,
    )


def refuse_newer(place: object, head: bytes, known: int, writer: str | None = None) -> None:
    """FormatTooNew if the object that begins with these bytes is of a format past `known`.

    `writer` is who wrote it, where the bytes themselves do not say.
    """
    found, named = format_of(head)
    if found > known:
        raise FormatTooNew(place, found, known, named or writer)
