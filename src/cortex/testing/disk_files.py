"""What the fake disk is made of: files whose bytes and names are durable or only in the cache.

A file's `cache` is what every process reads; `safe` is what a power cut leaves. Names have the
same two lives, with the operations between them kept in order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cortex.model.seams import FileKind, FileStat

__all__ = ["File", "NameChange", "Names"]

DEVICE = 42
#: A kernel commits names by itself within seconds; more changes than this are never open at once.
OPEN_AT_MOST = 200


@dataclass(slots=True, eq=False)
class File:
    """An inode. `dirty` are the byte ranges that were written and not yet synced.

    `strange` ones are other people's, or what a power cut left. `marks` counts the changes of
    `cache`, `safe_marks` those of `safe`.
    """

    number: int
    kind: FileKind
    mtime_ns: int
    ctime_ns: int
    cache: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, int]] = field(default_factory=list)
    links: int = 0
    allocated: int = 0
    writers: int = 0
    strange: bool = False
    marks: int = 0
    safe_marks: int = 0

    def stat(self) -> FileStat:
        """As the seam's `stat` gives it."""
        size, links = len(self.cache), max(self.links, 1)
        return FileStat(self.kind, DEVICE, self.number, size, self.mtime_ns, self.ctime_ns, links)

    @property
    def space(self) -> int:
        """Bytes that it takes on the disk."""
        return max(len(self.cache), self.allocated)

    def put(self, data: bytes, offset: int) -> None:
        """Writes into the cache; a gap before `offset` reads as zeros."""
        if len(self.cache) < offset:
            self.cache.extend(bytes(offset - len(self.cache)))
        self.cache[offset : offset + len(data)] = data
        self.dirty.append((offset, offset + len(data)))
        self.marks += 1

    def cut(self, size: int) -> None:
        """Truncates, or lengthens with zeros."""
        if size < len(self.cache):
            del self.cache[size:]
            self.dirty = [(start, min(end, size)) for start, end in self.dirty if start < size]
        else:
            self.cache.extend(bytes(size - len(self.cache)))
        self.marks += 1

    def sync(self) -> None:
        """What is dirty becomes safe; what an earlier failed sync marked clean does not."""
        del self.safe[len(self.cache) :]
        self.safe.extend(bytes(len(self.cache) - len(self.safe)))
        for start, end in self.dirty:
            self.safe[start:end] = self.cache[start:end]
        self.dirty.clear()
        self.safe_marks += 1

    def fail_sync(self) -> None:
        """As Linux does after a write error: the pages count as clean, and are not on the disk."""
        self.dirty.clear()

    def lose_power(self, kept: list[float]) -> None:
        """Each dirty range survives by its share (0 to 1), from its start; then the cache is what
        the disk has."""
        for (start, end), share in zip(self.dirty, kept, strict=True):
            stop = start + round((end - start) * share)
            if stop > start:
                self.safe.extend(bytes(max(0, stop - len(self.safe))))
                self.safe[start:stop] = self.cache[start:stop]
        self.dirty.clear()
        self.cache[:] = self.safe
        self.writers = 0
        self.marks += 1
        self.safe_marks += 1


@dataclass(frozen=True, slots=True, eq=False)
class NameChange:
    """One atomic change of names: (folder, name, file or None for gone), in one or two folders."""

    changes: tuple[tuple[str, str, File | None], ...]

    def apply(self, names: dict[str, dict[str, File]], marks: Counter[str]) -> None:
        """Carries the change out in a table of folders, and counts it for each of them."""
        for folder, name, file in self.changes:
            marks[folder] += 1
            entries = names.setdefault(folder, {})
            if file is None:
                entries.pop(name, None)
            else:
                entries[name] = file


@dataclass(slots=True)
class Names:
    """The folders, as everybody sees them and as a power cut leaves them.

    `marks` and `safe_marks` count the changes of each folder in `seen` and `safe`.
    """

    seen: dict[str, dict[str, File]] = field(default_factory=dict)
    safe: dict[str, dict[str, File]] = field(default_factory=dict)
    open: list[NameChange] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    safe_marks: Counter[str] = field(default_factory=Counter)

    def change(self, *changes: tuple[str, str, File | None]) -> None:
        """One atomic change, durable once a folder of it is synced."""
        change = NameChange(changes)
        for folder, name, file in changes:
            gone = self.seen[folder].get(name)
            if gone is not None:
                gone.links -= 1
            if file is not None:
                file.links += 1
        change.apply(self.seen, self.marks)
        self.open.append(change)
        if len(self.open) > OPEN_AT_MOST:
            self._settle(self.open[: OPEN_AT_MOST // 2])
            del self.open[: OPEN_AT_MOST // 2]

    def sync(self, folder: str) -> None:
        """The names in a folder become durable; a rename does so in both of its folders, and with
        it whatever had happened before to the same names."""
        wanted: set[tuple[str, str]] = set()
        durable: list[NameChange] = []
        left: list[NameChange] = []
        for change in reversed(self.open):
            if any(place == folder or (place, name) in wanted for place, name, _ in change.changes):
                wanted.update((place, name) for place, name, _ in change.changes)
                durable.append(change)
            else:
                left.append(change)
        self._settle(durable[::-1])
        self.open = left[::-1]

    def sync_all(self) -> None:
        """The kernel writes everything back."""
        self._settle(self.open)
        self.open.clear()

    def lose_power(self, kept: int) -> None:
        """The first `kept` open changes survive, as in a journaling file system."""
        self._settle(self.open[:kept])
        self.open.clear()
        self.seen = {folder: dict(entries) for folder, entries in self.safe.items()}
        for file in self.files():
            file.links = 0
        for folder, entries in self.seen.items():
            self.marks[folder] += 1
            self.safe_marks[folder] += 1
            for file in entries.values():
                file.links += 1

    def files(self) -> list[File]:
        """Every file that has a name, each once, oldest first."""
        found = {f.number: f for names in (self.seen, self.safe) for e in names.values()
                 for f in e.values()}  # fmt: skip
        return [found[number] for number in sorted(found)]

    def _settle(self, changes: list[NameChange]) -> None:
        for change in changes:
            change.apply(self.safe, self.safe_marks)
