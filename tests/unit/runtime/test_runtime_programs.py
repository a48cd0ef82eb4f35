"""The worker's environment and the runtimes table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cortex.runtime.environment import worker_environment
from cortex.runtime.table import RUNTIMES, runtime_infos

DAEMON = {"PATH": "/bin", "LANG": "de_DE.UTF-8", "OPENAI_API_KEY": "secret", "CORTEX_X": "y"}


def environment(**changes: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "worker_id": "worker-scan-001",
        "task_id": "task-001",
        "attempt": 2,
        "worker_dir": "/h/w",
        "daemon_env": DAEMON,
    }
    return worker_environment(**{**values, **changes})


def test_a_worker_sees_the_contract_and_nothing_else_of_the_daemon() -> None:
    assert environment() == {
        "PATH": "/bin",
        "LANG": "de_DE.UTF-8",
        "HOME": "/h/w/home",
        "CORTEX_WORKER_ID": "worker-scan-001",
        "CORTEX_TASK_ID": "task-001",
        "CORTEX_ATTEMPT": "2",
        "CORTEX_SPEC": "/h/w/spec.json",
        "CORTEX_WORKER_DIR": "/h/w",
        "CORTEX_RESULTS": "/h/w/results.json",
        "CORTEX_ARTIFACTS": "/h/w/artifacts",
        "CORTEX_HEARTBEAT": "/h/w/heartbeat.json",
    }


def test_named_variables_gateway_and_inputs_are_added() -> None:
    env = environment(named={"A": "1"}, gateway={"OPENAI_API_KEY": "own"}, inputs="/h/in")
    assert (env["A"], env["OPENAI_API_KEY"], env["CORTEX_INPUTS"]) == ("1", "own", "/h/in")


def test_paths_of_the_scope_are_a_variable_as_far_as_one_can_hold_them() -> None:
    assert environment(paths=["src", "a b"])["CORTEX_PATHS"] == "src:a b"
    for others in ([], ["src/" + "x" * 100] * 1000):
        assert "CORTEX_PATHS" not in environment(paths=others)


@pytest.mark.parametrize(
    ("name", "value"), [("CORTEX_WORKER_ID", "x"), ("a-b", "x"), ("", "x"), ("A", "x\0y")]
)
def test_a_variable_that_cannot_be_passed_on_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"env"):
        environment(named={name: value})


def test_a_command_is_a_list_or_a_line_for_the_shell(tmp_path: Path) -> None:
    program = RUNTIMES["command"].program
    assert program({"command": ["make", "test"]}).argv == ("make", "test")
    assert program({"command": "make test"}).argv == ("/bin/sh", "-c", "make test")
    assert program({"scope": {"command": "ls"}}).argv == ("/bin/sh", "-c", "ls")
    there = program({"command": "ls", "scope": {"repository": str(tmp_path)}})
    assert there.cwd == str(tmp_path)
    assert program({"command": "ls"}).cwd is None


@pytest.mark.parametrize("repository", ["https://x/y.git", "owner/name", "/no/such", "/x\0y", 7])
def test_a_command_never_runs_elsewhere_than_in_its_repository(repository: Any) -> None:
    with pytest.raises(ValueError, match=r"^scope\.repository: .* no folder here"):
        RUNTIMES["command"].program({"command": "ls", "scope": {"repository": repository}})


@pytest.mark.parametrize("command", [None, "", " ", [], ["a", 1], {"a": 1}, ["a\0b"]])
def test_a_command_that_names_no_program_is_refused_by_field(command: Any) -> None:
    with pytest.raises(ValueError, match=r"^command: "):
        RUNTIMES["command"].program({"command": command})


def test_tools_run_with_this_interpreter_and_its_analyzers_on_the_path() -> None:
    program = RUNTIMES["tools"].program({})
    assert program.argv == (sys.executable, "-m", "cortex.worker.tools")
    assert program.env["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert not runtime_infos()["tools"].uses_tokens
