"""`cortex replay`: the published files as they were at a past moment, out of the journal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli.moments import HOW, parse_moment
from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.terminal import clean, note

if TYPE_CHECKING:
    from cortex.model.paths import HomePaths
    from cortex.model.state import State

__all__ = ["EXAMPLES", "replay"]

EXAMPLES = """
  cortex replay --at 2025-11-01T10:15:00Z          print the files of then
  cortex replay --at "2025-11-01 11:15" --to DIR   local time, into a folder
  cortex replay --at 2h                            as they were two hours ago
"""


def replay(
    at: Annotated[str, typer.Option("--at", metavar="TIME", help=f"{HOW}.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write files instead of printing.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Show the files as they were at a past moment.

    Replays the journal up to the moment and makes the published files of that state anew. Tasks
    that went to the archive since then are in them; the home itself is not touched.
    """
    from cortex.model.times import format_time
    from cortex.store.disk import RealDisk
    from cortex.store.history import published, state_at

    now = datetime.now(UTC)
    try:
        moment_s = parse_moment(at, now)
        moment = format_time(moment_s, precise=True)
    except (ValueError, OverflowError, OSError) as error:
        raise fail_usage(f"--at: {error}") from None
    paths = open_home(home).paths
    state = state_at(RealDisk(), paths, moment)
    _check_moment(paths, state, moment, is_ahead=moment_s > now.timestamp())
    files = {name: b"".join(chunks) for name, chunks in published(state).items()}
    if to is not None:
        _write(to, files, paths)
        print(clean(f"{to}: the files as of journal line {state.seq}, {state.at}"))
        return
    if moment != at:
        note(f"as of {moment}: journal line {state.seq}, {state.at}")
    for name, data in files.items():
        print(f"--- {name}")
        print(clean(data.decode()), end="")


def _check_moment(paths: HomePaths, state: State, moment: str, *, is_ahead: bool) -> None:
    """Before the first line there were no files; the future has not been written yet."""
    from cortex.home.journal import lines_of

    if state.seq == 0:
        first = next(iter(lines_of(paths.journal)), None)
        begin = f"; the journal begins at {first.at}" if first else "; the journal has no line yet"
        note(f"at {moment} nothing had happened here{begin}")
        raise typer.Exit(1)
    if is_ahead:
        note(f"{moment} has not come yet; these are the files of now, line {state.seq}")


def _write(folder: Path, files: dict[str, bytes], paths: HomePaths) -> None:
    """Into a folder that is new, or has none of these files: nothing is overwritten."""
    if paths.coordination in (folder.resolve(), *folder.resolve().parents):
        raise fail_usage(f"--to: {folder} lies in the home's coordination/; choose another folder")
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise fail_usage(f"--to: {folder} has a {there[0]} already; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise fail_usage(f"--to: {error.filename or folder}: {error.strerror}") from None
