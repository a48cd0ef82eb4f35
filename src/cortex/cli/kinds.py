"""What `cortex get` can list: names and short names, where the rows come from, their columns.

A table of data; printing is in get.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cortex.cli import definition_rows
from cortex.cli.ages import age, short
from cortex.cli.consent import price
from cortex.cli.table import Column, Row, status_colour
from cortex.home.branches import branches, branches_of_worker

if TYPE_CHECKING:
    from cortex.home import Home

__all__ = ["KINDS", "Kind", "find_kind", "waits_for", "worker_time", "worker_tokens"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing: `rows` reads it, `key` is the field that names a row."""

    name: str
    aliases: tuple[str, ...]
    key: str
    rows: Callable[[Home], list[Row]]
    columns: tuple[Column, ...]
    #: The kind's name in the archive, where ended rows go.
    archive: str | None = None
    #: What one row of the archive holds of this kind.
    unfold: Callable[[Row], Iterable[Row]] = lambda row: (row,)


def _field(name: str) -> Callable[[Row], object]:
    return lambda row: row.get(name)


def _column(
    head: str, source: str | Callable[[Row], object], *, right: bool = False, wide: bool = False
) -> Column:
    value = _field(source) if isinstance(source, str) else source
    return Column(head, value, right=right, wide=wide)


_STATUS = Column("STATUS", _field("status"), colour=lambda row: status_colour(row.get("status")))


def _done(row: Row) -> str:
    plan = row.get("worker_plan") or {}
    total = plan.get("total_workers") or 0
    return f"{plan.get('workers_completed', 0)}/{total}" if total else "-"


def _findings(row: Row) -> str:
    found = row.get("findings")
    if isinstance(found, dict):
        return " ".join(f"{count} {name}" for name, count in found.items() if count) or "-"
    return str(found or "-")


def _waiting(row: Row) -> object:
    if row.get("status") in ("failed", "cancelled", "completed"):
        return row.get("reason") or row.get("summary")
    return waits_for(row)


def waits_for(row: Row) -> object:
    """What an open task or worker waits for, in words; None where nothing is told."""
    told = row.get("blocked_on") or row.get("waiting_for")
    if told or not (row.get("hold") or row.get("status") == "paused"):
        return told
    word = "paused" if row.get("status") == "paused" else "held"
    return f"{word}: `cortex resume {row.get('id')}`"


def _task_title(row: Row) -> str:
    title = str(row.get("title") or "")
    return f"{title} (partial)" if row.get("partial") else title


def worker_tokens(row: Row) -> str:
    """`1,200/8,000`: used of its budget; what is only estimated stands alone."""
    budget = row.get("token_budget", row.get("estimated_tokens"))
    used = row.get("tokens_used")
    if used is None:
        return "-" if budget is None else f"-/{budget:,}"
    return f"{used:,}" if budget is None else f"{used:,}/{budget:,}"


def worker_time(row: Row) -> str:
    """How long it runs or ran; a waiting one shows how long it waits."""
    if row.get("duration_s") is not None:
        return short(row["duration_s"])
    if row.get("duration_minutes") is not None:
        return short(row["duration_minutes"] * 60)
    return age(row.get("spawned_at") or row.get("requested_at"), row.get("failed_at"))


def _worker_note(row: Row) -> object:
    parts = []
    if row.get("healthy") is False:
        parts.append("no heartbeat")
    if row.get("phase"):
        parts.append(f"{row['phase']}{' (' + row['cause'] + ')' if row.get('cause') else ''}")
    if isinstance(row.get("progress"), int | float):
        parts.append(f"{row['progress']:.0%}")
    for name in ("message", "error", "waiting_for", "summary"):
        if row.get(name):
            parts.append(str(row[name]))
            break
    return " ".join(parts)


def _handoff_summary(row: Row) -> object:
    context = row.get("context")
    summary = context.get("summary") if isinstance(context, dict) else None
    return row.get("reason") or summary


def _priority(row: Row) -> tuple[str, ...]:
    return {"critical": ("red",), "high": ("yellow",)}.get(str(row.get("priority")), ())


KINDS = (
    Kind(
        "tasks",
        ("task", "t"),
        "id",
        lambda home: home.tasks(),
        (
            _column("ID", "id"),
            _STATUS,
            Column("PRIORITY", _field("priority"), colour=_priority),
            _column("TYPE", "type"),
            _column("DONE", _done, right=True),
            _column("AGE", lambda row: age(row.get("created_at")), right=True),
            _column("MASTER", "assigned_to", wide=True),
            _column("TOKENS", lambda row: row.get("tokens_used", 0), right=True, wide=True),
            _column("FINDINGS", _findings, wide=True),
            _column("WAITS FOR / ENDED BY", _waiting, wide=True),
            _column("TITLE", _task_title),
        ),
        "task",
    ),
    Kind(
        "workers",
        ("worker", "w"),
        "worker_id",
        lambda home: home.workers(),
        (
            _column("ID", "worker_id"),
            _STATUS,
            _column("TASK", "task_id"),
            _column("TOKENS", worker_tokens, right=True),
            _column("TIME", worker_time, right=True),
            _column("TYPE", "worker_type", wide=True),
            _column("STEP", "step", wide=True),
            _column("TRY", "attempt", right=True, wide=True),
            _column("RUNTIME", "runtime", wide=True),
            _column("FUND", "fund", wide=True),
            _column("FOLDER", "result_location", wide=True),
            _column("NOTE", _worker_note),
        ),
        "worker",
    ),
    Kind(
        "branches",
        ("branch",),
        "name",
        branches,
        (
            _column("BRANCH", "name"),
            _column("TASK", "task_id"),
            _column("BASE", lambda row: str(row.get("base"))[:10]),
            _column("HEAD", lambda row: str(row.get("head"))[:10]),
            _column("COMMITS", "commits", right=True),
            _column("RESULT", lambda row: "yes" if row.get("result") else "-"),
            _column("WORKER", "worker_id", wide=True),
            _column("REPOSITORY", "repository", wide=True),
            _column("WHERE", "place"),
            _column("PROBLEM", "problem", wide=True),
        ),
        "worker",
        branches_of_worker,
    ),
    Kind(
        "handoffs",
        ("handoff", "h"),
        "handoff_id",
        lambda home: home.handoffs(),
        (
            _column("ID", "handoff_id"),
            _STATUS,
            _column("FROM", "from_agent"),
            _column("TO", "to_agent"),
            _column("TASK", "task_id"),
            _column("AGE", lambda row: age(row.get("created_at")), right=True),
            _column("FROM TASK", "source_task", wide=True),
            _column("SUMMARY", _handoff_summary),
        ),
    ),
    Kind(
        "escalations",
        ("escalation", "e"),
        "escalation_id",
        lambda home: home.escalations(),
        (
            _column("ID", "escalation_id"),
            _STATUS,
            _column("TASK", "task_id"),
            _column("AGE", lambda row: age(row.get("created_at")), right=True),
            _column("SUBJECT", "subject"),
            _column("REASON", "reason"),
        ),
    ),
    Kind(
        "approvals",
        ("approval",),
        "approval_id",
        lambda home: home.approvals(),
        (
            _column("ID", "approval_id"),
            _column("TASK", "task_id"),
            _column("STEP", "step"),
            _STATUS,
            _column("AGE", lambda row: age(row.get("created_at")), right=True),
            _column("WOULD START", price, wide=True),
            _column("REASON", "reason"),
        ),
    ),
    Kind(
        "schedules",
        ("schedule",),
        "id",
        lambda home: home.schedules(),
        (
            _column("ID", "id"),
            _column("SCHEDULE", "schedule"),
            _column("TYPE", lambda row: row.get("worker_type") or row.get("type") or "command"),
            _column("NEXT", lambda row: "paused" if row.get("paused") else row.get("next_run")),
            _column("RUNS", "runs", right=True),
            _column("LAST", "last_task"),
            _column("COUNT", "count", right=True, wide=True),
            _column("TIMEZONE", "timezone", wide=True),
            _column("REPOSITORIES", lambda row: " ".join(row.get("repositories") or []), wide=True),
        ),
    ),
    Kind(
        "masters",
        ("master", "m"),
        "name",
        definition_rows.masters,
        (
            _column("NAME", "name"),
            _column("USED/OWN", "own", right=True),
            _column("USED/SHARE", "share", right=True),
            _column("OPEN", "open_tasks", right=True),
            _column("ROUTES", lambda row: " ".join(row.get("routes") or ()), wide=True),
            _column("DESCRIPTION", "description"),
        ),
    ),
    Kind(
        "types",
        ("type", "worker-types", "worker-type"),
        "name",
        definition_rows.worker_types,
        (
            _column("NAME", "name"),
            _column("TOKENS", "token_budget", right=True),
            _column("TIMEOUT", "timeout", right=True),
            _column("RUNTIME", "runtime"),
            _column("DELIVERABLES", lambda row: " ".join(row.get("deliverables") or ()), wide=True),
            _column("DESCRIPTION", "description"),
        ),
    ),
    Kind(
        "personas",
        ("persona",),
        "name",
        definition_rows.personas,
        (
            _column("NAME", "name"),
            _column("USED BY", lambda row: " ".join(row.get("used_by") or ()) or "-"),
            _column("DESCRIPTION", "description"),
        ),
    ),
    Kind(
        "rejected",
        ("rejection", "rejections", "r"),
        "file",
        definition_rows.rejections,
        (
            _column("FILE", "file"),
            _column("AGE", lambda row: age(row.get("at")), right=True),
            _column("FIELD", "field"),
            _column("REASON", "reason"),
        ),
    ),
)


def find_kind(name: str) -> Kind | None:
    """The kind of that name, plural, singular or short; None if there is none."""
    lowered = name.lower()
    return next((kind for kind in KINDS if lowered in (kind.name, *kind.aliases)), None)


def nearest_kind(name: str) -> str | None:
    """The name that was perhaps meant."""
    known = [word for kind in KINDS for word in (kind.name, *kind.aliases)] + ["budget"]
    return next(iter(difflib.get_close_matches(name.lower(), known, 1)), None)
