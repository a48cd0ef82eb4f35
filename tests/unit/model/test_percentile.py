"""Percentiles by nearest rank."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.model.percentile import percentile


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_a_sample_that_enough_do_not_exceed(samples: list[int], share: int) -> None:
    found = percentile(samples, share)
    assert found in samples
    within = sum(1 for sample in samples if sample <= found)
    assert within * 100 >= share * len(samples)


@pytest.mark.parametrize(
    ("count", "share", "found"), [(10, 50, 5), (10, 90, 9), (10, 100, 10), (11, 50, 6), (1, 90, 1)]
)
def test_ranks_are_those_of_the_definition(count: int, share: int, found: int) -> None:
    assert percentile(range(1, count + 1), share) == found


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 50) is None
