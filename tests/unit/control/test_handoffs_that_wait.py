"""Handoffs that wait for their receiver's file: they go on once it is there."""

from __future__ import annotations

import pytest
from tests.unit.decide.edges.handoff_edges import asking, handed_over
from tests.unit.decide.edges.stage import Stage, shipped


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("home"))


def test_a_receiver_whose_file_says_by_now_that_it_accepts_takes_what_waits(stage: Stage) -> None:
    home = stage.home(asking())
    _, handoff, _, fix = handed_over(home)
    assert (handoff.status, fix.status) == ("pending", "pending")
    home.configure(shipped())
    assert handoff.status == "accepted"
    assert fix.assigned_to == "development-master"
