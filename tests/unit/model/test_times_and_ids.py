"""Times, lengths, names and ids: what is read, and the one form that is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.model.ids import (
    is_user_id,
    master_key,
    master_name,
    priority_of,
    short_type,
    worker_type_name,
)
from cortex.model.times import (
    format_duration,
    format_time,
    parse_duration,
    parse_time,
    write_duration,
)

# --- times


@given(st.integers(min_value=0, max_value=4_102_444_800))
def test_a_written_time_is_read_back(second: int) -> None:
    assert parse_time(format_time(second)) == second
    assert format_time(second).endswith("Z")


@pytest.mark.parametrize(
    ("written", "second"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:00.250Z", 0.25),
    ],
)
def test_times_with_any_offset_are_instants(written: str, second: float) -> None:
    assert parse_time(written) == second


def test_milliseconds_are_cut_and_never_rounded_up_to_a_second() -> None:
    assert format_time(0.9999, precise=True) == "1970-01-01T00:00:00.999Z"
    assert format_time(0.9999) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("written", ["", "now", "2025-13-01T00:00:00Z", "2025-11-01T10:15:00"])
def test_what_is_no_instant_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match=r"like 2025-11-01T10:15:00Z|end it with Z"):
        parse_time(written)


# --- lengths


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("1.5H", 5400.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("250ms", 0.25),
        (90, 90.0),
        (0.5, 0.5),
    ],
)
def test_lengths_are_read_in_every_unit(written: str | float, seconds: float) -> None:
    assert parse_duration(written) == seconds


NO_LENGTHS: list[str | float] = ["", " ", "m", "5x", "-5m", "5m-", "1h,30m", "²", "1e3", "0", "0s"]
NO_LENGTHS += ["367d", "9" * 400, 0, -1, 10**400, -(10**400), True, False]
NO_LENGTHS += [float("nan"), float("inf")]


@pytest.mark.parametrize("written", NO_LENGTHS, ids=lambda written: str(written)[:20])
def test_what_is_no_length_is_a_value_error_with_a_sentence(written: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(written)


@given(st.integers(min_value=1, max_value=366 * 86_400_000))
def test_a_written_length_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    written = write_duration(milliseconds / 1000)
    assert round(parse_duration(written) * 1000) == milliseconds
    assert " " not in written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(900, "15m"), (5400, "1h30m"), (0.25, "250ms"), (90, "1m30s"), (172_800, "2d"), (0, "0s")],
)
def test_lengths_are_written_as_people_write_them(seconds: float, written: str) -> None:
    assert write_duration(seconds) == written


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.44, "0.4s"),
        (9.96, "10s"),
        (42, "42s"),
        (59.7, "1m 00s"),
        (725, "12m 05s"),
        (11_400, "3h 10m"),
        (187_200, "2d 4h"),
    ],
)
def test_lengths_are_shown_short_enough_for_a_column(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


# --- names


@pytest.mark.parametrize("good", ["a", "task-001", "A.b_c-9", "0", "x" * 64])
def test_ids_that_a_person_may_choose(good: str) -> None:
    assert is_user_id(good)


@pytest.mark.parametrize(
    "bad", ["", "-a", ".a", "_a", "a b", "a/b", "a..b", "ä", "a\n", "a\0", "x" * 65]
)
def test_ids_that_nobody_may_choose(bad: str) -> None:
    assert not is_user_id(bad)


@pytest.mark.parametrize(
    ("written", "name", "short"),
    [
        ("scan", "scan-worker", "scan"),
        ("scan-worker", "scan-worker", "scan"),
        ("impl", "implementation-worker", "impl"),
        ("implementation", "implementation-worker", "impl"),
        ("implementation-worker", "implementation-worker", "impl"),
        ("doc", "documentation-worker", "doc"),
        ("cmd", "command-worker", "cmd"),
        ("code-reviewer", "code-reviewer-worker", "code-reviewer"),
    ],
)
def test_worker_types_have_one_name_in_files(written: str, name: str, short: str) -> None:
    assert worker_type_name(written) == name
    assert worker_type_name(name) == name
    assert short_type(name) == short


def test_masters_have_a_key_and_a_name() -> None:
    for written in ("security", "security-master"):
        assert (master_key(written), master_name(written)) == ("security", "security-master")


def test_normal_is_medium() -> None:
    assert [priority_of(word) for word in ("normal", "high")] == ["medium", "high"]
