"""Times as people read them in a column: `12m`, `3h`, `10:15:00`."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from cortex.model.times import parse_duration, parse_time

__all__ = ["age", "ago", "clock", "elapsed_s", "short", "since_instant"]


def elapsed_s(since: object, until: object = None) -> float | None:
    """Seconds from one published time to another, or to now; None without a readable time."""
    if not isinstance(since, str):
        return None
    try:
        start = parse_time(since)
        end = parse_time(until) if isinstance(until, str) else time.time()
    except ValueError:
        return None
    return max(0.0, end - start)


def short(seconds: float | None) -> str:
    """`42s`, `12m`, `3h`, `2d`; the two largest units where the first says little (`1h5m`)."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    minutes, rest_s = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest_s}s"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def age(since: object, until: object = None) -> str:
    """How long ago, or how long it took, in a column's width."""
    return short(elapsed_s(since, until))


def ago(since: object) -> str:
    """`2025-11-01T10:15:00Z (12m ago)`."""
    passed = elapsed_s(since)
    return str(since) if passed is None else f"{since} ({short(passed)} ago)"


def clock(at: str) -> str:
    """The time of day of a published time, with the date unless it is today; always UTC."""
    try:
        moment = datetime.fromtimestamp(parse_time(at), UTC)
    except ValueError:
        return at
    today = datetime.now(UTC).date() == moment.date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M:%S}"


def since_instant(text: str) -> str:
    """The RFC 3339 instant of `10m` (ago) or of a time, comparable with journal times.

    Raises ValueError with a sentence that says what can be written.
    """
    from cortex.model.times import format_time

    try:
        return format_time(time.time() - parse_duration(text), precise=True)
    except ValueError:
        pass
    try:
        return format_time(parse_time(text), precise=True)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a length like 10m nor a time like 2025-11-01T10:15:00Z"
        ) from None
