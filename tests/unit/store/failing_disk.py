"""The real disk with chosen failures: what the system would say when it is full or broken."""

import errno
import os

from cortex.model.seams import StrPath
from cortex.store.disk import RealDisk


class FailingDisk(RealDisk):
    """`fail` maps a call's name to an errno; `short_write` lets a failing write leave a part."""

    def __init__(self) -> None:
        super().__init__()
        self.fail: dict[str, int] = {}
        self.short_write = 0
        self.calls: list[str] = []

    def _may_fail(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fail:
            number = self.fail[call]
            raise OSError(number, os.strerror(number))

    def write(self, handle: int, data: bytes) -> int:
        if "write" in self.fail and self.short_write:
            count, self.short_write = self.short_write, 0
            return super().write(handle, data[:count])
        self._may_fail("write")
        return super().write(handle, data)

    def fdatasync(self, handle: int) -> None:
        self._may_fail("fdatasync")
        super().fdatasync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._may_fail("truncate")
        super().truncate(handle, size)

    def create(self, path: StrPath) -> int:
        self._may_fail("create")
        return super().create(path)

    def fsync_dir(self, path: StrPath) -> None:
        self._may_fail("fsync_dir")
        super().fsync_dir(path)

    def exchange(self, one: StrPath, other: StrPath) -> None:
        self._may_fail("exchange")
        super().exchange(one, other)

    def has_writer(self, handle: int) -> bool | None:
        if self.fail.get("has_writer") == errno.EINVAL:
            return None
        return super().has_writer(handle)

    def rename_new(self, source: StrPath, target: StrPath) -> None:
        self._may_fail("rename_new")
        super().rename_new(source, target)
