"""Prose in a terminal: paragraphs that wrap under themselves, and stay whole in a pipe."""

from __future__ import annotations

from textwrap import wrap

from cortex.cli.terminal import display_width, width

__all__ = ["hanging"]

_WIDEST = 100


def hanging(lead: str, text: str) -> str:
    """The text behind its lead, later lines under the first; in a pipe it stays on one line."""
    columns = width()
    if columns is None:
        return lead + " ".join(text.split())
    indent = " " * display_width(lead)
    room = max(24, min(columns, _WIDEST) - len(indent))
    lines = wrap(text, room, break_on_hyphens=False, break_long_words=False) or [""]
    return lead + ("\n" + indent).join(lines)
