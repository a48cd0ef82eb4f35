"""Which branches are what a plan came to."""

from __future__ import annotations

from cortex.model.branches import result_of_plan

NEEDS = {"a": [], "b": [], "join": ["a", "b"], "tests": ["join"], "pr": ["tests"]}


def of(*steps: str, repository: str = "shop") -> set[tuple[str, str]]:
    return {(step, repository) for step in steps}


def test_a_branch_that_a_later_step_took_in_is_none() -> None:
    assert result_of_plan(NEEDS, (), of("a", "b", "join")) == of("join")
    assert result_of_plan(NEEDS, (), of("a", "b", "join", "pr")) == of("pr")


def test_nothing_is_a_result_while_a_later_step_may_take_it_in() -> None:
    assert result_of_plan(NEEDS, ("join", "tests", "pr"), of("a", "b")) == set()


def test_branches_side_by_side_that_nothing_joined_are_all_results() -> None:
    assert result_of_plan(NEEDS, (), of("a", "b")) == of("a", "b")


def test_another_repository_is_another_matter() -> None:
    needs = {"a": [], "b": ["a"]}
    handed_over = of("a", repository="shop") | of("b", repository="site")
    assert result_of_plan(needs, (), handed_over) == handed_over
