"""The fix and remediation workers: what they mend, prove and hand over, and what they refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tool_worker import Answer, Repository, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]

ADVISORIES = Path(__file__).parent.parent / "data" / "advisories"
SHOP = {
    "requirements.txt": "# what we need\njinja2==2.10  # templates\nclick>=8\n",
    "shop.py": "import os\nimport sys\n\n\ndef double(n):\n    return n * 2\n",
    "test_shop.py": "from shop import double\n\n\ndef test_double():\n    assert double(2) == 4\n",
}
UNUSED = {"tool": "ruff", "rule": "F401", "severity": "low", "file": "shop.py", "line": 1,
          "title": "`os` imported but unused", "message": "unused"}  # fmt: skip
VULNERABLE = {
    "tool": "osv-audit", "rule": "GHSA-462w-v97r-4m45", "family": "vulnerable-dependency",
    "package": "jinja2", "installed_version": "2.10", "fixed_version": "2.10.1", "severity": "high",
    "title": "jinja2 2.10 is vulnerable", "file": "requirements.txt", "line": 2,
}  # fmt: skip
SHELL = {"tool": "bandit", "rule": "B602", "cwe": "CWE-78", "severity": "high", "file": "shop.py",
         "line": 6, "title": "Subprocess started through a shell", "message": "x"}  # fmt: skip


def test_lint_findings_are_fixed_proved_and_handed_over_as_a_branch(
    run: Run, repository: Repository
) -> None:
    base = repository.commit(SHOP)
    before = repository.state()
    answer = run("fix-worker", repository.root, python=sys.executable, findings=[UNUSED])
    results = answer.results
    assert (results["status"], results["tested"]) == ("completed", True), results
    assert results["files_modified"] == ["shop.py"]
    assert repository.state() == before, "the source is not written to"
    (row,) = results["branches"]
    assert (row["name"], row["base"], row["commits"]) == ("cortex/task-010/fix", base, 1)
    repository.fetch(answer)
    text = repository.git("show", f"{row['name']}:shop.py")
    assert text.startswith("def double") or "import" not in text
    assert repository.git("log", "-1", "--format=%an %s", row["name"]).startswith("Cortex Apply")
    assert "take it in" in answer.artifact("patch_notes.md")


def test_a_vulnerable_pin_is_raised_to_the_findings_version_only_if_the_task_waives_tests(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    given = {"findings": [VULNERABLE], "python": sys.executable}
    refused = run("fix-worker", repository.root, **given)
    is_not_run(refused, "scope.setup", "jinja2 2.10.1", "allow_untested")
    assert "+jinja2==2.10.1  # templates" in refused.artifact("refused.patch")

    answer = run("fix-worker", repository.root, allow_untested=True, **given)
    results = answer.results
    assert (results["status"], results["tested"]) == ("completed", False)
    assert "NOT TESTED" in results["summary"]
    row = repository.fetch(answer)
    text = repository.git("show", f"{row['name']}:requirements.txt")
    assert text == "# what we need\njinja2==2.10.1  # templates\nclick>=8"
    assert "Upgrade jinja2 from 2.10 to 2.10.1" in repository.git("log", "-1", row["name"])


def test_an_upgrade_is_proved_where_setup_installs_what_the_changed_files_ask_for(
    run: Run, repository: Repository
) -> None:
    """The setup writes the metadata that an installer would, from the requirements as they are."""
    repository.commit(SHOP)
    setup = f"""mkdir -p .venv/bin site
v=$(sed -n 's/^jinja2==\\([0-9.]*\\).*/\\1/p' requirements.txt)
mkdir -p "site/jinja2-$v.dist-info"
printf 'Name: jinja2\\nVersion: %s\\n' "$v" > "site/jinja2-$v.dist-info/METADATA"
printf '#!/bin/sh\\nPYTHONPATH="%s/site:$PYTHONPATH" exec {sys.executable} "$@"\\n' "$PWD" \\
    > .venv/bin/python
chmod +x .venv/bin/python"""
    results = run("fix-worker", repository.root, findings=[VULNERABLE], setup=setup).results
    assert (results["status"], results["tested"]) == ("completed", True), results["error"]


def test_no_branch_where_a_test_that_passed_does_not_any_more(
    run: Run, repository: Repository
) -> None:
    repository.commit(
        {**SHOP, "test_more.py": "import shop\n\n\ndef test_os():\n    assert shop.os\n"}
    )
    answer = run("fix-worker", repository.root, python=sys.executable, findings=[UNUSED])
    results = answer.results
    assert (results["status"], results["outcome"]) == ("failed", "tests_got_worse")
    assert results["permanent"] is True
    assert not results.get("branches")
    assert not list(answer.folder.glob("artifacts/*.bundle"))
    assert "test_os" in results["error"]
    assert "-import os" in answer.artifact("refused.patch")
    assert "Not delivered" in answer.artifact("patch_notes.md")


def test_an_environment_that_the_change_breaks_is_worse_and_no_waiver_helps(
    run: Run, repository: Repository
) -> None:
    """As a version does that cannot be installed."""
    repository.commit(SHOP)
    setup = "mkdir .venv; grep -q jinja2==2.10.1 requirements.txt && exit 1; exit 0"
    task = {"findings": [VULNERABLE], "python": sys.executable, "allow_untested": True}
    results = run("fix-worker", repository.root, setup=setup, **task).results
    assert (results["status"], results["outcome"]) == ("failed", "tests_got_worse")
    assert "not after: the setup command" in results["error"]


def test_tests_that_failed_before_do_not_hold_up_a_fix(run: Run, repository: Repository) -> None:
    repository.commit({**SHOP, "test_more.py": "def test_old():\n    assert False\n"})
    results = run("fix-worker", repository.root, python=sys.executable, findings=[UNUSED]).results
    assert results["status"] == "completed"
    assert results["tests"]["before"]["failed"] == results["tests"]["after"]["failed"] == 1


def test_without_an_environment_nothing_is_committed_unless_the_task_allows_it(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    is_not_run(run("fix-worker", repository.root, findings=[UNUSED]), "scope.python")
    results = run("fix-worker", repository.root, findings=[UNUSED], allow_untested=True).results
    assert (results["status"], results["tested"]) == ("completed", False)


def test_what_needs_thought_is_not_run_and_beside_a_fix_it_is_left(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    is_not_run(run("fix-worker", repository.root, findings=[SHELL]), "thought", "shop.py:6")
    unknown = run("fix-worker", repository.root, package="nosuch", version="1")
    is_not_run(unknown, "no manifest names nosuch")
    assert unknown.results["missing"] == [
        "an agent or a person, for: Upgrade nosuch to 1: no manifest names nosuch"
    ]
    results = run(
        "fix-worker", repository.root, findings=[SHELL, UNUSED], python=sys.executable
    ).results
    assert results["status"] == "partial"
    assert "needs thought" in results["left"][0]
    is_not_run(run("fix-worker", repository.root), "scope.findings")


def test_fingerprints_of_a_follow_up_are_found_again_and_what_is_gone_is_a_good_result(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    scan = run("scan-worker", repository.root, context={"advisories_dir": str(ADVISORIES)})
    prints = [row["fingerprint"] for row in scan.results["findings"] if row.get("package")]
    assert prints
    context = {"advisories_dir": str(ADVISORIES), "findings": prints, "package": "jinja2"}
    answer = run("fix-worker", repository.root, context=context, allow_untested=True)
    assert answer.results["status"] == "completed", answer.results
    row = repository.fetch(answer)
    repository.git("merge", "--quiet", "--ff-only", row["name"])
    again = run("fix-worker", repository.root, context=context)
    assert again.results["status"] == "completed"
    assert again.results["gone"] == prints
    assert "Nothing to fix" in again.artifact("patch_notes.md")
    blind = run("fix-worker", repository.root, context={**context, "advisories_dir": None})
    is_not_run(blind, "osv-audit"), "no advisories is not the same as gone"


def test_findings_of_a_needed_step_are_taken_and_those_of_other_repositories_left_alone(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(SHOP)
    given = Answer(tmp_path / "given", 0, "")
    given.folder.mkdir()
    elsewhere = {**UNUSED, "repository": "/srv/elsewhere"}
    here = {**UNUSED, "repository": str(repository.root)}
    for rows, expected in (([elsewhere], "failed"), ([here], "completed")):
        text = json.dumps({"status": "completed", "findings": rows})
        (given.folder / "results.json").write_text(text)
        results = run(
            "remediation-worker", repository.root, needs=(given,), python=sys.executable
        ).results
        assert results["status"] == expected, results


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"version": "2.11\nevil==1.0"}, "scope.version"),
        ({"version": "bad version;"}, "scope.version"),
        ({"version": "latest"}, "scope.version"),
        ({"version": "latest", "ecosystem": "npm"}, "scope.version"),
        ({"package": "jinja2 @ file:///x", "version": "2.11"}, "scope.package"),
        ({"version": "2.11", "ecosystem": "Maven"}, "choose from PyPI, npm"),
    ],
)
def test_what_no_manifest_may_say_is_refused_with_its_field(
    run: Run, repository: Repository, scope: dict[str, Any], words: str
) -> None:
    repository.commit({"requirements.txt": "jinja2==2.10\n"})
    answer = run("fix-worker", repository.root, **{"package": "jinja2", **scope})
    assert answer.results["status"] == "failed"
    assert answer.results["permanent"] is True
    assert words in answer.results["error"]


@pytest.mark.parametrize("name", ["package-lock.json", "hashed"])
def test_what_only_a_package_manager_can_write_is_left_or_done_by_the_named_command(
    run: Run, repository: Repository, name: str
) -> None:
    lock = {"packages": {"node_modules/lodash": {"version": "4.17.10"}}}
    files = {
        "package.json": '{\n "dependencies": {\n  "lodash": "^4.17.10"\n }\n}\n',
        "package-lock.json": json.dumps(lock, indent=1),
    }
    task = {"package": "lodash", "version": "4.17.12", "ecosystem": "npm", "allow_untested": True}
    if name == "hashed":
        files = {"requirements.txt": "jinja2==2.10 \\\n    --hash=sha256:00\n"}
        task = {"package": "jinja2", "version": "2.10.1", "allow_untested": True}
    repository.commit(files)
    answer = run("fix-worker", repository.root, **task)
    if name == "hashed":
        is_not_run(answer, "requirements.txt:1")
        return
    assert answer.results["status"] == "partial"
    assert "scope.lock_command" in answer.results["left"][0]
    command = "sed -i s/4.17.10/4.17.12/ package-lock.json"
    answer = run("fix-worker", repository.root, lock_command=command, **task)
    assert answer.results["status"] == "completed", answer.results
    assert answer.results["files_modified"] == ["package-lock.json", "package.json"]
    row = repository.fetch(answer)
    assert '"lodash": "^4.17.12"' in repository.git("show", f"{row['name']}:package.json")


def test_a_dirty_repository_is_fixed_from_its_last_commit_and_left_as_it_is(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    repository.write({"shop.py": "work in progress\n", "new.py": "x = 1\n"})
    answer = run("fix-worker", repository.root, findings=[UNUSED], python=sys.executable)
    assert answer.results["status"] == "completed"
    assert "2 uncommitted files" in answer.artifact("patch_notes.md")
    assert (repository.root / "shop.py").read_text() == "work in progress\n"


def test_a_step_after_a_fix_tests_the_fixed_code_and_two_fixes_of_one_line_are_a_conflict(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    task = {"package": "jinja2", "allow_untested": True}
    one = run("fix-worker", repository.root, version="2.10.1", **task)
    two = run("fix-worker", repository.root, version="3.0.0", context={"step": "b"}, **task)
    tested = run("test-worker", repository.root, needs=(one,), python=sys.executable).results
    assert tested["tests"]["commit"] == one.results["branches"][0]["head"]
    clash = run("test-worker", repository.root, needs=(one, two), python=sys.executable)
    assert (clash.results["status"], clash.results["outcome"]) == ("failed", "conflict")
    assert clash.results["conflicts"] == ["requirements.txt"]
    assert clash.results["findings"][0]["file"] == "requirements.txt"


def test_what_the_steps_before_made_goes_on_through_one_that_finds_nothing_to_change(
    run: Run, repository: Repository
) -> None:
    repository.commit({**SHOP, "ruff.toml": ""})
    task = {"package": "jinja2", "version": "2.10.1", "allow_untested": True}
    made = run("fix-worker", repository.root, **task)
    (before,) = made.results["branches"]
    tidy: dict[str, Any] = {"paths": ["test_shop.py"]}
    for worker_type, options in (("fix-worker", task), ("refactor-worker", tidy)):
        made = run(worker_type, repository.root, needs=(made,), context={"step": "b"}, **options)
        assert made.results["status"] == "completed", made.results
        assert repository.fetch(made)["head"] == before["head"]
        assert "goes on as cortex/task-010/b" in made.results["summary"]
    proposed = run("pr-worker", repository.root, needs=(made,)).results
    assert proposed["branches"][0]["head"] == before["head"]


def test_a_finding_that_points_outside_or_through_a_link_changes_nothing_there(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.py"
    victim.write_text("import os\n")
    repository.commit(SHOP)
    (repository.root / "link.py").symlink_to(victim)
    (repository.root / "folder").symlink_to(tmp_path)
    repository.commit({"a.txt": "x"})
    places = ("../victim.py", str(victim), "link.py", "folder/victim.py")
    rows = [{**UNUSED, "file": place} for place in places]
    is_not_run(run("fix-worker", repository.root, findings=rows), "is not there")
    assert victim.read_text() == "import os\n"


def test_what_the_task_says_mends_it_needs_no_new_scan_and_no_advisories(
    run: Run, repository: Repository
) -> None:
    """A finding of somebody else's tool is not gone because no scan of ours shows it."""
    repository.commit(SHOP)
    context = {"findings": ["0123456789abcdef"], "package": "jinja2"}
    told = {"package": "jinja2", "version": "2.10.1", "allow_untested": True}
    answer = run("fix-worker", repository.root, context=context, **told)
    assert (answer.results["status"], answer.results["gone"]) == ("completed", [])
    assert answer.results["files_modified"] == ["requirements.txt"]
    rules = {"rules": ["F401"], "paths": ["shop.py"], "python": sys.executable}
    answer = run("fix-worker", repository.root, context=context, **rules)
    assert answer.results["files_modified"] == ["shop.py"]


def test_a_version_that_is_more_than_a_version_is_never_written(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    evil = {**VULNERABLE, "fixed_version": "2.10.1\nevil==1.0"}
    is_not_run(run("fix-worker", repository.root, findings=[evil], allow_untested=True), "thought")


def test_fingerprints_that_no_scan_can_show_are_not_said_to_be_gone(
    run: Run, repository: Repository
) -> None:
    repository.commit(SHOP)
    advisories = {"advisories_dir": str(ADVISORIES)}
    scan = run("scan-worker", repository.root, context=advisories)
    prints = [row["fingerprint"] for row in scan.results["findings"] if row.get("package")]
    for findings in (prints, ["0123456789abcdef"]):  # a dependency's; a failing test's
        context = {**advisories, "findings": findings}
        results = run("fix-worker", repository.root, context=context, allow_untested=True).results
        assert not results.get("gone"), results
        assert results["status"] == ("completed" if findings == prints else "failed"), results


def test_a_finding_that_the_repositorys_configuration_leaves_out_is_left_and_not_gone(
    run: Run, repository: Repository
) -> None:
    repository.commit({**SHOP, "ruff.toml": 'exclude = ["shop.py"]\n'})
    is_not_run(run("fix-worker", repository.root, findings=[UNUSED]), "configuration")
    repository.commit({"ruff.toml": '[lint.per-file-ignores]\n"shop.py" = ["F401"]\n'})
    is_not_run(run("fix-worker", repository.root, findings=[UNUSED]), "configuration")
    repository.commit({"shop.py": "x = 1\n"})
    results = run("fix-worker", repository.root, findings=[UNUSED]).results
    assert results["status"] == "completed", "it is really gone"
