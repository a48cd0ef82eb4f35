"""Branches of finished work: taken into mirrors of the home under names of their own, whatever
dies when, and never lost where that does not work.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cortex.model.branches import mirror_name
from live_home import BIN, LiveHome
from tool_worker import Repository, git

LIMIT_S = 60.0
CHANGE = "echo new > new.txt"


@pytest.fixture
def shop(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "shop")
    repository.commit({"a.txt": "1\n"})
    return repository


def work(repository: object, command: str = CHANGE, **fields: Any) -> dict[str, Any]:
    scope = {"repository": str(repository), "workspace": "clone"}
    return {"id": "work", "command": command, "scope": scope, "retries": 0, **fields}


def branches_of(live: LiveHome, task: str = "work") -> list[dict[str, Any]]:
    rows = [row for row in live.workers("completed") if row["task_id"] == task]
    return [branch for row in rows for branch in row.get("branches") or ()]


def kept(live: LiveHome, task: str = "work") -> list[dict[str, Any]]:
    """The branches of a task once each is in a mirror or was refused."""

    def settled() -> list[dict[str, Any]]:
        rows = branches_of(live, task)
        return rows if all("mirror" in row or "problem" in row for row in rows) else []

    found: list[dict[str, Any]] = live.until(settled, "its branches are kept", LIMIT_S)
    return found


def test_a_branch_of_a_path_is_kept_in_a_mirror_and_the_repository_is_not_touched(
    live: LiveHome, shop: Repository
) -> None:
    before = shop.state()
    live.drop(work(shop.root))
    (row,) = kept(live)
    assert row["name"] == "cortex/work/main"
    assert row["commits"] == 1
    mirror = live.root / row["mirror"]
    assert mirror.name == mirror_name(str(shop.root.resolve()))
    assert git(mirror, "rev-parse", row["name"]) == row["head"]
    assert git(mirror, "show", f"{row['name']}:new.txt") == "new"
    assert shop.state() == before
    shop.git("fetch", "--quiet", str(mirror), "cortex/work/main:taken")
    assert shop.git("rev-parse", "taken~1") == shop.git("rev-parse", "main")


def test_a_later_task_starts_from_a_kept_branch_also_when_the_logs_are_gone(
    live: LiveHome, shop: Repository
) -> None:
    live.drop(work(shop.root))
    kept(live)
    for folder in live.paths.worker_logs.glob("*/*"):
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    later = work(shop.root, "cat new.txt && echo more >> new.txt", id="later")
    later["scope"]["ref"] = "cortex/work/main"
    live.drop(later)
    (row,) = kept(live, "later")
    assert git(live.root / row["mirror"], "show", f"{row['name']}:new.txt") == "new\nmore"


def says(tmp_path: Path, shop: Repository, **lie: Any) -> str:
    """A command that hands over a row of its own making, with a bundle that git can read."""
    shop.git("checkout", "--quiet", "-b", "side")
    base = shop.git("rev-parse", "main")
    head = shop.commit({"side.txt": "1\n"})
    shop.git("bundle", "create", "--quiet", str(tmp_path / "side.bundle"), "main..side")
    shop.git("checkout", "--quiet", "main")
    row = {"name": "side", "bundle": "side.bundle", "base": base, "head": head, "commits": 1}
    results = {"status": "completed", "branches": [{**row, **lie}]}
    (tmp_path / "says.json").write_text(json.dumps(results))
    return f"cp {tmp_path}/side.bundle $CORTEX_ARTIFACTS/; cp {tmp_path}/says.json $CORTEX_RESULTS"


def test_a_worker_that_calls_its_branch_main_moves_no_branch_but_its_own(
    live: LiveHome, shop: Repository, tmp_path: Path
) -> None:
    shop.git("branch", "other")
    command = says(tmp_path, shop)
    shop.git("branch", "-m", "main", "old")
    shop.git("branch", "-m", "side", "main")
    shop.git("bundle", "create", "--quiet", str(tmp_path / "side.bundle"), "old..main")
    shop.git("checkout", "--quiet", "old")
    results = json.loads((tmp_path / "says.json").read_text())
    results["branches"][0]["name"] = "main"
    (tmp_path / "says.json").write_text(json.dumps(results))
    scope = {"repository": str(shop.root)}
    live.drop({"id": "work", "command": command, "scope": scope})
    (row,) = kept(live)
    assert row["name"] == "cortex/work/main", "the step of a plain command is called main"
    refs = git(live.root / row["mirror"], "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/cortex/work/main"]


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"head": "f" * 40}, "ends in another commit"),
        ({"base": "f" * 40}, "does not have"),
        ({"bundle": "../results.json"}, "no name of a file"),
        ({"bundle": "none.bundle"}, "none.bundle"),
    ],
)
def test_a_row_that_lies_is_told_and_the_result_stays(
    live: LiveHome, shop: Repository, tmp_path: Path, lie: dict[str, Any], words: str
) -> None:
    command = says(tmp_path, shop, **lie)
    live.drop({"id": "work", "command": command, "scope": {"repository": str(shop.root)}})
    (row,) = kept(live)
    assert words in row["problem"]
    assert "mirror" not in row
    assert live.until_ended("work")[0]["status"] == "completed"


def evil_tree(shop: Repository) -> str:
    """A commit whose tree has a file called `.GIT`, which a checkout must never make."""
    blob = shop.git("hash-object", "-w", "a.txt")
    data = b"100644 .gIt\0" + bytes.fromhex(blob)
    made = subprocess.run(
        ["git", "hash-object", "-w", "-t", "tree", "--stdin", "--literally"],
        cwd=shop.root, input=data, capture_output=True, check=True,
    )  # fmt: skip
    tree = made.stdout.decode().strip()
    return shop.git("commit-tree", tree, "-p", "main", "-m", "Evil")


def test_an_object_that_git_calls_evil_reaches_no_mirror_and_no_other_worker(
    live: LiveHome, shop: Repository, tmp_path: Path
) -> None:
    command = says(tmp_path, shop)
    evil = evil_tree(shop)
    shop.git("branch", "--force", "side", evil)
    shop.git("bundle", "create", "--quiet", str(tmp_path / "side.bundle"), "main..side")
    shop.git("branch", "-D", "side")
    shop.git("reflog", "expire", "--expire=now", "--all")
    shop.git("gc", "--quiet", "--prune=now")
    results = json.loads((tmp_path / "says.json").read_text())
    results["branches"][0]["head"] = evil
    (tmp_path / "says.json").write_text(json.dumps(results))
    scope = {"repository": str(shop.root)}
    after = {"name": "after", "worker_type": "integration", "needs": ["bad"], "retries": 0}
    steps = [{"name": "bad", "command": command}, after]
    live.drop({"id": "work", "workers": steps, "scope": scope})
    (row,) = kept(live)
    assert "hasDotgit" in row["problem"] or "fsck" in row["problem"]
    assert git(live.root / "mirrors" / mirror_name(str(shop.root)), "for-each-ref") == ""
    (refused,) = live.until(lambda: live.workers("failed"), "the next step is refused", LIMIT_S)
    assert "was left out" in refused["error"]


def test_a_daemon_that_dies_in_between_keeps_the_branch_after_its_next_start(
    make_home: Any, shop: Repository, tmp_path: Path
) -> None:
    live = make_home(env={"CORTEX_FAILPOINT": f"branches.kept:1:{tmp_path}/mark"})
    live.start()
    live.drop(work(shop.root))
    assert live.daemon is not None
    live.until(
        lambda: live.daemon is not None and live.daemon.poll() is not None, "it died", LIMIT_S
    )
    live.daemon = None
    live.env.clear()
    live.start()
    (row,) = kept(live)
    assert git(live.root / row["mirror"], "rev-parse", row["name"]) == row["head"]
    assert len(live.events("branches_kept")) == 1


def test_a_mirror_that_cannot_be_made_is_a_problem_that_is_told_and_tried_again(
    live: LiveHome, shop: Repository
) -> None:
    (live.root / "mirrors").write_text("in the way")
    live.drop(work(shop.root))
    live.until_ended("work")
    live.until(lambda: "upkeep_failing" in (live.root / "coordination/task-queue.json").read_text(),
               "it is told", LIMIT_S)  # fmt: skip
    (row,) = branches_of(live)
    assert row["bundle"].endswith(".bundle")
    (live.root / "mirrors").unlink()
    (row,) = kept(live)
    assert git(live.root / row["mirror"], "rev-parse", row["name"]) == row["head"]


def cortex(live: LiveHome, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [BIN / "cortex", *arguments, "--home", live.root], capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_a_person_lists_branches_and_takes_one_into_the_repository_but_never_by_force(
    live: LiveHome, shop: Repository, tmp_path: Path
) -> None:
    live.drop(work(shop.root))
    (row,) = kept(live)
    listed = cortex(live, "get", "branches")
    assert "cortex/work/main" in listed
    assert row["mirror"] in listed
    (told,) = json.loads(cortex(live, "get", "branches", "-o", "json"))
    assert (told["task_id"], told["head"], told["place"]) == ("work", row["head"], row["mirror"])
    described = cortex(live, "describe", "work")
    assert "`cortex fetch work` takes the branches into a repository" in described
    assert row["mirror"] in described
    assert "(1 commit)" in cortex(live, "fetch", "work")
    assert shop.git("rev-parse", "cortex/work/main") == row["head"]
    cortex(live, "fetch", "work")
    shop.git("branch", "--force", "cortex/work/main", "main")
    cortex(live, "fetch", "work")
    shop.commit({"other.txt": "1\n"})
    shop.git("branch", "--force", "cortex/work/main", "main")
    assert "rejected" in cortex(live, "fetch", "cortex/work/main", status=1)
    other = Repository(tmp_path / "other")
    cortex(live, "fetch", "work", "--into", str(other.root))
    assert other.git("rev-parse", "cortex/work/main") == row["head"]


def test_the_branches_of_a_task_are_listed_with_the_one_that_it_came_to(
    live: LiveHome, shop: Repository
) -> None:
    scope = {"repository": str(shop.root), "workspace": "clone", "allow_untested": True}
    steps = [
        {"name": "a", "command": "echo 1 > one.txt"},
        {"name": "b", "command": "echo 2 > two.txt"},
        {"name": "join", "worker_type": "integration", "needs": ["a", "b"]},
    ]
    live.drop({"id": "work", "scope": scope, "workers": steps, "retries": 0})
    live.drop(work(shop.root, id="other"))
    live.until_ended("work", "other", limit_s=LIMIT_S)
    kept(live)
    rows = json.loads(cortex(live, "get", "branches", "work", "-o", "json"))
    assert {row["name"]: row.get("result") for row in rows} == {
        "cortex/work/a": None,
        "cortex/work/b": None,
        "cortex/work/join": True,
    }
    (one,) = json.loads(cortex(live, "get", "branches", "other", "-o", "json"))
    assert one["result"], "of a task too it is a list"
    named = json.loads(cortex(live, "get", "branches", "cortex/work/a", "-o", "json"))
    assert named["step"] == "a"
    assert "the result of work" in cortex(live, "fetch", "work")


def test_what_cannot_be_taken_is_told_with_what_to_do(live: LiveHome, shop: Repository) -> None:
    assert "no task or branch" in cortex(live, "fetch", "nothing", status=1)
    live.drop({"id": "plain", "command": "true"})
    live.until_ended("plain")
    assert "no step of it has handed over" in cortex(live, "fetch", "plain", status=1)
    live.drop(work(f"file://{shop.root}"))
    (row,) = kept(live)
    assert "--into" in cortex(live, "fetch", "work", status=1)
    cortex(live, "fetch", "work", "--into", str(shop.root))
    assert shop.git("rev-parse", "cortex/work/main") == row["head"]


def test_branches_of_archived_work_are_listed_and_taken(make_home: Any, shop: Repository) -> None:
    live = make_home(settings="[retention]\narchive_over = 0\narchive_after = '1s'\n")
    live.start()
    live.drop(work(shop.root))
    live.until(lambda: live.events("branches_kept"), "it is kept", LIMIT_S)
    live.until(lambda: live.events("archived"), "it is archived", LIMIT_S)
    assert "cortex/work/main" in cortex(live, "get", "branches", "--all")
    cortex(live, "fetch", "cortex/work/main")
    assert shop.git("show", "cortex/work/main:new.txt") == "new"
