"""`cortex validate`: says what is wrong with files before anybody uses them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cortex.cli import exits
from cortex.cli.options import HomeOption, Output, open_home
from cortex.cli.printing import print_json
from cortex.cli.terminal import clean, colours, paint

__all__ = ["EXAMPLES", "validate"]

EXAMPLES = """
  cortex validate                            the whole home
  cortex validate task.json                  before it is submitted
  cortex validate agents/masters/content.md  a master of your own
  cortex validate cortex.toml                before a restart
"""


def validate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Tasks, masters, worker types, cortex.toml, documents; without any, the home.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option("--output", "-o", metavar="FORM", help="json: the problems as a list."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Check files: says file, line and field of what is wrong, and what to do. Changes nothing."""
    from cortex.cli.checks import check_file, check_home

    if files:
        problems, count = [problem for path in files for problem in check_file(path)], len(files)
    else:
        problems, count = check_home(open_home(home).paths)
    if output is Output.json:
        print_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            print(clean(problem))
        looked = f"{count} file{'s' if count != 1 else ''} looked at"
        if problems:
            number = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
            print(f"{looked}, {paint(number, 'red', on=colours())}")
        else:
            print(f"{looked}, {paint('nothing wrong', 'green', on=colours())}")
    if problems:
        raise typer.Exit(exits.FAILED)
