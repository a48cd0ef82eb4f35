"""Times and durations as files write them: RFC 3339 UTC with `Z`, and lengths like `15m`.

Calendar arithmetic (periods, schedules) is not here; it belongs to deciding.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "format_duration",
    "format_time",
    "parse_duration",
    "parse_time",
    "time_in",
    "write_duration",
]

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


def time_in(value: Any) -> float | None:
    """Seconds since 1970 of a time in somebody's file; None for anything that is no time."""
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def parse_duration(text: str | int | float) -> float:
    """Seconds of `90`, `"90s"`, `"15m"`, `"1h30m"`, `"2d"`; positive and at most a year.

    Raises ValueError with a sentence that says what a right duration looks like.
    """
    if isinstance(text, bool):
        raise ValueError("a duration is a number with a unit, like 15m")
    seconds = _seconds_of(text) if isinstance(text, str) else text
    # Compared before it is converted: an integer may be too large for a float.
    if not 0 < seconds <= MAX_DURATION_S:
        shown = repr(text)[:40] if isinstance(text, str) or abs(text) < 10**15 else "the number"
        raise ValueError(f"{shown} is out of range; a duration is over 0 and at most 366d")
    return float(seconds)


def _seconds_of(text: str) -> float:
    compact = text.replace(" ", "").lower()
    if compact.isdecimal():
        return float(compact)
    parts = _PART.findall(compact)
    if not parts or "".join(amount + unit for amount, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 15m or 1h30m")
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in parts)


def write_duration(seconds: float) -> str:
    """The shortest form that `parse_duration` reads back, to the millisecond: `15m`, `1h30m`."""
    rest = round(seconds * 1000)
    parts = []
    for unit, length_ms in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        amount, rest = divmod(rest, length_ms)
        if amount:
            parts.append(f"{amount}{unit}")
    if rest:
        parts.append(f"{rest}ms")
    return "".join(parts) or "0s"


def format_duration(seconds: float) -> str:
    """`0.4s`, `42s`, `12m 05s`, `3h 10m`, `2d 4h`: short enough for a column."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"
