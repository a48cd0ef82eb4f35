"""The worker contract and the bounded child processes of the tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cortex.worker.contract import ContractError, Heartbeat, read_worker
from cortex.worker.tools import processes
from cortex.worker.tools.secrets_seen import SecretsSeen, hint_of, is_placeholder
from live_home import pid_and_start


def environment(folder: Path, spec: Any) -> dict[str, str]:
    (folder / "spec.json").write_text(json.dumps(spec))
    return {
        "CORTEX_SPEC": str(folder / "spec.json"),
        "CORTEX_RESULTS": str(folder / "results.json"),
        "CORTEX_INPUTS": str(folder / "inputs"),
    }


def test_a_worker_reads_its_spec_and_writes_its_results(tmp_path: Path) -> None:
    env = environment(tmp_path, {"worker_type": "scan", "worker_id": "worker-scan-001"})
    worker = read_worker(env)
    assert (worker.worker_type, worker.worker_id) == ("scan-worker", "worker-scan-001")
    assert worker.scope == {} and worker.inputs() == {}
    worker.write_artifact("a.json", {"x": 1})
    worker.write_results("completed", "Done.", artifacts=["a.json"])
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["status"], results["summary"]) == ("completed", "Done.")
    assert json.loads((tmp_path / "artifacts" / "a.json").read_text()) == {"x": 1}
    assert not list(tmp_path.rglob("*.tmp"))


def test_inputs_are_read_from_a_folder_or_a_file(tmp_path: Path) -> None:
    env = environment(tmp_path, {})
    (tmp_path / "inputs" / "scan").mkdir(parents=True)
    (tmp_path / "inputs" / "scan" / "results.json").write_text('{"a": 1}')
    (tmp_path / "inputs" / "broken.json").write_text("{")
    assert read_worker(env).inputs() == {"scan/results": {"a": 1}}
    (tmp_path / "one.json").write_text('{"b": 2}')
    env["CORTEX_INPUTS"] = str(tmp_path / "one.json")
    assert read_worker(env).inputs() == {"one": {"b": 2}}


def test_several_inputs_are_read_each_under_its_workers_name(tmp_path: Path) -> None:
    env = environment(tmp_path, {})
    paths = []
    for number in (1, 2, 3):
        folder = tmp_path / f"worker-impl-00{number}"
        folder.mkdir()
        paths.append(str(folder / "results.json"))
        if number != 2:  # a command that wrote none
            (folder / "results.json").write_text(json.dumps({"n": number}))
    env["CORTEX_INPUTS"] = ":".join(paths)
    worker = read_worker(env)
    assert worker.inputs() == {"worker-impl-001": {"n": 1}, "worker-impl-003": {"n": 3}}
    first, silent, last = worker.needed()
    assert (first.name, first.results) == ("worker-impl-001", {"n": 1})
    assert (silent.name, silent.results) == ("worker-impl-002", {})
    assert last.artifacts_dir == tmp_path / "worker-impl-003" / "artifacts"


def test_inputs_of_one_name_hide_none_of_each_other(tmp_path: Path) -> None:
    env = environment(tmp_path, {})
    for day in ("monday", "tuesday"):
        (tmp_path / day / "worker-a").mkdir(parents=True)
        (tmp_path / day / "worker-a" / "results.json").write_text(json.dumps({"day": day}))
    env["CORTEX_INPUTS"] = ":".join(
        str(tmp_path / day / "worker-a" / "results.json") for day in ("monday", "tuesday")
    )
    assert read_worker(env).inputs() == {
        "worker-a": {"day": "monday"},
        "worker-a#2": {"day": "tuesday"},
    }


def test_inputs_go_by_their_steps_names_where_the_spec_has_them(tmp_path: Path) -> None:
    folder = tmp_path / "a:b" / "worker-cmd-007"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"n": 7}')
    silent = tmp_path / "worker-cmd-008"
    silent.mkdir()
    rows = [
        {"step": "models", "worker_id": "worker-cmd-007", "results": f"{folder}/results.json"},
        {"step": "notes", "worker_id": "worker-cmd-008", "results": f"{silent}/results.json"},
    ]
    env = environment(tmp_path, {"inputs": rows})
    env["CORTEX_INPUTS"] = ":".join(row["results"] for row in rows)
    worker = read_worker(env)
    assert worker.inputs() == {"models": {"n": 7}}
    assert [(one.name, one.dir) for one in worker.needed()] == [
        ("models", folder),
        ("notes", silent),
    ]


def test_a_single_input_whose_path_holds_the_separator_is_read(tmp_path: Path) -> None:
    env = environment(tmp_path, {})
    (tmp_path / "a:b").mkdir()
    (tmp_path / "a:b" / "results.json").write_text("{}")
    env["CORTEX_INPUTS"] = str(tmp_path / "a:b" / "results.json")
    assert read_worker(env).inputs() == {"a:b": {}}


@pytest.mark.parametrize("spec", [[], "text", 3])
def test_a_spec_that_is_no_object_is_refused_with_its_path(tmp_path: Path, spec: Any) -> None:
    with pytest.raises(ContractError, match=r"spec\.json"):
        read_worker(environment(tmp_path, spec))


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ContractError, match="CORTEX_SPEC"):
        read_worker({})


def test_a_heartbeat_never_goes_back_and_is_not_written_for_every_call(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.json"
    heartbeat = Heartbeat(path)
    heartbeat.beat(0.5, "half")
    heartbeat.beat(0.6, "more")
    assert json.loads(path.read_text())["message"] == "half"
    heartbeat.beat(0.1, "end", now=True)
    assert json.loads(path.read_text()) == {"tokens_used": 0, "progress": 0.6, "message": "end"}


def test_a_heartbeat_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Heartbeat(tmp_path / "file" / "heartbeat.json").beat(0.1, "x")


def test_the_program_without_a_contract_ends_with_2_and_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cortex.worker.tools"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "CORTEX_SPEC" in done.stderr


def test_starting_the_program_imports_nothing_heavy() -> None:
    code = "import cortex.worker.tools.__main__, cortex.worker.tools.scan, sys; "
    code += (
        "print([m for m in ('pydantic','jsonschema','yaml','bandit','lizard') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def shell(script: str, tmp_path: Path, limit_s: float = 20) -> processes.Outcome:
    env = processes.minimal_environment(tmp_path)
    return processes.run(["/bin/sh", "-c", script], cwd=tmp_path, env=env, limit_s=limit_s)


def test_a_child_past_its_limit_is_ended_with_its_whole_group(tmp_path: Path) -> None:
    outcome = shell("trap '' TERM; sleep 300 & echo $!; wait; sleep 300", tmp_path, limit_s=3)
    assert outcome.problem == "stopped at its limit of 3 s"
    deadline_s = time.monotonic() + 30
    while pid_and_start(int(outcome.stdout)) is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)  # between two looks


def test_a_child_gets_nothing_of_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    outcome = shell("env; echo oops >&2; exit 3", tmp_path)
    assert b"OPENAI" not in outcome.stdout
    assert (outcome.returncode, outcome.stderr, outcome.problem) == (3, b"oops\n", None)


def test_endless_output_is_cut_and_named(tmp_path: Path) -> None:
    outcome = shell("yes", tmp_path)
    assert outcome.problem == "printed more than 64 MiB"


def test_a_program_that_is_not_there_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    outcome = processes.run(["/nowhere/x"], cwd=tmp_path, env={}, limit_s=1)
    assert outcome.returncode is None
    assert outcome.problem is not None


def test_secrets_are_blotted_out_at_any_depth_the_longest_first() -> None:
    seen = SecretsSeen()
    seen.add("abcdef-1234567")
    seen.add("abcdef")
    seen.add("x")
    assert seen.blot({"a": ["q abcdef-1234567 abcdef x"]}) == {
        "a": ["q [secret: abcd…, 14 characters] [secret: 6 characters] x"]
    }


@pytest.mark.parametrize("value", ["None", "changeme", "password_field", "<token>", "${X}", "a b"])
def test_words_and_templates_are_no_secrets(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize("value", ["hunter2", "Tr0ub4dor", "q7Jx0vPz3mWc8LdR"])
def test_random_texts_are_no_placeholders(value: str) -> None:
    assert not is_placeholder(value)
    assert value[4:] not in hint_of(value)
