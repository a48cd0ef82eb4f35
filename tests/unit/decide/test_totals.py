"""A person's new total that cannot be: what holds the tokens, and how each part is lowered."""

import pytest

from cortex.decide.budget import change_total
from cortex.model.errors import RequestError
from cortex.model.state import Budget, MasterFund, State


def _refused(held: int, spent: int, own: int) -> RequestError:
    masters = {"security": MasterFund(own, 0, own, 0)} if own else {}
    budget = Budget(
        total=200_000, pool_total=200_000 - own, pool_allocated=held, pool_spent=spent,
        masters=masters,
    )  # fmt: skip
    with pytest.raises(RequestError) as caught:
        change_total(State(budget=budget), 5)
    return caught.value


def test_with_nothing_in_use_the_allocations_and_the_reserve_are_named() -> None:
    error = _refused(0, 0, 135_000)
    assert "135000 are the masters' own allocations and the reserve" in error.message
    assert "the lowest total now is 135000" in str(error.hint)
    assert "[masters.NAME]" in str(error.hint)
    assert "cancel" not in str(error.hint)


def test_with_work_in_progress_both_are_named_or_only_the_work() -> None:
    both = _refused(8_000, 2_000, 135_000)
    assert "and 10000 are held by work in progress or spent" in both.message
    assert "the lowest total now is 145000" in str(both.hint)
    assert "cancel work, or wait for the reset" in str(both.hint)
    work = _refused(8_000, 0, 0)
    assert "reserve" not in f"{work.message} {work.hint}"
