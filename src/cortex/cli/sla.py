"""`cortex sla`: how well tasks kept their deadlines, by priority."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cortex.cli import exits
from cortex.cli.ages import short, since_instant
from cortex.cli.options import HomeOption, Output, OutputOption, fail_usage, open_home
from cortex.cli.printing import print_json, print_yaml
from cortex.cli.table import Column, Row, Table
from cortex.cli.terminal import colours, note, paint
from cortex.model.times import parse_time

__all__ = ["EXAMPLES", "sla"]

EXAMPLES = """
  cortex sla                   of all tasks that are known
  cortex sla --since 7d        of those created in the last week
  cortex sla -o json

Exit status 1 where an open task is past its deadline.
"""


def sla(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Tasks created since: 7d, 12h, 2025-11-01."),
    ] = None,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Tell how well tasks kept their deadlines, how long they waited and how long they took.

    A failed task has missed its deadline; a cancelled one counts as neither.
    """
    from cortex.home.service_levels import service_levels

    try:
        start = parse_time(since_instant(since)) if since else None
    except ValueError as error:
        raise fail_usage(f"--since: {error}") from None
    levels = service_levels(open_home(home), time.time(), start)
    rows = [level.to_json() for level in levels]
    if output in (Output.json, Output.yaml):
        print_json(rows) if output is Output.json else print_yaml(rows)
    elif not rows:
        note("no tasks in that time")
    else:
        table = Table(_COLUMNS, rows)
        print(table.head())
        for row in rows:
            print(table.line(row))
    late = [ident for level in levels for ident in level.late]
    if late and output is None:
        print(paint(f"\nlate now: {', '.join(late)}", "red", on=colours()))
    if late:
        raise typer.Exit(exits.FAILED)


def _kept(row: Row) -> str | None:
    decided = row["deadlines_met"] + row["deadlines_missed"]
    return f"{row['deadlines_met']} of {decided}" if decided else None


def _pair(row: Row, name: str) -> str | None:
    if row[f"{name}_p50_s"] is None:
        return None
    return f"{short(row[f'{name}_p50_s'])} / {short(row[f'{name}_p90_s'])}"


_COLUMNS = (
    Column("PRIORITY", lambda row: row["priority"]),
    Column("TASKS", lambda row: row["tasks"], right=True),
    Column("OPEN", lambda row: row["open"], right=True),
    Column("FAILED", lambda row: row["failed"], right=True),
    Column("IN TIME", _kept, right=True),
    Column("LATE", lambda row: len(row["late"]), right=True),
    Column("WAIT p50/p90", lambda row: _pair(row, "wait"), right=True),
    Column("TOOK p50/p90", lambda row: _pair(row, "duration"), right=True),
)
