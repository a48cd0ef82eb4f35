"""The planner program: what it asks a model, and what it makes of the answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.deciding import builtin_catalog

from cortex.decide.planning import plan_context
from cortex.decide.proposals import judge
from cortex.model.errors import ModelError
from cortex.model.seams import Model, ModelRequest
from cortex.model.settings import Settings
from cortex.model.state import Planning, Step, Task
from cortex.testing import FakeModel
from cortex.worker.contract import read_worker
from cortex.worker.planner import ask, plan_in
from cortex.worker.program_model import ProgramModel

PLAN = {"reason": "small", "workers": [{"name": "a", "worker_type": "implementation-worker"}]}


def task_in(folder: Path) -> Task:
    task = Task("task-001", "A shop window", "feature", "high", "2025-11-01T00:00:00Z")
    task.assigned_to = "development-master"
    task.scope = {"repository": str(folder / "shop")}
    task.planning = Planning(Step("(plan)", "planner-worker"))
    return task


def environment(folder: Path, **context: Any) -> dict[str, str]:
    """A worker's environment whose spec asks for a plan of a task on a real repository."""
    (folder / "shop" / "src").mkdir(parents=True)
    (folder / "shop" / "README.md").write_text("a shop")
    task = task_in(folder)
    spec = {
        "worker_id": "worker-planner-001",
        "worker_type": "planner-worker",
        "token_budget": 3000,
        "scope": {"repositories": [str(folder / "shop")]},
        "context": {**plan_context(task, builtin_catalog(), Settings()), **context},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return {
        "CORTEX_SPEC": str(folder / "spec.json"),
        "CORTEX_RESULTS": str(folder / "results.json"),
        "CORTEX_HEARTBEAT": str(folder / "heartbeat.json"),
    }


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def asked(folder: Path, model: Model, **context: Any) -> dict[str, Any]:
    """What the planner hands in that asks this model."""
    assert ask(read_worker(environment(folder, **context)), model) == 0
    return results(folder)


def test_the_question_has_the_masters_words_the_task_what_lies_there_and_the_schema(
    tmp_path: Path,
) -> None:
    model = FakeModel([PLAN])
    said = asked(tmp_path, model, refused=["workers.0.name: is missing"])
    assert said["plan"] == PLAN
    assert said["summary"] == "a plan of 1 step"
    (request,) = model.requests
    assert request.system.startswith("You turn intentions into merged, tested code")
    assert request.output_tokens_at_most == 3000
    for told in ("A shop window", "README.md, src/", "implementation-worker (at most 10000 tokens",
                 "at most 50 steps", "workers.0.name: is missing", '"ProposedStep"'):  # fmt: skip
        assert told in request.prompt
    assert said["tokens_used"] == len(request.prompt) // 4 + len(json.dumps(PLAN)) // 4


def test_the_schema_offers_only_what_a_plan_of_the_task_may_say(tmp_path: Path) -> None:
    model = FakeModel([PLAN])
    asked(tmp_path, model)
    schema = model.requests[0].schema
    assert schema is not None
    step = schema["$defs"]["ProposedStep"]["properties"]
    assert "scan-worker" not in step["worker_type"]["enum"]
    assert "command" not in step
    repository = schema["$defs"]["ProposedScope"]["properties"]["repository"]
    assert repository["enum"] == [str(tmp_path / "shop"), None]


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(PLAN),
        f"Here it is:\n```json\n{json.dumps(PLAN, indent=2)}\n```\nGood luck!",
        f'As {{you}} asked: {{"note": 1}} and {json.dumps(PLAN)}',
    ],
)
def test_a_plan_is_found_in_what_a_model_says_around_it(answer: str) -> None:
    assert plan_in(answer) == PLAN


@pytest.mark.parametrize("answer", ["", "no", '{"workers": [', "{" * 100_000, '{"workers": NaN}'])
def test_an_answer_without_a_plan_is_handed_in_as_text(answer: str) -> None:
    assert plan_in(answer) == answer[:2000]


@pytest.mark.parametrize("permanent", [True, False])
def test_a_model_that_does_not_answer_is_a_failure_with_its_words(
    tmp_path: Path, permanent: bool
) -> None:
    model = FakeModel([ModelError("it is closed", permanent=permanent)])
    assert ask(read_worker(environment(tmp_path)), model) == 1
    said = results(tmp_path)
    assert (said["status"], said["error"], said["permanent"]) == (
        "failed",
        "it is closed",
        permanent,
    )


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The program itself, started as a worker."""
    return subprocess.run(
        [sys.executable, "-m", "cortex.worker.planner", *argv],
        env={**environment(folder), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_model_the_program_says_what_to_configure(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 1
    said = results(tmp_path)
    assert said["permanent"]
    assert "no model is configured: give the planner's worker type a `command`" in said["error"]


def test_a_program_that_prints_a_plan_is_a_model(tmp_path: Path) -> None:
    script = f"grep -q 'A shop window' && echo '{json.dumps(PLAN)}'"
    assert run(tmp_path, "/bin/sh", "-c", script).returncode == 0
    assert results(tmp_path)["plan"] == PLAN


def test_a_program_that_keeps_the_contract_itself_is_left_to_it(tmp_path: Path) -> None:
    mine = {"status": "completed", "summary": "mine", "tokens_used": 77, "plan": PLAN}
    script = f"echo '{json.dumps(mine)}' > \"$CORTEX_RESULTS\"; echo done"
    assert run(tmp_path, "/bin/sh", "-c", script).returncode == 0
    assert results(tmp_path) == mine


@pytest.mark.parametrize(
    ("argv", "error", "permanent"),
    [
        (["/nowhere/model"], "/nowhere/model cannot be started: No such file", True),
        (["/bin/sh", "-c", "exit 3"], "/bin/sh ended with exit 3", False),
        (["/bin/sh", "-c", "kill -9 $$"], "/bin/sh ended with signal 9", False),
        (["/bin/sh", "-c", "yes | head -c 2000000"], "printed more than 1048576 bytes", False),
    ],
)
def test_a_program_that_does_not_answer_is_told_as_that(
    tmp_path: Path, argv: list[str], error: str, permanent: bool
) -> None:
    assert ask(read_worker(environment(tmp_path)), ProgramModel(argv)) == 1
    said = results(tmp_path)
    assert error in said["error"]
    assert said["permanent"] == permanent


def word(model: FakeModel, request: ModelRequest) -> str | None:
    """What a model says; None for an error."""
    try:
        return model.complete(request).text
    except ModelError:
        return None


def test_a_made_up_model_says_plans_that_fit_and_such_that_do_not(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    schema = plan_context(task, builtin_catalog(), Settings())["plan"]["schema"]
    request = ModelRequest("", "a question", schema, 3000)
    model, same = FakeModel(seed=3), FakeModel(seed=3)
    outcomes = {"accepted": 0, "refused": 0, "error": 0}
    for _ in range(100):
        said = word(model, request)
        assert said == word(same, request)
        if said is None:
            outcomes["error"] += 1
            continue
        judged = judge(task, plan_in(said), builtin_catalog(), Settings())
        outcomes["refused" if judged.problems else "accepted"] += 1
    assert min(outcomes.values()) > 0
    assert outcomes["accepted"] > 30


def test_a_program_that_leaves_something_running_has_answered_when_it_ends() -> None:
    model = ProgramModel(["/bin/sh", "-c", "cat; sleep 50 & exit 0"])
    started_s = time.monotonic()
    answer = model.complete(ModelRequest("S", "P" * 500_000, {}, 3000))
    assert time.monotonic() - started_s < 20
    assert answer.text == "S\n\n" + "P" * 500_000 + "\n"


def test_a_name_of_another_encoding_in_the_repository_does_not_end_the_question(
    tmp_path: Path,
) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(PLAN))
    env = environment(tmp_path)
    (tmp_path / "shop" / "caf\udce9.txt").write_text("x")
    done = subprocess.run(
        [sys.executable, "-m", "cortex.worker.planner", "cat", str(answer)],
        env={**env, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert results(tmp_path)["plan"] == PLAN


def test_a_program_that_prints_without_end_is_ended_once_it_is_too_much() -> None:
    program = "import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 30, 1 << 30))\n"
    program += "from cortex.worker.program_model import ProgramModel\n"
    program += "from cortex.model.seams import ModelRequest\n"
    program += "ProgramModel(['yes']).complete(ModelRequest('', 'a plan', None, 9))\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert "yes printed more than 1048576 bytes" in done.stderr, done.stderr[-500:]
