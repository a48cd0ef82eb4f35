"""`function: feature`: a task in parts becomes clones, a merge, tests, a review and a proposal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from live_home import LiveHome
from workflows import git, proposals, repositories, results_of

LIMIT_S = 200.0
DISCOUNTS = """cat > discounts.py <<'END'
def discounted(amount: float, share: float) -> float:
    \"\"\"The amount without a share of it.\"\"\"
    return amount * (1 - share)
END
"""
TESTED = """cat > test_discounts.py <<'END'
import unittest

import discounts


class Discounts(unittest.TestCase):
    def test_half(self):
        self.assertEqual(discounts.discounted(10, 0.5), 5)
END
"""
ROUNDED = "sed -i 's/return sum(prices)/return round(sum(prices), 2)/' prices.py"
DOUBTED = "sed -i 's/    return amount/    assert share <= 1\\n    return amount/' discounts.py"
CARELESS = """cat > run.py <<'END'
import subprocess


def run(text):
    subprocess.call(text, shell=True)
END
"""


def feature(shop: Path, **scope: Any) -> dict[str, Any]:
    """Three parts, of which the last follows the first, because it writes the same file."""
    parts = [
        {"name": "model", "paths": ["discounts.py"], "command": DISCOUNTS},
        {"name": "tests", "paths": ["test_discounts.py"], "command": TESTED},
        {"name": "prices", "paths": ["prices.py"], "command": ROUNDED},
        {"name": "doubts", "paths": ["discounts.py"], "command": DOUBTED},
    ]
    base = {"repository": str(shop), "python": "python3"}
    return {
        "id": "parts",
        "type": "feature",
        "title": "Discounts",
        "retries": 0,
        "scope": {**base, "parts": parts, **scope},
    }


def test_a_feature_in_parts_needs_no_plan_and_ends_as_a_reviewed_patch_series(
    live: LiveHome, tmp_path: Path
) -> None:
    (shop,) = repositories(tmp_path / "repositories", 1)
    live.drop(feature(shop))
    (row,) = live.until_ended("parts", limit_s=LIMIT_S)
    assert row["status"] == "completed", row
    assert row["assigned_to"] == "development-master"
    needs = {step["name"]: step.get("needs", []) for step in row["steps"]}
    assert needs == {
        "model": [],
        "tests": [],
        "prices": [],
        "doubts": ["model"],
        "integrate": ["model", "tests", "prices", "doubts"],
        "test": ["integrate"],
        "pr": ["integrate", "test", "review"],
        "review": ["integrate"],
    }
    (review,) = [one for one in row["workers"] if "-review-" in one]
    assert results_of(live, review)["verdict"] == "approve"
    git(shop, "am", "--quiet", *map(str, proposals(live, row)))
    assert "round(sum(prices), 2)" in (shop / "prices.py").read_text()
    assert "assert share <= 1" in (shop / "discounts.py").read_text()


def test_a_feature_whose_review_requests_changes_is_not_proposed(
    live: LiveHome, tmp_path: Path
) -> None:
    (shop,) = repositories(tmp_path / "repositories", 1)
    live.drop(feature(shop, parts=[{"name": "run", "command": CARELESS}]))
    said = live.until(lambda: live.task("parts").get("blocked_on"), "it waits", LIMIT_S)
    assert "step pr lacks a review that passes (it asks for changes)" in said
    status = {step["name"]: step["status"] for step in live.task("parts")["steps"]}
    assert (status["run"], status["review"]) == ("done", "done")
    assert not list(live.paths.worker_logs.glob("*/*/artifacts/0001-*.patch"))
