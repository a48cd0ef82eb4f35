"""Repairs what can be made again out of the journal, and keeps everything that it replaces.

What is replaced or of no use moves into a dated folder below `.state/repaired/`. The second time
it does nothing. For whoever holds the home's lock: no daemon may run meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cortex.model.paths import HomePaths
from cortex.model.seams import Disk
from cortex.store import checkpoint
from cortex.store.archive import Archive
from cortex.store.disk import write_all
from cortex.store.drop import Problem as Reason
from cortex.store.history import Checked, Problem, published, published_later
from cortex.store.journal import recover
from cortex.store.journal_scan import read_lines
from cortex.store.publish import Publisher
from cortex.store.rejecting import ERROR_ENDING, error_document

__all__ = ["Repair", "Repaired"]


@dataclass(slots=True)
class Repaired:
    """What was done, a sentence each, and the folder that has what was replaced (if any was)."""

    done: list[str] = field(default_factory=list)
    kept: Path | None = None


class Repair:
    """One repair of one home; `stamp` names the folder, like 20251101T101500Z."""

    def __init__(self, disk: Disk, paths: HomePaths, stamp: str) -> None:
        self._disk = disk
        self._paths = paths
        self._folder = paths.state / "repaired" / stamp
        self._result = Repaired()

    def run(self, checked: Checked) -> Repaired:
        """Everything that is safe, in the order in which one stands on the other.

        With a damaged journal nothing that follows from it can be told, and only leftovers move.
        """
        wanted = {problem.repair for problem in checked.problems}
        self._make_folders(checked)
        for problem in checked.problems:
            if problem.repair == "aside":
                self._aside(Path(problem.place), problem.what)
        if not checked.damaged:
            if wanted & {"journal", "checkpoint"}:
                self._journal_and_checkpoint(checked)
            self._files(checked)
            self._result_folders(checked)
            self._reasons(checked)
        if "index" in wanted:
            self._index()
        return self._result

    def _say(self, text: str) -> None:
        self._result.done.append(text)

    def _aside(self, path: Path, why: str) -> None:
        """Moves a file or folder into the dated folder, under its place in the home."""
        target = self._folder / path.relative_to(self._paths.root)
        self._disk.mkdir(target.parent)
        try:
            self._disk.rename_new(path, target)
        except FileNotFoundError:
            return
        self._result.kept = self._folder
        self._say(f"{self._short(path)}: moved aside ({why})")

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self._paths.root))

    def _make_folders(self, checked: Checked) -> None:
        for problem in checked.problems:
            if problem.repair == "folders":
                self._disk.mkdir(problem.place)
                self._say(f"{self._short(Path(problem.place))}: made again")

    def _journal_and_checkpoint(self, checked: Checked) -> None:
        """Cuts a torn end off, as a start does, and writes a checkpoint of the whole journal."""
        paths, disk = self._paths, self._disk
        if any(problem.repair == "checkpoint" for problem in checked.problems):
            for path in (paths.checkpoint, paths.previous_checkpoint):
                if path.exists():
                    self._aside(path, "not what the journal says")
        recovered = recover(
            disk,
            paths.journal,
            ballast=paths.ballast,
            later_traces=lambda seq: published_later(disk, paths, seq),
        )
        state, position = checked.state, recovered.journal.position
        recovered.journal.close()
        if recovered.torn is not None:
            torn = recovered.torn
            self._say(f"{self._short(paths.journal / torn.segment)}:{torn.line}: torn end cut off")
            self._aside(torn.kept, "what was cut off")
        if not paths.checkpoint.exists() and state.seq:
            previous = paths.previous_checkpoint
            checkpoint.save(disk, paths.checkpoint, position, state.to_json(), previous=previous)
            self._say(f"{self._short(paths.checkpoint)}: made again for line {state.seq}")

    def _files(self, checked: Checked) -> None:
        wrong = {_path_of(p) for p in checked.problems if p.repair == "file"}
        if not wrong:
            return
        made = published(checked.state)
        publisher = Publisher(self._disk, self._paths.out)
        for path in sorted(wrong):
            if path.exists() or path.is_symlink():
                self._aside(path, "not what the journal says")
            publisher.publish(path, made[path.name], checked.state.seq)
            self._say(f"{self._short(path)}: made again as of line {checked.state.seq}")

    def _result_folders(self, checked: Checked) -> None:
        for problem in checked.problems:
            if problem.repair == "folder":
                folder = Path(problem.place)
                self._disk.mkdir(folder)
                note = f"{problem.what}.\nThis folder was made again by `cortex fsck --repair`.\n"
                self._write(folder / "LOST.md", note.encode())
                self._say(f"{self._short(folder)}: made again, with a note that its files are lost")

    def _reasons(self, checked: Checked) -> None:
        """Reasons of refused files out of the journal; where it has none, it says so."""
        wrong = [Path(p.place) for p in checked.problems if p.repair == "reason"]
        if not wrong:
            return
        told = {}
        for line in read_lines(self._disk, self._paths.journal):
            for event in line.events:
                if event["event"] == "drop_rejected":
                    told[str(event["file"]).partition("-")[2]] = (line.at, event)
        for path in wrong:
            at, event = told.get(path.name, (checked.state.at, {}))
            lost = "the reason is lost; the journal has no line of a file of this name"
            reason = Reason(
                str(event.get("reason", lost)),
                line=event.get("line"),
                field=event.get("field"),
                hint=event.get("hint"),
            )
            receipt = str(event.get("file", f"fsck-{path.name}"))
            data = error_document(path.name, reason, at[:19] + "Z", receipt)
            self._write(path.with_name(path.name + ERROR_ENDING), data)
            self._say(f"{self._short(path)}{ERROR_ENDING}: written again")

    def _index(self) -> None:
        index = self._paths.archive_index
        for ending in ("", "-journal", "-wal", "-shm"):
            path = index.with_name(index.name + ending)
            if path.exists():
                self._aside(path, "not what the archive's files say")
        Archive(self._disk, self._paths.archive, index).close()
        self._say(f"{self._short(index)}: made again")

    def _write(self, path: Path, data: bytes) -> None:
        self._disk.remove_all([path])
        handle = self._disk.create(path)
        try:
            write_all(self._disk, handle, data)
            self._disk.fdatasync(handle)
        finally:
            self._disk.close(handle)


def _path_of(problem: Problem) -> Path:
    """The file of a place that may be FILE:LINE."""
    name, _, line = problem.place.rpartition(":")
    return Path(name if line.isdecimal() else problem.place)
