"""`cortex fsck`: holds the journal, the books, the files and the processes of a home together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli import exits
from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.printing import print_json
from cortex.cli.telling import hanging
from cortex.cli.terminal import clean, colours, paint

if TYPE_CHECKING:
    from cortex.care.fsck import Examined
    from cortex.model.paths import HomePaths
    from cortex.store.history import Problem

__all__ = ["EXAMPLES", "fsck"]

EXAMPLES = """
  cortex fsck                    check the home around this folder
  cortex fsck --home ~/fleet     check another one
  cortex fsck --repair           repair what is safe, with no daemon running
  cortex fsck --json             for programs
"""

_SHOWN = 50


def fsck(
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what is safe; keeps what it replaces.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Problems only, and the last line.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Check the home's books, journal, files and processes.

    Reads every journal line, holds the budget's equations after each, and compares the checkpoint,
    the published files, the archive, the logs tree and the living processes with what the journal
    says. Without --repair it changes nothing.

    \b
    --repair cuts a torn end of the journal off, makes checkpoint, published
    files, archive index and missing folders again, and moves leftovers aside.
    What it replaces is kept below .state/repaired/. A damaged journal it only
    explains. It needs the daemon stopped; workers may run.

    Exit status 0 where nothing is wrong (any more), 1 where problems are left.
    """
    if as_json and quiet:
        raise fail_usage("--json and --quiet cannot go together")
    from cortex.care.fsck import examine
    from cortex.care.fsck import repair as repair_home

    paths = open_home(home).paths
    repaired = repair_home(paths) if repair else None
    examined = examine(paths)
    problems = [problem for problem in examined.checked.problems if not problem.note]
    if as_json:
        print_json(_as_json(examined, repaired))
    else:
        if repaired is not None:
            _print_repaired(repaired, paths)
        _print(examined, paths, quiet)
    if problems:
        raise typer.Exit(exits.FAILED)


def _print_repaired(repaired: Any, paths: HomePaths) -> None:
    if not repaired.done:
        print("Nothing was there to be repaired.")
    for text in repaired.done:
        print(hanging("repaired  ", clean(text)))
    if repaired.kept is not None:
        print(clean(f"What was replaced is kept in {repaired.kept.relative_to(paths.root)}/"))
    print()


def _print(examined: Examined, paths: HomePaths, quiet: bool) -> None:
    checked = examined.checked
    shown = [problem for problem in checked.problems if not (quiet and problem.note)]
    for problem in shown[:_SHOWN]:
        _print_problem(problem, paths)
    if len(shown) > _SHOWN:
        print(f"… {len(shown) - _SHOWN:,} more; --json lists them")
    found = sum(not problem.note for problem in checked.problems)
    looked = (
        f"{checked.lines:,} journal lines, {checked.tasks:,} tasks, {checked.workers:,} workers"
    )
    if examined.archived:
        looked += f", {examined.archived:,} archived rows"
    if examined.rejected:
        looked += f", {examined.rejected:,} refused files"
    if found:
        fixable = sum(p.repair is not None and not p.note for p in checked.problems)
        print(f"{looked}: {found:,} problem{'s' if found > 1 else ''}" + _hint(found, fixable))
    else:
        print(f"{looked}: the books balance, nothing is wrong")


def _hint(found: int, fixable: int) -> str:
    if not fixable:
        return ""
    return f", {'all' if fixable == found else f'{fixable:,}'} of which --repair can repair"


def _print_problem(problem: Problem, paths: HomePaths) -> None:
    on = colours()
    mark = paint("note     ", "dim", on=on) if problem.note else paint("problem  ", "red", on=on)
    place = problem.place.removeprefix(f"{paths.root}/")
    print(mark + paint(clean(place), "bold", on=on))
    print(hanging("         ", clean(problem.what)))
    if problem.remedy:
        print(paint(hanging("         → ", clean(problem.remedy)), "dim", on=on))


def _as_json(examined: Examined, repaired: Any) -> dict[str, Any]:
    checked = examined.checked
    return {
        "lines": checked.lines,
        "tasks": checked.tasks,
        "workers": checked.workers,
        "archived": examined.archived,
        "rejected": examined.rejected,
        "daemon_running": examined.serving,
        "problems": [
            {
                "place": problem.place,
                "what": problem.what,
                "remedy": problem.remedy,
                "repairable": problem.repair is not None,
                "note": problem.note,
            }
            for problem in checked.problems
        ],
        "repaired": repaired
        and {"done": repaired.done, "kept": repaired.kept and str(repaired.kept)},
    }
