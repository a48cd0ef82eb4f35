"""`cortex why`: the chain of causes from the dropped file to now, and what is waited for."""

from __future__ import annotations

import re
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.ages import age, ago
from cortex.cli.events import as_json, print_line
from cortex.cli.options import HomeOption, Output, OutputOption, open_home
from cortex.cli.printing import print_json, print_yaml
from cortex.cli.table import status_colour
from cortex.cli.terminal import colours, note, one_line, paint, width
from cortex.cli.why_definition import changes_of, print_changes
from cortex.home.planned import planned_by, refusals
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.home import Home, Row
    from cortex.home.causes import Explanation
    from cortex.home.drops import Dropped

__all__ = ["EXAMPLES", "print_hint", "print_wait", "why"]

EXAMPLES = """
  cortex why task-010               how it came to be, what it waits for
  cortex why worker-scan-003        why this worker runs, or does not
  cortex why handoff-001
  cortex why nightly.json           why a dropped file was refused
  cortex why security               which versions of a master were in force
"""

_FIRST, _LAST = 8, 12


def _complete(incomplete: str) -> list[str]:
    """Ids of all kinds that begin so, and names of refused files."""
    try:
        home = open_home(None)
        keys = (
            (home.tasks(), "id"),
            (home.workers(), "worker_id"),
            (home.handoffs(), "handoff_id"),
            (home.escalations(), "escalation_id"),
        )
        names = [str(row.get(key)) for rows, key in keys for row in rows]
        ending = ".error.json"
        files = sorted(home.paths.rejected.glob(f"*{ending}"))
        names += [path.name.removesuffix(ending) for path in files]
    except (HomeError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def why(
    ident: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A task, worker, handoff, approval, escalation, master or worker type, or a "
            "dropped file's name.",
            autocompletion=_complete,
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", "-A", help="A long history in full.")
    ] = False,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Explain how something came to be as it is.

    Shows the chain from the dropped file to now out of the journal, and for what is still open:
    what it waits for, since when, and what would free it.
    """
    from cortex.home.causes import explain
    from cortex.home.drops import find_drop

    opened = open_home(home)
    dropped = find_drop(opened, ident) if opened.lookup(ident) is None else None
    if dropped is not None:
        _print_drop(ident, dropped, output)
        return
    ident = _task_of_file(opened, ident)
    if opened.lookup(ident) is None and (changes := changes_of(opened, ident)):
        print_changes(opened, changes, output)
        return
    explanation = explain(opened, ident)
    if output in (Output.json, Output.yaml):
        value = _as_json(explanation)
        print_json(value) if output is Output.json else print_yaml(value)
        return
    _print(explanation, everything)


def _task_of_file(home: Home, ident: str) -> str:
    """The id itself; for the name of a file that was taken up, the youngest task made of it."""
    made = [] if home.lookup(ident) is not None else home.made_of(ident)
    if not made:
        return ident
    ids = [str(row.get("id")) for row in made]
    others = f", the last of {len(ids)}; before it {', '.join(ids[1:4])}" if ids[1:] else ""
    note(f"{ident} was taken up as {ids[0]}{others}")
    return ids[0]


def _print_drop(name: str, dropped: Dropped, output: Output | None) -> None:
    """What became of a dropped file that no task came of."""
    if output in (Output.json, Output.yaml):
        value = {"id": name, "kind": "drop", "status": dropped.status, "lies": dropped.lies,
                 "reason": dropped.reason, "since": dropped.since,
                 "freed_by": list(dropped.freed_by)}  # fmt: skip
        print_json(value) if output is Output.json else print_yaml(value)
        return
    on = colours()
    print(paint(one_line(name), "bold", on=on))
    print(one_line(f"lies in {dropped.lies}"))
    print()
    print(f"Now: {paint(dropped.status, *status_colour(dropped.status), on=on)}")
    _told("because", dropped.reason)
    if dropped.since:
        _told("since", f"{dropped.since} ({age(dropped.since)})")
    for number, way in enumerate(dropped.freed_by):
        _told("freed by" if number == 0 else "", way)


def _print(explanation: Explanation, everything: bool) -> None:
    on = colours()
    row = explanation.subject.row
    title = row.get("title") or row.get("worker_type") or row.get("subject") or ""
    print(paint(one_line(f"{explanation.ident}  {title}".rstrip()), "bold", on=on))
    if explanation.source:
        path = " → ".join([explanation.source, *explanation.ancestors, explanation.ident])
        print(one_line(path))
    print()
    for line in explanation.chain:
        print_line(line, "  ", whole=True)
    history = explanation.history
    left_out = 0 if everything else max(0, len(history) - _FIRST - _LAST)
    for line in history[:_FIRST] if left_out else history:
        print_line(line, "  ", whole=True)
    if left_out:
        print(paint(f"  … {left_out} more; --all shows them", "dim", on=on))
        for line in history[-_LAST:]:
            print_line(line, "  ", whole=True)
    if not explanation.chain and not history:
        print("  the journal no longer tells; it is older than the journal that is kept")
    print()
    status = str(row.get("status"))
    ended = row.get("ended_at") or row.get("completed_at") or row.get("failed_at")
    when = f" {ago(ended)}" if ended else ""
    print(f"Now: {paint(status, *status_colour(status), on=on)}{when}")
    reason = row.get("reason") or row.get("error") or row.get("summary")
    if ended and reason:
        print(f"  {one_line(reason)}")
    print_hint(row)
    planned = planned_by(row, reasons=False)
    if planned is not None:
        _told("planned by", planned)
    for number, refusal in enumerate(refusals(row)):
        _told("because" if number == 0 else "", refusal)
    print_wait(explanation)


def print_hint(row: Row) -> None:
    """What a command that failed by itself, in an empty folder, perhaps lacked."""
    scope = row.get("scope")
    named = isinstance(scope, dict) and (scope.get("repository") or scope.get("repositories"))
    failed = row.get("status") == "failed" and re.search(r"\bexit \w", str(row.get("reason")))
    if failed and row.get("command") and not named:
        hint = "it ran in an empty folder of its own; `cortex submit … -r PATH` names a repository"
        _told("hint", hint)


def print_wait(explanation: Explanation) -> None:
    """What it waits for, since when, and what would free it; nothing where it does not wait."""
    wait = explanation.wait
    if wait is None:
        return
    if wait.reason:
        _told("waits for", wait.reason)
    if wait.since:
        _told("since", f"{wait.since} ({age(wait.since)})")
    for number, way in enumerate(wait.freed_by):
        _told("freed by" if number == 0 else "", way)


def _told(name: str, text: str) -> None:
    columns = width()
    lines = (
        [one_line(text)]
        if columns is None
        else wrap(one_line(text), max(24, columns - 14), break_on_hyphens=False)
    )
    for number, line in enumerate(lines):
        print(f"  {name if number == 0 else '':<10}  {line}")


def _as_json(explanation: Explanation) -> dict[str, Any]:
    wait = explanation.wait
    return {
        "id": explanation.ident,
        "kind": explanation.subject.kind,
        "row": explanation.subject.row,
        "source": explanation.source,
        "ancestors": explanation.ancestors,
        "chain": [as_json(line) for line in explanation.chain],
        "history": [as_json(line) for line in explanation.history],
        "waits_for": wait
        and {"reason": wait.reason, "since": wait.since, "freed_by": list(wait.freed_by)},
    }
