"""CPU time of a whole process tree, whoever its parents are and however its members end.

One control group per measurement, because the time of children that nobody waits for is added to
nobody's rusage. Where no group may be made (an ordinary user, a container) the answer is None,
never a guess.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["CpuAccount"]

_V1 = Path("/sys/fs/cgroup/cpuacct")
_V2_ROOTS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


class CpuAccount:
    """Use as a context manager; start programs with `command`, read `used_s` before it closes."""

    def __init__(self) -> None:
        self._group = _make_group()

    def __enter__(self) -> CpuAccount:
        return self

    def __exit__(self, *_: object) -> None:
        if self._group is None:
            return
        # What still runs (a daemon that is ending) goes back to where everything else is.
        for pid in (self._group / "cgroup.procs").read_text().split():
            try:
                (self._group.parent / "cgroup.procs").write_text(pid)
            except OSError:
                continue
        try:
            self._group.rmdir()
        except OSError as error:
            print(f"drain: {self._group} could not be removed: {error.strerror}")

    def command(self, argv: list[str]) -> list[str]:
        """The command line that runs `argv` inside the group."""
        if self._group is None:
            return argv
        procs = str(self._group / "cgroup.procs")
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', procs, *argv]

    def used_s(self) -> float | None:
        """CPU seconds of everything that ran in the group so far; None where that is not known."""
        if self._group is None:
            return None
        nanoseconds = self._group / "cpuacct.usage"
        if nanoseconds.exists():
            return int(nanoseconds.read_text()) / 1e9
        for line in (self._group / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
        return None


def _make_group() -> Path | None:
    name = f"cortex-bench-{os.getpid()}-{secrets.token_hex(3)}"
    if (_V1 / "cpuacct.usage").exists():
        return _mkdir(_V1 / name)
    own = next(
        (
            line[3:]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line[:3] == "0::"
        ),
        None,
    )
    for root in _V2_ROOTS:
        if own is not None and (root / "cgroup.controllers").exists():
            # A sibling of the own group: a group with members may have no children that control.
            return _mkdir((root / own.lstrip("/")).parent / name) or _mkdir(root / name)
    return None


def _mkdir(path: Path) -> Path | None:
    try:
        path.mkdir()
        # Whether members may be moved here only shows in trying.
        with (path / "cgroup.procs").open("a"):
            return path
    except OSError:
        path.rmdir() if path.is_dir() else None
        return None
