"""What a terminal can show: its width, colours, and text that cannot take it over.

Texts in a home come from strangers; every one of them passes `clean` before it is printed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from typing import TextIO

__all__ = ["clean", "clip", "colours", "display_width", "note", "one_line", "paint", "width"]

# C0 and C1 controls but for newline and tab, and what turns the reading direction around.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"[\n\t]+")

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


def clean(text: object) -> str:
    """The text with every control character written out (`\\x1b`), newlines and tabs kept."""
    return _UNSAFE.sub(_written_out, str(text).replace("\r\n", "\n"))


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def one_line(text: object) -> str:
    """As `clean`, on one line."""
    return _SPACES.sub(" ", clean(text)).strip()


def colours(stream: TextIO | None = None) -> bool:
    """Whether colours are wanted there: a terminal that has them, and no NO_COLOR."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, *names: str, on: bool = True) -> str:
    """The text in the named colours, or as it is."""
    if not on or not names or not text:
        return text
    return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal, or None where the output goes into a file or pipe."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return None
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def display_width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def clip(text: str, columns: int) -> str:
    """The text, cut with `…` to at most so many columns."""
    if display_width(text) <= columns:
        return text
    kept, used = [], 0
    for char in text:
        used += display_width(char)
        if used > columns - 1:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def note(text: str) -> None:
    """One line beside the output, on stderr."""
    print(f"cortex: {one_line(text)}", file=sys.stderr)
