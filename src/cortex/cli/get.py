"""`cortex get`: lists what is in the home, one line a thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.cli import exits
from cortex.cli.kinds import Kind, find_kind, nearest_kind
from cortex.cli.options import (
    HomeOption,
    Output,
    OutputOption,
    fail_usage,
    note_without_daemon,
    open_home,
)
from cortex.cli.printing import print_json, print_json_line, print_names, print_yaml
from cortex.cli.table import Row, Table
from cortex.cli.terminal import note
from cortex.home.branches import branches_of, with_results
from cortex.model.errors import HomeError
from cortex.model.statuses import known_statuses

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["EXAMPLES", "get"]

EXAMPLES = """
  cortex get tasks                       open tasks and recently ended ones
  cortex get t -o wide                   the same, short, with more columns
  cortex get workers --status running    only those
  cortex get workers --task task-010     the workers of one task
  cortex get branches task-010           what its steps committed, its result
  cortex get budget                      who may spend what, and what is left
  cortex get task-010 -o json            one thing, whole
  cortex get tasks --watch               a line for each change
"""

#: Words of --status that mean several statuses.
#: What stands after the short name of a kind, where that is not the kind.
_ENDINGS = {"types": "worker"}
#: Kinds of which only what waits for a person is listed, and the status of that.
_WAITING = {"approvals": "pending", "escalations": "open"}
_SEVERAL = ("open", "ended")
_PRIORITIES = {"critical": 0, "high": 1, "medium": 2, "low": 3}


def _complete(incomplete: str) -> list[str]:
    from cortex.cli.kinds import KINDS

    return [name for kind in KINDS if (name := kind.name).startswith(incomplete)] + ["budget"]


def get(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="tasks (t), workers (w), budget (b), handoffs (h), escalations (e), approvals, "
            "branches, masters (m), types, personas, schedules, rejected (r); or an id.",
            autocompletion=_complete,
        ),
    ],
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only these; of branches, a task's.", show_default=False),
    ] = None,
    output: OutputOption = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            "-s",
            metavar="LIST",
            help="Only these, comma-separated; open and ended are understood.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="Only what belongs to it.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="FIELD", help="By this field; -FIELD reverses.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-A", help="Also what was archived, answered or closed.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Then a line for each row that changes.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """List what is in the home, one line a thing.

    Reads the published files, so it works without a daemon too.
    """
    place = open_home(home)
    if kind.lower() in ("budget", "b"):
        from cortex.cli.budget import show_budget

        show_budget(place, output, watch)
        return
    known = find_kind(kind)
    if known is None:
        _get_by_ids(place, [kind, *(ids or [])], output)
        return
    wanted = {word.strip() for word in (status or "").split(",") if word.strip()}
    _check_statuses(known, wanted)
    if task is not None and place.lookup(task) is None:
        raise HomeError(f"--task: {task} is no task here; `cortex get tasks` lists them")
    select = _Selection(known, ids or [], wanted, task, sort, everything)
    _list(place, select, status, output, watch)


def _list(
    place: Home, select: _Selection, status: str | None, output: Output | None, watch: bool
) -> None:
    running = note_without_daemon(place, "the files are shown as it left them")
    rows = select.rows(place)
    nothing = f"no {select.kind.name}"
    nothing += f" of {select.task}" if select.task else ""
    nothing += f" {status}" if select.statuses else ""
    table = _print(
        select.kind,
        rows,
        output,
        single=select.is_of_one(rows),
        nothing=nothing if select.statuses or select.task else _answered(select, place),
    )
    if watch:
        if not running:
            raise typer.Exit(exits.NO_DAEMON)
        _watch(place, select, rows, table, output)


def _answered(select: _Selection, home: Home) -> str | None:
    """That approvals or escalations are there, and none of them is open."""
    name = select.kind.name
    count = len(select.kind.rows(home)) if name in _WAITING else 0
    if not count:
        return None
    return f"no {name[:-1]} waits for an answer; {count} answered: cortex get {name} --all"


def _check_statuses(kind: Kind, wanted: set[str]) -> None:
    """Usage error for statuses that nothing of this kind can have."""
    known = known_statuses([kind.name.removesuffix("s")])
    if not known:  # its rows come from elsewhere, or have no status
        return
    for word in sorted(wanted.difference(known, _SEVERAL)):
        listed = ", ".join(dict.fromkeys((*_SEVERAL, *known)))
        raise fail_usage(f"--status: no {kind.name} have the status {word!r}; known: {listed}")


class _Selection:
    """Which rows are asked for, and in which order."""

    def __init__(
        self,
        kind: Kind,
        ids: list[str],
        statuses: set[str],
        task: str | None,
        sort: str | None,
        everything: bool,
    ) -> None:
        self.kind = kind
        self.ids = ids
        self.statuses = statuses
        self.task = task
        self._sort = sort
        self._everything = everything

    def is_of_one(self, rows: list[Row]) -> bool:
        """Whether one thing was named; of branches, a task may be, which has several."""
        if self.kind.name == "branches":
            return [row.get("name") for row in rows] == self.ids
        return len(self.ids) == 1

    def rows(self, home: Home) -> list[Row]:
        rows = self.kind.rows(home)
        if self._everything and self.kind.archive:
            present = {row.get(self.kind.key) for row in rows}
            rows += [
                row
                for archived in home.archived(self.kind.archive)
                for row in self.kind.unfold(archived)
                if row.get(self.kind.key) not in present
            ]
        is_branches = self.kind.name == "branches"
        if is_branches and self.ids:
            return [row for ident in self.ids for row in branches_of(home, ident)]
        if self.ids:
            return self._by_ids(home, rows)
        if is_branches and self._everything:
            rows = with_results(home, rows)
        waiting = _WAITING.get(self.kind.name)
        if waiting is not None and not (self._everything or self.statuses):
            rows = [row for row in rows if row.get("status") == waiting]
        rows = [row for row in rows if self._wanted(row)]
        return self._sorted(rows)

    def _by_ids(self, home: Home, rows: list[Row]) -> list[Row]:
        by_id = {str(row.get(self.kind.key)): row for row in rows}
        for ident in self.ids:
            if ident not in by_id and self.kind.archive:
                found = home.lookup(ident)
                if found is not None and found.kind == self.kind.archive:
                    held = self.kind.unfold(found.row)
                    by_id.update({row[self.kind.key]: row for row in held})
            whole = f"{ident}-{_ENDINGS.get(self.kind.name, self.kind.name[:-1])}"
            if ident not in by_id and whole in by_id:
                by_id[ident] = by_id[whole]
            if ident not in by_id:
                raise HomeError(
                    f"{ident}: none of the {self.kind.name} has this id; "
                    f"`cortex get {self.kind.name}` lists them"
                )
        return [by_id[ident] for ident in self.ids]

    def _wanted(self, row: Row) -> bool:
        if self.task is not None and self.task not in (
            row.get("task_id"),
            row.get("parent"),
            row.get("caused_by"),
            row.get("source_task"),
        ):
            return False
        if not self.statuses:
            return True
        from cortex.home.waiting import has_ended

        now = str(row.get("status"))
        word = "ended" if has_ended(now) else "open"
        return now in self.statuses or word in self.statuses

    def _sorted(self, rows: list[Row]) -> list[Row]:
        if self._sort is None:
            return rows
        name = self._sort.removeprefix("-")
        if rows and not any(name in row for row in rows):
            raise fail_usage(f"--sort: no row has a field {name}; fields: {', '.join(rows[0])}")
        return sorted(
            rows, key=lambda row: _sort_key(name, row.get(name)), reverse=self._sort.startswith("-")
        )


def _sort_key(name: str, value: object) -> tuple[int, float, str]:
    if name == "priority":
        return (0, _PRIORITIES.get(str(value), 9), "")
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, "") if value is None else (0, 0.0, str(value))


def _get_by_ids(home: Home, ids: list[str], output: Output | None) -> None:
    """`cortex get ID…`, the kind left out."""
    first = home.lookup(ids[0])
    if first is None:
        near = nearest_kind(ids[0])
        meant = f"did you mean {near!r}?" if near else "`cortex get -h` lists the kinds"
        raise fail_usage(f"{ids[0]!r} is neither a kind nor an id here; {meant}")
    note_without_daemon(home, "the files are shown as it left them")
    for ident in ids:
        found = home.lookup(ident)
        if found is None:
            raise HomeError(f"{ident}: nothing has this id; `cortex get tasks` lists what there is")
        kind = find_kind(found.kind)
        if kind is not None:
            _print(kind, [found.row], output, single=len(ids) == 1)


def _print(
    kind: Kind,
    rows: list[Row],
    output: Output | None,
    *,
    single: bool,
    nothing: str | None = None,
) -> Table:
    columns = [column for column in kind.columns if output is Output.wide or not column.wide]
    table = Table(columns, rows)
    if output in (Output.json, Output.yaml):
        value = rows[0] if single and rows else rows
        print_json(value) if output is Output.json else print_yaml(value)
    elif output is Output.name:
        print_names(row.get(kind.key) for row in rows)
    elif not rows:
        none_yet = "nothing was rejected" if kind.name == "rejected" else f"no {kind.name} yet"
        note(nothing or none_yet)
    else:
        print(table.head())
        for row in rows:
            print(table.line(row))
    return table


def _watch(
    home: Home, select: _Selection, rows: list[Row], table: Table, output: Output | None
) -> None:
    """Prints each row again when something in it changes, until interrupted."""
    from cortex.home import DaemonWatch

    key = select.kind.key
    seen = {row.get(key): json.dumps(row, sort_keys=True) for row in rows}
    headed = bool(rows)
    watch = DaemonWatch(home)
    for _ in home.changes(every_s=2.0):
        for row in select.rows(home):
            text = json.dumps(row, sort_keys=True)
            if seen.get(row.get(key)) == text:
                continue
            seen[row.get(key)] = text
            if output is Output.json:
                print_json_line(row)
            elif output is Output.name:
                print(row.get(key), flush=True)
            else:
                if not headed:
                    print(table.head())
                    headed = True
                print(table.line(row), flush=True)
        watch.check()
