"""Every worker type of the tools runtime on a real daemon: a dropped task, seen by its results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from live_home import LiveHome
from tool_worker import Repository, repository

__all__ = ["repository"]

CODE = """import os
def double( n ):
    return n*2
"""
TEST = """from shop import double


def test_double():
    assert double(2) == 4
"""
SHOP = {
    "README.md": "# The shop, which sells things\n",
    "ruff.toml": 'lint.select = ["F"]\n',
    "shop.py": CODE,
    "test_shop.py": TEST,
}
UNUSED = {"tool": "ruff", "rule": "F401", "severity": "low", "file": "shop.py", "line": 1,
          "title": "unused import", "message": "unused"}  # fmt: skip


def results_of(live: LiveHome, worker_id: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((live.folder_of(worker_id) / "results.json").read_bytes())
    return results


def scope(repository: Repository, **more: Any) -> dict[str, Any]:
    return {"repository": str(repository.root), "python": sys.executable, **more}


@pytest.mark.parametrize(
    "kind", ["test", "review", "fix", "remediation", "refactor", "documentation"]
)
def test_a_task_of_each_type_ends_well_on_the_tools_runtime(
    live: LiveHome, repository: Repository, kind: str
) -> None:
    first = repository.commit({"README.md": "x\n"})
    repository.commit(SHOP)
    more: dict[str, Any] = {"base": first} if kind == "review" else {}
    if kind in ("fix", "remediation"):
        more = {"findings": [UNUSED]}
    task = {"id": "one", "type": kind, "runtime": "tools", "scope": scope(repository, **more)}
    live.drop(task, "one.json")
    (row,) = live.until_ended("one", limit_s=60)
    assert row["status"] == "completed", row
    (worker,) = (w for w in live.workers("completed") if w["worker_type"] == f"{kind}-worker")
    assert worker["tokens_used"] == 0
    results = results_of(live, worker["worker_id"])
    assert results["status"] == "completed", results
    folder = live.folder_of(worker["worker_id"])
    assert "\ncompleted: " in (folder / "log.md").read_text(), "its log says what it did"
    spec = json.loads((folder / "spec.json").read_bytes())
    assert spec["deliverables"]
    for name in [*spec["deliverables"], *results["artifacts"]]:
        assert (folder / "artifacts" / name).stat().st_size > 0
    live.assert_books()


def _blocked(live: LiveHome, ident: str) -> dict[str, Any] | None:
    row = live.task(ident)
    return row if row.get("status") == "blocked" and row.get("blocked_on") else None


@pytest.mark.parametrize("kind", ["test", "review", "fix", "refactor", "pr"])
def test_what_is_missing_blocks_the_task_after_one_attempt_and_is_named(
    live: LiveHome, repository: Repository, kind: str
) -> None:
    repository.commit({"README.md": "# Nothing here\n"})
    task = {
        "id": "one",
        "type": kind,
        "runtime": "tools",
        "scope": {"repository": str(repository.root)},
    }
    live.drop(task, "one.json")
    row = live.until(lambda: _blocked(live, "one"), "it is blocked", 60)
    assert " lacks " in row["blocked_on"]
    (failed,) = live.workers("failed")
    assert "not run: " in failed["error"]
    assert "missing: " in failed["error"]


def test_a_chain_hands_its_branch_on_from_fix_to_tests_to_review_to_pull_request(
    live: LiveHome, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(SHOP)
    before = repository.state()
    steps = [
        {"name": "tidy", "worker_type": "refactor"},
        {"name": "tests", "worker_type": "test", "needs": ["tidy"], "scope": {"must_pass": True}},
        {"name": "review", "worker_type": "review", "needs": ["tidy"]},
        {"name": "pr", "worker_type": "pr", "needs": ["tidy", "tests", "review"]},
    ]
    live.drop({"id": "chain", "title": "Tidy", "workers": steps, "scope": scope(repository)})
    (row,) = live.until_ended("chain", limit_s=90)
    assert row["status"] == "completed", row
    by_type = {
        worker["worker_type"]: results_of(live, worker["worker_id"])
        for worker in live.workers("completed")
    }
    (branch,) = by_type["refactor-worker"]["branches"]
    assert branch["name"] == "cortex/chain/tidy"
    assert by_type["test-worker"]["tests"]["commit"] == branch["head"]
    assert by_type["review-worker"]["change"]["head"] == branch["head"]
    request = by_type["pr-worker"]["pull_request"]
    assert (request["title"], request["state"]) == ("Tidy", "prepared")
    assert repository.state() == before


def test_a_failing_suite_stops_what_needs_it_only_where_tests_must_pass(
    live: LiveHome, repository: Repository
) -> None:
    repository.commit({**SHOP, "test_more.py": "def test_bad():\n    assert False\n"})
    for ident, more in (("report", {}), ("gate", {"must_pass": True})):
        steps = [
            {"name": "tests", "worker_type": "test", "scope": more},
            {"name": "after", "command": "true", "needs": ["tests"]},
        ]
        live.drop({"id": ident, "title": "x", "workers": steps, "scope": scope(repository)})
    report, gate = live.until_ended("report", "gate", limit_s=60)
    assert (report["status"], gate["status"]) == ("completed", "failed")
    assert report["findings"] == {"medium": 1}
    assert "1 failed" in gate["reason"]


def test_options_of_the_types_own_file_count_where_the_task_says_nothing(
    live: LiveHome, repository: Repository
) -> None:
    repository.commit(SHOP)
    path = live.paths.prompts / "test-worker.md"
    text = path.read_text()
    live.drop({"id": "before", "type": "test", "scope": {"repository": str(repository.root)}})
    live.until(lambda: _blocked(live, "before"), "it lacks an environment", 60)
    path.write_text(text.replace("short_type:", f"python: {sys.executable}\nshort_type:", 1))
    live.drop({"id": "after", "type": "test", "scope": {"repository": str(repository.root)}})
    rows = live.until_ended("before", "after", limit_s=60)
    assert [row["status"] for row in rows] == ["completed", "completed"], rows
