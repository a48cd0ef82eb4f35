"""The one way in which percentiles are taken here: nearest rank, so that each is a real sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["percentile"]

Number = TypeVar("Number", int, float)


def percentile(samples: Sequence[Number], share: int) -> Number | None:
    """The smallest sample that `share` percent (1 to 100) of all do not exceed; None of none.

    Nearest rank, the first definition of Hyndman and Fan, "Sample Quantiles in Statistical
    Packages", The American Statistician 50 (1996).
    """
    if not samples:
        return None
    rank = -(-share * len(samples) // 100)
    return sorted(samples)[rank - 1]
