"""A task's story as Markdown, with its plan and timeline as Mermaid drawings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortex.cli.ages import age
from cortex.cli.narrate import line_text
from cortex.cli.terminal import one_line
from cortex.home.documents import Row
from cortex.home.story import Attempt, Story
from cortex.model.findings import SEVERITIES
from cortex.model.times import format_duration, format_time

__all__ = [
    "answer_told",
    "lasted",
    "quote_told",
    "story_markdown",
    "tokens_told",
    "what_became",
    "why_of",
]

_FINDINGS = 50
_DECISIONS = 200


def story_markdown(story: Story) -> str:
    """The report as one text that ends with a newline."""
    task = story.task
    parts = [
        f"# {_text(task.get('title'))}",
        _facts(story),
        _plan(story),
        _workers(story),
        _asked(story),
        _findings(story),
        _followed(story),
        _decisions(story),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _text(value: object) -> str:
    """One line in which nothing acts as markup."""
    text = one_line(value if value is not None else "")
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return text


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(_text(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _facts(story: Story) -> str:
    task = story.task
    facts = [
        ("status", task.get("status")),
        ("why", why_of(story)),
        ("result", task.get("summary")),
        ("id", task["id"]),
        ("type", task.get("type")),
        ("priority", task.get("priority")),
        ("master", task.get("assigned_to")),
        ("asked for by", task.get("source") or task.get("caused_by")),
        ("began", task.get("started_at")),
        ("ended", task.get("ended_at")),
        ("took", age(task.get("started_at"), task["ended_at"]) if task.get("ended_at") else None),
        ("tokens", tokens_told(story)),
        ("quoted before", quote_told(story)),
    ]
    return "\n".join(f"- **{name}**: {_text(value)}" for name, value in facts if value)


def tokens_told(story: Story) -> str:
    """What its workers used."""
    return f"{sum(attempt.tokens_used for attempt in story.attempts):,} used"


def quote_told(story: Story) -> str:
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
    """When an approval was answered or an escalation closed, and what the person said."""
    at = row.get("answered_at") or row.get("ended_at")
    return " ".join(str(part) for part in (at, row.get("comment")) if part)


def what_became(row: Row) -> str:
    """In words, how a task that followed ended, or what it waits for."""
    for name in ("reason", "blocked_on", "waiting_for", "summary"):
        if row.get(name):
            return str(row[name])
    return ""


def _plan(story: Story) -> str:
    if not story.steps:
        return ""
    names = {str(step.get("name")): f"s{number}" for number, step in enumerate(story.steps)}
    lines = ["## Plan", "", "```mermaid", "flowchart LR"]
    for step in story.steps:
        label = f"{step.get('name')}<br/>{step.get('worker_type')}<br/>{step.get('status')}"
        lines.append(f'  {names[str(step.get("name"))]}["{_label(label)}"]')
    for step in story.steps:
        target = names[str(step.get("name"))]
        needed = (names.get(str(need)) for need in step.get("needs") or ())
        lines += [f"  {need} --> {target}" for need in needed if need]
    return "\n".join([*lines, "```"])


def _label(text: str) -> str:
    safe = one_line(text).replace('"', "'")
    return "<br/>".join(part.replace("<", "‹").replace(">", "›") for part in safe.split("<br/>"))


def _workers(story: Story) -> str:
    if not story.attempts:
        return ""
    rows = [
        (
            attempt.worker_id,
            attempt.step,
            attempt.status,
            _moment(attempt.started),
            lasted(attempt),
            f"{attempt.tokens_used:,} of {attempt.token_budget:,}",
            attempt.note[:200],
        )
        for attempt in story.attempts
    ]
    head = ("worker", "step", "status", "started", "took", "tokens", "note")
    return f"## Workers\n\n{_table(head, rows)}"


def _moment(at: float | None) -> str:
    return "" if at is None else format_time(at)


def lasted(attempt: Attempt) -> str:
    """How long it ran; empty for one that never did or still does."""
    if attempt.started is None or attempt.ended is None:
        return ""
    return format_duration(max(0.0, attempt.ended - attempt.started))


def _findings(story: Story) -> str:
    if not story.findings:
        return ""
    counts = [
        f"{number} {severity}"
        for severity in SEVERITIES
        if (number := sum(1 for row in story.findings if row.get("severity") == severity))
    ]
    rows = [
        (
            row.get("severity"),
            row.get("title"),
            f"{row.get('file') or ''}:{row.get('line') or ''}".strip(":"),
            row.get("repository"),
        )
        for row in story.findings[:_FINDINGS]
    ]
    text = f"## Findings\n\n{', '.join(counts)}.\n\n"
    text += _table(("severity", "what", "where", "repository"), rows)
    if len(story.findings) > _FINDINGS:
        place = story.task.get("result_location")
        text += f"\n\n{len(story.findings) - _FINDINGS} more in `{place}/findings.json`."
    return text


def _followed(story: Story) -> str:
    lines = [
        f"{'  ' if row.get('parent') else ''}- {_text(row.get('id'))}: {_text(row.get('title'))} "
        f"({_text(row.get('status'))}{': ' if what_became(row) else ''}"
        f"{_text(what_became(row)[:200])})"
        for row in story.followed
    ]
    if story.handoff is not None:
        row = story.handoff
        lines.append(
            f"- {_text(row.get('handoff_id'))}: from {_text(row.get('from_agent'))} to "
            f"{_text(row.get('to_agent'))} ({_text(row.get('status'))})"
        )
    return "## What followed\n\n" + "\n".join(lines) if lines else ""


def _asked(story: Story) -> str:
    rows = [
        (
            row.get("approval_id") or row.get("escalation_id"),
            ": ".join(str(row[name]) for name in ("subject", "reason") if row.get(name)),
            row.get("status"),
            answer_told(row),
        )
        for row in story.asked
    ]
    if not rows:
        return ""
    return f"## What a person was asked\n\n{_table(('id', 'what', 'status', 'answer'), rows)}"


def _decisions(story: Story) -> str:
    lines = story.decisions
    told = [line_text(line) for line in lines[-_DECISIONS:]]
    rows = [(at, by, what) for at, by, what in told if what]
    left = len(lines) - _DECISIONS
    text = f"\n\nThe last {_DECISIONS} of {len(lines)} lines." if left > 0 else ""
    return f"## Decisions{text}\n\n{_table(('when', 'who', 'what and why'), rows)}" if rows else ""
