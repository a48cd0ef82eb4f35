"""What may go wrong with the fake disk: which call, where, and how.

A fault waits for its call; the disk asks for it. Which errors are possible at all follows what the
system calls say of themselves, so that a full disk fails no read.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Crash", "Fault", "calls_that_fail_with"]


class Crash(BaseException):
    """The process that called the disk is gone; no handler of its may catch this."""


@dataclass(slots=True)
class Fault:
    """Something that comes over the `at`-th call from now on (1 is the next one).

    `error` is an errno, or None for a crash of the calling process; with `action` nothing fails,
    but something else happens right before the call. `when` says whether the call is done before
    it fails: "half" writes half of the bytes. `calls` limits it to some names, `under` to files in
    these folders. `lasting` faults hit every later call too, until `FakeDisk.mend`.
    """

    at: int
    error: int | None = None
    when: Literal["before", "half", "after"] = "before"
    calls: frozenset[str] | None = None
    lasting: bool = False
    under: tuple[str, ...] = ()
    action: Callable[[], None] | None = None

    def concerns(self, name: str, paths: tuple[str, ...]) -> bool:
        """Whether it waits for such a call on these files."""
        if self.calls is not None and name not in self.calls:
            return False
        return not self.under or any(path.startswith(self.under) for path in paths)


_OPENING = frozenset({"create", "open_append", "open_update", "open_read", "read", "listdir",
                      "fsync_dir"})  # fmt: skip
_GROWING = frozenset({"create", "write", "write_at", "allocate", "mkdir", "link", "rename",
                      "rename_new"})  # fmt: skip
_CHANGING = _GROWING | {"open_append", "open_update", "truncate", "set_mtime", "exchange", "unlink"}
_CALLS = {errno.EMFILE: _OPENING, errno.ENOSPC: _GROWING, errno.EROFS: _CHANGING}


def calls_that_fail_with(error: int) -> frozenset[str] | None:
    """The calls that may give this errno; None: every one."""
    return _CALLS.get(error)
