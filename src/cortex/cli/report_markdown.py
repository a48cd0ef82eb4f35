"""A task's story as Markdown, with its plan and timeline as Mermaid drawings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortex.cli.ages import age
from cortex.cli.narrate import line_text
from cortex.cli.terminal import one_line
from cortex.home.story import Attempt, Story
from cortex.model.findings import SEVERITIES
from cortex.model.times import format_duration, format_time

__all__ = ["story_markdown"]

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
        ("why", task.get("reason") or task.get("blocked_on") or task.get("waiting_for")),
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
    ]
    return "\n".join(f"- **{name}**: {_text(value)}" for name, value in facts if value)


def tokens_told(story: Story) -> str:
    """What was used, and what was quoted before."""
    used = sum(attempt.tokens_used for attempt in story.attempts)
    quote = story.task.get("quote") or {}
    if not quote.get("p90"):
        return f"{used:,} used"
    return f"{used:,} used; quoted {quote['p50']:,} to {quote['p90']:,}"


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
        f"- {_text(row.get('id'))}: {_text(row.get('title'))} ({_text(row.get('status'))})"
        for row in story.followed
    ]
    if story.handoff is not None:
        row = story.handoff
        lines.append(
            f"- {_text(row.get('handoff_id'))}: from {_text(row.get('from_agent'))} to "
            f"{_text(row.get('to_agent'))} ({_text(row.get('status'))})"
        )
    return "## What followed\n\n" + "\n".join(lines) if lines else ""


def _decisions(story: Story) -> str:
    lines = story.decisions
    told = [line_text(line) for line in lines[-_DECISIONS:]]
    rows = [(at, by, what) for at, by, what in told if what]
    left = len(lines) - _DECISIONS
    text = f"\n\nThe last {_DECISIONS} of {len(lines)} lines." if left > 0 else ""
    return f"## Decisions{text}\n\n{_table(('when', 'who', 'what and why'), rows)}" if rows else ""
