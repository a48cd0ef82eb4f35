"""`cortex schedule`: work that comes back, as a request in the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli import task_options as opts
from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.requesting import await_outcome
from cortex.cli.terminal import note
from cortex.model.errors import RequestError

if TYPE_CHECKING:
    from cortex.home import Home, Receipt

__all__ = ["EXAMPLES", "published_schedule", "schedule"]

EXAMPLES = """
  cortex schedule daily@09:00 --type security-scan -r ../app -r ../site
  cortex schedule "weekly@mon 06:30" -w scan -r ../app -z Europe/Berlin
  cortex schedule "*/30 8-18 * * 1-5" -c "make smoke" -r ../app --id smoke
  cortex get schedules
  cortex pause smoke; cortex resume smoke; cortex cancel smoke

A run that was missed while no daemon ran is made up for once. Setting an id again changes it.
"""

_PATIENCE_S = 5.0


When = Annotated[
    str,
    typer.Argument(
        metavar="WHEN",
        help="daily@09:00, weekdays@09:00, weekly@mon 06:30, monthly@1 06:00, hourly@15, "
        "every 6h, or five fields of cron.",
    ),
]
WorkerTypeName = Annotated[
    str | None,
    typer.Option("--worker-type", "-w", metavar="TYPE", help="One worker for each repository."),
]
Count = Annotated[
    int | None,
    typer.Option("--count", metavar="N", min=1, help="Workers; of repositories: at once."),
]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", "-z", metavar="ZONE", help="Else the budget's, as in UTC."),
]
Overlap = Annotated[
    bool, typer.Option("--overlap", help="Run also while the last run's task is open.")
]
ScheduleId = Annotated[str | None, typer.Option("--id", metavar="ID", help="Your own name for it.")]


def schedule(
    when: When,
    worker_type: WorkerTypeName = None,
    type: opts.TypeName = None,
    command: opts.CommandLine = None,
    repository: opts.Repositories = None,
    count: Count = None,
    timezone: Timezone = None,
    overlap: Overlap = False,
    title: opts.Title = None,
    schedule_id: ScheduleId = None,
    priority: opts.PriorityName = None,
    token_budget: opts.TokenBudget = None,
    timeout: opts.Timeout = None,
    home: HomeOption = None,
) -> None:
    """Let work come back by itself: a task at each of these times."""
    payload: dict[str, Any] = {
        "kind": "schedule",
        "id": schedule_id,
        "schedule": when,
        "timezone": timezone,
        "worker_type": worker_type,
        "type": type,
        "title": title,
        "count": count,
        "repositories": opts.local_paths(repository) if repository else None,
        "command": command,
        "priority": priority,
        "token_budget": token_budget,
        "timeout": timeout,
        "overlap": "allow" if overlap else None,
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    _check(payload)
    place = open_home(home)
    receipt = place.submit(payload)
    if await_outcome(place, receipt) is None:
        note(f"no daemon has taken it up yet; it waits in {place.paths.inbox / receipt.name}")
        return
    row = published_schedule(place, receipt)
    print(f"{row['id']}: next at {row.get('next_run')}" if row else "taken up")


def _check(payload: dict[str, Any]) -> None:
    from cortex.model.requests import parse_request

    try:
        parse_request(payload)
    except RequestError as error:
        field = {"schedule": "WHEN", "worker_type": "--worker-type"}.get(error.field or "")
        option = field or (f"--{error.field}" if error.field else "")
        raise fail_usage(f"{option}: {error.message}" if option else error.message) from None


def published_schedule(home: Home, receipt: Receipt) -> dict[str, Any] | None:
    """The schedule that the drop made, once it is published; None if that takes long."""
    for waited, _ in enumerate(home.changes(every_s=0.1)):
        found = [row for row in home.schedules() if row.get("source") == receipt.name]
        if found or waited > _PATIENCE_S * 10:
            return found[0] if found else None
    return None
