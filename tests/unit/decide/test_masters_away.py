"""A master whose file is away: what was dropped meanwhile, and where it goes once it is back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cortex.decide.entry import Entry
from cortex.model.definitions import read_master
from cortex.model.state import Handoff, Task
from tests.unit.decide.fleet import Fleet
from tests.unit.deciding import RUNTIMES, builtin_catalog

GREETER = """---
name: greeter
routes: [greet]
plans:
  - types: [greet]
    steps:
      - {name: hello, worker_type: test-worker, runtime: command, command: "true"}
---
"""


def without_agents() -> Fleet:
    """A fleet whose default route has nobody that takes just anything."""
    return Fleet(catalog=builtin_catalog(runtimes={k: RUNTIMES[k] for k in ("tools", "command")}))


def comes_back(fleet: Fleet) -> None:
    """The file is there again, and its master takes what it names."""
    greeter = read_master(GREETER, Path("greeter.md"))
    masters = {**fleet.catalog.masters, greeter.name: greeter}
    fleet.catalog = replace(fleet.catalog, masters=masters)
    fleet.reconcile()


def test_a_task_that_nobody_else_could_carry_out_goes_to_its_master_once_that_is_back() -> None:
    fleet = without_agents()
    task = fleet.dropped(type="greet")
    assert (task.status, task.assigned_to) == ("blocked", "coordinator-master")
    comes_back(fleet)
    assert (task.status, task.assigned_to) == ("in_progress", "greeter-master")
    assert [step.name for step in task.steps] == ["hello"]


def test_a_held_task_that_was_resumed_meanwhile_goes_to_its_master_too() -> None:
    fleet = without_agents()
    task = fleet.dropped(type="greet", hold=True)
    fleet.drop(kind="resume", task_id=task.id)
    assert (task.status, task.assigned_to) == ("blocked", "coordinator-master")
    comes_back(fleet)
    assert (task.status, task.assigned_to) == ("in_progress", "greeter-master")


def test_a_task_that_was_handed_over_keeps_its_master() -> None:
    fleet = without_agents()
    to = Handoff("handoff-001", "security-master", "coordinator-master", "t1", fleet.now.at)
    offered = {"event": "handoff_created", "handoff": to.to_json()}
    task = Task("t1", "hello", "greet", "medium", fleet.now.at, hold=True, handoff_id=to.id)
    accepted = {"event": "task_accepted", "task": task.to_json()}
    fleet.apply(Entry("test", "", [accepted, offered]))
    fleet.reconcile()
    task = fleet.state.tasks["t1"]
    assert (task.status, task.assigned_to) == ("blocked", "coordinator-master")
    comes_back(fleet)
    assert (task.status, task.assigned_to) == ("blocked", "coordinator-master")
