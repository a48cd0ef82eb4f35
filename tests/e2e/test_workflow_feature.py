"""E2: four pieces side by side, one conflict that a person resolves, tests, and a patch series."""

from __future__ import annotations

from pathlib import Path

from live_home import LiveHome
from workflows import example, git, proposals, repositories

LIMIT_S = 200.0


def test_a_feature_of_four_pieces_with_a_conflict_ends_as_a_tested_patch_series(
    live: LiveHome, tmp_path: Path
) -> None:
    (shop,) = repositories(tmp_path / "repositories", 1)
    live.drop(example("feature.yaml", tmp_path / "repositories"))
    (asked,) = live.until(lambda: live.read("handoffs")["approvals"], "a person is asked", LIMIT_S)
    story = [event["event"] for line in live.lines() for event in line.events]
    assert story[: story.index("worker_ended")].count("worker_spawning") == 4, "four at once"
    assert "change the same lines in prices.py" in asked["reason"]
    assert git(shop, "branch", "--list", "cortex/*") == "", "the source is only read"
    resolve(live, shop)
    live.drop({"kind": "approve", "approval_id": asked["approval_id"]})
    (row,) = live.until_ended("feature", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    steps = {step["name"]: step["status"] for step in row["steps"]}
    assert set(steps.values()) == {"done"}
    assert {"join", "verify", "pr"} < set(steps)
    git(shop, "switch", "--quiet", "--create", "taken", "main")
    (patch,) = proposals(live, row)
    git(shop, "am", "--quiet", str(patch))
    assert git(shop, "diff", "taken", "cortex/feature/join") == "", "the merge is in it"
    assert "verify: Tests: 3 passed" in (patch.parent / "body.md").read_text()


def test_pieces_that_do_not_meet_become_a_series_of_their_own_commits(
    live: LiveHome, tmp_path: Path
) -> None:
    (shop,) = repositories(tmp_path / "repositories", 1)
    task = example("feature.yaml", tmp_path / "repositories")
    task["workers"] = [step for step in task["workers"] if step["name"] != "front"]
    (join,) = (step for step in task["workers"] if step["name"] == "join")
    join["needs"].remove("front")
    live.drop(task)
    (row,) = live.until_ended("feature", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    series = proposals(live, row)
    assert len(series) == 3
    git(shop, "am", "--quiet", *map(str, series))
    subjects = git(shop, "log", "--format=%s", "-3").split("\n")
    assert {subject for subject in subjects if subject} == {
        "Discounts: model", "Discounts: api", "Discounts: tests"
    }  # fmt: skip


def resolve(live: LiveHome, shop: Path) -> None:
    """As the conflict's report tells."""
    git(shop, "switch", "--quiet", "--create", "cortex/feature/join", "main")
    for piece in ("model", "tests", "api", "front"):
        (bundle,) = live.paths.worker_logs.glob(f"*/*/artifacts/cortex-feature-{piece}.bundle")
        git(shop, "pull", "--quiet", "--no-rebase", "--no-edit", "-X", "ours", str(bundle),
            f"cortex/feature/{piece}")  # fmt: skip
    text = (shop / "prices.py").read_text()
    (shop / "prices.py").write_text(text.replace("sum(prices), 2", "sum(prices, 0), 2"))
    git(shop, "commit", "--quiet", "--all", "--message", "Both: rounded, from 0")
    git(shop, "switch", "--quiet", "main")
