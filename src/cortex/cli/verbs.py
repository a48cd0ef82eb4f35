"""`cortex cancel`, `retry`, `pause`, `resume`, `handoff`: small drops that act on what is there.

They share one file because each is one request and one sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.options import HomeOption, open_home
from cortex.cli.requesting import send_verb
from cortex.model.errors import HomeError

if TYPE_CHECKING:
    from cortex.home import Home
    from cortex.home.client import Found

__all__ = [
    "EXAMPLES",
    "approve",
    "cancel",
    "complete_tasks",
    "deny",
    "drain",
    "handoff",
    "pause",
    "resume",
    "retry",
    "what_is_cancelled",
]

EXAMPLES = {
    "cancel": """
  cortex cancel task-010               its workers end, its tokens come back
  cortex cancel task-010 --cascade     and the tasks that came out of it
  cortex cancel task-010 --reason "no longer needed"
  cortex cancel schedule-001           it comes back no more
""",
    "retry": """
  cortex retry task-010    run it again; finished steps are kept
""",
    "pause": """
  cortex pause task-010    running workers finish, none is started
  cortex pause             the same for the whole fleet
""",
    "resume": """
  cortex resume task-010
  cortex resume            the whole fleet
""",
    "drain": """
  cortex drain             before an upgrade; the next cortexd goes on
  cortex resume            takes it back, as long as the daemon is there
""",
    "approve": """
  cortex get approvals
  cortex approve approval-003
  cortex approve task-010              the one of this task that waits
  cortex approve escalation-002        you have seen it; it is closed
""",
    "deny": """
  cortex deny approval-003 --reason "too expensive"
""",
    "handoff": """
  cortex handoff accept handoff-003
  cortex handoff reject handoff-003 --reason "wrong team"
""",
}


def complete_tasks(incomplete: str) -> list[str]:
    """The ids of tasks that begin so, for a shell."""
    try:
        rows = open_home(None).tasks()
    except HomeError:
        return []
    return [ident for row in rows if (ident := str(row.get("id"))).startswith(incomplete)]


def complete_open(incomplete: str) -> list[str]:
    """The ids of approvals and escalations that wait for a person, for a shell."""
    try:
        home = open_home(None)
        rows = [row.get("approval_id") for row in home.approvals() if row["status"] == "pending"]
        rows += [row.get("escalation_id") for row in home.escalations() if row["status"] == "open"]
    except (HomeError, KeyError):
        return []
    return [str(ident) for ident in rows if str(ident).startswith(incomplete)]


TaskIds = Annotated[
    list[str], typer.Argument(metavar="TASK", autocompletion=complete_tasks, help="Task ids.")
]
OptionalTaskIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TASK",
        autocompletion=complete_tasks,
        help="Task ids; without any, the whole fleet.",
        show_default=False,
    ),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", "-m", metavar="TEXT", help="Why; goes into the journal.")
]


class Answer(StrEnum):
    """What a receiver says to a handoff."""

    accept = "accept"
    reject = "reject"


def cancel(
    tasks: TaskIds,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Also the tasks that came out of them.")
    ] = False,
    reason: ReasonOption = None,
    home: HomeOption = None,
) -> None:
    """Cancel tasks: end their workers, return their tokens, and start nothing more for them."""
    for ident in tasks:
        opened = open_home(home)
        done = what_is_cancelled(opened, ident, cascade=cascade)
        _verb(opened, "cancel", ident, done, reason, cascade=cascade)


def retry(tasks: TaskIds, reason: ReasonOption = None, home: HomeOption = None) -> None:
    """Run failed or cancelled tasks again; what their workers finished is kept.

    A follow-up that was completed, or is archived, is made anew by the next scan that finds it.
    """
    place = open_home(home)
    for ident in tasks:
        published = {row.get("id"): row.get("status") for row in place.tasks()}
        runs = published.get(ident, "archived") not in ("completed", "archived")
        told = "runs again" if runs else "is filed again by the next scan that finds it"
        _verb(place, "retry", ident, f"{ident} {told}", reason)


def pause(
    tasks: OptionalTaskIds = None, reason: ReasonOption = None, home: HomeOption = None
) -> None:
    """Hold tasks, or all new starts: running workers finish, none is started."""
    for ident in tasks or (None,):
        _verb(open_home(home), "pause", ident, f"{ident or 'the fleet'} paused", reason)


def resume(
    tasks: OptionalTaskIds = None, reason: ReasonOption = None, home: HomeOption = None
) -> None:
    """Let paused tasks, or the paused fleet, go on."""
    for ident in tasks or (None,):
        _verb(open_home(home), "resume", ident, f"{ident or 'the fleet'} goes on", reason)


def drain(reason: ReasonOption = None, home: HomeOption = None) -> None:
    """Start nothing new; when the running workers have ended, the daemon leaves."""
    _verb(open_home(home), "drain", None, "nothing new starts; the daemon leaves when idle", reason)


def handoff(
    answer: Annotated[Answer, typer.Argument(metavar="accept|reject", help="What you say to it.")],
    handoff_id: Annotated[str, typer.Argument(metavar="HANDOFF", help="Its id.")],
    reason: ReasonOption = None,
    home: HomeOption = None,
) -> None:
    """Accept or reject a handoff that waits for its receiver."""
    status = f"{answer.value}ed"
    payload = {"kind": "handoff", "handoff_id": handoff_id, "status": status}
    if reason:
        payload["reason"] = reason
    send_verb(open_home(home), payload, f"{handoff_id} {status}")


Approvals = Annotated[
    list[str],
    typer.Argument(
        metavar="ID", autocompletion=complete_open, help="Ids of approvals, or of their tasks."
    ),
]


def approve(approvals: Approvals, reason: ReasonOption = None, home: HomeOption = None) -> None:
    """Say yes: what waits for it goes on. For an escalation: you have seen it."""
    _answer(open_home(home), "approve", approvals, reason, "approved")


def deny(approvals: Approvals, reason: ReasonOption = None, home: HomeOption = None) -> None:
    """Say no to what waits for a yes: its task is cancelled."""
    _answer(open_home(home), "deny", approvals, reason, "denied")


def _answer(home: Home, kind: str, idents: list[str], reason: str | None, done: str) -> None:
    for ident in idents:
        found = home.lookup(ident)
        if found is None or found.kind not in ("approval", "task", "escalation"):
            hint = "`cortex get approvals` lists what waits for a yes or no"
            raise HomeError(f"{ident} is no approval, task or escalation here; {hint}")
        _refuse_answered(ident, found)
        payload: dict[str, Any] = {"kind": kind, f"{found.kind}_id": ident}
        if reason:
            payload["reason"] = reason
        send_verb(home, payload, f"{ident} {'closed' if found.kind == 'escalation' else done}")


def _refuse_answered(ident: str, found: Found) -> None:
    """HomeError for what has its answer: nothing is dropped that would only be refused."""
    status = found.row.get("status")
    if found.kind == "approval" and status != "pending":
        said = f": {found.row['comment']}" if found.row.get("comment") else ""
        raise HomeError(f"{ident} was {status} already, at {found.row.get('answered_at')}{said}")


def what_is_cancelled(home: Home, ident: str, *, cascade: bool) -> str:
    """What a cancel of this id comes to, for a person."""
    from cortex.home.waiting import has_ended

    status = str((home.task(ident) or {}).get("status"))
    if cascade and has_ended(status):
        return f"{ident} has ended ({status}); the open tasks that came out of it cancelled"
    return f"{ident} cancelled"


def _named_by(home: Home, ident: str) -> str:
    """The field that names it: an id may be a task's or a schedule's."""
    if not home.paths.task_queue.exists() or home.task(ident) is not None:
        return "task_id"
    if any(row.get("id") == ident for row in home.schedules()):
        return "schedule_id"
    hint = "`cortex get tasks` and `cortex get schedules` list them"
    raise HomeError(f"{ident} is no task or schedule here; {hint}")


def _verb(
    home: Home,
    kind: str,
    ident: str | None,
    done: str,
    reason: str | None,
    *,
    cascade: bool = False,
) -> None:
    payload: dict[str, Any] = {"kind": kind}
    if ident is not None:
        payload[_named_by(home, ident)] = ident
    if reason:
        payload["reason"] = reason
    if cascade:
        payload["cascade"] = True
    send_verb(home, payload, done)
