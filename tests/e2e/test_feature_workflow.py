"""A feature in parallel pieces, each in a clone of its own: joined, proved, and one of them in
conflict.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from live_home import LiveHome
from tool_worker import Repository

LIMIT_S = 100.0
APP = "def total(prices):\n    return sum(prices)\n"
TEST = "from app import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"

USE = "import app\n\n\ndef test_use():\n    assert app.total([1]) == 1\n"


@pytest.fixture
def shop(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "shop")
    repository.commit({"app.py": APP, "test_app.py": TEST})
    return repository


def piece(name: str, command: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": command, **fields}


def feature(shop: Repository, *workers: dict[str, Any]) -> dict[str, Any]:
    scope = {"repository": str(shop.root), "workspace": "clone", "python": sys.executable}
    join = {"name": "join", "worker_type": "integration", "needs": [w["name"] for w in workers]}
    return {
        "id": "feature",
        "title": "Discounts",
        "type": "feature",
        "max_parallel": 4,
        "scope": scope,
        "workers": [*workers, join],
    }


def folder_of(live: LiveHome, step: str) -> Path:
    """The folder of the last worker of a step."""
    ends = [row for row in live.workers("completed", "failed") if row["step"] == step]
    return live.folder_of(max(row["worker_id"] for row in ends))


def results_of(live: LiveHome, step: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder_of(live, step) / "results.json").read_text())
    return results


def taken_in(live: LiveHome, shop: Repository, step: str) -> str:
    """The branch of a step, fetched into the repository as a person would; its name."""
    row = results_of(live, step)["branches"][-1]
    bundle = folder_of(live, step) / "artifacts" / row["bundle"]
    shop.git("fetch", "--quiet", str(bundle), f"{row['name']}:{row['name']}")
    return str(row["name"])


def test_four_pieces_side_by_side_become_one_branch_that_passes_its_tests(
    live: LiveHome, shop: Repository
) -> None:
    before = shop.state()
    cut = "def cut(price, share):\n    return price * (1 - share)\n"
    test = "from cut import cut\n\n\ndef test_cut():\n    assert cut(100, 0.5) == 50\n"
    pieces = [
        piece("model", f"printf '%s' '{cut}' > cut.py"),
        piece("api", "printf 'RATE = 0.1\\n' > rates.py"),
        piece("front", "mkdir web && echo '<b>sale</b>' > web/sale.html"),
        piece("tests", f"printf '%s' '{test}' > test_cut.py"),
    ]
    live.drop(feature(shop, *pieces))
    (row,) = live.until_ended("feature", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    assert shop.state() == before
    joined = results_of(live, "join")
    assert joined["tested"] is True
    name = taken_in(live, shop, "join")
    assert name == "cortex/feature/join"
    files = shop.git("ls-tree", "-r", "--name-only", name).split("\n")
    assert {"cut.py", "rates.py", "web/sale.html", "test_cut.py", "app.py"} <= set(files)
    subjects = shop.git("log", "--no-merges", "--format=%s", f"main..{name}").split("\n")
    assert sorted(subjects) == [f"Discounts: {n}" for n in ("api", "front", "model", "tests")]
    starts = live.events("worker_running")
    ends = live.events("worker_ended")
    assert len(starts) == len(ends) == 5


def change(to: str) -> str:
    return f"sed -i 's/return sum(prices)/return {to}/' app.py"


@pytest.mark.parametrize("kind", ["path", "url", "stays there"])
def test_a_conflict_is_shown_with_both_sides_and_goes_on_with_a_persons_merge(
    live: LiveHome, shop: Repository, kind: str
) -> None:
    pieces = [
        piece("round", change("round(sum(prices), 2)")),
        piece("start", change("sum(prices, 0)")),
    ]
    plan = feature(shop, *pieces)
    if kind == "url":
        plan["scope"]["repository"] = f"file://{shop.root}"
    plan["workers"].append({"name": "pr", "worker_type": "pr", "needs": ["join"]})
    live.drop(plan)
    (asked,) = live.until(lambda: live.read("handoffs")["approvals"], "a person is asked", LIMIT_S)
    assert asked["step"] == "join"
    assert "change the same lines in app.py" in asked["reason"]
    report = live.root / asked["reason"].rpartition(" are in ")[2]
    shown = report.read_text()
    assert "round(sum(prices), 2)" in shown
    assert "sum(prices, 0)" in shown
    resolve(live, shop)
    if kind != "stays there":
        shop.git("switch", "--quiet", "main")
    live.drop({"kind": "approve", "approval_id": asked["approval_id"]})
    (row,) = live.until_ended("feature", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    shop.git("switch", "--quiet", "main")
    shop.git("branch", "-D", "cortex/feature/join")
    assert "round(sum(prices, 0), 2)" in shop.git("show", f"{taken_in(live, shop, 'join')}:app.py")
    request = results_of(live, "pr")
    assert request["pull_request"]["state"] == "prepared"
    assert [row["head"] for row in request["branches"]] == [
        shop.git("rev-parse", "cortex/feature/join")
    ]
    assert ("push that branch there" in shown) is (kind == "url")


def test_a_yes_to_a_conflict_without_a_whole_merge_says_what_is_lacking(
    live: LiveHome, shop: Repository
) -> None:
    live.drop(feature(shop, piece("one", change("1")), piece("two", change("2"))))

    def question(number: int) -> str:
        def asked() -> str | None:
            rows = {row["approval_id"]: row for row in live.read("handoffs")["approvals"]}
            return str(rows[ident]["reason"]) if ident in rows else None

        ident = f"approval-{number:03d}"
        return live.until(asked, f"{ident} is asked", LIMIT_S) or ""

    assert question(1).startswith("conflict: cortex/feature/two and cortex/feature/one")
    live.drop({"kind": "approve", "task_id": "feature"})
    assert f"there is no branch cortex/feature/join in {shop.root} yet; " in question(2)
    shop.git("branch", "cortex/feature/join", taken_in(live, shop, "one"))
    live.drop({"kind": "approve", "task_id": "feature"})
    assert "cortex/feature/join lacks cortex/feature/two; " in question(3)


def resolve(live: LiveHome, shop: Repository) -> None:
    """As the report tells: a branch with the step's name that holds both, and both intentions."""
    one, other = taken_in(live, shop, "round"), taken_in(live, shop, "start")
    shop.git("switch", "--quiet", "--create", "cortex/feature/join", one)
    shop.git("merge", "--quiet", "-s", "ours", "-m", "Merge", other)
    shop.write({"app.py": APP.replace("sum(prices)", "round(sum(prices, 0), 2)")})
    shop.git("commit", "--quiet", "--all", "--message", "Both")


def test_a_step_that_needs_branches_which_meet_gets_an_integration_before_it(
    live: LiveHome, shop: Repository
) -> None:
    pieces = [piece("round", change("round(sum(prices), 2)")), piece("start", change("sum([])"))]
    plan = feature(shop, *pieces)
    plan["workers"][-1] = piece("docs", "echo done > DOCS", needs=["round", "start"])
    live.drop(plan)
    live.until(lambda: live.task("feature").get("status") == "awaiting_approval", "asks", LIMIT_S)
    steps = {step["name"]: step for step in live.task("feature")["steps"]}
    assert steps["docs-integration"]["needs"] == ["round", "start"]
    assert steps["docs"]["needs"] == ["docs-integration"]
    live.drop({"kind": "deny", "task_id": "feature"})
    (row,) = live.until_ended("feature")
    assert row["status"] == "cancelled"


def test_a_failing_test_on_the_merge_stops_it(live: LiveHome, shop: Repository) -> None:
    rename = "sed -i 's/total/summe/g' app.py test_app.py"
    pieces = [piece("rename", rename), piece("use", f"printf '%s' '{USE}' > test_use.py")]
    live.drop({**feature(shop, *pieces), "retries": 0})
    (row,) = live.until_ended("feature", limit_s=LIMIT_S)
    assert row["status"] == "failed"
    joined = results_of(live, "join")
    assert joined["outcome"] == "tests_got_worse", joined


def test_a_command_in_a_clone_that_fails_or_changes_nothing_hands_over_no_branch(
    live: LiveHome, shop: Repository
) -> None:
    scope = {"repository": str(shop.root), "workspace": "clone"}
    live.drop({"id": "fails", "command": "echo no >&2; exit 7", "scope": scope, "retries": 0})
    live.drop({"id": "looks", "command": "grep -q total app.py && pwd", "scope": scope})
    failed, looked = live.until_ended("fails", "looks")
    assert (failed["status"], looked["status"]) == ("failed", "completed")
    assert "exit 7: no" in failed["reason"]
    assert looked["summary"] == "main: nothing was changed"


def test_an_agent_that_says_its_work_was_done_without_a_change_leaves_nothing_to_propose(
    live: LiveHome, shop: Repository
) -> None:
    says = """echo '{"status": "completed", "summary": "All well."}' > "$CORTEX_RESULTS" """
    pr = {"name": "pr", "worker_type": "pr", "needs": ["look"]}
    scope = {"repository": str(shop.root), "workspace": "clone"}
    live.drop({"id": "looks", "workers": [piece("look", says), pr], "scope": scope})
    (row,) = live.until_ended("looks", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    assert results_of(live, "look")["branches"] == []
    assert results_of(live, "pr")["pull_request"]["state"] == "nothing"


def test_what_a_step_made_goes_on_through_a_command_that_changes_nothing(
    live: LiveHome, shop: Repository
) -> None:
    make = piece("make", "echo new > new.txt")
    look = piece("look", "test -e new.txt", needs=["make"])
    scope = {"repository": str(shop.root), "workspace": "clone"}
    for ident, needs in (("short", ["look"]), ("whole", ["make", "look"])):
        pr = {"name": "pr", "worker_type": "pr", "needs": needs}
        live.drop({"id": ident, "workers": [make, look, pr], "scope": scope})
        (row,) = live.until_ended(ident, limit_s=LIMIT_S)
        assert row["status"] == "completed", row
        (made,) = results_of(live, "pr")["branches"]
        step = "look" if ident == "short" else "make"
        assert (made["name"], made["commits"]) == (f"cortex/{ident}/{step}", 1)
    assert results_of(live, "look")["summary"] == "look: nothing was changed"


@pytest.mark.parametrize(
    "written",
    [
        "not JSON",
        "{}",
        "[]",
        '{"status": "great"}',
        '{"status": "completed", "x": NaN}',
        '{"status": "completed", "status": "failed"}',
    ],
)
@pytest.mark.parametrize("command", ["true", "echo new > new.txt"])
def test_a_results_file_that_is_wrong_is_refused_in_a_clone_as_everywhere(
    live: LiveHome, shop: Repository, written: str, command: str
) -> None:
    says = f"""{command}; echo '{written}' > "$CORTEX_RESULTS" """
    scope = {"repository": str(shop.root), "workspace": "clone"}
    live.drop({"id": "wrong", "command": says, "scope": scope, "retries": 0})
    (row,) = live.until_ended("wrong", limit_s=LIMIT_S)
    assert row["status"] == "failed", row
    assert "results refused" in row["reason"]


TYPE = """---
name: agent-worker
description: Writes.
command: echo new > new.txt
workspace: clone
---
Write.
"""


def test_a_type_says_for_all_of_its_commands_that_they_run_in_a_clone(
    live: LiveHome, shop: Repository
) -> None:
    live.define(live.paths.prompts / "agent-worker.md", TYPE)
    before = shop.state()
    scope = {"repository": str(shop.root)}
    live.drop({"id": "apart", "type": "agent", "scope": scope})
    (apart,) = live.until_ended("apart", limit_s=LIMIT_S)
    assert apart["status"] == "completed", apart
    assert [branch["commits"] for branch in results_of(live, "main")["branches"]] == [1]
    assert shop.state() == before
    live.drop({"id": "here", "type": "agent", "scope": {**scope, "workspace": "in place"}})
    live.until_ended("here", limit_s=LIMIT_S)
    assert (shop.root / "new.txt").is_file()
