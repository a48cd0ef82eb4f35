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
            help="Tasks, definitions, cortex.toml, documents; without any, the home.",
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
    wrong = [problem for problem in problems if not problem.is_warning]
    if output is Output.json:
        print_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            print(clean(problem))
        _sum_up(count, len(wrong), len(problems) - len(wrong))
    if wrong:
        raise typer.Exit(exits.FAILED)


def _sum_up(files: int, problems: int, warnings: int) -> None:
    """The last line: how many files, and how much of each is amiss."""
    counted = [
        paint(f"{count} {word}{'s' if count != 1 else ''}", colour, on=colours())
        for count, word, colour in ((problems, "problem", "red"), (warnings, "warning", "yellow"))
        if count
    ]
    said = ", ".join(counted or [paint("nothing wrong", "green", on=colours())])
    print(f"{files} file{'s' if files != 1 else ''} looked at, {said}")
