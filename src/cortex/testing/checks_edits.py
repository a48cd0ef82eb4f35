"""No edit is lost: each lies whole where somebody finds it, or its effect is in the journal.

What an edit did not ask for it must not do: its line has exactly the change that its editor made,
however stale the buffer was, so that no field goes back to what it once had been.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortex.model.journal_line import Line
from cortex.model.paths import HomePaths
from cortex.testing.checks import Checks
from cortex.testing.disk import FakeDisk
from cortex.testing.editors import Edit, Editors

__all__ = ["EditChecks"]


@dataclass(slots=True)
class EditChecks:
    """Follows every edit until its fate is settled."""

    disk: FakeDisk
    paths: HomePaths
    editors: Editors
    checks: Checks
    _marks: tuple[int, ...] = ()
    _lines_seen: int = 0

    def look(self) -> None:
        """Looks for every edit, if anything has changed that could have lost one."""
        for line in self.checks.edited[self._lines_seen :]:
            self._told(line)
        self._lines_seen = len(self.checks.edited)
        folders = (str(self.paths.coordination), str(self.paths.out), str(self.paths.rejected))
        marks = (*self.disk.marks(*folders), self.editors.changes, self._lines_seen)
        if marks == self._marks or not self.editors.saved:
            return
        self._marks = marks
        places = [self.disk.files_in(folder) for folder in folders]
        here = {file.number for files in places for file in files.values()}
        for edit in list(self.editors.saved):
            if edit.file.number not in here:
                self._is_gone(edit)
            elif bytes(edit.file.cache) != edit.data:
                self.checks.found.append(f"an edit of {edit.name} is not whole: {edit.marker}")

    def _is_gone(self, edit: Edit) -> None:
        """Only what was taken up may be gone, or what asked for nothing."""
        self.editors.saved.remove(edit)
        if edit.kind in ("one", "many") and not edit.is_taken:
            self.checks.found.append(f"an edit of {edit.name} is nowhere: {edit.marker}")

    def _told(self, line: Line) -> None:
        """A line that takes an edit up, or refuses it. Its receipt names the inode."""
        text = repr(line.events)
        inodes = {event["receipt"].split()[1] for event in line.events if "receipt" in event}
        for edit in self.editors.saved:
            if edit.marker in text:
                # By itself, or with another edit that was made on top of it.
                edit.is_taken = True
                if edit.kind == "one" and str(edit.file.number) in inodes:
                    self._does_no_more(edit, line)

    def _does_no_more(self, edit: Edit, line: Line) -> None:
        event, task_id, field = edit.wanted or ("", None, None)
        done = [e for e in line.events if e["event"] not in ("file_edited", "file_edit_refused")]
        if not done:
            return
        if len(done) != 1 or not _is_wanted(done[0], event, task_id, field, edit.marker):
            self.checks.found.append(f"{edit.marker} asked for {edit.wanted} and did {done}")

    def unsettled(self) -> list[str]:
        """The edits that are neither taken up nor in rejected/ beside their reason."""
        rejected = self.disk.files_in(str(self.paths.rejected))
        kept = {f.number for name, f in rejected.items() if f"{name}.error.json" in rejected}
        return [edit.name for edit in self.editors.saved if edit.file.number not in kept]


def _is_wanted(
    done: dict[str, Any], event: str, task_id: str | None, field: str | None, marker: str
) -> bool:
    if done["event"] != event:
        return False
    if task_id is None or field is None:
        return bool(done["task"]["title"] == marker)
    fields = done["fields"]
    is_marked = fields.get(field) == marker if field == "title" else marker in str(fields)
    return bool(done["task_id"] == task_id and list(fields) == [field] and is_marked)
