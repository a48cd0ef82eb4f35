"""Gathering results while people and faults come in between: no task stays where it is for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.decide.edges.stage import Stage, shipped
from tests.unit.decide.fleet import finding

from cortex.testing import Behaviour


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("home"))


def test_a_task_that_is_retried_while_it_is_gathered_is_gathered_again(stage: Stage) -> None:
    home = stage.home()
    task = home.dropped(command="true")
    home.hold("gather")
    home.wait(lambda: task.status == "aggregating")
    home.drop(kind="cancel", task_id=task.id)
    home.drop(kind="retry", task_id=task.id)
    assert (task.status, task.run) == ("aggregating", 2)
    home.hold()
    assert task.status == "completed"


def test_a_fault_in_the_end_of_a_task_holds_that_task_alone(stage: Stage) -> None:
    catalog = shipped()
    security = catalog.masters["security-master"]
    impossible = security.follow_ups[0].model_copy(update={"min_severity": "urgent"})
    changed = security.model_copy(update={"follow_ups": [impossible]})
    home = stage.home(replace(catalog, masters={**catalog.masters, "security-master": changed}))
    home.behave["scan-worker"] = Behaviour(findings=(finding("sql", "a.py"),))
    scan = home.dropped(type="scan", scope={"repository": str(home.paths.root)})
    home.wait(lambda: scan.status == "aggregating")
    other = home.dropped(command="true")
    home.wait(lambda: other.status == "completed")
    assert scan.status == "aggregating"
    home.configure(catalog)
    home.wait(lambda: scan.status == "completed")
