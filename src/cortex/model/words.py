"""Numbers and lists in sentences: how many of what, and the first few of many."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["counted", "listed"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 finding`, `2 findings`, `1,200 findings`; `many` where the plural is more than an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """`one, two, three and 4 more`, where `most` is 3; all of them where there are no more."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")
