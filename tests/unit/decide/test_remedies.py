"""Fix tasks that need no thought run on the tools runtime, where something can prove them; the
others wait and say what would let them go on."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.model.state import Task
from tests.unit.decide.fleet import Fleet, finding
from tests.unit.deciding import RUNTIMES, builtin_catalog

PIN = {
    "cwe": "CWE-1395", "family": "vulnerable-dependency", "package": "jinja2",
    "installed_version": "2.10", "fixed_version": "2.10.1",
}  # fmt: skip
UNUSED = {"cwe": None, "tool": "ruff", "family": "lint-f401", "fixable": True}


def fleet_without_agents() -> Fleet:
    return Fleet(catalog=builtin_catalog(runtimes={k: RUNTIMES[k] for k in ("tools", "command")}))


def fixes_of(*rows: dict[str, Any], **scope: Any) -> tuple[Fleet, list[Task]]:
    """The fix tasks that a scan of /srv/a with these findings makes."""
    fleet = fleet_without_agents()
    task = fleet.dropped(type="scan", scope={"repository": "/srv/a", **scope})
    fleet.admit()
    fleet.finish(task.workers[0])
    fleet.gather(task, *rows)
    parent = fleet.state.tasks[task.follow_ups[0]]
    return fleet, [fleet.state.tasks[ident] for ident in parent.children]


def test_a_pin_whose_findings_all_name_a_fixed_version_is_raised_to_the_highest_by_tools() -> None:
    rows = [
        finding("GHSA-1", "requirements.txt", **PIN),
        finding("GHSA-2", "requirements.txt", **{**PIN, "fixed_version": "2.11.3"}),
    ]
    fleet, (fix,) = fixes_of(*rows, allow_untested=True, scan_types=["dependencies"])
    assert (fix.runtime, fix.status) == ("tools", "in_progress")
    assert fix.scope == {
        "repository": "/srv/a",
        "allow_untested": True,
        "paths": ["requirements.txt"],
        "package": "jinja2",
        "version": "2.11.3",
        "ecosystem": "PyPI",
    }
    assert [(step.name, step.worker_type) for step in fix.steps] == [
        ("fix", "fix-worker"),
        ("pr", "pr-worker"),
    ]
    fleet.run_through(fix)
    assert fix.status == "completed"


def test_lint_that_ruff_can_mend_is_mended_by_its_rules() -> None:
    row = finding("F401", "a.py", **UNUSED)
    _, (fix,) = fixes_of(row, python="python3")
    assert (fix.runtime, fix.scope["rules"], fix.scope["paths"]) == ("tools", ["F401"], ["a.py"])
    assert fix.scope["python"] == "python3"


@pytest.mark.parametrize(
    "changes",
    [
        {"fixable": False},
        {"fixable": "yes"},
        {"tool": "bandit"},
        {"rules": ["F401", "--fix"]},
        {**PIN, "fixed_version": ""},
        {**PIN, "fixed_version": "2.11\nevil==1.0"},
        {**PIN, "package": "jinja2 @ https://example.org/x"},
    ],
)
def test_what_needs_thought_waits_for_an_agent_whatever_proves_it(changes: dict[str, Any]) -> None:
    _, (fix,) = fixes_of(finding("F401", "a.py", **{**UNUSED, **changes}), allow_untested=True)
    assert (fix.runtime, fix.status) == ("auto", "blocked")
    assert fix.blocked_on is not None and "agent" in fix.blocked_on
    assert "tools` can" not in fix.blocked_on


def test_without_a_proof_a_fix_that_a_tool_can_do_waits_and_says_what_to_name() -> None:
    fleet, (fix,) = fixes_of(finding("GHSA-1", "requirements.txt", **PIN))
    assert (fix.runtime, fix.status) == ("auto", "blocked")
    assert fix.blocked_on is not None
    assert "can raise jinja2 to 2.10.1, with setup, python or test_command" in fix.blocked_on
    fix.runtime = "tools"
    fix.scope["allow_untested"] = True
    fleet.state.touched[("task", fix.id)] = None
    fleet.reconcile()
    assert fix.status == "in_progress", "as after a person's edit"


def test_the_types_own_file_may_say_how_fixes_are_proved() -> None:
    fleet = fleet_without_agents()
    kind = fleet.catalog.types["fix-worker"]
    assert kind.model_extra is not None
    kind.model_extra["setup"] = "make venv"
    task = fleet.dropped(type="scan", scope={"repository": "/srv/a"})
    fleet.admit()
    fleet.finish(task.workers[0])
    fleet.gather(task, finding("GHSA-1", "requirements.txt", **PIN))
    parent = fleet.state.tasks[task.follow_ups[0]]
    assert fleet.state.tasks[parent.children[0]].runtime == "tools"
