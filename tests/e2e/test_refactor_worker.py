"""The refactor worker: the repository's own style, proved by its own tests."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tool_worker import Answer, Repository, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]

STYLE = """line-length = 60
[lint]
select = ["F", "UP"]
[format]
quote-style = "single"
"""
SHOP = """import os
from typing import List
def double(n:List)->List:
  return   n*2
NAME="x"
"""
TEST = """from shop import double


def test_double():
    assert double([1]) == [1, 1]
"""
UNTIDY = {"ruff.toml": STYLE, "shop.py": SHOP, "test_shop.py": TEST}


def test_code_is_formatted_and_fixed_as_the_repository_configures_in_separate_commits(
    run: Run, repository: Repository
) -> None:
    repository.commit(UNTIDY)
    before = repository.state()
    answer = run("refactor-worker", repository.root, python=sys.executable)
    results = answer.results
    assert (results["status"], results["tested"]) == ("completed", True), results
    assert results["files_modified"] == ["shop.py"]
    assert repository.state() == before
    row = repository.fetch(answer)
    assert row["name"] == "cortex/task-010/refactor"
    subjects = repository.git("log", "--format=%s", f"{row['base']}..{row['name']}").split("\n")
    assert subjects == ["Apply ruff's safe fixes", "Format with ruff"]
    text = repository.git("show", f"{row['name']}:shop.py")
    assert "NAME = 'x'" in text
    assert "import os" not in text


def test_tidy_code_is_a_completed_task_without_a_branch(run: Run, repository: Repository) -> None:
    repository.commit({"ruff.toml": "", "shop.py": "NAME = 1\n"})
    results = run("refactor-worker", repository.root).results
    assert (results["status"], results["branches"]) == ("completed", [])


def test_a_repository_without_a_style_of_its_own_is_not_given_one(
    run: Run, repository: Repository
) -> None:
    repository.commit({name: text for name, text in UNTIDY.items() if name != "ruff.toml"})
    is_not_run(run("refactor-worker", repository.root), "default_style")
    task = {"default_style": True, "python": sys.executable}
    assert run("refactor-worker", repository.root, **task).results["status"] == "completed"
    is_not_run(run("refactor-worker", repository.root, default_style=True), "scope.python")


def test_a_test_that_depends_on_what_is_tidied_away_stops_it(
    run: Run, repository: Repository
) -> None:
    repository.commit(
        {**UNTIDY, "test_os.py": "import shop\n\n\ndef test_os():\n    assert shop.os\n"}
    )
    results = run("refactor-worker", repository.root, python=sys.executable).results
    assert (results["status"], results["outcome"]) == ("failed", "tests_got_worse")


def test_a_configuration_that_ruff_refuses_is_the_missing_part(
    run: Run, repository: Repository
) -> None:
    repository.commit({**UNTIDY, "ruff.toml": "line-length = 'wide'\n"})
    is_not_run(run("refactor-worker", repository.root, python=sys.executable), "configuration")


def test_only_the_paths_of_the_scope_are_touched(run: Run, repository: Repository) -> None:
    repository.commit({**UNTIDY, "other.py": "x=1\n"})
    results = run(
        "refactor-worker", repository.root, paths=["other.py"], python=sys.executable
    ).results
    assert results["files_modified"] == ["other.py"]
