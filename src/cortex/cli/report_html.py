"""A task's story as one HTML page that needs nothing from anywhere else."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from cortex.cli.report_drawings import plan_svg, timeline_svg
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

__all__ = ["story_html"]

_FINDINGS = 200
_DECISIONS = 500
_DELIVERIES = 300
_WEB_URL = re.compile(r"https?://[^\s\"'<>`\\]+\Z")

_STYLE = """
:root{--ink:#1c2733;--dim:#66727f;--line:#dfe4ea;--paper:#fff;--soft:#f5f7f9;--good:#2e8b57;
--bad:#c0392b;--busy:#2f6fb5;--wait:#b7892b;--off:#8b95a1}
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ee;--dim:#98a4b1;--line:#33404d;--paper:#161d24;
--soft:#1e2730;--good:#5cc58c;--bad:#ec7063;--busy:#6aa9ec;--wait:#dfb455;--off:#77828e}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1060px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:25px;line-height:1.25;margin:6px 0 14px}
h2{font-size:17px;margin:38px 0 10px;padding-bottom:5px;border-bottom:1px solid var(--line)}
.id{color:var(--dim);font-family:ui-monospace,monospace;font-size:13px}
.pill{display:inline-block;border-radius:20px;padding:1px 11px;font-size:13px;color:#fff;
background:var(--off);margin-left:8px}
.completed,.done,.accepted{--c:var(--good)}.failed,.timeout,.lost,.budget_exhausted,.rejected
{--c:var(--bad)}.in_progress,.running,.active,.spawning,.approved,.planning,.aggregating{--c:var(--busy)}
.pending,.blocked,.queued,.requested,.ready,.waiting,.paused,.awaiting_approval{--c:var(--wait)}
.cancelled{--c:var(--off)}.pill{background:var(--c,var(--off))}
.why{border-left:4px solid var(--c,var(--off));background:var(--soft);padding:8px 14px;
margin:12px 0}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:10px 22px;margin:0}
dt{color:var(--dim);font-size:12px}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;white-space:nowrap;color:var(--dim);font-weight:500;font-size:12px}
td,th{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.m{font-family:ui-monospace,monospace;font-size:13px;overflow-wrap:anywhere}
td.of{padding-left:18px}
.w{white-space:nowrap}
.s{white-space:nowrap;color:var(--c,var(--dim))}
.critical,.high{--c:var(--bad)}.medium{--c:var(--wait)}.low,.info{--c:var(--off)}
svg{display:block;max-width:none}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
.step rect{fill:var(--soft);stroke:var(--line)}.step .mark{fill:var(--c,var(--off));stroke:none}
svg .name{font-weight:600}svg .kind,svg .time{fill:var(--dim)}svg .time{font-size:11px}
svg .state{fill:var(--c,var(--dim));text-anchor:end;font-size:11px}
.edge{fill:none;stroke:var(--off);stroke-width:1.4}.head{fill:var(--off)}
.tick{stroke:var(--line)}.bar .runs{fill:var(--c,var(--off))}
.bar .waits{fill:var(--c,var(--off));opacity:.28}svg .who{font-size:12px}
a{color:var(--busy)}
footer{color:var(--dim);font-size:12px;margin-top:44px}
"""


def story_html(story: Story, now: float | None = None) -> str:
    """The page as text. `now` (seconds since 1970) is where the bars of what still runs end."""
    now = time.time() if now is None else now
    title = _text(story.task.get("title"))
    sections = [
        _head(story, title),
        _section("What was delivered", _delivered(story)),
        _section("Plan", f'<div class="wide">{plan_svg(story)}</div>' if plan_svg(story) else ""),
        _section("Timeline", _timeline(story, now)),
        _section("Workers", _workers(story)),
        _section("What a person was asked", _asked(story)),
        _section("Findings", _findings(story)),
        _section("What followed", _followed(story)),
        _section("Decisions", _decisions(story)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>"
        f"{''.join(sections)}"
        f"<footer>Written by cortex at {format_time(now)} from the home's own files.</footer>"
        "</main></body></html>\n"
    )


def _text(value: object) -> str:
    return escape(one_line(value if value is not None else ""))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _head(story: Story, title: str) -> str:
    task = story.task
    status = _text(task.get("status"))
    why = why_of(story)
    told = "".join(
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts_of(story)
    )
    text = "".join(
        f'<p class="why {status}">{_text(line)}</p>' for line in (why, task.get("summary")) if line
    )
    pill = f'<span class="pill {status}">{status.replace("_", " ")}</span>'
    ident = f'<div class="id">{_text(task["id"])}{pill}</div>'
    return f"<header>{ident}<h1>{title}</h1>{text}<dl>{told}</dl></header>"


def _table(head: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{name}</th>" for name in head)
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _delivered(story: Story) -> str:
    rows = [
        f'<tr><td class="w">{_text(one.task_id)} {_text(one.step)}</td>'
        f"<td>{_text(name_of(one.repository))}</td>"
        f"<td>{'<br>'.join(map(_text, one.said))}{_link(one.url)}</td>"
        f'<td class="m">{_text(files_of(one))}</td></tr>'
        for one in story.delivered[:_DELIVERIES]
    ]
    left = len(story.delivered) - _DELIVERIES
    more = f"<p>{left} more.</p>" if left > 0 else ""
    return _table(("by", "repository", "what", "files"), rows) + more if rows else ""


def _link(url: str | None) -> str:
    """A link of the web, or what stands there instead of one as text."""
    if url is None:
        return ""
    text = _text(url)
    return f'<br><a href="{text}">{text}</a>' if _WEB_URL.match(url) else f"<br>{text}"


def _timeline(story: Story, now: float) -> str:
    drawing = timeline_svg(story, now)
    return f'<div class="wide">{drawing}</div>' if drawing else ""


def _workers(story: Story) -> str:
    rows = [
        f'<tr><td class="m w">{_text(one.worker_id)}</td><td>{_text(one.step)}</td>'
        f'<td class="s {_text(one.status)}">{_text(one.status)}</td>'
        f'<td class="n">{lasted(one)}</td>'
        f'<td class="n">{one.tokens_used:,} of {one.token_budget:,}</td>'
        f"<td>{_text(one.note[:300])}</td></tr>"
        for one in story.attempts
    ]
    return _table(("worker", "step", "status", "took", "tokens", "note"), rows) if rows else ""


def _findings(story: Story) -> str:
    if not story.findings:
        return ""
    counts = Counter(str(row.get("severity")) for row in story.findings)
    told = ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if counts[name])
    rows = [
        f'<tr><td class="s {_text(row.get("severity"))}">{_text(row.get("severity"))}</td>'
        f"<td>{_text(row.get('title'))}</td>"
        f'<td class="m">{_text(row.get("file"))}{_line(row.get("line"))}</td>'
        f"<td>{_text(name_of(row.get('repository')))}</td>"
        f"<td>{_text(' '.join(map(str, row.get('tools') or ())))}</td></tr>"
        for row in story.findings[:_FINDINGS]
    ]
    left = len(story.findings) - _FINDINGS
    more = f"<p>{left} more in {_text(story.task.get('result_location'))}/findings.json.</p>"
    table = _table(("severity", "what", "where", "repository", "found by"), rows)
    return f"<p>{told}.</p>{table}{more if left > 0 else ''}"


def _line(line: object) -> str:
    return f":{line}" if isinstance(line, int) and line > 0 else ""


def _followed(story: Story) -> str:
    rows = [
        (row.get("id"), row.get("title"), row.get("status"), what_became(row), row.get("parent"))
        for row in story.followed
    ]
    if story.handoff is not None:
        row = story.handoff
        way = f"from {row.get('from_agent')} to {row.get('to_agent')}"
        rows.append((row.get("handoff_id"), way, row.get("status"), "", None))
    cells = [
        f'<tr><td class="m w{" of" if parent else ""}">{_text(ident)}</td><td>{_text(what)}</td>'
        f'<td class="s {_text(status)}">{_text(status)}</td><td>{_text(became[:300])}</td></tr>'
        for ident, what, status, became, parent in rows
    ]
    return _table(("id", "what", "status", "what became of it"), cells) if cells else ""


def _asked(story: Story) -> str:
    cells = [
        f'<tr><td class="m w">{_text(row.get("approval_id") or row.get("escalation_id"))}</td>'
        f"<td>{_text(row.get('subject') or row.get('reason'))}"
        f"{': ' + _text(row.get('reason')) if row.get('subject') else ''}</td>"
        f'<td class="s {_text(row.get("status"))}">{_text(row.get("status"))}</td>'
        f"<td>{_text(answer_told(row))}</td></tr>"
        for row in story.asked
    ]
    return _table(("id", "what", "status", "answer"), cells) if cells else ""


def _decisions(story: Story) -> str:
    told, left_out = decisions_told(story, _DECISIONS)
    rows = [
        f'<tr><td class="n">{_text(at)}</td><td class="w">{_text(by)}</td>'
        f"<td>{_text(what)}</td></tr>"
        for at, by, what in told
    ]
    more = f"<p>{_text(left_out)}</p>" if left_out else ""
    return _table(("when", "who", "what and why"), rows) + more if rows else ""
