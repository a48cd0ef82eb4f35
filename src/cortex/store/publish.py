"""Publishes documents by exchange, so that no edit is ever overwritten unseen.

What comes out of `coordination/` must be what was last put in; anything else is somebody's edit and
is kept in `.state/out/` for the caller to judge. Published files are projections: nothing is
synced, nothing is read back as truth. Merging edits is not done here.
"""

import errno
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cortex.model.failpoints import failpoint
from cortex.model.seams import Disk, FileStat
from cortex.store.disk import write_all

__all__ = ["LateEdit", "PublishResult", "Publisher"]

_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
LINGER_S = 5.0
_MARK_SPAN = 1_000_000
_DRAFT_ENDING = ".draft"

Version = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PublishResult:
    """How a publication went. With `edited`, `kept` is where the foreign content lies now, and
    `has_writer` whether somebody still writes into it (None: the system can't tell)."""

    edited: bool
    kept: Path | None
    has_writer: bool | None
    was_missing: bool


@dataclass(frozen=True, slots=True)
class LateEdit:
    """A document that was written into after it had been exchanged out, and where it lies."""

    document: Path
    kept: Path


@dataclass(slots=True)
class _Lingering:
    """Our own last version, out of sight, but perhaps still open in an editor."""

    document: Path
    kept: Path
    version: Version
    since_s: float | None = None


class Publisher:
    """Publishes and remembers what it put in. For one thread.

    What was put in is known by inode, size and mtime; the mtime's last six digits are a checksum
    of the content, so that a later life recognises it too.
    """

    def __init__(self, disk: Disk, out: Path) -> None:
        self._disk = disk
        self._out = out
        self._last: dict[Path, Version] = {}
        self._lingering: list[_Lingering] = []
        disk.mkdir(out)

    def publish(self, path: Path, chunks: Sequence[bytes], journal_seq: int) -> PublishResult:
        """Puts the joined chunks at `path`. OSError leaves the published file as it was."""
        kept = self._free_name(f"{path.name}.{journal_seq}")
        version = self._write(kept, chunks)
        failpoint("publish.before_exchange")
        was_missing = self._swap(kept, path, version)
        failpoint("publish.after_exchange")
        last = self._last.get(path)
        self._last[path] = version
        if was_missing:
            return PublishResult(False, None, None, True)
        stat = self._disk.stat(kept)
        if self._is_ours(kept, stat, last):
            self._drop_quiet(path)
            self._lingering.append(_Lingering(path, kept, stat.version))
            return PublishResult(False, None, None, False)
        return PublishResult(True, kept, self._has_writer(kept, stat), False)

    def linger(self, document: Path, kept: Path, version: Version) -> None:
        """Lets an edit that was taken up lie for a while: its editor may still write into it."""
        self._lingering.append(_Lingering(document, kept, version))

    def look(
        self, path: Path, is_whole: Callable[[Path, FileStat], bool]
    ) -> Literal["ours", "edited", "unfinished", "missing"]:
        """What lies in a document's place. An edit is unfinished while somebody has it open for
        writing, or while it is not even an object (`is_whole`)."""
        try:
            stat = self._disk.stat(path)
            if self._is_ours(path, stat, self._last.get(path)):
                self._last[path] = stat.version
                return "ours"
            busy = self._has_writer(path, stat) is True
            return "unfinished" if busy or not is_whole(path, stat) else "edited"
        except FileNotFoundError:
            return "missing"

    def leftovers(self, documents: Sequence[Path]) -> list[LateEdit]:
        """What an earlier life kept of these documents and did not hand on, or a publication that
        failed half-way: edits. Names those again that lie there and were handed on. Our own old
        versions are deleted, but not under an editor that has one open."""
        edits: list[LateEdit] = []
        lingering = {entry.kept for entry in self._lingering}
        try:
            names = sorted(self._disk.listdir(self._out))
        except FileNotFoundError:
            return edits  # somebody removed the folder; the next publication makes it again
        for name in names:
            kept = self._out / name
            if kept in lingering:
                continue
            stat = self._disk.stat(kept)
            document = next((d for d in documents if name.startswith(f"{d.name}.")), None)
            if name.endswith(_DRAFT_ENDING):
                self._disk.remove_all([kept])
            elif self._is_ours(kept, stat, None):
                if document is not None and self._has_writer(kept, stat) is not False:
                    self._lingering.append(_Lingering(document, kept, stat.version))
                else:
                    self._disk.remove_all([kept])
            elif document is not None:
                edits.append(LateEdit(document, kept))
        return edits

    def untouched(self, path: Path) -> bool:
        """Whether the file is there and as it was published last, in this life or an earlier one.
        A stat, where this life has published it."""
        try:
            stat = self._disk.stat(path)
        except FileNotFoundError:
            return False
        ours = self._is_ours(path, stat, self._last.get(path))
        if ours:
            self._last[path] = stat.version
        return ours

    def sweep(self, monotonic_s: float) -> list[LateEdit]:
        """Deletes exchanged-out versions that stayed unchanged for 5 s; returns those that an
        editor wrote into and has closed since. To be called about once a second."""
        late: list[LateEdit] = []
        still: list[_Lingering] = []
        for entry in self._lingering:
            if entry.since_s is None:
                entry.since_s = monotonic_s
            stat = self._stat(entry.kept)
            if stat is None:
                continue
            busy = self._has_writer(entry.kept, stat)
            if stat.version != entry.version and busy is not True:
                late.append(LateEdit(entry.document, entry.kept))
            elif busy is True or monotonic_s - entry.since_s < LINGER_S:
                still.append(entry)
            else:
                self._disk.remove_all([entry.kept])
        self._lingering = still
        return late

    def _write(self, target: Path, chunks: Sequence[bytes]) -> Version:
        """The whole document under a name of its own: what lies there is never half of ours."""
        draft = target.with_name(f".{target.name}{_DRAFT_ENDING}")
        self._disk.remove_all([draft])
        handle = self._create(draft)
        try:
            crc = 0
            for chunk in chunks:
                crc = zlib.crc32(chunk, crc)
                write_all(self._disk, handle, chunk)
            now_ns = self._disk.fstat(handle).mtime_ns
            self._disk.set_mtime(handle, now_ns - now_ns % _MARK_SPAN + crc % _MARK_SPAN)
            version = self._disk.fstat(handle).version
            self._disk.rename(draft, target)
        except OSError:
            self._disk.remove_all([draft])
            raise
        finally:
            self._disk.close(handle)
        return version

    def _create(self, draft: Path) -> int:
        try:
            return self._disk.create(draft)
        except FileNotFoundError:
            self._disk.mkdir(self._out)
            return self._disk.create(draft)

    def _swap(self, kept: Path, path: Path, version: Version) -> bool:
        """Puts the document at `kept` in place, and the old file at `kept`; True when there was
        none."""
        while True:
            try:
                self._disk.exchange(kept, path)
            except FileNotFoundError:
                try:
                    self._disk.rename_new(kept, path)
                except FileExistsError:
                    continue  # made by somebody in between
                return True
            except OSError as error:
                if error.errno in _NO_EXCHANGE:
                    return self._compare_and_rename(kept, path)
                # An exchange that reports an error may have been made: then an edit lies there.
                if (stat := self._stat(kept)) is not None and stat.version == version:
                    self._disk.remove_all([kept])
                raise
            return False

    def _compare_and_rename(self, kept: Path, path: Path) -> bool:
        """For file systems without exchange: an edit between the two calls is lost."""
        aside = self._free_name(f"{kept.name}.old")
        try:
            if self._disk.stat(path).kind == "file":
                self._disk.link(path, aside)
            else:
                self._disk.rename(path, aside)
        except FileNotFoundError:
            self._disk.rename(kept, path)
            return True
        self._disk.rename(kept, path)
        self._disk.rename(aside, kept)
        return False

    def _free_name(self, name: str) -> Path:
        candidate = self._out / name
        number = 1
        while self._stat(candidate) is not None:
            number += 1
            candidate = self._out / f"{name}-{number}"
        return candidate

    def _is_ours(self, path: Path, stat: FileStat, last: Version | None) -> bool:
        if stat.kind != "file":
            return False
        if last is not None:
            return stat.version == last
        crc = zlib.crc32(self._disk.read(path))
        return stat.mtime_ns % _MARK_SPAN == crc % _MARK_SPAN

    def _drop_quiet(self, document: Path) -> None:
        """Deletes older versions that nobody can write into any more, before more pile up.

        They left the public name a publication ago, so whoever has one open opened it before;
        where the system can't tell of writers, `sweep` waits the time out.
        """
        still: list[_Lingering] = []
        for entry in self._lingering:
            if entry.document == document:
                stat = self._stat(entry.kept)
                if stat is None:
                    continue
                quiet = stat.version == entry.version
                if quiet and self._has_writer(entry.kept, stat) is False:
                    self._disk.remove_all([entry.kept])
                    continue
            still.append(entry)
        self._lingering = still

    def _has_writer(self, path: Path, stat: FileStat) -> bool | None:
        if stat.kind != "file":
            return None
        try:
            handle = self._disk.open_read(path)
        except OSError:
            return None
        try:
            return self._disk.has_writer(handle)
        finally:
            self._disk.close(handle)

    def _stat(self, path: Path) -> FileStat | None:
        try:
            return self._disk.stat(path)
        except FileNotFoundError:
            return None
