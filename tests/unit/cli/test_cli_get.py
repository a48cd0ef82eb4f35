"""`cortex get` and `cortex budget`: what is listed, in which form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex.cli.kinds import KINDS


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


@pytest.mark.parametrize("word", ["tasks", "task", "t", "TASKS"])
def test_tasks_are_listed_under_any_of_their_names(cortex: Any, word: str) -> None:
    ran = cortex("get", word)
    assert ran.code == 0
    assert first_words(ran.out) == ["ID", "task-001", "task-002", "tests-nightly"]
    assert "security-scan" in ran.out
    assert "1/4" in ran.out


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_can_be_listed_in_every_form(cortex: Any, kind: str) -> None:
    for form in ([], ["-o", "wide"], ["-o", "json"], ["-o", "yaml"], ["-o", "name"]):
        ran = cortex("get", kind, *form)
        assert ran.code == 0, ran.err
        if form == ["-o", "json"]:
            assert isinstance(json.loads(ran.out), list)
        if form == ["-o", "yaml"]:
            assert isinstance(yaml.safe_load(ran.out), list)


def test_no_names_collide_between_kinds() -> None:
    names = [word for kind in KINDS for word in (kind.name, *kind.aliases)] + ["budget", "b"]
    assert len(names) == len(set(names))


def test_without_a_daemon_one_line_on_stderr_says_so(cortex: Any, sample: Any) -> None:
    ran = cortex("get", "tasks")
    assert ran.err.count("\n") == 1
    assert "no daemon runs" in ran.err


def test_with_a_daemon_nothing_is_said(
    cortex: Any, sample: Any, run_daemon: Callable[[Path], None]
) -> None:
    run_daemon(sample.root)
    assert cortex("get", "tasks").err == ""


def test_one_thing_as_json_is_the_row_of_the_document(cortex: Any, sample: Any) -> None:
    queue = json.loads(sample.paths.task_queue.read_bytes())
    assert json.loads(cortex("get", "task", "task-001", "-o", "json").out) == queue["tasks"][0]
    assert json.loads(cortex("get", "task-001", "-o", "json").out) == queue["tasks"][0]


def test_rows_can_be_chosen_by_status_and_task(cortex: Any) -> None:
    chosen = cortex("get", "workers", "--status", "running,queued", "-o", "name").out.split()
    assert sorted(chosen) == ["worker-scan-002", "worker-scan-003"]
    assert cortex("get", "tasks", "--status", "ended", "-o", "name").out == "tests-nightly\n"
    assert cortex("get", "workers", "--task", "task-002", "-o", "name").out == ""


def test_a_status_that_nothing_can_have_is_a_usage_error_that_names_the_others(
    cortex: Any,
) -> None:
    ran = cortex("get", "tasks", "-s", "flying")
    assert (ran.code, ran.out) == (2, "")
    assert "'flying'" in ran.err
    assert "in_progress" in ran.err


def test_choosing_nothing_does_not_say_that_there_is_nothing_yet(cortex: Any) -> None:
    for arguments in (("tasks", "-s", "paused"), ("workers", "--task", "task-002")):
        ran = cortex("get", *arguments)
        assert (ran.code, ran.out) == (0, "")
        assert "yet" not in ran.err
        assert f"no {arguments[0]}" in ran.err
        assert arguments[2] in ran.err


def test_rows_of_an_unknown_task_are_a_failure_that_names_it(cortex: Any) -> None:
    ran = cortex("get", "workers", "--task", "task-404")
    assert ran.code == 1
    assert "task-404" in ran.err


def test_priorities_sort_by_urgency_and_a_wrong_field_is_a_usage_error(cortex: Any) -> None:
    assert cortex("get", "tasks", "--sort", "priority", "-o", "name").out.startswith("task-001")
    assert cortex("get", "tasks", "--sort", "-id", "-o", "name").out.startswith("tests-nightly")
    ran = cortex("get", "tasks", "--sort", "colour")
    assert ran.code == 2
    assert "colour" in ran.err


def test_archived_rows_are_listed_when_they_are_asked_for(cortex: Any, sample: Any) -> None:
    row = {"id": "task-0001", "title": "old", "status": "completed"}
    entry = {"kind": "task", "id": "task-0001", "row": row}
    (sample.paths.archive / "2025-10-01.jsonl").write_text(json.dumps(entry) + "\n")
    assert "task-0001" not in cortex("get", "tasks").out
    assert "task-0001" in cortex("get", "tasks", "--all").out
    assert "task-0001" in cortex("get", "task", "task-0001").out


def test_an_unknown_kind_says_what_was_perhaps_meant(cortex: Any) -> None:
    ran = cortex("get", "taks")
    assert ran.code == 2
    assert "did you mean 'task" in ran.err


def test_an_unknown_id_is_a_failure_that_names_it(cortex: Any) -> None:
    ran = cortex("get", "task", "task-404")
    assert ran.code == 1
    assert "task-404" in ran.err


def test_no_control_character_of_a_worker_reaches_the_terminal(
    cortex: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for arguments in (("get", "workers"), ("describe", "worker-scan-002"), ("top", "--once")):
        ran = cortex(*arguments)
        assert "\x1b[31m" not in ran.out
        assert "\\x1b[31mfiles" in ran.out


def test_a_fresh_home_says_that_there_is_nothing_yet(
    cortex: Any, tmp_path: Path, sample: Any
) -> None:
    cortex("init", str(tmp_path / "fresh"))
    ran = cortex("--home", str(tmp_path / "fresh"), "get", "tasks")
    assert (ran.code, ran.out) == (0, "")
    assert "no tasks yet" in ran.err


def test_the_budget_balances_in_what_is_shown(cortex: Any) -> None:
    lines = cortex("get", "budget").out.splitlines()
    numbers = [[int(word.replace(",", "")) for word in line.split()[-4:]] for line in lines[1:7]]
    total, reserved, used, free = (sum(row[column] for row in numbers[:-1]) for column in range(4))
    assert numbers[-1] == [total, reserved, used, free]
    assert total == reserved + used + free == 200_000
    assert cortex("budget").out.splitlines()[:7] == lines[:7]


def test_watching_without_a_daemon_ends_with_its_own_exit_code(cortex: Any) -> None:
    assert cortex("get", "tasks", "--watch").code == 4
    assert cortex("budget", "--watch").code == 4
