"""The main job on a real daemon: several repositories in, one ranked report and its handoff out."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from live_home import LiveHome

SCHEMAS = Path(__file__).parents[2] / "schemas"
VULNERABLE = """import subprocess


def run(command):
    return subprocess.call(command, shell=True)
"""


def check(schema: str, path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes())
    Draft202012Validator(json.loads((SCHEMAS / f"{schema}.schema.json").read_bytes())).validate(
        value
    )
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Copies of real packages; into one of them a command injection is planted."""
    made = []
    for name in ("click", "filelock", "packaging"):
        found = find_spec(name)
        assert found is not None and found.origin is not None
        target = tmp_path_factory.mktemp("src") / name
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(Path(found.origin).parent, target, ignore=ignore)
        made.append(target)
    (made[1] / "planted.py").write_text(VULNERABLE)
    return made


def scan_task(repositories: list[Path]) -> dict[str, Any]:
    return {
        "title": "Fleet scan",
        "type": "security-scan",
        "scope": {"repositories": [str(path) for path in repositories]},
    }


def test_three_repositories_become_one_report_follow_ups_and_one_accepted_handoff(
    live: LiveHome, repositories: list[Path]
) -> None:
    full = live.read("token-budget")
    live.drop(scan_task(repositories), "scan.json")
    (row,) = live.until_ended("task-001", limit_s=90)
    assert row["status"] == "completed", row

    story = [event for line in live.lines() for event in line.events]
    starts = [event for event in story if event["event"] == "worker_spawning"]
    assert [e["worker_id"] for e in starts] == [f"worker-scan-00{n}" for n in (1, 2, 3)]
    first_end = next(n for n, event in enumerate(story) if event["event"] == "worker_ended")
    assert all(event in story[:first_end] for event in starts), "started at once"

    report = live.report_of("task-001")
    assert row["result_location"] == str(report.relative_to(live.root))
    files = {path.name for path in report.iterdir()}
    assert files == {"report.md", "findings.json", "findings.sarif", "worker_results.json"}
    findings = check("findings", report / "findings.json")["findings"]
    ranks = ["critical", "high", "medium", "low", "info"]
    order = [ranks.index(finding["severity"]) for finding in findings]
    assert order == sorted(order)
    assert any(f["file"] == "planted.py" and f["line"] == 5 for f in findings)
    assert row["findings"] == {
        name: order.count(n) for n, name in enumerate(ranks) if order.count(n)
    }
    sarif = json.loads((report / "findings.sarif").read_bytes())
    assert sum(len(run["results"]) for run in sarif["runs"]) == len(findings)
    results = json.loads((report / "worker_results.json").read_bytes())["worker_results"]
    assert [result["status"] for result in results] == ["completed"] * 3
    assert "planted.py" in (report / "report.md").read_text()

    (handoff,) = live.read("handoffs")["handoffs"]
    assert handoff["status"] == "accepted"
    assert (handoff["task_id"], handoff["source_task"]) == ("task-002", "task-001")
    assert row["handoff_id"] == handoff["handoff_id"]
    live.until(lambda: live.task("task-002").get("status") == "blocked", "the parent is blocked")
    parent = live.task("task-002")
    children = [live.task(ident) for ident in parent["children"]]
    assert children
    for child in children:
        assert (child["status"], child["parent"]) == ("blocked", "task-002")
        assert "agent" in child["blocked_on"], "says what is missing"
    assert row["follow_ups"] == ["task-002"]

    after = live.assert_books()
    assert after["worker_pool"] == full["worker_pool"]
    for name in ("task-queue", "worker-pool", "token-budget", "handoffs", "schedules"):
        check(name, live.paths.coordination / f"{name}.json")
    for worker in starts:
        folder = live.folder_of(worker["worker_id"])
        check("worker-spec", folder / "spec.json")
        check("results", folder / "results.json")
    live.assert_replay_is_published()
    assert live.worker_processes() == []


def test_a_second_identical_drop_links_to_the_open_fix_tasks(
    live: LiveHome, repositories: list[Path]
) -> None:
    job = scan_task(repositories[1:2])
    live.drop(job, "scan.json")
    live.until_ended("task-001", limit_s=60)
    live.until_idle()
    made = {row["id"] for row in live.tasks()}
    children = set(live.task(live.task("task-001")["follow_ups"][0])["children"])
    live.drop(job, "scan.json")
    again = live.until(
        lambda: next((row for row in live.tasks() if row["id"] not in made), None), "a new task"
    )
    assert again is not None
    (row,) = live.until_ended(again["id"], limit_s=60)
    assert row["status"] == "completed"
    assert set(row["follow_ups"]) == children, "linked, not filed again"
    assert {row["id"] for row in live.tasks()} == made | {again["id"]}
    assert len(live.read("handoffs")["handoffs"]) == 1


def test_the_same_repository_gives_the_same_findings_whatever_the_order(
    live: LiveHome, repositories: list[Path]
) -> None:
    job = scan_task(repositories[:2])
    live.drop({**job, "id": "one"}, "one.json")
    live.drop({**job, "id": "two", "max_parallel": 1}, "two.json")
    live.until_ended("one", "two", limit_s=90)
    one, two = (
        json.loads((live.report_of(ident) / "findings.json").read_bytes())["findings"]
        for ident in ("one", "two")
    )
    assert one == two


def test_a_repository_that_is_not_there_fails_its_step_and_says_which(
    live: LiveHome, tmp_path: Path
) -> None:
    job = scan_task([tmp_path / "nowhere"])
    live.drop({**job, "retries": 0})
    (row,) = live.until_ended("task-001")
    assert row["status"] == "failed"
    assert "nowhere" in row["reason"]
    live.assert_books()
