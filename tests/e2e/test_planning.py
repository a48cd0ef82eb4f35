"""A model plans a task: a real daemon, and in the model's place a program that prints plans."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from live_home import BIN, LiveHome, MakeHome

QUICK = "[workers]\nbackoff = 0.1\ngrace = 0.5\n"
PLAN = {
    "reason": "looking comes before telling",
    "workers": [
        {"name": "look", "worker_type": "coordinator", "scope": {"instructions": "look"}},
        {"name": "tell", "worker_type": "coordinator-worker", "needs": ["look"]},
    ],
}
WRONG = {"workers": [{"name": "look", "worker_type": "wizard"}]}
#: A model: it keeps each question, waits for a gate if there is one, and prints its next answer.
MODEL = """\
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
asked = len(list(here.glob("question-*")))
(here / f"question-{asked + 1}").write_text(sys.stdin.read())
while (here / "gate").exists():
    time.sleep(0.01)
answers = json.loads((here / "answers.json").read_text())
answer = answers[min(asked, len(answers) - 1)]
print(answer if isinstance(answer, str) else "Sure!\\n" + json.dumps(answer))
"""


class Planned:
    """A home whose planner asks the model in `folder`, and where a coordinator's worker can run."""

    def __init__(self, home: LiveHome, folder: Path, *answers: Any) -> None:
        self.home = home
        self.folder = folder
        folder.mkdir()
        (folder / "model.py").write_text(MODEL)
        (folder / "answers.json").write_text(json.dumps(answers))
        command = json.dumps([sys.executable, str(folder / "model.py")])
        self._set("planner-worker", f"runtime: command\ncommand: {command}")
        self._set("coordinator-worker", 'command: cat "$CORTEX_SPEC" > /dev/null; echo done it')

    def _set(self, worker_type: str, lines: str) -> None:
        path = self.home.paths.prompts / f"{worker_type}.md"
        path.write_text(path.read_text().replace("runtime: auto", lines, 1))

    @property
    def questions(self) -> list[str]:
        """What the model was asked, in order."""
        found = sorted(self.folder.glob("question-*"))
        return [path.read_text() for path in found]

    def drop(self, **fields: Any) -> None:
        self.home.drop({"id": "new", "title": "Something new", **fields})

    def told(self, *arguments: str) -> str:
        """What the command line says."""
        answer = subprocess.run(
            [BIN / "cortex", *arguments, "--home", str(self.home.root)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return answer.stdout


def planners(home: LiveHome) -> list[str]:
    return [e["worker_id"] for e in home.events("worker_running") if "planner" in e["worker_id"]]


def test_a_program_that_prints_a_plan_plans_a_task(make_home: MakeHome, tmp_path: Path) -> None:
    planned = Planned(make_home(settings=QUICK), tmp_path / "model", PLAN)
    home = planned.home
    home.start()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "window.py").touch()
    planned.drop(scope={"repository": str(tmp_path / "shop")})
    (row,) = home.until_ended("new")
    assert row["status"] == "completed", row
    assert [step["name"] for step in row["steps"]] == ["look", "tell"]
    assert row["worker_plan"]["total_workers"] == 2
    assert row["planning"] == {
        "status": "accepted",
        "by": "planner-worker",
        "worker_id": "worker-planner-001",
        "reason": "looking comes before telling",
    }
    (question,) = planned.questions
    for told in ("You coordinate a fleet", "Something new", "window.py", '"ProposedStep"'):
        assert told in question
    spec = json.loads((home.folder_of(row["steps"][0]["worker_id"]) / "spec.json").read_text())
    assert spec["scope"]["instructions"] == "look"
    assert spec["command"].startswith("cat"), "its type's own"
    by = "worker-planner-001: looking comes before telling"
    assert by in " ".join(planned.told("why", "new").split())
    assert by in planned.told("describe", "new")
    assert "worker-planner-001" in planned.told("report", "new")
    home.assert_books()
    home.assert_replay_is_published()


def test_an_invalid_plan_is_asked_for_once_more_with_the_reasons(
    make_home: MakeHome, tmp_path: Path
) -> None:
    planned = Planned(make_home(settings=QUICK), tmp_path / "model", WRONG, PLAN)
    planned.home.start()
    planned.drop()
    (row,) = planned.home.until_ended("new")
    assert [step["name"] for step in row["steps"]] == ["look", "tell"]
    assert "workers.0.worker_type: 'wizard-worker' is no worker type here" in planned.questions[1]
    (refused,) = planned.home.events("plan_refused")
    assert refused["worker_id"] == "worker-planner-001"
    planned.home.assert_books()


def test_a_model_that_is_twice_refused_leaves_one_worker_for_the_whole(
    make_home: MakeHome, tmp_path: Path
) -> None:
    planned = Planned(make_home(settings=QUICK), tmp_path / "model", WRONG, "I would rather not.")
    planned.home.start()
    planned.drop()
    (row,) = planned.home.until_ended("new")
    assert row["status"] == "completed", row
    assert [step["worker_type"] for step in row["steps"]] == ["coordinator-worker"]
    assert len(planned.questions) == 2
    assert row["planning"]["status"] == "given up"
    told = " ".join(planned.told("why", "new").split())
    refused = "no plan of a model: the plan of worker-planner-002 is refused"
    assert f"{refused} because plan: is a text" in told
    assert f"{refused}: plan: is a text" in planned.told("describe", "new")


def test_after_two_refused_plans_all_reasons_are_told_and_an_edit_asks_for_a_plan_again(
    make_home: MakeHome, tmp_path: Path
) -> None:
    twice = {"workers": [{"name": name, "worker_type": "wizard"} for name in ("one", "two")]}
    planned = Planned(make_home(settings=QUICK), tmp_path / "model", twice)
    home = planned.home
    path = home.paths.prompts / "coordinator-worker.md"
    path.write_text(path.read_text().replace("command: cat", "runtime: auto\nx_command: cat"))
    home.start()
    planned.drop(scope={"instructions": "look"})
    home.until(lambda: home.task("new").get("blocked_on"), "nobody can do the whole of it")
    told = planned.told("why", "new")
    for number in range(2):
        assert f"workers.{number}.worker_type: 'wizard-worker' is no worker type here" in told
    assert "another `scope`, and a planner-worker is asked for a plan again" in told
    queue = home.read("task-queue")
    rows = [{"id": "new", "scope": {"instructions": "look closely"}}]
    edit = {"kind": "edit", "file": "task-queue.json", "journal_seq": queue["journal_seq"]}
    home.drop({**edit, "tasks": rows})
    home.until(lambda: len(planned.questions) > 2, "a plan is asked for again")


def test_a_planner_is_adopted_by_the_next_daemon_and_asked_once(
    make_home: MakeHome, tmp_path: Path
) -> None:
    planned = Planned(make_home(settings=QUICK), tmp_path / "model", PLAN)
    home, gate = planned.home, tmp_path / "model" / "gate"
    gate.touch()
    home.start()
    planned.drop()
    home.until(lambda: planned.questions and home.until_running("new"), "the model is asked")
    assert home.task("new")["status"] == "planning"
    home.kill()
    home.start()
    assert home.task("new")["status"] == "planning"
    gate.unlink()
    (row,) = home.until_ended("new")
    assert [step["name"] for step in row["steps"]] == ["look", "tell"]
    assert len(planned.questions) == 1
    assert planners(home) == ["worker-planner-001"]
    home.assert_started_once()
    home.assert_books()


def test_a_plan_that_was_made_while_no_daemon_ran_is_taken_up(
    make_home: MakeHome, tmp_path: Path
) -> None:
    planned = Planned(make_home(settings=QUICK), tmp_path / "model", PLAN)
    home, gate = planned.home, tmp_path / "model" / "gate"
    gate.touch()
    home.start()
    planned.drop()
    home.until(lambda: planned.questions and home.running("new"), "the model is asked")
    home.kill()
    gate.unlink()
    home.until(lambda: not home.worker_processes(), "the planner has ended")
    home.start()
    (row,) = home.until_ended("new")
    assert [step["name"] for step in row["steps"]] == ["look", "tell"]
    assert len(planned.questions) == 1
    home.assert_started_once()


def test_a_plan_is_shown_and_waits_for_a_yes_where_tasks_of_its_type_do(
    make_home: MakeHome, tmp_path: Path
) -> None:
    settings = f'{QUICK}[approvals]\ntypes = ["general"]\n'
    planned = Planned(make_home(settings=settings), tmp_path / "model", PLAN)
    home = planned.home
    home.start()
    planned.drop()
    home.until(lambda: home.task("new").get("status") == "awaiting_approval", "it asks")
    row = home.task("new")
    assert [step["name"] for step in row["planning"]["steps"]] == ["look", "tell"]
    shown = planned.told("describe", "new")
    assert "Plan, not begun" in shown
    assert "look" in shown
    planned.told("approve", "new")
    (row,) = home.until_ended("new")
    assert [step["name"] for step in row["steps"]] == ["look", "tell"]
    assert "steps" not in row["planning"]
    assert len(planned.questions) == 1


def test_a_worker_types_own_command_runs_where_nothing_else_names_one(live: LiveHome) -> None:
    path = live.paths.prompts / "spelling-worker.md"
    text = "---\nname: spelling-worker\ncommand: echo no word is wrong\n---\n\nLook.\n"
    live.define(path, text)
    live.drop({"id": "words", "workers": [{"name": "look", "worker_type": "spelling"}]})
    (row,) = live.until_ended("words")
    assert row["status"] == "completed", row
    assert live.workers("completed")[0]["summary"] == "no word is wrong"
