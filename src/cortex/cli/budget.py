"""`cortex budget`: the ledger as a table, and the one number of it that a person sets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli import exits
from cortex.cli.ages import clock, elapsed_s, short
from cortex.cli.narrate import alert_parts
from cortex.cli.options import HomeOption, Output, OutputOption, note_without_daemon, open_home
from cortex.cli.printing import print_json, print_json_line, print_yaml
from cortex.cli.table import Column, Row, Table
from cortex.cli.terminal import colours, note, one_line, paint
from cortex.model.times import format_time

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["EXAMPLES", "alert_lines", "budget", "budget_rows", "show_budget"]

#: From this share on a fund is shown as one that fills up.
_FULL = 0.75

EXAMPLES = """
  cortex budget                       the ledger of this period
  cortex budget --set-total 260000    the difference goes to the worker pool
  cortex budget -o json               the whole of token-budget.json
"""


def budget(
    set_total: Annotated[
        int | None,
        typer.Option("--set-total", metavar="TOKENS", min=0, help="Change the total budget."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", "-m", metavar="TEXT", help="Why; goes into the journal."),
    ] = None,
    output: OutputOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it at each change.")] = False,
    home: HomeOption = None,
) -> None:
    """Show the token budget, or change its total.

    RESERVED is held by work that runs, USED is spent in this period, FREE is what is left.
    """
    place = open_home(home)
    if set_total is not None:
        from cortex.cli.requesting import send_verb

        payload: dict[str, Any] = {"kind": "budget", "total_budget": set_total}
        if reason:
            payload["reason"] = reason
        send_verb(place, payload, f"total budget set to {set_total:,}")
        return
    show_budget(place, output, watch)


def show_budget(home: Home, output: Output | None, watch: bool) -> None:
    """Prints the ledger; with `watch` again at each change, until the daemon goes."""
    running = note_without_daemon(home, "the files are shown as it left them")
    if not watch:
        _show(home.budget(), output)
        return
    if not running:
        raise typer.Exit(exits.NO_DAEMON)
    last: Row | None = None
    from cortex.home import DaemonWatch

    daemon = DaemonWatch(home)
    for _ in home.changes(every_s=2.0):
        now = home.budget()
        if now != last:
            print_json_line(now) if output is Output.json else _show(now, output)
            last = now
        daemon.check()


def _show(document: Row, output: Output | None) -> None:
    if output is Output.json:
        print_json(document)
        return
    if output is Output.yaml:
        print_yaml(document)
        return
    if not document:
        note("no budget yet; the first daemon writes it from cortex.toml and the master files")
        return
    rows = budget_rows(document)
    table = Table(_COLUMNS, rows)
    print(table.head())
    for row in rows:
        print(table.line(row))
    metrics = document.get("usage_metrics") or {}
    left = elapsed_s(format_time(time.time()), document.get("resets_at"))
    print(
        f"\nused {metrics.get('total_tokens_used_today', 0):,} tokens this period "
        f"({metrics.get('masters_percentage', 0)} % masters, "
        f"{metrics.get('workers_percentage', 0)} % workers), "
        f"efficiency {metrics.get('efficiency_score', 1.0):.0%}"
    )
    print(f"{document.get('budget_period')}, resets {document.get('resets_at')} (in {short(left)})")
    for opening in (document.get("emergency_reserve") or {}).get("openings") or []:
        print(_opening_text(opening))
    for text, colour in alert_lines(document):
        print(paint(text, colour, on=colours()))


def alert_lines(document: Row) -> list[tuple[str, str]]:
    """(text, colour) of each fund that people were alerted of in this period: what it was then,
    and how full it is now."""
    shares = {row["fund"]: _taken(row) for row in budget_rows(document)}
    told: dict[str, list[str]] = {}
    for fund, level in filter(None, map(alert_parts, document.get("alerts") or [])):
        told.setdefault(fund, []).append(level)
    lines = []
    for fund, levels in told.items():
        share = shares.get(fund.removeprefix("the "), 0.0)
        was = f"alert in this period: {fund} was {', then '.join(levels)}"
        colour = "yellow" if share >= _FULL else "dim"
        lines.append((one_line(f"{was}; {share:.0%} of it is in use now"), colour))
    return lines


def _opening_text(opening: Row) -> str:
    """One task's use of the emergency reserve, on one line."""
    closed = opening.get("closed_at")
    workers = opening.get("workers") or []
    text = f"for {opening.get('task_id')} ({opening.get('opened_by')}): {opening.get('why')}; "
    text += f"{len(workers)} worker{'s' if len(workers) != 1 else ''}, "
    text += f"{opening.get('spent', 0):,} used"
    held = opening.get("tokens", 0) - opening.get("spent", 0)
    text += f", {held:,} held" if held > 0 else ""
    if opening.get("approval_id"):
        text += f"; a person said yes: {opening['approval_id']}"
    if opening.get("preempted"):
        text += f"; gave way: {', '.join(opening['preempted'])}"
    if closed:
        return one_line(
            f"reserve: open from {clock(str(opening.get('opened_at')))} to {clock(closed)} {text}"
        )
    told = one_line(f"reserve: OPEN since {clock(str(opening.get('opened_at')))} {text}")
    return paint(told, "yellow", on=colours())


def budget_rows(document: Row) -> list[Row]:
    """Masters, pool, reserve and their sum, each with total, reserved, used and free tokens."""
    rows = []
    for name, fund in (document.get("masters") or {}).items():
        total, used = fund.get("allocated", 0), fund.get("used", 0)
        reserved = fund.get("reserved", 0)
        rows.append(_fund(f"{name} master", total, reserved, used))
    pool = document.get("worker_pool") or {}
    held = pool.get("allocated_to_workers", 0)
    rows.append(_fund("worker pool", pool.get("total", 0), held, pool.get("spent", 0)))
    reserve = document.get("emergency_reserve") or {}
    spent = reserve.get("spent", reserve.get("used", 0))
    rows.append(
        _fund("emergency reserve", reserve.get("total", 0), reserve.get("allocated", 0), spent)
    )
    total = {name: sum(row[name] for row in rows) for name in ("total", "reserved", "used", "free")}
    return [*rows, {"fund": "total", **total}]


def _fund(name: str, total: int, reserved: int, used: int) -> Row:
    free = total - reserved - used
    return {"fund": name, "total": total, "reserved": reserved, "used": used, "free": free}


def _share_colour(row: Row) -> tuple[str, ...]:
    taken = _taken(row)
    return ("red",) if taken >= 0.9 else ("yellow",) if taken >= _FULL else ()


def _taken(row: Row) -> float:
    """The share of a fund that is held or spent."""
    return 1 - row["free"] / row["total"] if row["total"] else 0.0


_COLUMNS = (
    Column("FUND", lambda row: row["fund"]),
    Column("TOTAL", lambda row: row["total"], right=True),
    Column("RESERVED", lambda row: row["reserved"], right=True),
    Column("USED", lambda row: row["used"], right=True),
    Column("FREE", lambda row: row["free"], right=True, colour=_share_colour),
)
