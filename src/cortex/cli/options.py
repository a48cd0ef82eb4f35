"""The options that many commands share, and how they open the home they mean."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli import exits
from cortex.cli.terminal import note

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = [
    "HomeOption",
    "Output",
    "OutputOption",
    "fail_usage",
    "note_without_daemon",
    "open_home",
    "opened_home",
    "parse_timeout",
    "remember_home",
]

_before_command: dict[str, str] = {}
_opened: list[Home] = []

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="The home folder; else CORTEX_HOME, else the nearest folder above with cortex.toml.",
        show_default=False,
    ),
]


class Output(StrEnum):
    """How a command prints what it found."""

    json = "json"
    yaml = "yaml"
    wide = "wide"
    name = "name"


OutputOption = Annotated[
    Output | None,
    typer.Option(
        "--output", "-o", metavar="FORM", help="json, yaml, wide or name.", show_default=False
    ),
]


def open_home(explicit: str | None) -> Home:
    """The home that this command means: its own --home, else the one before the command."""
    from cortex.home import Home

    _opened[:] = [Home.find(explicit or _before_command.get("home"))]
    return _opened[0]


def opened_home() -> Home | None:
    """The home that was opened last."""
    return _opened[0] if _opened else None


def remember_home(home: str | None) -> None:
    """Keeps the --home that stood before the command's name."""
    if home:
        _before_command["home"] = home


def note_without_daemon(home: Home, consequence: str) -> bool:
    """Says on stderr when no daemon runs, and what that means here, or when the one that runs is
    degraded; whether one runs.
    """
    if home.daemon().running:
        _note_degraded(home)
        return True
    note(f"no daemon runs for {home.root}; {consequence}")
    return False


def _note_degraded(home: Home) -> None:
    from cortex.cli.ages import age
    from cortex.home.health import daemon_head

    head = daemon_head(home)
    if head.get("status") == "degraded":
        since = age(head.get("since"))
        note(f"degraded for {since}: {head.get('cause')}; `cortex status` says what to do")


def fail_usage(message: str) -> typer.Exit:
    """Says what is wrong with the command line; raise what is returned."""
    note(message)
    return typer.Exit(exits.USAGE)


def parse_timeout(text: str | None) -> float | None:
    """Seconds of a --timeout; usage error for what is no duration."""
    from cortex.model.times import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise fail_usage(f"--timeout: {error}") from None
