"""A task's story as Markdown, with its plan and timeline as Mermaid drawings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortex.cli.report_words import (
    answer_told,
    decisions_told,
    facts_of,
    files_of,
    lasted,
    name_of,
    what_became,
    why_of,
)
from cortex.cli.terminal import one_line
from cortex.home.story import Story
from cortex.model.findings import SEVERITIES
from cortex.model.times import format_time

__all__ = ["story_markdown"]

_FINDINGS = 50
_DECISIONS = 200
_DELIVERIES = 100


def story_markdown(story: Story) -> str:
    """The report as one text that ends with a newline."""
    task = story.task
    parts = [
        f"# {_text(task.get('title'))}",
        _facts(story),
        _delivered(story),
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
        *facts_of(story),
    ]
    return "\n".join(f"- **{name}**: {_text(value)}" for name, value in facts if value)


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


def _delivered(story: Story) -> str:
    rows = [
        (
            f"{one.task_id} {one.step}",
            name_of(one.repository),
            "; ".join([*one.said, *([one.url] if one.url else [])]),
            files_of(one),
        )
        for one in story.delivered[:_DELIVERIES]
    ]
    if not rows:
        return ""
    left = len(story.delivered) - _DELIVERIES
    text = f"## What was delivered\n\n{_table(('by', 'repository', 'what', 'files'), rows)}"
    return text + (f"\n\n{left} more." if left > 0 else "")


def _moment(at: float | None) -> str:
    return "" if at is None else format_time(at)


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
    rows, left_out = decisions_told(story, _DECISIONS)
    if not rows:
        return ""
    table = _table(("when", "who", "what and why"), rows)
    return f"## Decisions\n\n{table}" + (f"\n\n{_text(left_out)}" if left_out else "")
