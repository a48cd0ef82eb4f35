"""The limit that `why` names is the one by which the deciding code holds a worker back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.decide.fleet import Fleet, settings

from cortex.decide.slots import Slots
from cortex.decide.snapshot import documents
from cortex.home import Home, create_home
from cortex.home.freeing import slot_ways
from cortex.home.limits import Limit, full_limit


def held(tmp_path: Path, fleet: Fleet, toml: str) -> tuple[Limit | None, str | None]:
    """(what `why` names for the first waiting worker, what the deciding code holds it by)."""
    fleet.admit()
    root = create_home(tmp_path / "home").root
    (root / "cortex.toml").write_text(toml)
    for name, document in documents(fleet.state).items():
        path = root / "coordination" / name
        path.write_text(json.dumps({"version": "1.0", "journal_seq": 1, **document}))
    ident = (fleet.workers("requested") or fleet.workers("queued"))[0]
    home = Home(root)
    row = next(row for row in home.pool()["queued_workers"] if row["id"] == ident)
    slots = Slots.of(fleet.state, fleet.settings, 4)
    return full_limit(home, row), slots.held_by(fleet.state.workers[ident])


def agents(count: int) -> list[dict[str, Any]]:
    row = {"worker_type": "implementation-worker", "runtime": "agent", "token_budget": 100}
    return [{"name": f"s{n}", **row} for n in range(count)]


def commands(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"name": f"s{n}", "command": "true", "token_budget": 0, **more} for n in range(count)]


@pytest.mark.parametrize(
    "limits, workers, key, size, decided",
    [
        ({"per_type": {"cmd": 3}}, commands(5), "limits.per_type command-worker", 3, "type:"),
        ({"per_master": {"coordinator": 2}}, commands(5), "limits.per_master coordinator", 2, "ma"),
        ({"per_runtime": {"command": 2}}, commands(5), "limits.per_runtime command", 2, "runtime:"),
        ({"per_repository": 1}, commands(3, scope={"repository": "/srv/a"}),
         "limits.per_repository", 1, "repository:"),
        ({"tools": 2}, commands(3), "limits.tools", 2, None),
        ({}, agents(5), "limits.agents_per_task", 3, "agents-of:"),
        ({"agents": 2}, agents(3), "limits.agents", 2, None),
    ],
    ids=str,
)  # fmt: skip
def test_the_named_limit_is_the_one_that_holds(
    tmp_path: Path, limits: dict[str, Any], workers: Any, key: str, size: int, decided: str | None
) -> None:
    fleet = Fleet(settings(limits=limits))
    fleet.dropped(title="p", workers=workers)
    toml = "[limits]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in limits.items())
    limit, by = held(tmp_path, fleet, toml)
    assert limit is not None
    assert (limit.key, limit.size, len(limit.holders)) == (key, size, size)
    assert (by or "").startswith(decided or "") and bool(by) == bool(decided)
    assert "in cortex.toml, and a restart of cortexd" in slot_ways(limit)[-1]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {size}" for name, size in value.items()) + " }"
    return str(value)


def test_a_plan_names_its_own_maximum_and_not_the_settings(tmp_path: Path) -> None:
    fleet = Fleet()
    fleet.dropped(id="p", title="p", workers=commands(4), max_parallel=2)
    limit, by = held(tmp_path, fleet, "")
    assert limit is not None and (limit.key, limit.size) == ("max_parallel of the plan of p", 2)
    assert by == "plan-of:p/2"
    assert "cortex.toml" not in slot_ways(limit)[-1]


def test_an_adaptive_fleet_names_its_policy_and_the_depth(tmp_path: Path) -> None:
    fleet = Fleet(settings(spawn={"policy": "adaptive"}))
    fleet.dropped(title="p", workers=commands(7))
    limit, _ = held(tmp_path, fleet, '[spawn]\npolicy = "adaptive"\n')
    assert limit is not None
    assert (limit.key, limit.size) == ("spawn.policy adaptive for a queue of 7", 3)


def test_a_learned_number_is_named_with_its_evidence(tmp_path: Path) -> None:
    fleet = Fleet(settings(spawn={"policy": "learned"}))
    fleet.state.pace = {
        "tools": {"count": 2, "reason": "2 at once stay", "at": "x", "seen": 0, "before": 0}
    }
    fleet.dropped(title="p", workers=commands(7))
    limit, _ = held(tmp_path, fleet, '[spawn]\npolicy = "learned"\n')
    assert limit is not None
    assert (limit.key, limit.size) == ("spawn.policy learned (2 at once stay)", 2)


def test_a_master_file_with_a_limit_is_named(tmp_path: Path) -> None:
    fleet = Fleet(settings(limits={"per_master": {"coordinator": 1}}))
    fleet.dropped(title="p", workers=commands(3))
    fleet.admit()
    held(tmp_path, fleet, "")
    home = Home(tmp_path / "home")
    path = home.paths.masters / "coordinator-master.md"
    text = re.sub(r"^limits:.*\n", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text.replace("---\n", "---\nlimits: {max_parallel: 1}\n", 1))
    limit = full_limit(home, home.pool()["queued_workers"][0])
    assert limit is not None
    assert limit.key == "limits.max_parallel in agents/masters/coordinator-master.md"


def test_settings_that_cannot_be_read_name_nothing(tmp_path: Path) -> None:
    fleet = Fleet(settings(limits={"tools": 1}))
    fleet.dropped(title="p", workers=commands(2))
    limit, _ = held(tmp_path, fleet, "[limits]\ntool = 1\n")
    assert limit is None
