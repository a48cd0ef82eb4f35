"""Numbers in sentences: how many of what, in the singular where it is one."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 finding`, `2 findings`, `1,200 findings`; `many` where the plural is more than an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
