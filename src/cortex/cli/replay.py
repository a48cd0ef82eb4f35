"""`cortex replay`: the published files as they were at a past moment, out of the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.terminal import clean

__all__ = ["EXAMPLES", "replay"]

EXAMPLES = """
  cortex replay --at 2025-11-01T10:15:00Z            print the files of then
  cortex replay --at 2025-11-01T10:15:00Z --to DIR   write them into a folder
"""


def replay(
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="RFC 3339, as in the journal.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write files instead of printing.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Show the files as they were at a past moment.

    Replays the journal up to the moment and makes the published files of that state anew.
    """
    from cortex.decide.snapshot import documents
    from cortex.model.layout import encode_row, join
    from cortex.model.times import format_time, parse_time
    from cortex.store.disk import RealDisk
    from cortex.store.history import state_at

    try:
        moment = format_time(parse_time(at), precise=True)
    except ValueError as error:
        fail_usage(f"--at: {error}")
    state = state_at(RealDisk(), open_home(home).paths, moment)
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
    for name, document in documents(state).items():
        rows = {key: value for key, value in document.items() if isinstance(value, list)}
        head = {"version": "1.0", "format": 1, "updated_at": state.at, "journal_seq": state.seq}
        head |= {key: value for key, value in document.items() if key not in rows}
        lists = {
            key: [encode_row(row) for row in value]
            for key, value in rows.items()
            if all(isinstance(row, dict) for row in value)
        }
        data = b"".join(join(head, lists))
        if to is None:
            print(f"--- {name}")
            print(clean(data.decode()), end="")
        else:
            (to / name).write_bytes(data)
    if to is not None:
        print(clean(f"{to}: the files as of journal line {state.seq}, {state.at or 'the start'}"))
