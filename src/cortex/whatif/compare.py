"""Puts what happened beside what would have happened, and says what that stands on.

The same days are also decided again with nothing changed: how near that comes to what happened is
how far the other answer can be trusted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cortex.decide.catalog import Catalog
from cortex.masters.library import Library
from cortex.model.errors import HomeError
from cortex.model.paths import HomePaths
from cortex.model.percentile import percentile
from cortex.model.settings import load_settings
from cortex.model.times import format_duration, format_time
from cortex.runtime.table import runtime_infos
from cortex.store.disk import RealDisk
from cortex.whatif.figures import Figures, count
from cortex.whatif.overrides import override
from cortex.whatif.recording import Recording, record
from cortex.whatif.rerun import Reran, rerun

__all__ = ["TOLERANCE_S", "Comparison", "compare"]

#: A rerun takes its decisions at once; the real daemon took them some milliseconds later, one
#: after another. Waits of a faithful rerun differ by less than this, at the median and at p90.
TOLERANCE_S = 1.0


@dataclass(slots=True)
class Comparison:
    """Both sides of the same days. `otherwise` is (task, what happened, what would have) in words,
    `alike_share` the share of tasks that end alike when nothing is changed."""

    start: str
    end: str
    changes: dict[str, Any]
    happened: Figures
    would: Figures
    unchanged: Figures
    moved_start: str = ""
    otherwise: list[tuple[str, str, str]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    check: str = ""
    alike_share: float = 1.0
    wait_error_s: float = 0.0


def compare(
    paths: HomePaths, changes: Sequence[str], since_s: float | None, until_s: float | None
) -> Comparison:
    """What the changes would have done to these days. Writes nothing.

    Raises SettingsError for a change that cannot be, JournalDamaged where the journal cannot tell,
    and HomeError where there is nothing to decide again.
    """
    settings = load_settings(paths.settings)
    changed, made = override(settings, changes)
    disk = RealDisk()
    recording = record(disk, paths, since_s or 0.0, until_s)
    moved = ""
    other_budget = any(key.startswith(("budget.", "masters.")) for key in made)
    if other_budget and recording.start.get("seq"):
        reset_s = float(recording.start["budget"].get("period_start") or 0.0)
        if since_s is not None and 0.0 < reset_s < since_s:
            recording = record(disk, paths, reset_s, until_s)
            moved = (
                f"(from the budget's reset before {format_time(since_s)}, so that its sums hold)"
            )
    if not recording.facts:
        raise HomeError(
            f"{paths.root}: nothing came in during that time; choose an earlier --since"
        )
    catalog = Library(paths, runtime_infos()).refresh() or Catalog()
    cores = len(os.sched_getaffinity(0))
    unchanged = rerun(recording, settings, catalog, paths, cores=cores, other_budget=False)
    would = unchanged
    if made:
        would = rerun(recording, changed, catalog, paths, cores=cores, other_budget=other_budget)
    result = _compared(recording, unchanged, would, made)
    result.moved_start = moved
    return result


def _compared(
    recording: Recording, unchanged: Reran, would: Reran, made: dict[str, Any]
) -> Comparison:
    end_s = recording.end_s
    figures = [
        count(recording.start, lines, end_s)
        for lines in (recording.lines, would.lines, unchanged.lines)
    ]
    result = Comparison(
        format_time(recording.start_s), format_time(end_s), made, figures[0], figures[1], figures[2]
    )
    result.otherwise = _otherwise(result.happened, result.would)
    _check(result)
    result.assumed = _assumed(recording, would, made)
    for fault in dict.fromkeys([*unchanged.faults, *would.faults]):
        result.assumed.append(f"The rerun met a fault, so do not trust it: {fault}")
    return result


def _otherwise(happened: Figures, would: Figures) -> list[tuple[str, str, str]]:
    found = []
    for ident in dict.fromkeys([*happened.ends, *would.ends]):
        before = happened.ends.get(ident, ("open", 0.0))[0]
        after = would.ends.get(ident, ("open", 0.0))[0]
        if before != after:
            found.append((ident, before, after))
    return found


def _check(result: Comparison) -> None:
    """How near the unchanged rerun comes to what happened."""
    happened, again = result.happened, result.unchanged
    unlike = len(_otherwise(happened, again))
    tasks = max(1, len(happened.ends) + happened.open)
    result.alike_share = 1.0 - unlike / tasks
    errors = [
        abs(
            (percentile(again.waits_s, share) or 0.0) - (percentile(happened.waits_s, share) or 0.0)
        )
        for share in (50, 90)
    ]
    result.wait_error_s = max(errors)
    good = unlike == 0 and result.wait_error_s <= TOLERANCE_S and again.tokens == happened.tokens
    told = (
        f"With nothing changed, {tasks - unlike} of {tasks} tasks end as they did; waits differ by "
        f"{format_duration(result.wait_error_s)} at most (p50, p90), tokens by "
        f"{abs(again.tokens - happened.tokens):,}"
    )
    trust = "so a rerun tells these days well." if good else "so take the figures as a tendency."
    result.check = f"{told}: {trust}"


def _assumed(recording: Recording, would: Reran, made: dict[str, Any]) -> list[str]:
    told = [
        "The same things are dropped, cancelled and answered at the same times; definitions and "
        "all other settings are those of now.",
        "An attempt takes as long and uses as many tokens as it did, however many run beside it.",
    ]
    if would.assumed:
        attempts = "1 attempt was" if would.assumed == 1 else f"{would.assumed} attempts were"
        told.append(f"{attempts} never made: assumed to go as is typical of the type, and well.")
    if recording.downs:
        times = "once" if len(recording.downs) == 1 else f"{len(recording.downs)} times"
        told.append(f"No daemon runs whenever none ran ({times}).")
    if would.left_out and made:
        told.append(
            "What changed the budget during these days is left out: yours holds throughout."
        )
    if would.scaled:
        told.append(
            f"That total is less than masters and reserve have; they are cut in proportion "
            f"({would.scaled}). cortex.toml needs these too, or cortexd refuses the total."
        )
    if would.unlike:
        told.append(f"{would.unlike} things that people did make no sense any more; left out.")
    return told
