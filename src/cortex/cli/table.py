"""Plain tables as kubectl prints them: upper-case heads, two spaces between, no frames.

On a terminal the last column is cut to fit; in a pipe nothing is cut, so that grep sees all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cortex.cli.terminal import clip, colours, display_width, one_line, paint, width

__all__ = ["Column", "Table", "status_colour"]

Row = dict[str, Any]

_STATUS_COLOURS = {
    "completed": "green",
    "accepted": "green",
    "running": "cyan",
    "spawning": "cyan",
    "approved": "cyan",
    "in_progress": "cyan",
    "planning": "cyan",
    "aggregating": "cyan",
    "done": "green",
    "active": "cyan",
    "queued": "yellow",
    "blocked": "yellow",
    "awaiting_approval": "magenta",
    "paused": "yellow",
    "open": "magenta",
    "failed": "red",
    "timeout": "red",
    "lost": "red",
    "budget_exhausted": "red",
    "rejected": "red",
    "cancelled": "dim",
    "closed": "dim",
}


def status_colour(status: object) -> tuple[str, ...]:
    """The colours of a status, as `paint` takes them."""
    name = _STATUS_COLOURS.get(str(status))
    return (name,) if name else ()


@dataclass(frozen=True, slots=True)
class Column:
    """A head, what a row shows under it, and how."""

    head: str
    value: Callable[[Row], object]
    right: bool = False
    colour: Callable[[Row], tuple[str, ...]] | None = None
    wide: bool = False


class Table:
    """Rows under columns; widths are chosen once, so that rows printed later stand under them."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row], indent: str = "") -> None:
        self._columns = list(columns)
        self._indent = indent
        self._widths = [len(column.head) for column in self._columns]
        for row in rows:
            for index, text in enumerate(self._texts(row)):
                self._widths[index] = max(self._widths[index], display_width(text))

    def head(self) -> str:
        """The line of heads."""
        line = self._line([column.head for column in self._columns], None)
        return paint(line, "dim", on=colours())

    def line(self, row: Row) -> str:
        """One row's line."""
        return self._line(self._texts(row), row)

    def _texts(self, row: Row) -> list[str]:
        return [_cell(column.value(row)) for column in self._columns]

    def _line(self, texts: list[str], row: Row | None) -> str:
        columns, on = width(), colours()
        parts: list[str] = []
        used = len(self._indent)
        for index, (column, text) in enumerate(zip(self._columns, texts, strict=True)):
            last = index == len(texts) - 1
            if columns is not None and last:
                text = clip(text, max(8, columns - used))  # noqa: PLW2901
            gap = " " * (self._widths[index] - display_width(text))
            used += max(self._widths[index], display_width(text)) + 2
            if row is not None and column.colour is not None:
                text = paint(text, *column.colour(row), on=on)  # noqa: PLW2901
            if column.right:
                parts.append(gap + text)
            else:
                parts.append(text if last else text + gap)
        return (self._indent + "  ".join(parts)).rstrip()


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return one_line(value)
