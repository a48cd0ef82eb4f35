"""`cortex fetch`: takes the branches of finished work into a repository."""

from __future__ import annotations

from typing import Annotated

import typer

from cortex.cli.options import HomeOption, open_home
from cortex.cli.terminal import clean
from cortex.cli.verbs import complete_tasks

__all__ = ["EXAMPLES", "fetch"]

EXAMPLES = """
  cortex get branches                           what there is
  cortex fetch task-010                         into the task's repository
  cortex fetch task-010 --into ~/src/shop       into another clone of it
  cortex fetch cortex/task-010/join             only this one
"""


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK|BRANCH",
            help="A task's branches, or one of them.",
            autocompletion=complete_tasks,
        ),
    ],
    into: Annotated[
        str | None,
        typer.Option(
            "--into", metavar="DIR", help="A clone; else the task's repository.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Take branches of finished work into a repository of yours, under their own names.

    Nothing is checked out or merged, and no branch is moved by force.
    """
    from cortex.home.branches import branches_of, take, target_of

    place = open_home(home)
    for name in names:
        rows = branches_of(place, name)
        target = target_of(place, rows, into)
        take(place, rows, target)
        for row in rows:
            count = row.get("commits")
            noun = "commit" if count == 1 else "commits"
            result = f", the result of {row['task_id']}" if row.get("result") else ""
            head = f"{row['name']} {str(row['head'])[:12]}"
            print(clean(f"{head} ({count} {noun}) in {target}{result}"))
