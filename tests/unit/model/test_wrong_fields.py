"""What is said of wrong fields: each once, in plain words, whatever the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cortex.model.definitions import read_master, read_worker_type
from cortex.model.errors import DefinitionError, RequestError, SettingsError
from cortex.model.proposals import read_proposal
from cortex.model.requests import TaskRequest, parse_request
from cortex.model.settings import load_settings
from cortex.model.wrong_fields import FIELDS_AT_MOST, wrong_fields
from cortex.model.yaml_words import yaml_words


def of_task(**fields: Any) -> list[str]:
    data = {"title": "t", **fields}
    with pytest.raises(ValidationError) as refused:
        TaskRequest.model_validate(data)
    return [str(one) for one in wrong_fields(refused.value, TaskRequest, data)]


def of_master(front: str) -> list[tuple[int | None, str]]:
    with pytest.raises(DefinitionError) as refused:
        read_master(f"---\n{front}\n---\n", Path("m.md"))
    return [(one.line, str(one)) for one in refused.value.wrong]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"retries": "x"}, "retries: must be a whole number, is the text 'x'"),
        (
            {"retries": "2"},
            "retries: must be a whole number, is the text '2'; leave out the quotes",
        ),
        ({"retries": None, "hold": 5}, "hold: must be true or false, is the number 5"),
        ({"id": 5}, "id: must be a text, is the number 5; put it in quotes"),
        ({"env": {"A": True}}, "env.A: must be a text, is true; put it in quotes"),
        ({"needs": "a"}, "needs: must be a list, is the text 'a'; write [\"a\"]"),
        ({"scope": []}, "scope: must be an object with keys, is a list"),
        ({"priority": "hihg"}, "is the text 'hihg'; did you mean high?"),
        ({"max_parallel": 0}, "max_parallel: must be at least 1, is the number 0"),
        ({"max_parallel": 10**500}, "must be at most 1000, is a very large number"),
        ({"title": ""}, "title: is empty; write something, or leave it out"),
        ({"title": "x" * 501}, "has 501 characters, and at most 500 may be there"),
        ({"scope": {"repositories": []}}, "is empty; name at least one, or leave it out"),
        ({"workers": [{"command": "x"}]}, "workers.0.name: is missing; add it"),
        ({"workers": [{"name": "a", "zzz": 1}]}, "workers.0.zzz: no such key; known here: name, "),
        ({"command": 5}, "command: must be a list or a text, is the number 5"),
        ({"command": ["a", 5]}, "command.1: must be a text, is the number 5; put it in quotes"),
        (
            {"workers": [{"name": "a", "needs": ["b"]}]},
            "workers.0.needs: 'a' needs 'b', which is not in the plan",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_field_says_what_must_be_there_what_is_and_what_to_do(
    fields: dict[str, Any], says: str
) -> None:
    (said,) = of_task(**fields)
    assert says in said


def test_a_key_that_is_missing_under_a_misspelt_name_is_told_once() -> None:
    assert of_task(workers=[{"nmae": "a"}]) == ["workers.0.nmae: no such key; did you mean name?"]


def test_very_many_wrong_fields_are_bounded_and_counted() -> None:
    said = of_task(needs=[5] * 500)
    assert len(said) == FIELDS_AT_MOST + 1
    assert said[-1] == f"{500 - FIELDS_AT_MOST} more fields are wrong"


def test_all_wrong_fields_of_a_file_are_told_each_with_its_line() -> None:
    front = """name: greeter
limits: {max_paralell: 2}
budget:
  allocated: lots
plans:
  - types: [x]
    steps:
      - {name: a, worker_type: scan, timeout: soon}
      - {name: b, worker_type: scan, scope: {paths: [/etc], scan_types: [viruses]}}"""
    assert of_master(front) == [
        (3, "limits.max_paralell: no such key; did you mean max_parallel?"),
        (5, "budget.allocated: must be a whole number, is the text 'lots'"),
        (9, "plans.0.steps.0.timeout: 'soon' is not a duration; write it like 90s, 15m or 1h30m"),
        (
            10,
            "plans.0.steps.1.scope.scan_types.0: must be 'dependencies', 'vulnerabilities' or "
            "'secrets', is the text 'viruses'",
        ),
    ]


def test_of_very_many_wrong_fields_of_a_file_the_first_is_named() -> None:
    front = "name: m\n" + "\n".join(f"bad{n}: {n}" for n in range(FIELDS_AT_MOST + 5))
    said = of_master(front)
    assert said[0][0] == 3 and said[0][1].startswith("bad0: no such key")
    assert said[-1][1] == "5 more fields are wrong"


def test_steps_that_make_no_plan_are_told_all_at_once() -> None:
    front = """name: m
spawns: [test]
plans:
  - types: [x]
    steps:
      - {name: a, worker_type: scan, needs: [z]}
      - {name: a, worker_type: test, needs: [y]}"""
    assert [(line, text.partition(": ")[0]) for line, text in of_master(front)] == [
        (7, "plans.0.steps.0.needs"),
        (8, "plans.0.steps.1.name"),
        (8, "plans.0.steps.1.needs"),
    ]
    fitting = (
        front.replace("[z]", "[]")
        .replace("[y]", "[]")
        .replace("a, worker_type: t", "b, worker_type: t")
    )
    assert of_master(fitting) == [
        (7, "plans.0.steps.0.worker_type: scan-worker is not among its `spawns`; add it there")
    ]


def test_the_first_problem_stands_for_a_file_and_says_how_many_more_there_are() -> None:
    text = "---\nname: w\ntimeout: soon\nretries: x\n---\n"
    with pytest.raises(DefinitionError) as refused:
        read_worker_type(text, Path("w.md"))
    assert str(refused.value).startswith("w.md:3: timeout: 'soon' is not a duration")
    assert str(refused.value).endswith("(and 1 more in this file)")


def test_a_prompt_among_the_keys_of_a_master_is_not_lost_without_a_word() -> None:
    ((line, said),) = of_master("name: m\nprompt: You greet.")
    assert (line, said.partition(";")[0]) == (3, "prompt: no such key")
    assert "below the front matter" in said


def test_requests_settings_and_plans_speak_alike(tmp_path: Path) -> None:
    said = "must be a whole number, is the text 'x'"
    with pytest.raises(RequestError) as refused:
        parse_request({"title": "t", "retries": "x", "workers": [{"name": "a", "zz": 1}]})
    assert (refused.value.field, refused.value.message) == ("retries", said)
    assert len(refused.value.wrong) == 2
    (tmp_path / "cortex.toml").write_text("[limits]\ntools = 'x'\n[limits.per_type]\nscan = 0\n")
    with pytest.raises(SettingsError) as not_set:
        load_settings(tmp_path / "cortex.toml", {})
    assert [str(one) for one in not_set.value.wrong] == [
        f"limits.tools: {said}",
        "limits.per_type.scan-worker: must be at least 1, is the number 0",
    ]
    _, reasons = read_proposal({"workers": [{"name": "a", "worker_type": "scan", "needs": 5}]})
    assert reasons == ["workers.0.needs: must be a list, is the number 5"]


def test_toml_that_cannot_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cortex.toml"
    for text, line in (("[limits]\ntools = \n", 2), (f"[budget]\ntotal = {'9' * 5000}\n", None)):
        path.write_text(text)
        with pytest.raises(SettingsError) as refused:
            load_settings(path, {})
        (wrong,) = refused.value.wrong
        assert (wrong.line, wrong.message[:15]) == (line, "not valid TOML:")


@pytest.mark.parametrize(
    ("front", "line", "says"),
    [
        ("name: a\nplans:\n  - types: [x]\n    why: a: b", 5, "a second `: ` on one line"),
        ("name: a\nroutes:\n\t- a", 4, "a tab; indent with spaces"),
        ("name: a\nroutes: [a, b", 3, "a list that is not closed with ]"),
        ("name: a\nbudget: {allocated: 5", 3, "an object that is not closed with }"),
        ("name: a\nroutes:\n  - a\n - b", 5, "look at how they are indented"),
        ('name: a\nbudget:\n  "allocated: 5', 4, "a quote that is not closed"),
    ],
)
def test_yaml_that_cannot_be_read_is_told_in_plain_words(front: str, line: int, says: str) -> None:
    ((found, said),) = of_master(front)
    assert (says in said, found) == (True, line), said


def test_what_a_parser_says_and_nobody_foresaw_stays_as_it_is() -> None:
    assert yaml_words("found a new thing") == "found a new thing"
    assert yaml_words(None) == "not valid YAML"
