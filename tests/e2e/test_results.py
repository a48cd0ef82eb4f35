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
    (live.paths.prompts / "survey-worker.md").write_text(TYPE)
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
