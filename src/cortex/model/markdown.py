"""Markdown out of strangers' words: nothing of them acts as markup or as a terminal code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["bullets", "code", "fenced", "plain", "table"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """One line of text in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(_CONTROL.sub("", text).split()))


def code(text: str) -> str:
    """One line as code, fit for a table's cell too."""
    safe = " ".join(_CONTROL.sub("", text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{safe}`" if safe else ""


def fenced(text: str, lines: int = 40) -> list[str]:
    """The last lines of an output as a block of code."""
    kept = _CONTROL.sub("", text.replace("\r\n", "\n")).strip("\n").split("\n")[-lines:]
    longest = max((len(run) for run in re.findall(r"`+", "\n".join(kept))), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *kept, fence]


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], limit: int | None = None
) -> list[str]:
    """A table's lines, at most `limit` rows; cells are taken as they are."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in list(rows)[:limit]]


def bullets(words: Iterable[str]) -> list[str]:
    """One point each, with an empty line after the last; nothing for no words."""
    lines = [f"- {plain(word)}" for word in words]
    return [*lines, ""] if lines else []
