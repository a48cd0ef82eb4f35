"""A disk in memory that fails when and how a test asks: errors, full, crashes, power cuts.

It keeps the `Disk` seam's promises and nothing beyond: bytes are durable after `fdatasync`, names
after `fsync_dir`; everything else may be gone after a power cut. Folders are durable once made.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast

from cortex.model.seams import FileKind, FileStat, StrPath
from cortex.testing.clock import FakeClock
from cortex.testing.disk_faults import Crash, Fault
from cortex.testing.disk_files import File, Names

__all__ = ["FakeDisk"]

Method = TypeVar("Method", bound=Callable[..., Any])


def _call(method: Method) -> Method:
    """Counts a call of the seam, and lets the armed faults have their way with it."""
    name = method.__name__

    @wraps(method)
    def call(self: FakeDisk, *arguments: Any) -> Any:
        if self.dead:
            raise Crash(f"{name} by a process that is gone")
        self.calls += 1
        fault = self._due(name, arguments) if self._faults else None
        if fault is None:
            return method(self, *arguments)
        return self._go_wrong(fault, method, name, arguments)

    return cast("Method", call)


class FakeDisk:
    """`model.seams.Disk` in memory. `capacity` is its size in bytes; None: it never fills up.

    `fired` tells which faults came to pass; `calls` counts the seam's calls.
    """

    def __init__(self, clock: FakeClock | None = None, seed: int = 0) -> None:
        self._clock = clock or FakeClock(seed)
        self._random = random.Random(f"disk {seed}")
        self._names = Names({"/": {}}, {"/": {}})
        self._handles: dict[int, File] = {}
        self._handle_paths: dict[int, str] = {}
        self._next_handle = 3
        self._next_file = 1
        self._faults: list[Fault] = []
        self.capacity: int | None = None
        self.calls = 0
        self.fired: list[str] = []
        self.dead = False
        #: Told (folder, name) after each change of names by the daemon.
        self.watcher: Callable[[str, str], None] | None = None

    # --- faults

    def arm(self, fault: Fault) -> None:
        """Lets a fault come; several may wait at once."""
        self._faults.append(fault)

    def mend(self) -> None:
        """No fault waits any more, and there is space."""
        self._faults.clear()
        self.capacity = None

    def restart(self) -> None:
        """The process that used the disk is gone; another one may. The cache stays."""
        self._handles.clear()
        self._handle_paths.clear()
        self.dead = False

    def cut_power(self) -> None:
        """What was not synced is lost: all of it, none, or some, as the seed decides."""
        self.restart()
        mode = self._random.choice(("lost", "lost", "mixed", "kept"))
        whole = len(self._names.open)
        kept = {"lost": 0, "kept": whole, "mixed": self._random.randint(0, whole)}[mode]
        self._names.lose_power(kept)
        for file in self._names.files():
            file.strange = True
            shares = {"lost": 0.0, "kept": 1.0}.get(mode)
            file.lose_power(
                [
                    self._random.choice((0.0, 1.0, self._random.random()))
                    if shares is None
                    else shares
                    for _ in file.dirty
                ]
            )

    def write_back(self) -> None:
        """The kernel writes everything back by itself, as it does after half a minute."""
        self._names.sync_all()
        for file in self._names.files():
            file.sync()

    def reboot(self) -> None:
        """An orderly reboot: everything is written back, and nobody has a file open."""
        self.restart()
        self.write_back()
        for file in self._names.files():
            file.writers = 0

    def fill(self, left: int) -> None:
        """Lets so many bytes of space be left."""
        self.capacity = self._used() + left

    # --- other people's hands: no call of the seam, no fault

    def put(self, path: StrPath, data: bytes, *, synced: bool = True) -> File:
        """A careful program puts a file in place: written aside, synced, renamed, synced. A
        careless one leaves out the syncs. Its folder is made where it is missing."""
        folder, name = _split(path)
        self._make_folder(folder)
        file = self._new_file("file")
        file.strange = True
        file.put(data, 0)
        self._names.change((folder, name, file))
        if synced:
            file.sync()
            self._names.sync(folder)
        return file

    def put_oddity(self, path: StrPath, kind: FileKind) -> None:
        """Somebody makes what is no file: a symlink, a FIFO."""
        folder, name = _split(path)
        self._make_folder(folder)
        self._names.change((folder, name, self._new_file(kind)))
        self._names.sync(folder)

    def file_at(self, path: StrPath) -> File | None:
        """The inode of that name, as somebody has it who opened it: it stays the same one wherever
        it is moved."""
        folder, name = _split(path)
        return self._names.seen.get(folder, {}).get(name)

    def open_slowly(self, path: StrPath, data: bytes) -> File:
        """Somebody opens a new file and writes its first part; `finish_slowly` has the rest."""
        file = self.put(path, data, synced=False)
        file.writers = 1
        return file

    def finish_slowly(self, file: File, data: bytes) -> None:
        """The rest of a file of `open_slowly`, synced and closed, wherever it lies by now."""
        file.put(data, len(file.cache))
        self._touch(file)
        file.sync()
        file.writers = 0
        for folder, entries in self._names.seen.items():
            if any(other is file for other in entries.values()):
                self._names.sync(folder)

    def scribble(self, file: File, data: bytes) -> None:
        """Somebody who has the file open empties it and writes it anew; `close_scribbled` ends
        that. Nothing is synced."""
        file.strange = True
        file.writers = 1
        file.cut(0)
        file.put(data, 0)
        self._touch(file)

    def close_scribbled(self, file: File) -> None:
        """Whoever wrote has closed the file, and it is on the disk."""
        file.writers = 0
        file.sync()

    def delete(self, path: StrPath) -> None:
        """Somebody removes the file."""
        folder, name = _split(path)
        self._names.change((folder, name, None))

    # --- looking, without a call

    def content(self, path: StrPath) -> bytes | None:
        """What a reader sees; None where there is no such file."""
        file = self.file_at(path)
        return None if file is None or file.kind != "file" else bytes(file.cache)

    def durable(self, path: StrPath) -> bytes | None:
        """What a power cut would leave at least; None where not even the name is durable."""
        folder, name = _split(path)
        file = self._names.safe.get(folder, {}).get(name)
        return None if file is None or file.kind != "file" else bytes(file.safe)

    def files_in(self, folder: str, *, durable: bool = False) -> dict[str, File]:
        """The names in a folder and their inodes, not to be changed; empty where it is missing."""
        return (self._names.safe if durable else self._names.seen).get(folder, {})

    def marks(self, *folders: str) -> tuple[int, ...]:
        """Changes whenever a name in one of the folders does, or becomes durable."""
        names = self._names
        return tuple(names.marks[folder] + names.safe_marks[folder] for folder in folders)

    def names(self, folder: StrPath, *, durable: bool = False) -> list[str]:
        """The names in a folder, in order; empty where it is missing."""
        return sorted(self.files_in(os.fspath(folder), durable=durable))

    # --- the seam

    @_call
    def open_append(self, path: StrPath) -> int:
        return self._open(path)

    @_call
    def create(self, path: StrPath) -> int:
        folder, name = self._place(path)
        if name in self._names.seen[folder]:
            raise _error(errno.EEXIST, path)
        if self.capacity is not None and self._used() >= self.capacity:
            raise _error(errno.ENOSPC, path)
        file = self._new_file("file")
        self._change((folder, name, file))
        return self._handle(file, path)

    @_call
    def open_update(self, path: StrPath) -> int:
        return self._open(path)

    @_call
    def open_read(self, path: StrPath) -> int:
        return self._open(path)

    def close(self, handle: int) -> None:
        """Never fails: unwinding after a crash closes what was open."""
        self._handles.pop(handle, None)
        self._handle_paths.pop(handle, None)

    @_call
    def write(self, handle: int, data: bytes) -> int:
        return self._write(handle, data, len(self._file(handle).cache))

    @_call
    def write_at(self, handle: int, data: bytes, offset: int) -> int:
        return self._write(handle, data, offset)

    @_call
    def read_at(self, handle: int, size: int, offset: int) -> bytes:
        return bytes(self._file(handle).cache[offset : offset + size])

    @_call
    def read(self, path: StrPath) -> bytes:
        file = self._find(path)
        if file.kind == "folder":
            raise _error(errno.EISDIR, path)
        return bytes(file.cache)

    @_call
    def truncate(self, handle: int, size: int) -> None:
        file = self._file(handle)
        file.cut(size)
        self._touch(file)

    @_call
    def fdatasync(self, handle: int) -> None:
        self._file(handle).sync()

    @_call
    def fsync_dir(self, path: StrPath) -> None:
        folder = os.fspath(path)
        if folder not in self._names.seen:
            raise _error(errno.ENOENT, path)
        self._names.sync(folder)

    @_call
    def allocate(self, handle: int, size: int) -> None:
        file = self._file(handle)
        if self.capacity is not None and self._used() + size - file.space > self.capacity:
            raise _error(errno.ENOSPC, "")
        file.allocated = max(file.allocated, size)
        file.cut(max(size, len(file.cache)))

    @_call
    def set_mtime(self, handle: int, mtime_ns: int) -> None:
        file = self._file(handle)
        self._touch(file)
        file.mtime_ns = mtime_ns

    @_call
    def fstat(self, handle: int) -> FileStat:
        return self._file(handle).stat()

    @_call
    def stat(self, path: StrPath) -> FileStat:
        return self._find(path).stat()

    @_call
    def has_writer(self, handle: int) -> bool | None:
        return self._file(handle).writers > 0

    @_call
    def rename(self, source: StrPath, target: StrPath) -> None:
        self._rename(source, target)

    @_call
    def rename_new(self, source: StrPath, target: StrPath) -> None:
        self._find(source)
        folder, name = self._place(target)
        if name in self._names.seen[folder]:
            raise _error(errno.EEXIST, target)
        self._rename(source, target)

    @_call
    def exchange(self, one: StrPath, other: StrPath) -> None:
        first, second = self._find(one), self._find(other)
        (folder, name), (other_folder, other_name) = _split(one), _split(other)
        self._change((folder, name, second), (other_folder, other_name, first))
        self._renamed(first, second)

    @_call
    def link(self, source: StrPath, target: StrPath) -> None:
        file = self._find(source)
        folder, name = self._place(target)
        if name in self._names.seen[folder]:
            raise _error(errno.EEXIST, target)
        self._change((folder, name, file))
        self._renamed(file)

    @_call
    def unlink(self, path: StrPath) -> None:
        self._unlink(path)

    @_call
    def listdir(self, path: StrPath) -> list[str]:
        entries = self._names.seen.get(os.fspath(path))
        if entries is None:
            raise _error(errno.ENOENT, path)
        return list(entries)

    @_call
    def mkdir(self, path: StrPath) -> None:
        self._make_folder(os.fspath(path))

    def remove_all(self, paths: Iterable[StrPath]) -> None:
        """One call of `unlink` a path."""
        for path in paths:
            try:
                self.unlink(path)
            except FileNotFoundError:
                continue

    # --- inside

    def _due(self, name: str, arguments: tuple[Any, ...]) -> Fault | None:
        paths = tuple(self._path_of(argument) for argument in arguments[:2])
        for fault in self._faults:
            if not fault.concerns(name, paths):
                continue
            fault.at -= 1
            if fault.at <= 0:
                if not fault.lasting:
                    self._faults.remove(fault)
                return fault
        return None

    def _path_of(self, argument: Any) -> str:
        if isinstance(argument, int):
            return self._handle_paths.get(argument, "")
        return os.fspath(argument) if isinstance(argument, str | os.PathLike) else ""

    def _go_wrong(
        self, fault: Fault, method: Callable[..., Any], name: str, arguments: tuple[Any, ...]
    ) -> Any:
        if fault.action is not None:
            fault.action()
            if self.dead:
                raise Crash(f"{name} by a process that is gone")
            return method(self, *arguments)
        if fault.when == "half" and name in ("write", "write_at"):
            data = arguments[1]
            method(self, arguments[0], data[: len(data) // 2], *arguments[2:])
        elif fault.when == "after":
            method(self, *arguments)
        path = self._path_of(arguments[0]) if arguments else ""
        self.fired.append(f"{name} {fault.when} {fault.error or 'crash'} {path}")
        if fault.error is None:
            self.dead = True
            raise Crash(f"{name} {path}")
        if name == "fdatasync":
            self._file(arguments[0]).fail_sync()
        raise _error(fault.error, path)

    def _change(self, *changes: tuple[str, str, File | None]) -> None:
        self._names.change(*changes)
        if self.watcher is not None:
            for folder, name, _ in changes:
                self.watcher(folder, name)

    def _make_folder(self, whole: str) -> None:
        parts = whole.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            folder = "/" + "/".join(parts[:count])
            if folder in self._names.seen:
                continue
            parent, name = _split(folder)
            if name in self._names.seen[parent]:
                is_last = count == len(parts)
                raise _error(errno.EEXIST if is_last else errno.ENOTDIR, whole)
            file = self._new_file("folder")
            for table in (self._names.seen, self._names.safe):
                table.setdefault(folder, {})
                table[parent][name] = file

    def _open(self, path: StrPath) -> int:
        file = self._find(path)
        if file.kind == "symlink":
            raise _error(errno.ELOOP, path)
        return self._handle(file, path)

    def _handle(self, file: File, path: StrPath) -> int:
        self._next_handle += 1
        self._handles[self._next_handle] = file
        self._handle_paths[self._next_handle] = os.fspath(path)
        return self._next_handle

    def _file(self, handle: int) -> File:
        try:
            return self._handles[handle]
        except KeyError:
            raise _error(errno.EBADF, "") from None

    def _find(self, path: StrPath) -> File:
        folder, name = self._place(path)
        try:
            return self._names.seen[folder][name]
        except KeyError:
            raise _error(errno.ENOENT, path) from None

    def _place(self, path: StrPath) -> tuple[str, str]:
        folder, name = _split(path)
        if folder not in self._names.seen:
            raise _error(errno.ENOENT, path)
        return folder, name

    def _new_file(self, kind: FileKind) -> File:
        self._next_file += 1
        now = self._now()
        return File(self._next_file, kind, now, now)

    def _now(self) -> int:
        """Two changes never share an instant: the file numbers and calls are its last digits."""
        return self._clock.wall_ns() + (self.calls + self._next_file) % 1000

    def _touch(self, file: File) -> None:
        file.mtime_ns = file.ctime_ns = self._now()

    def _renamed(self, *files: File) -> None:
        for file in files:
            file.ctime_ns = self._now()

    def _rename(self, source: StrPath, target: StrPath) -> None:
        file = self._find(source)
        (old_folder, old_name), (folder, name) = _split(source), self._place(target)
        if self._names.seen[folder].get(name) is file:
            return
        self._change((old_folder, old_name, None), (folder, name, file))
        self._renamed(file)

    def _unlink(self, path: StrPath) -> None:
        folder, name = self._place(path)
        self._find(path)
        self._change((folder, name, None))

    def _write(self, handle: int, data: bytes, offset: int) -> int:
        file = self._file(handle)
        grows = max(0, offset + len(data) - file.space)
        if self.capacity is not None and grows:
            free = self.capacity - self._used()
            if free <= 0:
                raise _error(errno.ENOSPC, "")
            data = data[: max(1, len(data) - max(0, grows - free))]
        file.put(data, offset)
        self._touch(file)
        return len(data)

    def _used(self) -> int:
        held = {file.number: file.space for file in self._handles.values()}
        for entries in self._names.seen.values():
            held |= {file.number: file.space for file in entries.values()}
        return sum(held.values())


def _split(path: StrPath) -> tuple[str, str]:
    folder, _, name = os.fspath(path).rpartition("/")
    return folder or "/", name


def _error(number: int, path: StrPath) -> OSError:
    return OSError(number, os.strerror(number), os.fspath(path))
