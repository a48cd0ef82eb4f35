"""What is told of a start after the start itself has settled the matter."""

from __future__ import annotations

import pytest
from tests.unit.decide.edges.stage import Home, Stage

from cortex.testing import Behaviour


def test_a_lost_answer_for_a_worker_that_has_ended_is_no_failed_start(home: Home) -> None:
    home.default = Behaviour(start_error="NURSERY_GONE", run_s=1.0, reports_late_s=30.0)
    task = home.dropped(command="true")
    home.wait(lambda: home.state.tasks[task.id].status == "completed")
    home.pass_time(60.0)
    assert not [line for line in home.log.lines if "could not be started" in line]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Stage(tmp_path_factory.mktemp("home")).home()
