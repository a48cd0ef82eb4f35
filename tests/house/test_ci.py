"""The rule that CI holds tests of faults to: none of them is skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SKIPPED = {
    "test": "import pytest\n\n\ndef test_fault() -> None:\n    pytest.skip('no room here')\n",
    "mark": "import pytest\n\n\n@pytest.mark.skip('no room here')\ndef test_fault():\n    pass\n",
    "file": "import pytest\n\npytest.skip('no room here', allow_module_level=True)\n",
}


def run(folder: Path, text: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Runs one test file in a tree that has the project's conftest."""
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(text)
    tests = next(parent for parent in folder.parents if parent.name == "tests")
    (tests / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        env={"CI": ci, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tests,
    )


@pytest.mark.parametrize("how", SKIPPED)
def test_a_skipped_test_of_a_fault_fails_in_ci_and_nowhere_else(tmp_path: Path, how: str) -> None:
    in_ci = run(tmp_path / "ci/tests/crash", SKIPPED[how], "true")
    assert in_ci.returncode != 0
    assert "no room here" in in_ci.stdout
    elsewhere = run(tmp_path / "else/tests/crash", SKIPPED[how], "")
    assert "1 skipped" in elsewhere.stdout
    other = run(tmp_path / "other/tests/house", SKIPPED[how], "true")
    assert "1 skipped" in other.stdout


def test_ci_says_that_it_is_ci() -> None:
    assert "CI=true" in (TESTS.parent / ".ci" / "run").read_text()


def test_ci_runs_as_many_seeds_in_as_much_time_as_the_page_says_and_ends_with_the_tests() -> None:
    campaign = "scripts/sim --runs 2000 --cpu 6m"
    assert f"`{campaign}`" in (TESTS.parent / "docs" / "simulation.md").read_text()
    *_, before, last = (TESTS.parent / ".ci" / "run").read_text().splitlines()
    assert before.endswith(campaign)
    assert last == "scripts/test"
