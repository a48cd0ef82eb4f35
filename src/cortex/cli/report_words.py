"""What a report says of a task in words, whichever form it is written in."""

from __future__ import annotations

from cortex.cli.ages import age
from cortex.cli.narrate import line_text
from cortex.home.delivered import Delivery
from cortex.home.documents import Row
from cortex.home.planned import planned_by
from cortex.home.story import Attempt, Story
from cortex.model.journal_line import Line
from cortex.model.times import format_duration
from cortex.model.words import counted

__all__ = [
    "answer_told",
    "decisions_told",
    "facts_of",
    "files_of",
    "lasted",
    "name_of",
    "what_became",
    "why_of",
]


_STARTS = ("worker_spawning", "worker_running", "worker_cleaned", "worker_collecting")


def facts_of(story: Story) -> list[tuple[str, object]]:
    """(name, value) of what stands at a report's head; those that are not known are left out."""
    task = story.task
    facts = [
        ("type", task.get("type")),
        ("priority", task.get("priority")),
        ("master", task.get("assigned_to")),
        ("planned by", planned_by(task)),
        ("asked for by", task.get("source") or task.get("caused_by")),
        ("began", task.get("started_at")),
        ("ended", task.get("ended_at")),
        ("took", age(task.get("started_at"), task["ended_at"]) if task.get("ended_at") else None),
        ("tokens", _tokens(story)),
        ("quoted before", _quote(story)),
        ("deadline", task.get("deadline")),
        ("files", task.get("result_location")),
    ]
    return [(name, value) for name, value in facts if value]


def _tokens(story: Story) -> str:
    """What its workers used."""
    return f"{sum(attempt.tokens_used for attempt in story.attempts):,} used"


def _quote(story: Story) -> str:
    """The price that was told when the task was planned; empty where it was nothing."""
    quote = story.task.get("quote") or {}
    if not quote.get("budget"):
        return ""
    low, high = quote.get("p50") or 0, quote.get("p90") or 0
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{span} tokens, of a budget of {quote['budget']:,}"


def why_of(story: Story) -> str:
    """Why it is as it is, or what it waits for; of a person's answer that is waited for, which."""
    task = story.task
    told = task.get("reason") or task.get("blocked_on") or task.get("waiting_for")
    if told:
        return str(told)
    pending = (row for row in story.asked if row.get("status") == "pending")
    return next((f"{row.get('approval_id')}: {row.get('reason')}" for row in pending), "")


def answer_told(row: Row) -> str:
    """When an approval was answered or an escalation closed, by whom, and what was said."""
    by = f"by {row['answered_by']}" if row.get("answered_by") else ""
    when = " ".join(
        str(part) for part in (row.get("answered_at") or row.get("ended_at"), by) if part
    )
    return ": ".join(str(part) for part in (when, row.get("comment")) if part)


def files_of(delivery: Delivery) -> str:
    """`FOLDER/: a.md, b.patch and 2 more`; empty where no file was handed over."""
    if not delivery.files:
        return ""
    left = f" and {delivery.files_left_out} more" if delivery.files_left_out else ""
    return f"{delivery.folder}/: {', '.join(delivery.files)}{left}"


def decisions_told(story: Story, at_most: int) -> tuple[list[tuple[str, str, str]], str]:
    """The last lines of the journal as (when, who, what and why), and in words what is left out.

    Lines that only say that workers started and were cleaned up after are no decisions.
    """
    lines = [line for line in story.decisions if not _says_what_started(line)]
    rows = [told for line in lines[-at_most:] if (told := line_text(line))[2]]
    quiet, older = len(story.decisions) - len(lines), max(0, len(lines) - at_most)
    left = [f"{counted(older, 'older line')}"] if older else []
    left += [f"{counted(quiet, 'line')} that only say what started"] if quiet else []
    ident = story.task.get("id")
    text = f"Left out: {' and '.join(left)}; cortex events {ident} has them." if left else ""
    return rows, text


def _says_what_started(line: Line) -> bool:
    return all(event.get("event") in _STARTS for event in line.events)


def name_of(repository: object) -> str:
    """A repository's short name: the last part of its path or URL."""
    return str(repository or "").rstrip("/").rpartition("/")[2].removesuffix(".git")


def what_became(row: Row) -> str:
    """In words, how a task that followed ended, or what it waits for."""
    for name in ("told", "reason", "blocked_on", "waiting_for", "summary"):
        if row.get(name):
            return str(row[name])
    return ""


def lasted(attempt: Attempt) -> str:
    """How long it ran; empty for one that never did or still does."""
    if attempt.started is None or attempt.ended is None:
        return ""
    return format_duration(max(0.0, attempt.ended - attempt.started))
