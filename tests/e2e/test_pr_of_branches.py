"""A pr task of its own, without a step that makes a branch: it proposes one that is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live_home import LiveHome
from tool_worker import Answer, Repository, git, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]
LIMIT_S = 60.0


@pytest.fixture
def shop(repository: Repository) -> Repository:
    """`main` has gone on since `topic` began, which has two commits."""
    repository.commit({"a.txt": "1\n"})
    repository.git("checkout", "--quiet", "-b", "topic")
    repository.commit({"b.txt": "2\n"}, "Add b")
    repository.commit({"c.txt": "3\n"}, "Add c")
    repository.git("checkout", "--quiet", "main")
    repository.commit({"a.txt": "2\n"})
    return repository


def test_a_branch_that_a_person_made_is_proposed_for_the_default_branch(
    run: Run, shop: Repository, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(shop.root), str(remote))
    git(remote, "branch", "-D", "topic")
    shop.git("remote", "add", "origin", str(remote))
    answer = run("pr-worker", shop.root, ref="topic", allow_push=True, open=False)
    assert answer.results["status"] == "completed"
    request = answer.results["pull_request"]
    assert (request["state"], request["branch"], request["target"]) == ("pushed", "topic", "main")
    assert len(request["patches"]) == 2
    (row,) = answer.results["branches"]
    assert (row["commits"], row["base"]) == (2, shop.git("merge-base", "main", "topic"))
    assert git(remote, "rev-parse", "topic") == shop.git("rev-parse", "topic")
    body = answer.artifact("body.md")
    assert "`topic`" in body
    assert "Add b" in body
    assert "a.txt" not in body


def test_a_commit_gets_a_branch_of_the_tasks_own_name(run: Run, shop: Repository) -> None:
    answer = run("pr-worker", shop.root, ref=shop.git("rev-parse", "topic"), target="main")
    assert answer.results["pull_request"]["branch"] == "cortex/task-010/pr"


def test_a_branch_with_nothing_of_its_own_is_nothing_to_propose(run: Run, shop: Repository) -> None:
    shop.git("branch", "old", "main~1")
    answer = run("pr-worker", shop.root, ref="old")
    assert answer.results["pull_request"]["state"] == "nothing"
    assert "main has all of old" in answer.results["summary"]


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        ({"ref": "topic", "target": "trunk"}, "no branch 'trunk'"),
        ({"ref": "apart"}, "no commit in common"),
        ({"ref": "main"}, "the target main itself"),
    ],
)
def test_what_cannot_be_proposed_is_said(
    run: Run, shop: Repository, scope: dict[str, Any], says: str
) -> None:
    shop.git("checkout", "--quiet", "--orphan", "apart")
    shop.commit({"d.txt": "4\n"})
    shop.git("checkout", "--quiet", "main")
    is_not_run(run("pr-worker", shop.root, **scope), says)


@pytest.mark.parametrize(
    ("ref", "target", "commits"), [("topic", "topic", 1), ("cortex/task-001/fix", "main", 3)]
)
def test_work_that_started_from_a_branch_is_proposed_for_it_unless_that_is_kept_work(
    run: Run, shop: Repository, ref: str, target: str, commits: int
) -> None:
    shop.git("checkout", "--quiet", "topic")
    shop.commit({"ruff.toml": "", "a.py": "a=1\n"})
    shop.git("reset", "--quiet", "--soft", "HEAD~2")
    shop.commit({}, "Add c and a")
    shop.git("branch", "cortex/task-001/fix", "topic")
    shop.git("checkout", "--quiet", "main")
    made = run("refactor-worker", shop.root, ref=ref, allow_untested=True)
    answer = run("pr-worker", shop.root, needs=(made,), ref=ref)
    assert answer.results["pull_request"]["target"] == target
    assert answer.results["branches"][0]["commits"] == commits
    assert ("Add b" in answer.artifact("body.md")) == (target == "main")


def test_a_branch_that_is_not_on_the_remote_is_none_to_merge_into(
    run: Run, shop: Repository, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "clone", "--quiet", "--bare", "--single-branch", str(shop.root), str(remote))
    shop.git("remote", "add", "origin", str(remote))
    shop.git("checkout", "--quiet", "topic")
    shop.commit({"ruff.toml": "", "a.py": "a=1\n"})
    shop.git("checkout", "--quiet", "main")
    made = run("refactor-worker", shop.root, ref="topic", allow_untested=True)
    answer = run("pr-worker", shop.root, needs=(made,), ref="topic", allow_push=True)
    assert answer.results["pull_request"]["state"] == "prepared"
    assert "has no branch 'topic' to merge into" in answer.results["summary"]
    assert git(remote, "branch", "--format=%(refname:short)") == "main"


@pytest.mark.parametrize("says", [{"branches": [{"name": "x"}]}, {"files_modified": ["a.txt"]}])
def test_the_branch_that_a_step_started_from_does_not_stand_in_for_the_one_it_should_have_made(
    run: Run, shop: Repository, says: dict[str, Any]
) -> None:
    made = run("documentation-worker", shop.root, ref="topic")
    (made.folder / "results.json").write_text(json.dumps({"status": "completed", **says}))
    answer = run("pr-worker", shop.root, needs=(made,), ref="topic")
    is_not_run(answer, "no step handed over a branch")


def test_a_kept_branch_of_an_earlier_task_is_proposed(live: LiveHome, shop: Repository) -> None:
    scope = {"repository": str(shop.root), "workspace": "clone"}
    live.drop({"id": "work", "command": "echo new > new.txt", "scope": scope})
    live.until(
        lambda: [
            row for row in live.workers("completed") for b in row["branches"] if "mirror" in b
        ],
        "the branch is kept",
        LIMIT_S,
    )
    proposal = {"repository": str(shop.root), "ref": "cortex/work/main"}
    live.drop({"id": "propose", "type": "pr", "scope": proposal})
    live.until_ended("propose", limit_s=LIMIT_S)
    (row,) = [row for row in live.workers("completed") if row["task_id"] == "propose"]
    results = json.loads((live.root / row["result_location"] / "results.json").read_text())
    assert results["pull_request"]["branch"] == "cortex/work/main"
    assert results["pull_request"]["state"] == "prepared"
