"""`cortex fsck`: holds the journal, the books and the files of a home against each other."""

from __future__ import annotations

import typer

from cortex.cli import exits
from cortex.cli.options import HomeOption, open_home
from cortex.cli.terminal import clean

__all__ = ["EXAMPLES", "fsck"]

EXAMPLES = """
  cortex fsck                    check the home around this folder
  cortex fsck --home ~/fleet     check another one
"""


def fsck(home: HomeOption = None) -> None:
    """Check the home's books, journal and files.

    Reads every journal line, holds the budget's equations after each, and compares the checkpoint,
    the published files and the logs tree with what the journal says. Changes nothing. Exit status
    1 where something is wrong.
    """
    from cortex.store.disk import RealDisk
    from cortex.store.history import check_home

    checked = check_home(RealDisk(), open_home(home).paths)
    for problem in checked.problems:
        print(clean(problem))
    found = len(checked.problems)
    looked = f"{checked.lines} journal lines, {checked.tasks} tasks, {checked.workers} workers"
    if found:
        print(f"{looked}: {found} problem{'s' if found > 1 else ''}")
        raise typer.Exit(exits.FAILED)
    print(f"{looked}: the books balance, nothing is wrong")
