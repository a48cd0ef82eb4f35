"""Times and durations as files write them: RFC 3339 UTC with `Z`, and lengths like `15m`.

Calendar arithmetic (periods, schedules) is not here; it belongs to deciding.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["format_duration", "format_time", "parse_duration", "parse_time"]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
MAX_DURATION_S = 366 * 86400.0


def format_time(epoch_s: float, *, precise: bool = False) -> str:
    """Seconds since 1970 as `2025-11-01T10:15:00Z`; with `precise`, milliseconds too."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    if precise:
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def parse_time(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; a time without an offset is refused.

    Raises ValueError with a sentence that says what a right time looks like.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it like 2025-11-01T10:15:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; end it with Z for UTC")
    return moment.timestamp()


def parse_duration(text: str | int | float) -> float:
    """Seconds of `90`, `"90s"`, `"15m"`, `"1h30m"`, `"2d"`; positive and at most a year.

    Raises ValueError with a sentence that says what a right duration looks like.
    """
    if isinstance(text, bool):
        raise ValueError("a duration is a number with a unit, like 15m")
    if isinstance(text, int | float):
        seconds = float(text)
    else:
        compact = text.replace(" ", "").lower()
        parts = _PART.findall(compact)
        if compact.isdigit():
            seconds = float(compact)
        elif not parts or "".join(a + b for a, b in parts) != compact:
            raise ValueError(f"{text!r} is not a duration; write it like 90s, 15m or 1h30m")
        else:
            seconds = sum(float(amount) * _UNITS_S[unit] for amount, unit in parts)
    if not 0 < seconds <= MAX_DURATION_S:
        raise ValueError(f"{text!r} is out of range; a duration is over 0 and at most 366d")
    return seconds


def format_duration(seconds: float) -> str:
    """`0.4s`, `42s`, `12m 05s`, `3h 10m`, `2d 4h`: short enough for a column."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"
