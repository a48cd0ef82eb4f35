"""`cortex init`: makes a folder a home, or brings the files of an older one up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cortex.cli.terminal import clean, note

__all__ = ["EXAMPLES", "init"]

EXAMPLES = """
  cortex init ~/fleet            make a home
  cortex init .                  the same here; run it again after an upgrade
  cortex init --restore .        bring back templates that were removed
"""


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made if missing.")],
    restore: Annotated[
        bool, typer.Option("--restore", help="Bring back templates that were removed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make a folder a Cortex home.

    Copies masters, worker types, personas and schemas into it and writes a cortex.toml in which
    every setting stands with its default. In a folder that is a home already, templates that you
    did not change are brought up to date; what you changed or removed stays as it is.
    """
    from cortex.home import create_home

    created = create_home(directory, restore=restore)
    if quiet:
        return
    done = "is up to date" if created.was_home else "is a Cortex home now"
    print(clean(f"{created.root} {done}"))
    if created.was_home:
        for name in created.written:
            print(f"  new       {name}")
        for name in created.updated:
            print(f"  updated   {name}")
    for name, outdated in created.kept.items():
        more = "; this version has a newer one" if outdated else ""
        print(clean(f"  kept      {name} (yours{more})"))
    for name in created.left_out:
        print(f"  left out  {name} (you removed it; --restore brings it back)")
    if not created.was_home:
        if not any(name.startswith("agents/") for name in created.written):
            note("no templates were copied; agents/ holds none")
        print(clean(f"Next: cortexd --home {created.root}"))
        print(clean(f"      cortex --home {created.root} submit --title Hello --command 'echo hi'"))
