"""`cortex drill`: the installed program proves itself here, on a home that goes away again."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli import exits
from cortex.cli.options import fail_usage
from cortex.cli.printing import print_json
from cortex.cli.telling import hanging
from cortex.cli.terminal import clean, clip, colours, paint, width

if TYPE_CHECKING:
    from cortex.care.drill import Plan, Progress, Report
    from cortex.care.drill_checks import Verdict

__all__ = ["EXAMPLES", "drill"]

EXAMPLES = """
  cortex drill                          under a minute
  cortex drill --kills 50 --seconds 300 harder
  cortex drill --seed 4711              the same drops, edits and kills again
  cortex drill --in /srv/cortex         on the disk that matters
"""

_SHOWN = 5
_BAR = 20
_REDRAW_S = 0.1


def drill(
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=2000, help="Tasks to drop.")] = 40,
    kills: Annotated[
        int, typer.Option("--kills", min=0, max=1000, help="How often the daemon is killed.")
    ] = 8,
    seconds: Annotated[
        float, typer.Option("--seconds", min=5, max=3600, help="The longest it may take.")
    ] = 45,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="What chance starts from.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--in", metavar="DIR", help="Where the scratch home is made.")
    ] = None,
    full_disk: Annotated[
        bool, typer.Option("--full-disk/--no-full-disk", help="Also fill up a small disk.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Prove on this machine that nothing is lost and nothing doubled.

    Makes a scratch home, starts real workers there, and kills its daemon with kill -9 at random
    moments while tasks come in and people edit files. Then holds every promise against what is
    there. Your own homes are not touched. The scratch home is removed, or kept where a promise was
    broken.

    Exit status 0 where all promises held, else 1.
    """
    if folder is not None and not folder.is_dir():
        raise fail_usage(f"--in: {folder} is no folder")
    from cortex.care.drill import Drill, Plan

    plan = Plan(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        tasks=tasks,
        kills=kills,
        seconds=seconds,
        full_disk=full_disk,
        folder=folder,
    )
    screen = _Screen(plan)
    run = Drill(plan, screen.watch)
    if not as_json:
        _print_head(plan, run.folder)
    report = run.run()
    screen.clear()
    if as_json:
        print_json(_as_json(plan, report))
    else:
        _print(plan, report)
    if report.broken:
        raise typer.Exit(exits.FAILED)


class _Screen:
    """One line that moves, on a terminal only."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._on = sys.stderr.isatty()
        self._next = 0.0

    def watch(self, progress: Progress) -> None:
        """Shows how far the drill is."""
        now = time.monotonic()
        if not self._on or now < self._next:
            return
        self._next = now + _REDRAW_S
        done = (progress.dropped + progress.ended) / (2 * self._plan.tasks)
        bar = "█" * round(_BAR * done) + "░" * (_BAR - round(_BAR * done))
        text = (
            f"  {bar}  {progress.elapsed_s:3.0f} s  {progress.kills} of {self._plan.kills} kills, "
            f"{progress.ended} of {self._plan.tasks} ended, {progress.what}"
        )
        sys.stderr.write("\r\x1b[K" + clip(text, (width(sys.stderr) or 80) - 1))
        sys.stderr.flush()

    def clear(self) -> None:
        """Takes the line away again."""
        if self._on:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _print_head(plan: Plan, folder: Path) -> None:
    on = colours()
    print(paint(f"Drill with seed {plan.seed}", "bold", on=on) + clean(f" in {folder}"))
    print(
        f"{plan.tasks} tasks, {plan.kills} times kill -9 of the daemon, "
        f"at most {plan.seconds:.0f} s",
        flush=True,
    )


def _print(plan: Plan, report: Report) -> None:
    on = colours()
    print()
    for verdict in report.verdicts:
        _print_verdict(verdict)
    if report.not_tried:
        print(hanging(f"{paint('-', 'dim', on=on)} {'full disk':<10}  ", clean(report.not_tried)))
    print()
    if not report.broken:
        print(f"Nothing was lost and nothing doubled, in {report.elapsed_s:.0f} s.")
        return
    print(paint("A promise was broken.", "red", on=on), f"The scratch home is kept: {report.kept}")
    print(f"To try again: cortex drill --seed {plan.seed} --tasks {plan.tasks} "
          f"--kills {plan.kills} --seconds {plan.seconds:.0f}")  # fmt: skip


def _print_verdict(verdict: Verdict) -> None:
    on = colours()
    mark = paint("✗", "red", on=on) if verdict.violations else paint("✓", "green", on=on)
    text = hanging(f"  {verdict.name:<10}  ", clean(verdict.figure))
    print(mark + text[1:])
    for violation in verdict.violations[:_SHOWN]:
        print(hanging("              ", clean(violation)))
    if len(verdict.violations) > _SHOWN:
        print(f"              … {len(verdict.violations) - _SHOWN} more; --json lists them")


def _as_json(plan: Plan, report: Report) -> dict[str, Any]:
    return {
        "seed": plan.seed,
        "elapsed_s": round(report.elapsed_s, 1),
        "broken": report.broken,
        "kept": str(report.kept) if report.kept else None,
        "not_tried": report.not_tried or None,
        "promises": [
            {"name": row.name, "figure": row.figure, "violations": row.violations}
            for row in report.verdicts
        ],
    }
