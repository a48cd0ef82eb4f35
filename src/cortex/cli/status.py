"""`cortex status`: whether all is well, on one short screen and as an exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cortex.cli import exits
from cortex.cli.ages import age, elapsed_s, short
from cortex.cli.budget import budget_rows
from cortex.cli.options import HomeOption, Output, OutputOption, fail_usage, open_home
from cortex.cli.printing import print_json, print_yaml
from cortex.cli.terminal import colours, one_line, paint
from cortex.model.words import counted

if TYPE_CHECKING:
    from cortex.home import Home, Row
    from cortex.home.health import Health

__all__ = ["EXAMPLES", "status"]

EXAMPLES = """
  cortex status                   is all well, and if not, why
  cortex status >/dev/null        for scripts and health checks: 0 well, 1 not
  cortex status -o json           the same for programs
"""

_COLOURS = {"running": "green", "degraded": "red", "stopped": "red", "unknown": "red"}


def status(output: OutputOption = None, home: HomeOption = None) -> None:
    """Tell whether a daemon runs and is well; exit status 0 if so, else 1.

    `degraded` means that something is due and does not move; each condition says what to do.
    """
    from cortex.home.health import health_of

    place = open_home(home)
    health = health_of(place)
    facts = _facts(place, health)
    if output is Output.json:
        print_json(facts)
    elif output is Output.yaml:
        print_yaml(facts)
    elif output is None:
        _show(health, facts)
    else:
        raise fail_usage(f"-o {output.value} is for lists; json and yaml are understood here")
    raise typer.Exit(exits.OK if health.is_well else exits.FAILED)


def _facts(home: Home, health: Health) -> Row:
    """Everything that is shown, as numbers and texts."""
    from cortex.home.waiting import has_ended

    pool, tasks = home.pool(), home.tasks()
    open_tasks = [row for row in tasks if not has_ended(str(row.get("status")))]
    funds = {row["fund"]: row for row in budget_rows(home.budget())}
    total = funds.get("total", {})
    return {
        "home": str(home.root),
        "status": health.status,
        "is_well": health.is_well,
        "cause": health.cause,
        "pid": health.daemon.pid,
        "version": health.head.get("version"),
        "started_at": health.head.get("started_at"),
        "paused": bool(health.head.get("paused")),
        "draining": bool(health.head.get("draining")),
        "conditions": health.conditions,
        "seen": health.seen,
        "workers": {
            "live": len(pool.get("active_workers") or ()),
            "waiting": len(pool.get("queued_workers") or ()),
        },
        "learned": _learned(home, pool),
        "tasks": {
            "open": len(open_tasks),
            "blocked": sum(row.get("status") == "blocked" for row in open_tasks),
            "awaiting_approval": sum(
                row.get("status") == "awaiting_approval" for row in open_tasks
            ),
        },
        "unanswered": {
            "approvals": sum(row.get("status") == "pending" for row in home.approvals()),
            "handoffs": sum(row.get("status") == "pending" for row in home.handoffs()),
            "escalations": sum(row.get("status") == "open" for row in home.escalations()),
        },
        "budget": {
            **{name: total.get(name, 0) for name in ("total", "used", "reserved", "free")},
            "pool_free": funds.get("worker pool", {}).get("free", 0),
        },
        "resets_at": home.budget().get("resets_at"),
    }


def _learned(home: Home, pool: Row) -> Row:
    """How many workers at once were learned to be best, by lane; empty under another policy."""
    from cortex.model.errors import SettingsError
    from cortex.model.settings import load_settings

    try:
        is_used = load_settings(home.paths.settings).spawn.policy == "learned"
    except SettingsError:
        is_used = False
    found = pool.get("learned") if is_used else None
    return found if isinstance(found, dict) else {}


def _show(health: Health, facts: Row) -> None:
    on = colours()
    head = paint(health.status, "bold", _COLOURS[health.status], on=on)
    if health.daemon.running:
        up = f"up {age(facts['started_at'])}, pid {facts['pid']}, cortexd {facts['version']}"
        head += f", {up}" if health.head else ", has published nothing yet"
        head += paint("  paused", "yellow", on=on) if facts["paused"] else ""
        drains = "  draining: nothing new starts, it leaves when idle"
        head += paint(drains, "yellow", on=on) if facts["draining"] else ""
    else:
        head += ": no daemon runs; start `cortexd`, or `cortex service install`"
    print(head)
    for row in health.conditions:
        print(_condition(row, on))
    for text in health.seen:
        print(f"  {paint('seen', 'red', on=on)}: {one_line(text)}")
    workers, tasks, budget = facts["workers"], facts["tasks"], facts["budget"]
    waiting = f"{tasks['blocked']} blocked, {tasks['awaiting_approval']} await approval"
    left = short(elapsed_s(_now(), facts["resets_at"]))
    print(f"home     {one_line(facts['home'])}")
    print(f"workers  {workers['live']} live, {workers['waiting']} waiting")
    for lane, row in facts["learned"].items():
        since = age(row.get("at"))
        print(f"learned  {one_line(lane)}: {one_line(row.get('reason'))} ({since} ago)")
    print(f"tasks    {tasks['open']} open, {waiting}")
    asked = [
        f"{counted(count, name[:-1])}: cortex get {name}"
        for name, count in facts["unanswered"].items()
        if count
    ]
    if asked:
        print(f"answers  {', '.join(asked)}")
    if facts["resets_at"] is None:
        print("budget   none yet; the first daemon writes it")
    else:
        free = f"{budget['free']:,} of {budget['total']:,} free"
        print(f"budget   {free}, {budget['pool_free']:,} of it in the worker pool, reset in {left}")


def _condition(row: Row, on: bool) -> str:
    """Its name and cause, and on a second line what to do."""
    colour = "red" if row.get("degrading") else "yellow"
    name = paint(one_line(row.get("name")).replace("_", " "), colour, on=on)
    since, cause = age(row.get("since")), one_line(row.get("cause"))
    return f"  {name} for {since}: {cause}\n    → {one_line(row.get('remedy'))}"


def _now() -> str:
    import time

    from cortex.model.times import format_time

    return format_time(time.time())
