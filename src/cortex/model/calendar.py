"""When something comes back: cron lines and words like `daily@09:00`, in a time zone.

Says which texts are schedules and which instant follows another. What is due, and what happens
then, is decided elsewhere.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cortex.model.times import parse_duration

if TYPE_CHECKING:
    from cronsim import CronSim

__all__ = ["check_schedule", "check_timezone", "next_after"]

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_TIME = r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)"
_WORDS = (
    (re.compile(r"@?hourly"), "0 * * * *"),
    (re.compile(r"@?(?:daily|midnight)"), "0 0 * * *"),
    (re.compile(r"@?weekly"), "0 0 * * 1"),
    (re.compile(r"@?monthly"), "0 0 1 * *"),
    (re.compile(r"@?(?:yearly|annually)"), "0 0 1 1 *"),
    (re.compile(r"hourly@:?(?P<minute>[0-5]\d)"), "{minute} * * * *"),
    (re.compile(rf"daily@{_TIME}"), "{minute} {hour} * * *"),
    (re.compile(rf"weekdays@{_TIME}"), "{minute} {hour} * * 1-5"),
    (
        re.compile(rf"weekly@(?P<day>{'|'.join(_DAYS)})[a-z]*[@ ]{_TIME}"),
        "{minute} {hour} * * {day}",
    ),
    (
        re.compile(rf"monthly@(?P<day>[12]?\d|3[01])[@ ]{_TIME}"),
        "{minute} {hour} {day} * *",
    ),
)
_EVERY = re.compile(r"every (?P<length>.+)")
_SHORTEST_S = 60.0
_EXAMPLES = "write it like daily@09:00, weekly@mon 06:30, every 6h or a cron line like 0 9 * * 1-5"


def check_schedule(text: str) -> str:
    """The text, its spaces tidied. ValueError with a sentence where it is no schedule."""
    tidy = " ".join(text.split())
    every = _EVERY.fullmatch(tidy.lower())
    if every is not None:
        length_s = parse_duration(every["length"])
        if length_s < _SHORTEST_S:
            raise ValueError(f"{text!r} comes back too often; at most once a minute")
        return tidy
    _occurrences(tidy, datetime.now(UTC))
    return tidy


def check_timezone(name: str) -> str:
    """The name, if it is one of the time zone database; ValueError otherwise."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write it like Europe/Berlin") from None
    return name


def next_after(schedule: str, timezone: str, after: float, start: float) -> float:
    """The first instant of the schedule past `after`, in seconds since 1970.

    `every …` counts from `start`. A local time that the clocks skip is taken when they have moved
    on, one that they pass twice is taken once, the first time (the rule of Debian's cron; lines
    whose minute or hour begins with `*` go by the time that passes).
    """
    every = _EVERY.fullmatch(schedule.lower())
    if every is not None:
        length_s = parse_duration(every["length"])
        return start + (max(0.0, after - start) // length_s + 1) * length_s
    local = datetime.fromtimestamp(after, UTC).astimezone(ZoneInfo(timezone))
    instants = (float(found.timestamp()) for found in _occurrences(schedule, local))
    # Asked while the clocks pass an hour again, the first of them is one of the hour before.
    return next(instant for instant in instants if instant > after)


def _occurrences(schedule: str, after: datetime) -> CronSim:
    from cronsim import CronSim, CronSimError

    try:
        found = CronSim(_cron_line(schedule), after)
        next(found)
        return CronSim(_cron_line(schedule), after)
    except (CronSimError, StopIteration) as error:
        why = f" ({error})" if str(error) else ""
        raise ValueError(f"{schedule!r} is no schedule{why}; {_EXAMPLES}") from None


def _cron_line(schedule: str) -> str:
    """The five fields of cron; of words, the line that they stand for."""
    lowered = schedule.lower()
    for words, line in _WORDS:
        found = words.fullmatch(lowered)
        if found is not None:
            named = found.groupdict()
            if named.get("day") in _DAYS:
                named["day"] = str(_DAYS.index(named["day"]))
            return line.format(**named)
    if len(schedule.split(" ")) != 5:
        raise ValueError(f"{schedule!r} is no schedule; {_EXAMPLES}")
    return schedule
