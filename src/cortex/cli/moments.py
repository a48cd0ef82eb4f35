"""Moments as people write them: RFC 3339, a local time, a time of today, or how long ago."""

from __future__ import annotations

import re
from datetime import datetime

from cortex.model.times import parse_duration, parse_time

__all__ = ["HOW", "parse_moment"]

HOW = "2025-11-01T10:15:00Z, a local 2025-11-01 10:15, 10:15, or 2h ago"
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?")


def parse_moment(text: str, now: datetime) -> float:
    """Seconds since 1970. `2h` and `2h ago` count back from `now`; a time without a zone is local.

    Raises ValueError with a sentence that says what a right moment looks like.
    """
    text = " ".join(text.split())
    if text.lower() == "now":
        return now.timestamp()
    ago = text.lower().removesuffix(" ago")
    try:
        return now.timestamp() - parse_duration(ago)
    except ValueError:
        if ago != text.lower():
            raise
    try:
        return parse_time(text)
    except ValueError:
        return _local(text, now)


def _local(text: str, now: datetime) -> float:
    """A time without a zone, in the zone of this machine; a time of day is today's."""
    try:
        if _CLOCK.fullmatch(text):
            hour, minute, *second = (int(part) for part in text.split(":"))
            today = now.astimezone().replace(
                hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0
            )
            return today.timestamp()
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no moment; write {HOW}") from None
