"""`cortex doctor`: what this machine, its programs and the home are good for."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli import exits
from cortex.cli.options import HomeOption, open_home
from cortex.cli.printing import print_json
from cortex.cli.telling import hanging
from cortex.cli.terminal import clean, colours, note, paint
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.care.finding import Finding
    from cortex.model.paths import HomePaths

__all__ = ["EXAMPLES", "doctor"]

EXAMPLES = """
  cortex doctor                  look at everything
  cortex doctor --quiet          only what could be better
  cortex doctor --json | jq '.findings[] | select(.level != "ok")'
"""

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "problem": ("✗", "red")}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only what could be better.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Look whether this machine is good for Cortex, and the home for a daemon.

    Versions, the file system under the home (each trick that the daemon relies on is tried),
    limits, clocks, what holds workers together, analyzers and agents found, what each worker type
    would run on, and the daemon. Asks nothing of the network, and leaves nothing behind.

    Exit status 0, or 1 where something is a problem; warnings are none.
    """
    from cortex.care.doctor import look

    findings = look(_paths(home), Path.cwd())
    problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        print_json({"problems": problems, "findings": [_as_json(row) for row in findings]})
    else:
        _print(findings, quiet)
    if problems:
        raise typer.Exit(exits.FAILED)


def _paths(home: str | None) -> HomePaths | None:
    """The home's paths; None where none is named and none is around."""
    try:
        return open_home(home).paths
    except HomeError as error:
        if not str(error).startswith("no Cortex home here"):
            raise  # one was named, and it is none
        note(f"{error}; only the machine is looked at")
        return None


def _print(findings: list[Finding], quiet: bool) -> None:
    on = colours()
    chosen = [finding for finding in findings if not quiet or finding.level != "ok"]
    widest = max((len(finding.name) for finding in chosen), default=0)
    for section, rows in groupby(chosen, key=lambda finding: finding.section):
        print(paint(section, "bold", on=on))
        for finding in rows:
            mark, colour = _MARKS[finding.level]
            lead = f"  {mark} {finding.name:<{widest}}  "
            text = hanging(lead, clean(finding.what))
            print(paint(text[:3], colour, on=on) + text[3:])
            if finding.remedy:
                indent = " " * (len(lead) - 2) + "→ "
                print(paint(hanging(indent, clean(finding.remedy)), "dim", on=on))
    warnings = sum(finding.level == "warn" for finding in findings)
    problems = sum(finding.level == "problem" for finding in findings)
    print(_summary(warnings, problems))


def _summary(warnings: int, problems: int) -> str:
    told = []
    if problems:
        told.append(f"{problems} problem{'s' if problems != 1 else ''}")
    if warnings:
        told.append(f"{warnings} thing{'s' if warnings != 1 else ''} could be better")
    return ", ".join(told) if told else "everything is as it should be"


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "section": finding.section,
        "name": finding.name,
        "level": finding.level,
        "what": finding.what,
        "remedy": finding.remedy,
    }
