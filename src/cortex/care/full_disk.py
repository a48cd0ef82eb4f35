"""A disk that is full: a home on a small tmpfs of its own, filled up and emptied again.

Runs inside a mount namespace (`unshare -m`, or a user namespace for anybody but root), so that the
tmpfs is nobody else's and goes away with the process. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from cortex.care.drill_checks import Evidence, Verdict, judge, programs
from cortex.care.scratch import Scratch
from cortex.model.paths import HomePaths
from cortex.store.disk import RealDisk
from cortex.store.journal_scan import read_lines

__all__ = ["try_full_disk"]

_SIZE_MB = 16
_TASKS = 8
#: Ten times what it takes on two idle cores.
_RECOVERED_S = 40
_SETTINGS = """
[daemon]
runtime_dir = "home"
[limits]
tools = 2
"""


def try_full_disk(folder: Path, limit_s: float) -> Verdict | str:
    """The verdict of a drill on a full disk, or in words why there can be none here."""
    unshare = which("unshare")
    if unshare is None:
        return "not tried: no unshare program"
    flags = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    command = [unshare, *flags, sys.executable, "-m", "cortex.care.full_disk", str(folder)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=limit_s + 20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not tried: {error}"
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        return f"not tried: {last[0][:200]}"
    return Verdict("full disk", answer["figure"], answer["violations"])


def _mount(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={_SIZE_MB}m".encode()
    if libc.mount(b"cortex-drill", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no tmpfs can be mounted: {os.strerror(number)}")


def _fill(path: Path) -> None:
    """Takes all the space that is left, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def _noticed(scratch: Scratch) -> bool:
    """Whether the daemon has said that nothing can be written. Its log lies on another disk."""
    log = scratch.log.read_text(encoding="utf-8", errors="replace")
    return "cannot be written" in log or "No space left" in log


def _ordered(paths: HomePaths) -> set[str]:
    """The workers whose start the journal has."""
    lines = read_lines(RealDisk(), paths.journal)
    events = (event for line in lines for event in line.events)
    return {event["worker_id"] for event in events if event["event"] == "worker_spawning"}


def _drill(folder: Path, told: dict[str, float]) -> Iterator[str]:
    """Fills the disk while work is waiting; yields what went wrong."""
    outside = Path(f"{folder}-outside")
    outside.mkdir(exist_ok=True)
    scratch = Scratch(folder / "home", _SETTINGS, log=outside / "cortexd.log")
    balloon, ran = folder / "balloon", outside / "ran"
    names = [f"full-{number}" for number in range(2 * _TASKS)]
    command = f'echo "$CORTEX_WORKER_ID" >> {ran}; sleep 0.3'
    try:
        scratch.start()
        for name in names[:_TASKS]:
            scratch.drop({"id": name, "command": command})
        if not scratch.until(lambda: programs(ran), time.monotonic() + 30):
            yield "the daemon started nothing"
        _fill(balloon)
        began = time.monotonic()
        if scratch.until(lambda: _noticed(scratch), began + 5):
            told["noticed_s"] = time.monotonic() - began
            time.sleep(1.0)
            # What was ordered before may still begin, on a busy machine late.
            for ident in sorted(set(programs(ran)) - _ordered(scratch.paths)):
                yield f"{ident} was started although its line could not be written"
        if not scratch.runs:
            yield f"the daemon died of a full disk: {scratch.deaths}"
        balloon.unlink()
        for name in names[_TASKS:]:
            scratch.drop({"id": name, "command": command})

        def over() -> bool:
            ended = {row["id"] for row in scratch.rows() if row.get("ended_at")}
            return ended.issuperset(names) and scratch.is_idle()

        if not scratch.until(over, time.monotonic() + _RECOVERED_S):
            yield f"not everything ended within {_RECOVERED_S} s after there was space again"
        scratch.stop()
        evidence = Evidence(names, ran, deaths=scratch.deaths)
        for verdict in judge(scratch.paths, evidence):
            yield from verdict.violations
    finally:
        scratch.close()


def main() -> None:
    """The child: mounts, drills, tells."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    _mount(folder)
    told: dict[str, float] = {}
    broken = list(_drill(folder, told))
    noticed = f"noticed after {told['noticed_s']:.1f} s" if told else "nothing had to be written"
    figure = f"{_SIZE_MB} MB filled up: {noticed}; {2 * _TASKS} tasks around it, all of them ended"
    print(json.dumps({"figure": figure, "violations": broken}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
