"""Nothing dropped is lost: where each dropped file is, after every step, as everybody sees the
disk and as a power cut would leave it.

A file waits in the inbox, or is claimed in `.intake/`, or its line is durable; refused ones lie
whole beside their reason. Looked at only when a folder or the journal has changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from cortex.model.paths import HomePaths
from cortex.store.drop import quoted, short_name, split_intake_name
from cortex.testing.checks import Checks
from cortex.testing.disk import FakeDisk
from cortex.testing.disk_files import File
from cortex.testing.people import People

__all__ = ["DropChecks"]

_ERROR = ".error.json"


@dataclass(slots=True)
class DropChecks:
    """Holds the folders against what people dropped and what the journal says of it."""

    disk: FakeDisk
    paths: HomePaths
    people: People
    checks: Checks
    _marks: tuple[int, ...] = ()
    _folders: tuple[str, str, str, str] = ("", "", "", "")
    _receipts: dict[tuple[int, int], str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        paths = self.paths
        self._folders = (str(paths.inbox), str(paths.coordination), str(paths.intake),
                         str(paths.rejected))  # fmt: skip

    def look(self) -> None:
        """Looks for every drop, if anything has changed that could have lost one."""
        marks = self.disk.marks(*self._folders)
        marks += (len(self.checks.receipts), self.people.changes)
        if marks == self._marks:
            return
        self._marks = marks
        self._unfinished_wait()
        for durable in (False, True):
            self._all_are_there(durable)
            self._refused_are_whole(durable)

    def _all_are_there(self, durable: bool) -> None:
        here = Counter(self.checks.receipts.values())
        inbox, coordination, intake, _ = self._folders
        for folder in (inbox, coordination):
            here.update(_key(name) for name in self.disk.files_in(folder, durable=durable))
        for name in self.disk.files_in(intake, durable=durable):
            parts = split_intake_name(name)
            if parts is not None and parts[0] not in self.checks.receipts:
                here[quoted(parts[1])] += 1
        where = " on the disk" if durable else ""
        wanted = Counter(
            _key(drop.name) for drop in self.people.dropped if not (durable and drop.careless)
        )
        for name, count in wanted.items():
            if here[name] < count:
                self.checks.found.append(f"{name} was dropped and is nowhere{where}")
            elif here[name] > count and name not in self.people.uncertain:
                many = f"counts {here[name]} times{where}"
                self.checks.found.append(f"{name} was dropped {count} times and {many}")

    def _unfinished_wait(self) -> None:
        taken = set(self.checks.receipts.values())
        for half in self.people.unfinished:
            if _key(half.name) in taken:
                self.checks.found.append(f"{half.name} was taken half-written")

    def _refused_are_whole(self, durable: bool) -> None:
        if not self.checks.refused:
            return
        kept = self._kept(durable)
        whole: dict[str, list[bytes]] = {}
        for drop in self.people.dropped:
            if drop.data is not None:
                whole.setdefault(_key(drop.name), []).append(drop.data)
        for number in self.checks.refused:
            name = self.checks.receipts[number]
            if number not in kept:
                self.checks.found.append(f"{name} was refused, and is not in rejected/")
            elif name not in self.people.uncertain and name in whole:
                file = kept[number]
                data = bytes(file.safe if durable else file.cache)
                if file.kind == "file" and data not in whole[name]:
                    self.checks.found.append(f"{name} was refused, and is not whole")

    def _kept(self, durable: bool) -> dict[int, File]:
        """By receipt: the file of a refused drop, claimed still or beside its reason."""
        _, _, intake, rejected = self._folders
        kept = {}
        for name, file in self.disk.files_in(intake, durable=durable).items():
            parts = split_intake_name(name)
            if parts is not None:
                kept[parts[0]] = file
        files = self.disk.files_in(rejected, durable=durable)
        for number, name in self._reasons(files, durable).items():
            if name in files:
                kept[number] = files[name]
        return kept

    def _reasons(self, files: Mapping[str, File], durable: bool) -> dict[int, str]:
        found = {}
        for name, file in files.items():
            if name.endswith(_ERROR):
                receipt = self._receipt(file, durable)
                parts = split_intake_name(receipt) if receipt else None
                if parts is not None:
                    found[parts[0]] = name.removesuffix(_ERROR)
        return found

    def _receipt(self, file: File, durable: bool) -> str | None:
        """The receipt in a reason; None where it cannot be read."""
        key = (file.number, file.safe_marks if durable else -1 - file.marks)
        if key not in self._receipts:
            try:
                value = json.loads(bytes(file.safe if durable else file.cache))["receipt"]
            except (ValueError, KeyError, TypeError):
                value = None
            self._receipts[key] = value
        return self._receipts[key]

    def at_rest(self) -> None:
        """Nothing is claimed any more."""
        for name in self.disk.files_in(self._folders[2]):
            self.checks.found.append(f"{name} is left in .intake/")


@cache
def _key(name: str) -> str:
    """The name as a receipt has it."""
    return quoted(short_name(name))
