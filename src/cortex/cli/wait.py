"""`cortex wait`: returns when tasks or workers have come so far; its exit code says how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli import exits
from cortex.cli.options import HomeOption, fail_usage, open_home, parse_timeout
from cortex.cli.terminal import note
from cortex.cli.verbs import complete_tasks
from cortex.model.statuses import STATUSES, known_statuses

if TYPE_CHECKING:
    from cortex.home import Home, Waited

__all__ = ["EXAMPLES", "wait"]

EXAMPLES = """
  cortex wait task-010                         until it has ended, however
  cortex wait task-010 --for completed         fails if it ends otherwise
  cortex wait task-010 task-011 --timeout 10m  both; else exit code 3
  cortex wait worker-scan-001 --for running
"""


def wait(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID", help="Tasks, workers or handoffs.", autocompletion=complete_tasks
        ),
    ],
    until: Annotated[
        str,
        typer.Option("--for", metavar="STATUS", help="ended, completed, or any other status."),
    ] = "ended",
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="At most so long: 90s, 10m.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    home: HomeOption = None,
) -> None:
    """Wait until tasks or workers have come so far.

    Exit codes: 0 they have, 1 one ended otherwise, 3 the time limit was over, 4 no daemon runs.
    """
    place = open_home(home)
    _check_status(place, ids, until)
    waited = place.wait(ids, until=until, timeout_s=parse_timeout(timeout))
    if not quiet:
        _tell(waited)
    if waited.missed:
        ended = ", ".join(f"{ident} {waited.rows[ident].get('status')}" for ident in waited.missed)
        note(f"{ended} instead of {until}; `cortex why {waited.missed[0]}` tells more")
        raise typer.Exit(exits.FAILED)
    if not waited.reached:
        note(f"not {until} after {timeout}")
        raise typer.Exit(exits.TIMEOUT)


def _check_status(home: Home, ids: list[str], until: str) -> None:
    """Usage error for a status that what is waited for can never have."""
    if until == "ended":
        return
    if until not in known_statuses(STATUSES):
        raise _no_status("nothing", until, STATUSES)
    for ident in ids:
        found = home.lookup(ident)
        if found is not None and until not in known_statuses([found.kind]):
            raise _no_status(f"no {found.kind}", until, [found.kind])


def _no_status(what: str, until: str, kinds: Iterable[str]) -> typer.Exit:
    known = ", ".join(("ended", *known_statuses(kinds)))
    return fail_usage(f"--for: {what} ever has the status {until!r}; known: {known}")


def _tell(waited: Waited) -> None:
    for ident, row in waited.rows.items():
        print(f"{ident} {row.get('status')}")
