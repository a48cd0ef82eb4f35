"""The drawings of a task's report as SVG: its plan as a graph, its workers on a line of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from textwrap import wrap

from cortex.cli.dag import Layout, Place, lay_out
from cortex.cli.terminal import clip, display_width, one_line
from cortex.home.documents import Row
from cortex.home.story import Attempt, Story
from cortex.model.times import format_duration, format_time

__all__ = ["plan_svg", "timeline_svg"]

_BOX_W, _BOX_H, _GAP_X, _GAP_Y, _PAD = 204, 66, 46, 18, 8
_NAME_COLUMNS, _NAME_LINES, _KIND_COLUMNS, _KIND_W = 24, 2, 15, 114
_LABEL_W, _LINE_W, _LINE_H = 190, 700, 24
_TICKS = 6
_ACROSS = 4


def plan_svg(story: Story) -> str:
    """The steps as boxes, an arrow from each to those that need it; empty for a single step."""
    if len(story.steps) < 2:
        return ""
    needs = {
        str(step.get("name")): [str(need) for need in step.get("needs") or ()]
        for step in story.steps
    }
    layout = lay_out(needs) if any(needs.values()) else _in_rows(list(needs))
    width = layout.columns * (_BOX_W + _GAP_X) - _GAP_X + 2 * _PAD
    height = layout.rows * (_BOX_H + _GAP_Y) - _GAP_Y + 2 * _PAD
    edges = [_edge(route) for route in layout.routes]
    boxes = [_box(step, layout.places[str(step.get("name"))]) for step in story.steps]
    return _svg("The plan: steps and what they need", width, height, [*edges, *boxes])


def _in_rows(names: Sequence[str]) -> Layout:
    """Steps that nothing connects, side by side as far as the page is wide."""
    return Layout({name: (n % _ACROSS, n // _ACROSS) for n, name in enumerate(names)}, [])


def _svg(title: str, width: int, height: int, parts: list[str]) -> str:
    head = f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}"'
    arrow = (
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" class="head"/></marker></defs>'
    )
    clips = "".join(
        f'<clipPath id="{name}"><rect width="{room}" height="{_BOX_H}"/></clipPath>'
        for name, room in (("box", _BOX_W - 6), ("kind", _KIND_W), ("label", _LABEL_W - 8))
    )
    inside = f"{arrow.replace('</defs>', f'{clips}</defs>')}{''.join(parts)}"
    return f'{head} width="{width}" height="{height}">{inside}</svg>'


def _corner(place: Place) -> tuple[int, int]:
    column, row = place
    return _PAD + column * (_BOX_W + _GAP_X), _PAD + row * (_BOX_H + _GAP_Y)


def _edge(route: Sequence[Place]) -> str:
    """A curve from the right of the first place through those between to the left of the last."""
    points = [_corner(place) for place in route]
    x, y = points[0][0] + _BOX_W, points[0][1] + _BOX_H // 2
    drawn = f"M{x} {y}"
    for number, (left, top) in enumerate(points[1:], 1):
        height, middle = top + _BOX_H // 2, (x + left) // 2
        last = number == len(points) - 1
        drawn += f"C{middle} {y} {middle} {height} {left - 2 if last else left} {height}"
        x, y = left + _BOX_W, height
        drawn += "" if last else f"H{x}"
    return f'<path class="edge" d="{drawn}" marker-end="url(#end)"/>'


def _box(step: Row, place: Place) -> str:
    x, y = _corner(place)
    status = _status(step.get("status"))
    texts = [
        f'<text class="name" x="12" y="{19 + 15 * number}">{escape(line)}</text>'
        for number, line in enumerate(_name_lines(step.get("name")))
    ]
    kind = str(step.get("worker_type") or "").removesuffix("-worker")
    texts += [
        f'<text class="kind" x="12" y="54" clip-path="url(#kind)">'
        f"{_said(kind, _KIND_COLUMNS)}</text>",
        f'<text class="state" x="{_BOX_W - 10}" y="54">{status.replace("_", " ")}</text>',
    ]
    return (
        f'<g class="step {status}"><title>{_said(step.get("name"), 200)}: {status}'
        f"{': ' + _said(step.get('reason'), 300) if step.get('reason') else ''}</title>"
        f'<rect x="{x}" y="{y}" width="{_BOX_W}" height="{_BOX_H}" rx="7"/>'
        f'<rect class="mark" x="{x}" y="{y}" width="5" height="{_BOX_H}" rx="2"/>'
        f'<g transform="translate({x} {y})" clip-path="url(#box)">{"".join(texts)}</g></g>'
    )


def _name_lines(name: object) -> list[str]:
    """A name on as many lines as a box has, the last one cut where that is not enough."""
    text = one_line(name if name is not None else "")
    columns = _NAME_COLUMNS if display_width(text) == len(text) else _NAME_COLUMNS // 2
    lines = wrap(text, columns)
    if len(lines) <= _NAME_LINES:
        return lines
    rest = text[sum(map(len, lines[: _NAME_LINES - 1])) :].lstrip()
    return [*lines[: _NAME_LINES - 1], f"{rest[: columns - 1]}…"]


def _said(text: object, columns: int) -> str:
    return escape(clip(one_line(text if text is not None else ""), columns))


def _status(value: object) -> str:
    """A status as a class name: letters and `_` alone."""
    return "".join(
        sign for sign in str(value) if sign.isascii() and (sign.isalpha() or sign == "_")
    )


def timeline_svg(story: Story, now: float) -> str:
    """A bar for each worker: waiting pale, running full, to `now` while it runs."""
    spans = [(attempt, *_span(attempt, now)) for attempt in story.attempts]
    known = [at for _, *span in spans for at in span if at is not None]
    if not known:
        return ""
    start, end = min(known), max(known)
    length = max(end - start, 1e-3)
    scale = _LINE_W / length
    height = len(spans) * _LINE_H + 34
    parts = [_tick(start, length * n / _TICKS, scale, height) for n in range(_TICKS + 1)]
    tries: Counter[str] = Counter()
    for row, (attempt, asked, began, over) in enumerate(spans):
        places = [_at(t, start, scale) for t in (asked, began, over)]
        tries[attempt.step] += 1
        parts.append(_bar(attempt, tries[attempt.step], row, places))
    return _svg("Workers over time", _LABEL_W + _LINE_W + 60, height, parts)


def _span(attempt: Attempt, now: float) -> tuple[float | None, float | None, float | None]:
    """(asked for, began, over); over is now while it waits or runs."""
    began = attempt.started
    asked = attempt.requested if attempt.requested is not None else began
    over = attempt.ended if attempt.ended is not None else now
    return asked, began, over if asked is not None else None


def _at(instant: float | None, start: float, scale: float) -> float | None:
    return None if instant is None else round(_LABEL_W + (instant - start) * scale, 1)


def _tick(start: float, passed: float, scale: float, height: int) -> str:
    x = round(_LABEL_W + passed * scale, 1)
    text = format_time(start)[11:19] if passed == 0 else f"+{format_duration(passed)}"
    return (
        f'<path class="tick" d="M{x} 20V{height}"/><text class="time" x="{x}" y="13">{text}</text>'
    )


def _bar(attempt: Attempt, number: int, row: int, xs: list[float | None]) -> str:
    asked, began, over = xs
    y = 26 + row * _LINE_H
    label = attempt.step or attempt.worker_id
    label = f"{clip(one_line(label), 20)}, try {number}" if number > 1 else label
    text = f'<text class="who" x="0" y="13">{_said(label, 27)}</text>'
    parts = [f'<g transform="translate(0 {y})" clip-path="url(#label)">{text}</g>']
    if asked is not None and over is not None:
        until = began if began is not None else over
        parts.append(_rect("waits", asked, until, y + 4, 8))
        if began is not None:
            parts.append(_rect("runs", began, over, y, 16))
    status = _status(attempt.status)
    told = f"{attempt.worker_id} ({attempt.step}): {status} {attempt.note}"
    return f'<g class="bar {status}"><title>{_said(told, 300)}</title>{"".join(parts)}</g>'


def _rect(kind: str, x1: float, x2: float, y: int, height: int) -> str:
    width = max(round(x2 - x1, 1), 1.5)
    return f'<rect class="{kind}" x="{x1}" y="{y}" width="{width}" height="{height}" rx="2"/>'
