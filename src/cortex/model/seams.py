"""Three of the four seams to the outside world: the clock, the disk, and a model.

Each is a Protocol with one real implementation (`control.clock`, `store.disk`, and for a model any
program: `worker.program_model`) and one fake (`cortex.testing`), so that a whole daemon can live in
one process under a seeded scheduler. This module holds no behaviour.
"""

import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

__all__ = [
    "Clock",
    "Completion",
    "Disk",
    "FileKind",
    "FileStat",
    "Model",
    "ModelRequest",
    "StrPath",
]

StrPath = str | os.PathLike[str]

FileKind = Literal["file", "folder", "symlink", "fifo", "socket", "device"]


class Clock(Protocol):
    """Time and chance. Nothing in the core asks the operating system for either directly."""

    def monotonic(self) -> float:
        """Seconds that never go back and stand still while the machine sleeps."""
        ...

    def boottime(self) -> float:
        """Seconds since boot, the time asleep included."""
        ...

    def now(self) -> datetime:
        """Wall time in UTC, time zone attached. For printing, periods and schedules only."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def boot_id(self) -> str:
        """What the kernel calls this boot; another value means that every process is gone."""
        ...


class FileStat(NamedTuple):
    """What the store wants to know of a file; never of what a symlink points to."""

    kind: FileKind
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int

    @property
    def version(self) -> tuple[int, int, int, int]:
        """Device, inode, size and mtime: changes with each write, stays the same over a rename."""
        return (self.device, self.inode, self.size, self.mtime_ns)


class Disk(Protocol):
    """The disk calls that the daemon's store makes; all raise OSError as the system call would.

    Handles are small integers that only the disk that gave them understands. No call follows a
    symlink in the last part of a path, and none blocks on a FIFO.
    """

    def open_append(self, path: StrPath) -> int:
        """Opens an existing file; every write goes to its end."""
        ...

    def create(self, path: StrPath) -> int:
        """Makes a new file (FileExistsError if there is one); every write goes to its end."""
        ...

    def open_update(self, path: StrPath) -> int:
        """Opens an existing file for `write_at` and `truncate`."""
        ...

    def open_read(self, path: StrPath) -> int:
        """Opens for reading; ELOOP for a symlink, and returns at once for a FIFO."""
        ...

    def close(self, handle: int) -> None: ...

    def write(self, handle: int, data: bytes) -> int:
        """Appends; returns how many bytes went in, which may be fewer than given."""
        ...

    def write_at(self, handle: int, data: bytes, offset: int) -> int:
        """Writes in place; returns how many bytes went in."""
        ...

    def read_at(self, handle: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""
        ...

    def read(self, path: StrPath) -> bytes:
        """The whole file."""
        ...

    def truncate(self, handle: int, size: int) -> None: ...

    def fdatasync(self, handle: int) -> None:
        """Returns when the file's bytes and length are durable (its name needs `fsync_dir`)."""
        ...

    def fsync_dir(self, path: StrPath) -> None:
        """Returns when the names in the folder are durable."""
        ...

    def allocate(self, handle: int, size: int) -> None:
        """Takes `size` bytes of space for real, so that deleting the file gives them back."""
        ...

    def set_mtime(self, handle: int, mtime_ns: int) -> None: ...

    def fstat(self, handle: int) -> FileStat: ...

    def stat(self, path: StrPath) -> FileStat:
        """Of the name itself: a symlink is reported as one."""
        ...

    def has_writer(self, handle: int) -> bool | None:
        """Whether anybody has the file open for writing; None where the system can't tell."""
        ...

    def rename(self, source: StrPath, target: StrPath) -> None:
        """Atomic; replaces a target file."""
        ...

    def rename_new(self, source: StrPath, target: StrPath) -> None:
        """Atomic; FileExistsError when the target exists."""
        ...

    def exchange(self, one: StrPath, other: StrPath) -> None:
        """Swaps two names atomically; EINVAL or ENOSYS where the file system can't."""
        ...

    def link(self, source: StrPath, target: StrPath) -> None: ...

    def unlink(self, path: StrPath) -> None: ...

    def listdir(self, path: StrPath) -> list[str]:
        """Names in no order; undecodable bytes come as surrogate escapes."""
        ...

    def mkdir(self, path: StrPath) -> None:
        """Makes the folder and its parents; no error when it is there already."""
        ...

    def remove_all(self, paths: Iterable[StrPath]) -> None:
        """Unlinks many files; those that are gone already are no error."""
        ...


class ModelRequest(NamedTuple):
    """One question to a model. With a `schema` the answer is to be JSON that fits it."""

    system: str
    prompt: str
    schema: dict[str, Any] | None
    output_tokens_at_most: int


class Completion(NamedTuple):
    """A model's answer, and what it took: None where whoever answered does not say."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """Tokens in both directions, as far as they are known."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


class Model(Protocol):
    """Whoever completes text. No code of the daemon asks one: workers do, and pay for it."""

    def complete(self, request: ModelRequest) -> Completion:
        """The answer; raises ModelError where there is none."""
        ...
