"""Results that do not fit their type's schema are refused, retried with the reason, and told."""

from __future__ import annotations

from live_home import LiveHome

TYPE = """---
name: survey-worker
results_schema:
  type: object
  required: [answer]
  properties: {answer: {type: integer}}
---
Answer.
"""


def results(answer: str) -> str:
    return f'echo \'{{"status": "completed", "answer": {answer}}}\' > $CORTEX_RESULTS'


def test_results_are_held_against_the_schema_of_their_type(live: LiveHome) -> None:
    live.define(live.paths.prompts / "survey-worker.md", TYPE)
    steps = [
        {"name": "right", "worker_type": "survey", "command": results("42")},
        {"name": "wrong", "worker_type": "survey", "command": results('"x"'), "retries": 0},
    ]
    live.drop({"id": "ask", "title": "Ask", "workers": steps})
    (row,) = live.until_ended("ask")
    assert row["status"] == "failed"
    ended = {event["worker_id"]: event for event in live.events("worker_ended")}
    assert sorted(event["status"] for event in ended.values()) == ["completed", "failed"]
    reason = next(event["reason"] for event in ended.values() if event["status"] == "failed")
    assert reason == "results refused: results.json: answer: 'x' is not of type 'integer'"


def test_a_command_in_a_built_in_types_place_answers_by_the_contract_alone(live: LiveHome) -> None:
    says = 'echo \'{"status": "STATUS", "summary": "x"}\' > $CORTEX_RESULTS'
    for name, command in (
        ("silent", "true"),
        ("plain", says.replace("STATUS", "completed")),
        ("wrong", says.replace("STATUS", "fine")),
    ):
        step = {"name": "main", "worker_type": "test", "command": command, "retries": 0}
        live.drop({"id": name, "title": name, "workers": [step]})
    rows = live.until_ended("silent", "plain", "wrong")
    assert [row["status"] for row in rows] == ["completed", "completed", "failed"]
    assert "status" in rows[2]["reason"]


def test_a_users_own_type_gets_its_deliverables_from_a_command_too(live: LiveHome) -> None:
    text = "---\nname: list-worker\ndeliverables: [list.txt]\n---\nMake a list.\n"
    live.define(live.paths.prompts / "list-worker.md", text)
    done = 'echo \'{"status": "completed"}\' > $CORTEX_RESULTS'
    for name, command in (
        ("silent", "true"),
        ("empty", done),
        ("full", f"echo 1 > $CORTEX_ARTIFACTS/list.txt; {done}"),
    ):
        step = {"name": "main", "worker_type": "list", "command": command, "retries": 0}
        live.drop({"id": name, "title": name, "workers": [step]})
    rows = live.until_ended("silent", "empty", "full")
    assert [row["status"] for row in rows] == ["failed", "failed", "completed"]
    assert "no results.json, as its type demands" in rows[0]["reason"]
    assert "deliverables missing from artifacts/: list.txt" in rows[1]["reason"]


def test_a_type_that_is_made_for_commands_demands_what_its_schema_says(live: LiveHome) -> None:
    text = TYPE.replace("name: survey-worker", "name: survey-worker\nruntime: command")
    live.define(live.paths.prompts / "survey-worker.md", text)
    step = {"name": "main", "worker_type": "survey", "command": "true", "retries": 0}
    live.drop({"id": "ask", "title": "Ask", "workers": [step]})
    (row,) = live.until_ended("ask")
    assert "wrote no results.json, as its type demands" in row["reason"]


def test_a_schema_takes_nothing_back_of_what_the_contract_demands(live: LiveHome) -> None:
    live.define(live.paths.prompts / "survey-worker.md", TYPE)
    command = 'echo \'{"status": "fine", "answer": 42}\' > $CORTEX_RESULTS'
    step = {"name": "main", "worker_type": "survey", "command": command, "retries": 0}
    live.drop({"id": "ask", "title": "Ask", "workers": [step]})
    (row,) = live.until_ended("ask")
    assert "results.json: status is 'fine'" in row["reason"]
