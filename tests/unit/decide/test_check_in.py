"""Masters check in at their own times, once for all that was missed, and tell what hangs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cortex.decide.check_in import next_check_in
from cortex.model.definitions import read_master
from cortex.model.errors import DefinitionError
from cortex.model.state import State
from tests.unit.deciding import World, builtin_catalog

OPS = "---\nname: ops\nroutes: [ops]\ncheck_in: daily@09:00\n---\nLook.\n"


def world() -> World:
    master = read_master(OPS, Path("ops-master.md"))
    catalog = replace(builtin_catalog(), masters={"ops-master": master})
    world = World(catalog=catalog)
    assert checked_in(world) == []
    return world


def checked_in(world: World) -> list[str]:
    told = []
    while (entry := next_check_in(world.state, world.catalog, world.now)) is not None:
        world.apply(entry)
        told += [entry.why] if entry.events[0]["event"] == "master_checked_in" else []
        assert len(world.lines) < 100
    return told


def test_a_check_in_comes_at_its_time_and_once_for_all_that_was_missed() -> None:
    ops = world()
    ops.at(8, 59)
    assert checked_in(ops) == []
    ops.at(9)
    assert checked_in(ops) == ["0 open, 0 stuck, 0 handoffs wait"]
    assert checked_in(ops) == []
    ops.at(12, day=9)
    assert len(checked_in(ops)) == 1


def test_what_hangs_for_over_a_day_goes_to_a_person_once() -> None:
    ops = world()
    task = ops.task(type="ops", assigned_to="ops-master", runtime="nowhere")
    assert task.status == "blocked"
    ops.at(9)
    assert checked_in(ops) == ["1 open, 1 stuck, 0 handoffs wait"]
    assert not ops.state.escalations
    ops.at(9, day=3)
    checked_in(ops)
    (told,) = ops.state.escalations.values()
    assert told.subject == "ops-master has work that does not move"
    assert told.reason.startswith("task-001 is blocked for 2d 9h: runtime 'nowhere'")
    ops.at(9, day=4)
    checked_in(ops)
    assert len(ops.state.escalations) == 1


def test_another_word_in_the_file_and_a_restart_plan_anew_without_a_check_in() -> None:
    ops = world()
    again = State.from_json(ops.state.to_json())
    assert again.check_ins == ops.state.check_ins
    master = ops.catalog.masters["ops-master"].model_copy(update={"check_in": "every 2h"})
    ops.catalog = replace(ops.catalog, masters={"ops-master": master})
    assert checked_in(ops) == []
    assert ops.state.check_ins["ops-master"]["words"] == "every 2h"
    ops.at(2)
    assert len(checked_in(ops)) == 1


def test_a_check_in_that_is_no_schedule_is_refused_with_its_line() -> None:
    with pytest.raises(DefinitionError, match=r"ops\.md:4: check_in: .*is no schedule"):
        read_master(OPS.replace("daily@09:00", "now and then"), Path("ops.md"))
