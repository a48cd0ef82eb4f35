"""Masters, worker types and personas dropped, spoilt and removed while the daemon runs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.live_home import BIN, LiveHome, MakeHome

#: Ten times the second within which a file is in force.
SOON_S = 10.0

WELCOME = """---
name: welcome-master
routes: [welcome]
budget: {worker_pool: 5000}
persona: greeter
plans:
  - types: [welcome]
    steps:
      - {name: greet, worker_type: greeting, command: "true"}
---
Greet.
"""
GREETING = "---\nname: greeting\ntoken_budget: 0\n---\nGreet {{repository}}.\n"
GREETER = "---\nname: greeter\ncharacter: You are kind.\n---\n"


@pytest.fixture
def home(make_home: MakeHome) -> LiveHome:
    home = make_home("home")
    home.start()
    return home


def write(path: Path, text: str) -> float:
    """Puts a file in its place as an editor does; the instant of it."""
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    aside.rename(path)
    return time.monotonic()


def seen(home: LiveHome, condition: Callable[[], Any], what: str) -> float:
    """Waits for it; the instant at which it was seen."""
    home.until(condition, what, SOON_S)
    return time.monotonic()


def masters(home: LiveHome) -> dict[str, Any]:
    found: dict[str, Any] = home.read("token-budget").get("masters", {})
    return found


def conditions(home: LiveHome) -> dict[str, str]:
    about = home.read("task-queue").get("daemon") or {}
    return {row["name"]: row["cause"] for row in about.get("conditions") or []}


def spec_of(home: LiveHome, task: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(
        (home.folder_of(task["workers"][-1]) / "spec.json").read_text()
    )
    return spec


def run_validate(home: LiveHome) -> str:
    ran = subprocess.run(
        [BIN / "cortex", "validate", "--home", home.root], capture_output=True, text=True
    )
    return ran.stdout + ran.stderr


def test_a_master_of_ones_own_is_in_force_within_a_second(
    home: LiveHome, record_property: Callable[[str, object], None]
) -> None:
    write(home.paths.prompts / "greeting.md", GREETING)
    write(home.paths.personas / "greeter.md", GREETER)
    written = write(home.paths.masters / "welcome.md", WELCOME)
    in_force = seen(home, lambda: "welcome" in masters(home), "its tokens are in the books")
    record_property("seconds", round(in_force - written, 3))
    home.drop({"id": "hello", "type": "welcome"})
    (task,) = home.until_ended("hello")
    assert (task["status"], task["assigned_to"]) == ("completed", "welcome-master")
    assert task["workers"] == ["worker-greeting-001"]
    assert spec_of(home, task)["persona"] == {"name": "greeter", "text": "You are kind.\n"}


def test_a_master_that_is_spoilt_keeps_working_as_it_last_was(home: LiveHome) -> None:
    path = home.paths.masters / "welcome.md"
    write(home.paths.prompts / "greeting.md", GREETING)
    write(home.paths.personas / "greeter.md", GREETER)
    write(path, WELCOME)
    seen(home, lambda: "welcome" in masters(home), "the master is there")
    write(path, WELCOME.replace("name: greet,", "nome: greet,"))
    seen(home, lambda: "definitions_unusable" in conditions(home), "it is told")
    said = conditions(home)["definitions_unusable"]
    assert f"{path}:9: plans.0.steps.0.nome: no such key; did you mean name?" in said
    home.drop({"id": "still", "type": "welcome"})
    (task,) = home.until_ended("still")
    assert (task["status"], task["assigned_to"]) == ("completed", "welcome-master")
    (began,) = home.events("condition_began", condition="definitions_unusable")
    assert "welcome.md:9" in began["cause"]
    write(path, WELCOME)
    seen(home, lambda: "definitions_unusable" not in conditions(home), "it is over")


def test_a_master_that_is_spoilt_keeps_working_over_a_restart(home: LiveHome) -> None:
    path = home.paths.masters / "welcome.md"
    write(home.paths.prompts / "greeting.md", GREETING)
    write(home.paths.prompts / "README.md", "Our workers, for those who read along.\n")
    write(path, WELCOME)
    seen(home, lambda: "welcome" in masters(home), "the master is there")
    home.kill()
    write(path, WELCOME.replace("routes:", "rootes:"))
    home.start()
    seen(home, lambda: "definitions_unusable" in conditions(home), "it is told")
    home.drop({"id": "still", "type": "welcome"})
    (task,) = home.until_ended("still")
    assert (task["status"], task["assigned_to"]) == ("completed", "welcome-master")
    assert masters(home)["welcome"]["worker_pool"] > 0
    (row,) = (home.read("task-queue").get("daemon") or {})["broken"]
    assert row["in_force"] == "welcome-master"
    told = run_validate(home)
    assert "welcome.md:3" in told
    assert "README" not in told
    home.stop()
    path.unlink()
    home.start()
    write(path, WELCOME.replace("routes:", "rootes:"))
    seen(home, lambda: "definitions_unusable" in conditions(home), "it is told again")
    changes = [e for e in home.events("definition_changed") if e["name"] == "welcome-master"]
    assert [event["change"] for event in changes] == ["added", "removed"], "once gone, gone"


def test_the_journal_tells_which_definitions_were_in_force(home: LiveHome) -> None:
    path = home.paths.masters / "welcome.md"
    told = lambda: [  # noqa: E731
        (event["name"], event["change"]) for event in home.events("definition_changed")
    ]
    shipped = len(told())
    assert shipped > 10
    write(home.paths.prompts / "greeting.md", GREETING)
    write(path, WELCOME)
    seen(home, lambda: "welcome" in masters(home), "the master is there")
    write(path, WELCOME.replace("Greet.", "Greet well."))
    seen(home, lambda: ("welcome-master", "changed") in told(), "its change is told")
    home.stop()
    home.start()
    assert sorted(told()[shipped:]) == [
        ("greeting-worker", "added"),
        ("welcome-master", "added"),
        ("welcome-master", "changed"),
    ]
    write(path, WELCOME.replace("routes:", "rootes:"))
    broken = lambda: (home.read("task-queue").get("daemon") or {}).get("broken")  # noqa: E731
    seen(home, broken, "the file is told of")
    (row,) = broken()
    assert (row["file"], row["in_force"]) == ("agents/masters/welcome.md", "welcome-master")
    path.unlink()
    seen(home, lambda: told()[-1] == ("welcome-master", "removed"), "it is gone")
    seen(home, lambda: not broken(), "nothing is broken any more")


def test_a_master_that_wants_more_tokens_than_there_are_is_named(home: LiveHome) -> None:
    write(home.paths.masters / "rich.md", "---\nbudget: {allocated: 500000}\n---\n")
    said = lambda: conditions(home).get("definitions_unusable", "")  # noqa: E731
    seen(home, said, "it is told")
    assert said().startswith("agents/masters/rich.md: budget.allocated of 500,000 tokens: ")
    assert "until then the budget stays as it was" in said()
    (home.paths.masters / "rich.md").unlink()
    seen(home, lambda: not said(), "it is over")


def test_every_file_that_is_wrong_is_told_of(home: LiveHome) -> None:
    write(home.paths.masters / "one.md", "---\nname: 1\n---\n")
    write(home.paths.personas / "two.md", "---\nautonomi: none\n---\n")
    said = lambda: conditions(home).get("definitions_unusable", "")  # noqa: E731
    seen(home, lambda: "and 1 more" in said(), "both are told")
    (home.paths.masters / "one.md").unlink()
    seen(home, lambda: "two.md:2: autonomi: no such key" in said(), "the other one is left")


def test_tasks_of_a_removed_master_or_type_say_so_and_go_on_when_it_is_back(
    home: LiveHome,
) -> None:
    path, kind = home.paths.masters / "welcome.md", home.paths.prompts / "greeting.md"
    write(kind, GREETING)
    write(path, WELCOME.replace("persona: greeter\n", ""))
    seen(home, lambda: "welcome" in masters(home), "the master is there")
    kind.unlink()
    seen(home, lambda: home.events("definition_changed", change="removed"), "it is seen to go")
    home.drop({"id": "one", "type": "welcome"})
    blocked = lambda: str(home.task("one").get("blocked_on"))  # noqa: E731
    seen(home, lambda: "worker type greeting-worker has no file" in blocked(), "its type is gone")
    path.unlink()
    seen(home, lambda: "its master welcome-master has no file any more" in blocked(), "it is gone")
    write(kind, GREETING)
    write(path, WELCOME.replace("persona: greeter\n", ""))
    (task,) = home.until_ended("one")
    assert task["status"] == "completed"


SUBAGENT = """---
name: Migration Guard
description: Watches tables. Examples:

<example>
Context: a new column
user: "add it"
</example>
tools: Read, Bash(git diff:*, git log:*)
model: inherit
color: red
command: "true"
---
You watch tables.
"""


def test_a_subagent_file_with_a_name_for_people_runs_as_a_worker_type(home: LiveHome) -> None:
    path = home.paths.prompts / "Migration Guard.md"
    write(path, SUBAGENT)
    home.drop({"id": "guard", "type": "migration-guard"})
    (task,) = home.until_ended("guard")
    assert task["status"] == "completed", task
    assert task["workers"] == ["worker-migration-guard-001"]
    assert spec_of(home, task)["prompt_template"] == "agents/prompts/workers/Migration Guard.md"
    assert path.read_text() == SUBAGENT


def test_a_refused_result_is_tried_again_with_the_reasons(make_home: MakeHome) -> None:
    """The program hands in nonsense; told why that was refused, it does better."""
    home = make_home("home", settings="[workers]\nbackoff = 0.1\n")
    home.start()
    program = """
import json, os
spec = json.load(open(os.environ["CORTEX_SPEC"]))
why = spec["context"].get("why_again")
if why is None:
    json.dump({"status": "splendid"}, open(os.environ["CORTEX_RESULTS"], "w"))
else:
    said = {"status": "completed", "summary": f"{spec['retry_of']}: {why}"}
    json.dump(said, open(os.environ["CORTEX_RESULTS"], "w"))
"""
    home.drop({"id": "again", "command": ["python3", "-c", program]})
    (task,) = home.until_ended("again")
    assert task["status"] == "completed"
    assert len(task["workers"]) == 2
    assert task["summary"].startswith(f"{task['workers'][0]}: results refused: ")
    assert "status" in task["summary"]
