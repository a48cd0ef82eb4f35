"""The real disk: each call of the `Disk` seam as one or two system calls.

renameat2 comes through ctypes because Python 3.11 has no name for it. Nothing here knows what the
files mean.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterable

from cortex.model.seams import Disk, FileKind, FileStat, StrPath

__all__ = ["RealDisk", "write_all"]

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2

_KINDS: dict[int, FileKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_NO_LEASES = {errno.EACCES, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK}


def _file_stat(result: os.stat_result) -> FileStat:
    return FileStat(
        _KINDS.get(stat.S_IFMT(result.st_mode), "device"),
        result.st_dev,
        result.st_ino,
        result.st_size,
        result.st_mtime_ns,
        result.st_ctime_ns,
        result.st_nlink,
    )


def write_all(disk: Disk, handle: int, data: bytes) -> None:
    """Appends all of the data, in as many writes as the system wants; OSError leaves a part."""
    done = disk.write(handle, data)
    while done < len(data):
        done += disk.write(handle, data[done:])


class RealDisk:
    """The `Disk` seam on this machine's file systems. Holds no state; safe from any thread."""

    def __init__(self) -> None:
        self._renameat2 = ctypes.CDLL(None, use_errno=True).renameat2

    def open_append(self, path: StrPath) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)

    def create(self, path: StrPath) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(path, flags, 0o644)

    def open_update(self, path: StrPath) -> int:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)

    def open_read(self, path: StrPath) -> int:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        os.close(handle)

    def write(self, handle: int, data: bytes) -> int:
        return os.write(handle, data)

    def write_at(self, handle: int, data: bytes, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def read_at(self, handle: int, size: int, offset: int) -> bytes:
        data = os.pread(handle, size, offset)
        if not data or len(data) == size:
            return data
        parts = [data]
        got = len(data)
        while got < size and (data := os.pread(handle, size - got, offset + got)):
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def read(self, path: StrPath) -> bytes:
        handle = self.open_read(path)
        try:
            return self.read_at(handle, os.fstat(handle).st_size, 0)
        finally:
            os.close(handle)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def fdatasync(self, handle: int) -> None:
        os.fdatasync(handle)

    def fsync_dir(self, path: StrPath) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def allocate(self, handle: int, size: int) -> None:
        os.posix_fallocate(handle, 0, size)

    def set_mtime(self, handle: int, mtime_ns: int) -> None:
        os.utime(handle, ns=(mtime_ns, mtime_ns))

    def fstat(self, handle: int) -> FileStat:
        return _file_stat(os.fstat(handle))

    def stat(self, path: StrPath) -> FileStat:
        return _file_stat(os.lstat(path))

    def has_writer(self, handle: int) -> bool | None:
        """By a read lease, which the kernel grants only while nobody writes (fcntl(2), F_SETLEASE).

        A lease that is broken sends SIGIO, which ends a process that doesn't ignore it; SIGURG is
        asked for instead, because it is ignored by default.
        """
        try:
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return True
            if error.errno in _NO_LEASES:
                return None
            raise
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    def rename(self, source: StrPath, target: StrPath) -> None:
        os.rename(source, target)  # noqa: PTH104

    def rename_new(self, source: StrPath, target: StrPath) -> None:
        try:
            self._rename2(source, target, _RENAME_NOREPLACE)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            # No atomic form on this file system; the daemon is the only one that renames there.
            os.lstat(source)
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "name is taken", str(target)) from None
            os.rename(source, target)  # noqa: PTH104

    def exchange(self, one: StrPath, other: StrPath) -> None:
        self._rename2(one, other, _RENAME_EXCHANGE)

    def _rename2(self, source: StrPath, target: StrPath, flags: int) -> None:
        code = self._renameat2(
            _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags
        )
        if code != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(source), None, str(target))

    def link(self, source: StrPath, target: StrPath) -> None:
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: StrPath) -> None:
        os.unlink(path)  # noqa: PTH108

    def listdir(self, path: StrPath) -> list[str]:
        return os.listdir(path)  # noqa: PTH208

    def mkdir(self, path: StrPath) -> None:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103

    def remove_all(self, paths: Iterable[StrPath]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
