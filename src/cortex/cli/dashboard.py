"""The picture that `cortex top` draws, from the published documents alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cortex.cli.ages import age, elapsed_s, short
from cortex.cli.budget import alert_lines, budget_rows
from cortex.cli.kinds import waits_for, worker_time, worker_tokens
from cortex.cli.table import Row, status_colour
from cortex.cli.terminal import one_line
from cortex.home.health import health_of
from cortex.home.waiting import has_ended
from cortex.model.times import format_time

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.home.health import Health

__all__ = ["picture"]


def picture(home: Home, width: int, height: int | None) -> RenderableType:
    """Head, budget, workers, queue; as many rows as fit into `height`, or all."""
    queue, pool, budget = home.queue(), home.pool(), home.budget()
    tasks = [row for row in queue.get("tasks") or [] if isinstance(row, dict)]
    open_tasks = [row for row in tasks if not has_ended(str(row.get("status")))]
    active = [row for row in pool.get("active_workers") or [] if isinstance(row, dict)]
    waiting = [row for row in pool.get("queued_workers") or [] if isinstance(row, dict)]
    health = health_of(home)
    amiss = _conditions(health)
    parts: list[RenderableType] = [_head(home, health, width), *amiss]
    parts.append(_counts(tasks, open_tasks, active, waiting, pool))
    parts += [Text(), _budget(budget, width), _metrics(budget)]
    taken = 12 + len(amiss) + len(budget.get("masters") or {})
    left = 1000 if height is None else max(4, height - taken)
    parts += [Text(), _workers(active, width, left * 2 // 3)]
    parts += [Text(), _waiting(open_tasks, waiting, max(2, left // 3))]
    return Group(*parts)


def _head(home: Home, health: Health, width: int) -> Text:
    text = Text("cortex ", style="bold")
    if not health.daemon.running:
        text.append("no daemon runs", style="red")
    else:
        text.append(health.status, style="green" if health.is_well else "bold red")
        text.append(f" (pid {health.daemon.pid})" if health.daemon.pid else "")
    if health.head.get("paused"):
        text.append("  paused", style="yellow")
    text.append(f"  {one_line(home.root)}")  # last, for it may be cut
    now = f"{datetime.now(UTC):%H:%M:%S}Z"
    text.truncate(max(10, width - len(now) - 1), overflow="ellipsis")
    text.append(" " * max(1, width - text.cell_len - len(now)) + now)
    return text


def _conditions(health: Health) -> list[Text]:
    """A line for each thing that is amiss: what the daemon says, and what is seen without it."""
    told = [
        (
            f"{one_line(row.get('cause'))} (for {age(row.get('since'))})",
            "bold red" if row.get("degrading") else "yellow",
        )
        for row in health.conditions
    ]
    told += [(one_line(text), "bold red") for text in health.seen]
    return [Text(text, style=style, no_wrap=True, overflow="ellipsis") for text, style in told]


def _counts(
    tasks: list[Row], open_tasks: list[Row], active: list[Row], waiting: list[Row], pool: Row
) -> Text:
    done = sum(1 for row in tasks if row.get("status") == "completed")
    failed = sum(1 for row in tasks if row.get("status") == "failed")
    lost = len(pool.get("failed_workers") or [])
    text = Text(f"tasks {len(open_tasks)} open {done} done ")
    text.append(f"{failed} failed", style="red" if failed else "")
    text.append(f"   workers {len(active)} live {len(waiting)} waiting ")
    text.append(f"{len(pool.get('completed_workers') or [])} done {lost} failed")
    return text


def _bar(part: float, whole: float, width: int, style: str) -> Text:
    share = min(1.0, part / whole) if whole else 0.0
    filled = round(share * width)
    return Text("█" * filled, style=style) + Text("░" * (width - filled), style="dim")


def _budget(document: Row, width: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("FUND")
    table.add_column("USED + RESERVED")
    for name in ("USED", "RESERVED", "FREE", "TOTAL"):
        table.add_column(name, justify="right")
    for row in budget_rows(document) if document else []:
        taken = row["used"] + row["reserved"]
        share = taken / row["total"] if row["total"] else 0
        style = "red" if share >= 0.9 else "yellow" if share >= 0.75 else "green"
        table.add_row(
            one_line(row["fund"]),
            _bar(taken, row["total"], max(8, min(40, width - 62)), style),
            *(f"{row[name]:,}" for name in ("used", "reserved", "free", "total")),
            style="bold" if row["fund"] == "total" else "",
        )
    return table


def _metrics(document: Row) -> Text:
    if not document:
        return Text("no budget yet; the first daemon writes it", style="dim")
    metrics = document.get("usage_metrics") or {}
    import time

    left = elapsed_s(format_time(time.time()), document.get("resets_at"))
    text = Text(
        f"{metrics.get('total_tokens_used_today', 0):,} tokens this period, "
        f"{metrics.get('workers_percentage', 0)} % by workers, "
        f"efficiency {metrics.get('efficiency_score', 1.0):.0%}, reset in {short(left)}",
        style="dim",
    )
    for told, style in alert_lines(document):
        text.append(f"\n{told}", style=style)
    return text


def _workers(active: list[Row], width: int, most: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    for name in ("WORKER", "TASK", "STATUS"):
        table.add_column(name, no_wrap=True)
    table.add_column("PROGRESS", no_wrap=True, min_width=8)
    for name in ("TOKENS", "TIME", "LEFT"):
        table.add_column(name, justify="right", no_wrap=True)
    if width >= 100:
        table.add_column("DOING", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in active[:most]:
        cells: list[Any] = [
            one_line(row.get("worker_id")),
            one_line(row.get("task_id")),
            _status(row),
            _progress(row, 8 if width < 100 else 16),
            worker_tokens(row),
            worker_time(row),
            _left(row),
        ]
        if width >= 100:
            cells.append(Text(one_line(row.get("message") or row.get("repository") or "")))
        table.add_row(*cells)
    if not active:
        table.add_row(Text("no worker runs", style="dim"))
    elif len(active) > most:
        table.add_row(Text(f"… {len(active) - most} more", style="dim"))
    return table


def _status(row: Row) -> Text:
    status = str(row.get("phase") or row.get("status"))
    return Text(status, style=" ".join(status_colour(row.get("status"))))


def _progress(row: Row, width: int) -> Text:
    progress = row.get("progress")
    if not isinstance(progress, int | float):
        return Text("-", style="dim")
    return _bar(progress, 1.0, width, "cyan") + Text(f" {progress:>4.0%}")


def _left(row: Row) -> str:
    return short(elapsed_s(format_time(datetime.now(UTC).timestamp()), row.get("timeout_at")))


def _waiting(open_tasks: list[Row], waiting: list[Row], most: int) -> Table:
    """What waits, and for what: tasks that are not moving, then workers in the queue."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    table.add_column("WAITING", no_wrap=True)
    table.add_column("PRIORITY", no_wrap=True)
    table.add_column("STATUS", no_wrap=True)
    table.add_column("FOR", no_wrap=True, overflow="ellipsis", ratio=1)
    still = [row for row in open_tasks if row.get("status") not in ("in_progress", "aggregating")]
    rows = [(row.get("id"), row, waits_for(row)) for row in still]
    rows += [(row.get("id"), row, row.get("waiting_for")) for row in waiting]
    for ident, row, reason in rows[:most]:
        table.add_row(
            one_line(ident),
            one_line(row.get("priority") or "-"),
            _status(row),
            Text(one_line(reason or row.get("title") or "a free slot")),
        )
    if not rows:
        table.add_row(Text("nothing waits", style="dim"))
    elif len(rows) > most:
        table.add_row(Text(f"… {len(rows) - most} more", style="dim"))
    return table
