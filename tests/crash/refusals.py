"""Bad drops among good ones, for tests that put a real daemon's inbox under fire."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from live_home import LiveHome

Row = dict[str, Any]
#: What no line of a log may hold: it would reach an operator's terminal.
UNPRINTABLE = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


class Refusals:
    """Drops files that must be refused, good ones between them, and looks at what became of all."""

    def __init__(self, home: LiveHome) -> None:
        self.home = home
        self.bad: dict[str, bytes] = {}
        self.good: list[str] = []

    def drop(self, name: str, data: bytes) -> None:
        """Puts a file into the inbox whole, as `mv` does."""
        hidden = self.home.paths.inbox / ".drop.tmp"
        hidden.write_bytes(data)
        hidden.rename(self.home.paths.inbox / name)

    def drop_bad(self, name: str, data: bytes) -> None:
        """A file that must be refused; each tenth time a good one after it."""
        self.bad[name] = data
        self.drop(name, data)
        if len(self.bad) % 10 == 0:
            self.drop_good()

    def drop_good(self) -> None:
        ident = f"good-{len(self.good)}"
        self.good.append(ident)
        self.drop(f"{ident}.json", json.dumps({"id": ident, "command": "true"}).encode())

    def settle(self, limit_s: float = 30.0) -> dict[str, Row]:
        """Once the good ones are completed and the bad ones refused: the bad ones' errors."""
        home = self.home
        self.drop_good()
        rows = home.until_ended(*self.good, limit_s=limit_s)
        assert {row["status"] for row in rows} == {"completed"}
        home.until(lambda: not self._missing(), "all bad ones are refused", limit_s)
        home.until(self._is_cleared_away, "what was taken and refused is cleared away")
        errors = self.errors()
        for name, data in self.bad.items():
            self._check(name, data, errors[name])
        log = (home.root / "daemon.log").read_bytes()
        assert UNPRINTABLE.findall(log) == []
        assert b"Traceback" not in log, log.decode(errors="replace")[-4000:]
        home.assert_books()
        home.assert_started_once()
        return errors

    def errors(self) -> dict[str, Row]:
        """Name of each refused file, undecodable bytes escaped → its error, once it lies there."""
        return self.home.errors()

    def _is_cleared_away(self) -> bool:
        """Each refusal of the journal lies in rejected/, and nothing is claimed any more."""
        told = len(self.home.events("drop_rejected"))
        return told == len(self.errors()) and not any(self.home.paths.intake.iterdir())

    def _missing(self) -> list[str]:
        """Files that should be refused and are not: taken, or still on their way."""
        names = {path.name for path in self.home.paths.rejected.iterdir()}
        return sorted(name for name in self.bad if not {name, f"{name}.error.json"} <= names)

    def _check(self, name: str, data: bytes, error: Row) -> None:
        kept = self.home.paths.rejected / name
        assert kept.read_bytes() == data, f"{name!r} is not what was dropped, byte for byte"
        assert error["reason"] and error["hint"], (name, error)
        told = error["file"] + error["reason"] + error["hint"] + str(error["field"])
        assert told.isprintable(), (name, told)
        assert len(error["reason"]) < 1000, (name, error)


def everything_below(folder: Path) -> bytes:
    """The bytes of every regular file below a folder, links not followed."""
    found = []
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where) / name
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):  # a published file that was replaced
                    found.append(path.read_bytes())
    return b"\0".join(found)
