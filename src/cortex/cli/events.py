"""`cortex events`: what happened, one line of the journal at a time."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.ages import since_instant
from cortex.cli.narrate import line_text
from cortex.cli.options import HomeOption, Output, OutputOption, fail_usage, open_home
from cortex.cli.printing import print_json_line
from cortex.cli.terminal import clip, colours, note, paint, width
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.model.journal_line import Line

__all__ = ["EXAMPLES", "as_json", "events", "print_line"]

EXAMPLES = """
  cortex events                     the last 20
  cortex events -f                  and what comes
  cortex events task-010            all that concerns one task and its workers
  cortex events --since 10m         of the last ten minutes
  cortex events --since 412 -o json after the 412th line, as JSON Lines
"""

_WHO_COLUMNS = 18


def events(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only what concerns these.", show_default=False),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is still to come.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="A length (10m), a time (2025-11-01T10:15:00Z) or a journal seq.",
        ),
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail",
            "-n",
            metavar="N",
            min=0,
            help="So many of the last lines.",
            show_default="20, or all",
        ),
    ] = None,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Show what happened: when, who decided it, what and why.

    Every line is one atomic transaction of coordination/journal/. Times are UTC.
    """
    place = open_home(home)
    seq, at = _since(since)
    if tail is None and since is None and not ids:
        tail = 20
    known: list[Line]
    if tail is not None and since is None and not ids:
        from cortex.home.journal import last_lines

        # One more than is shown: its seq is where following begins, even for none.
        known = last_lines(place.paths.journal, tail + 1)
        reader = _reader(place, [], known[-1].seq if known else 0, "")
    else:
        reader = _reader(place, ids or [], seq, at)
        known = list(reader.read())
        if not known:
            _check_ids(place, ids or [])
    for line in known if tail is None else known[len(known) - min(tail, len(known)) :]:
        _print(line, output)
    if not known and not follow:
        note("nothing has happened yet" if not ids and since is None else "nothing matches")
    if follow:
        _follow(place, reader.read, output)


def _check_ids(home: Home, ids: list[str]) -> None:
    """HomeError for an id that neither the files nor the journal know."""
    for ident in ids:
        if home.lookup(ident) is None and not any(home.journal(mentioning=[_word(ident)])):
            raise HomeError(f"{ident}: nothing has this id; `cortex get tasks` lists what there is")


def _since(text: str | None) -> tuple[int, str]:
    """The seq and the instant after which lines are wanted."""
    if text is None:
        return 0, ""
    if text.isdigit():
        return int(text), ""
    try:
        return 0, since_instant(text)
    except ValueError as error:
        raise fail_usage(f"--since: {error}, nor a journal seq like 412") from None


class _Concerning:
    """Passes the lines that speak of some ids, and of the workers of those that are tasks."""

    def __init__(self, home: Home, ids: list[str], seq: int, at: str) -> None:
        from cortex.home.concerning import ids_about
        from cortex.home.journal import JournalReader

        self._ids = {one for ident in ids for one in ids_about(home, ident, home.lookup(ident))}
        self._reader = JournalReader(
            home.paths.journal, since_seq=seq, since_at=at, mentioning=[*map(_word, self._ids)]
        )

    def read(self) -> Iterator[Line]:
        from cortex.home.journal import ids_of

        for line in self._reader.read():
            if self._ids & ids_of(line):
                self._take_workers(line)
                yield line

    def _take_workers(self, line: Line) -> None:
        for event in line.events:
            worker = event.get("worker")
            if isinstance(worker, dict) and worker.get("task_id") in self._ids:
                ident = str(worker.get("id"))
                if ident not in self._ids:
                    self._ids.add(ident)
                    self._reader.widen([_word(ident)])


def _word(ident: str) -> str:
    return f'"{ident}"'


def _reader(home: Home, ids: list[str], seq: int, at: str) -> Any:
    from cortex.home.journal import JournalReader

    if ids:
        return _Concerning(home, ids, seq, at)
    return JournalReader(home.paths.journal, since_seq=seq, since_at=at)


def _follow(home: Home, read: Any, output: Output | None) -> None:
    from cortex.home import DaemonWatch

    watch = DaemonWatch(home)
    for _ in home.changes(every_s=2.0):
        for line in read():
            _print(line, output)
        watch.check()


def _print(line: Line, output: Output | None) -> None:
    if output is Output.json:
        print_json_line(as_json(line))
    else:
        print_line(line, whole=True)


def as_json(line: Line) -> dict[str, Any]:
    """A journal line as the object that stands in the file, without its checksums."""
    return {
        "seq": line.seq,
        "at": line.at,
        "by": line.by,
        "why": line.why,
        "events": line.events,
    }


def print_line(line: Line, indent: str = "", *, whole: bool = False) -> None:
    """One line for people; on a terminal cut to its width, or wrapped where `whole` is wanted."""
    when, who, text = line_text(line)
    columns, on = width(), colours()
    before = len(indent) + len(when) + max(_WHO_COLUMNS, len(who)) + 4
    if columns is not None:
        room = max(24, columns - before)
        text = (
            f"\n{' ' * before}".join(wrap(text, room, break_on_hyphens=False))
            if whole
            else clip(text, room)
        )
    named = paint(f"{who:<{_WHO_COLUMNS}}", "cyan", on=on)
    print(f"{indent}{paint(when, 'dim', on=on)}  {named}  {text}", flush=True)
