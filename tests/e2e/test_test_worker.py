"""The test worker on small real repositories: what it runs, counts, and calls missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tool_worker import Answer, Repository, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]

PYTEST_PROJECT = {
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n[tool.pytest.ini_options]\n',
    "src/shop/__init__.py": "def price(n):\n    return n * 2\n\n\ndef unused():\n    return 1\n",
    "tests/test_shop.py": (
        "import pytest\nfrom shop import price\n\n\n"
        "def test_price():\n    assert price(2) == 4\n\n\n"
        "@pytest.mark.skip\ndef test_later():\n    pass\n"
    ),
}
BROKEN = "from shop import price\n\n\ndef test_wrong():\n    n = price(2)\n    assert n == 5\n"


def test_a_suite_that_passes_is_counted_with_its_coverage(run: Run, repository: Repository) -> None:
    commit = repository.commit(PYTEST_PROJECT)
    before = repository.state()
    results = run("test-worker", repository.root, python=sys.executable).results
    assert (results["status"], results["verdict"]) == ("completed", "passed")
    tests = results["tests"]
    assert (tests["passed"], tests["failed"], tests["skipped"]) == (1, 0, 1)
    assert tests["commit"] == commit
    assert tests["coverage"] == 75.0, "one of four statements never ran"
    assert results["findings"] == []
    assert repository.state() == before, "the source is not written to"


def test_failing_tests_are_completed_work_with_a_finding_at_the_line_each(
    run: Run, repository: Repository
) -> None:
    repository.commit({**PYTEST_PROJECT, "tests/test_more.py": BROKEN})
    answer = run("test-worker", repository.root, python=sys.executable)
    results = answer.results
    assert (results["status"], results["verdict"]) == ("completed", "failed")
    assert results["summary"].startswith("Tests: 1 failed, 1 passed, 1 skipped in ")
    (finding,) = results["findings"]
    assert (finding["file"], finding["line"]) == ("tests/test_more.py", 6)
    assert finding["rule"] == "test-failed"
    assert "test_wrong" in answer.artifact("test_report.md")
    assert "assert 4 == 5" in answer.artifact("test_report.md")


def test_where_tests_must_pass_failing_ones_fail_the_step_for_good(
    run: Run, repository: Repository
) -> None:
    repository.commit({**PYTEST_PROJECT, "tests/test_more.py": BROKEN})
    results = run("test-worker", repository.root, python=sys.executable, must_pass=True).results
    assert (results["status"], results["permanent"]) == ("failed", True)
    assert "1 failed" in results["error"]
    assert len(results["findings"]) == 1


def test_a_module_that_cannot_be_imported_is_an_error_with_its_file(
    run: Run, repository: Repository
) -> None:
    repository.commit({**PYTEST_PROJECT, "tests/test_more.py": "import nowhere_to_be_found\n"})
    results = run("test-worker", repository.root, python=sys.executable).results
    assert results["verdict"] == "failed"
    assert results["tests"]["errors"] == 1
    assert results["findings"][0]["file"] == "tests/test_more.py"


def test_without_an_environment_it_is_not_run_and_says_what_to_name(
    run: Run, repository: Repository
) -> None:
    repository.commit(PYTEST_PROJECT)
    answer = run("test-worker", repository.root)
    is_not_run(answer, "scope.python", "scope.setup", ".venv")
    assert "Not run" in answer.artifact("test_report.md")


def test_an_environment_without_pytest_is_not_run(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(PYTEST_PROJECT)
    bare = f"{sys.executable} -m venv --without-pip .venv"
    is_not_run(run("test-worker", repository.root, setup=bare), "pytest in that environment")


def test_the_repositorys_own_venv_is_used_and_the_clones_code_is_what_it_tests(
    run: Run, repository: Repository
) -> None:
    repository.commit({**PYTEST_PROJECT, ".gitignore": ".venv\n"})
    (repository.root / ".venv" / "bin").mkdir(parents=True)
    python = repository.root / ".venv" / "bin" / "python"
    # As an editable install does, it puts the source tree's code on the path.
    source = repository.root / "src"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{source}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (repository.root / "src/shop/__init__.py").write_text("def price(n):\n    return 0\n")
    results = run("test-worker", repository.root).results
    assert results["verdict"] == "passed", results["findings"]


def test_a_setup_command_runs_first_and_one_that_fails_is_the_missing_part(
    run: Run, repository: Repository
) -> None:
    repository.commit(PYTEST_PROJECT)
    link = f"mkdir -p .venv/bin && ln -s {sys.executable} .venv/bin/python"
    # A link alone is no venv, but it starts the interpreter.
    made = run("test-worker", repository.root, setup=f"{link} && echo ready")
    assert made.artifact("setup.log") == "ready\n"
    assert made.results["status"] in ("completed", "failed")
    answer = run("test-worker", repository.root, setup="echo no wheels here; exit 3")
    is_not_run(answer, "status 3", "no wheels here", "setup.log")
    assert answer.results["missing"] == [
        "a setup command that succeeds (ended with status 3: no wheels here; setup.log has its "
        "output)"
    ]


@pytest.mark.parametrize(
    ("python", "missing"),
    [
        ("/nowhere/python", "'/nowhere/python', as scope.python"),
        ("python0.9", "'python0.9', as scope.python"),
        ("/bin/false", "a Python that runs: /bin/false (scope.python) ended with status 1"),
    ],
)
def test_a_named_python_that_cannot_be_used_is_itself_the_missing_part(
    run: Run, repository: Repository, python: str, missing: str
) -> None:
    repository.commit(PYTEST_PROJECT)
    answer = run("test-worker", repository.root, python=python)
    is_not_run(answer, python)
    assert answer.results["missing"] == [missing]


def test_uncommitted_changes_are_not_tested_and_it_says_so(
    run: Run, repository: Repository
) -> None:
    repository.commit(PYTEST_PROJECT)
    repository.write({"tests/test_more.py": BROKEN, "src/shop/__init__.py": "syntax error\n"})
    answer = run("test-worker", repository.root, python=sys.executable)
    assert answer.results["verdict"] == "passed"
    assert "2 uncommitted files" in answer.artifact("test_report.md")


def test_unittest_suites_are_run_by_the_environments_own_library(
    run: Run, repository: Repository
) -> None:
    repository.commit(
        {
            "calc.py": "def add(a, b):\n    return a + b\n",
            "tests/__init__.py": "",
            "tests/test_calc.py": (
                "import unittest\nfrom calc import add\n\n\n"
                "class Adding(unittest.TestCase):\n"
                "    def test_right(self):\n        self.assertEqual(add(1, 1), 2)\n\n"
                "    def test_wrong(self):\n        self.assertEqual(add(1, 1), 3)\n\n"
                "    @unittest.skip('later')\n    def test_later(self):\n        pass\n"
            ),
        }
    )
    results = run("test-worker", repository.root, python=sys.executable).results
    assert results["tests"]["suites"][0]["suite"] == "unittest"
    tests = results["tests"]
    assert (tests["passed"], tests["failed"], tests["skipped"]) == (1, 1, 1)
    (finding,) = results["findings"]
    assert (finding["file"], finding["line"]) == ("tests/test_calc.py", 10)


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_node_tests_are_found_in_package_json_and_counted(run: Run, repository: Repository) -> None:
    test = (
        "const test = require('node:test');\nconst assert = require('node:assert');\n"
        "test('adds', () => assert.equal(1 + 1, 2));\n"
        "test('breaks', () => assert.equal(1 + 1, 3));\n"
    )
    package = '{"name": "shop", "scripts": {"test": "node --test"}}'
    repository.commit({"package.json": package, "sum.test.js": test})
    results = run("test-worker", repository.root).results
    assert (results["tests"]["passed"], results["tests"]["failed"]) == (1, 1)
    (finding,) = results["findings"]
    assert (finding["file"], finding["line"]) == ("sum.test.js", 4)


@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_npm_test_is_run_and_packages_that_are_not_installed_are_the_missing_part(
    run: Run, repository: Repository
) -> None:
    script = {"package.json": '{"scripts": {"test": "echo 3 passing; echo 1 failing; exit 1"}}'}
    repository.commit(script)
    results = run("test-worker", repository.root).results
    assert (results["verdict"], results["tests"]["passed"]) == ("failed", 3)
    needs = '{"scripts": {"test": "jest"}, "devDependencies": {"jest": "1"}}'
    repository.commit({"package.json": needs})
    is_not_run(run("test-worker", repository.root), "npm ci")


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_test_counts_where_no_other_suite_is_known(run: Run, repository: Repository) -> None:
    repository.commit({"Makefile": "test:\n\t@echo fine\n"})
    assert run("test-worker", repository.root).results["verdict"] == "passed"
    repository.commit({"Makefile": "test:\n\t@echo bad; exit 4\n"})
    results = run("test-worker", repository.root).results
    assert results["verdict"] == "failed"
    assert (
        "bad" in results["findings"][0]["message"] or "Error 4" in results["findings"][0]["message"]
    )


def test_go_and_cargo_are_asked_as_they_print(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    """Stand-ins that check their arguments and print what the real ones print."""
    (tmp_path / "bin").mkdir()
    go = r"""[ "$*" = "test -json ./..." ] || exit 9
echo '{"Action":"pass","Package":"shop","Test":"TestA","Elapsed":0.1}'
printf '%s\n' '{"Action":"output","Package":"shop","Test":"TestB","Output":" shop_test.go:7: no"}'
echo '{"Action":"fail","Package":"shop","Test":"TestB","Elapsed":0.1}'
echo '{"Action":"fail","Package":"shop","Elapsed":0.2}'
exit 1"""
    cargo = """[ "$1" = --version ] && exit 0
[ "$*" = "test --offline --no-fail-fast" ] || exit 9
echo 'test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'
echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'"""
    for name, script in (("go", go), ("cargo", cargo)):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    repository.commit({"go.mod": "module shop\n", "Cargo.toml": "[package]\n"})
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    results = run("test-worker", repository.root, path=path).results
    by_suite = {row["suite"]: row for row in results["tests"]["suites"]}
    assert by_suite["go"]["counts"] == {"passed": 1, "failed": 1, "errors": 0, "skipped": 0}
    assert by_suite["cargo"]["counts"] == {"passed": 6, "failed": 0, "errors": 0, "skipped": 1}
    (finding,) = results["findings"]
    assert (finding["file"], finding["line"]) == ("shop_test.go", 7)


def test_a_suite_that_runs_over_the_workers_time_is_ended_before_the_timeout_and_told(
    run: Run, repository: Repository
) -> None:
    repository.commit(
        {
            **PYTEST_PROJECT,
            "tests/test_slow.py": "import time\n\n\ndef test_slow():\n    time.sleep(300)\n",
        }
    )
    answer = run("test-worker", repository.root, python=sys.executable, timeout="8s")
    results = answer.results
    assert (results["status"], results["verdict"]) == ("failed", "unknown")
    assert "stopped at its limit" in results["error"]


def test_a_folder_without_git_without_tests_or_without_commits_is_not_run(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "test_a.py").write_text("def test_a():\n    pass\n")
    is_not_run(run("test-worker", tmp_path / "plain"), "a git repository")
    is_not_run(run("test-worker", repository.root), "a first commit")
    repository.commit({"README.md": "# Nothing to test\n"})
    is_not_run(run("test-worker", repository.root), "scope.test_command")


def test_a_test_command_of_the_task_goes_before_what_the_files_say(
    run: Run, repository: Repository
) -> None:
    repository.commit(PYTEST_PROJECT)
    command = "echo '===== 7 passed, 2 skipped in 0.1s ====='"
    results = run("test-worker", repository.root, test_command=command).results
    assert (results["tests"]["passed"], results["tests"]["skipped"]) == (7, 2)
    assert results["verdict"] == "passed"


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_nothing_of_cortexs_own_environment_leads_the_path_of_the_tests(
    run: Run, repository: Repository
) -> None:
    repository.commit({"Makefile": "test:\n\t@echo PATH is $(PATH)\n"})
    answer = run(
        "test-worker", repository.root, path=f"{Path(sys.executable).parent}:/usr/bin:/bin"
    )
    assert answer.artifact("make.log") == "PATH is /usr/bin:/bin\n"


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_clones_and_caches_are_cleared_away_unless_the_task_keeps_them(
    run: Run, repository: Repository
) -> None:
    repository.commit({"Makefile": "test:\n\t@mkdir -p $$HOME/.cache; touch $$HOME/.cache/big\n"})
    answer = run("test-worker", repository.root)
    assert answer.results["verdict"] == "passed"
    left = {path.name for path in answer.folder.iterdir()}
    assert left <= {"spec.json", "results.json", "artifacts", "heartbeat.json"}
    kept = run("test-worker", repository.root, keep_clone=True)
    assert (kept.folder / "repository" / "Makefile").is_file()


def test_paths_choose_tests_and_paths_of_other_code_run_the_whole_suite(
    run: Run, repository: Repository
) -> None:
    repository.commit({**PYTEST_PROJECT, "tests/test_more.py": BROKEN})
    chosen = run(
        "test-worker", repository.root, python=sys.executable, paths=["tests/test_shop.py"]
    )
    assert chosen.results["tests"]["failed"] == 0
    whole = run("test-worker", repository.root, python=sys.executable, paths=["src/shop"])
    assert whole.results["tests"]["failed"] == 1


def test_paths_outside_of_the_repository_are_refused_and_nothing_there_is_run(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(PYTEST_PROJECT)
    ran = tmp_path / "ran"
    (tmp_path / "test_outside.py").write_text(f"open({str(ran)!r}, 'w')\n")
    for path in ("../../../test_outside.py", "tests/../../../..", str(tmp_path)):
        results = run("test-worker", repository.root, python=sys.executable, paths=[path]).results
        assert not ran.exists()
        assert results["status"] == "failed"
        assert "lies outside the repository" in results["error"], results["error"]


def test_every_test_is_counted_however_much_was_printed_after_it(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    go = r"""echo '{"Action":"fail","Package":"shop","Test":"TestA","Elapsed":0.1}'
awk 'BEGIN { for (n = 0; n < 20000; n++)
    printf "{\"Action\":\"pass\",\"Package\":\"shop\",\"Test\":\"Test%d\",\"Elapsed\":0}\n", n }'
exit 1"""
    path = tmp_path / "bin" / "go"
    path.write_text(f"#!/bin/sh\n{go}\n")
    path.chmod(0o755)
    repository.commit({"go.mod": "module shop\n"})
    answer = run(
        "test-worker", repository.root, path=f"{path.parent}:{os.environ['PATH']}"
    )  # fmt: skip
    (row,) = answer.results["tests"]["suites"]
    assert row["counts"] == {"passed": 20_000, "failed": 1, "errors": 0, "skipped": 0}
    assert answer.results["verdict"] == "failed"
    assert len(answer.artifact("go.log")) <= 400_000


def test_the_parts_of_a_monorepo_are_tested_each_in_its_folder_as_it_says_itself(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    """Two services with tests of the same names, one whose import path its own file names, and a
    module in a language whose program is not here.
    """
    (tmp_path / "bin").mkdir()
    service = {
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['lib']\n",
        "lib/prices.py": "def price():\n    return 1\n",
        "tests/test_main.py": "import prices\n\n\ndef test_it():\n    assert prices.price() == 1\n",
    }
    files = {
        f"services/{name}/{path}": text for name in ("a b", "c") for path, text in service.items()
    }
    files["services/c/lib/prices.py"] = "def price():\n    return 2\n"
    files |= {"shop/test_own.py": "def test_own():\n    pass\n", "tools/go/go.mod": "module x\n"}
    files["vendor/other/go.mod"] = "module other\n"
    repository.commit(files)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    answer = run("test-worker", repository.root, python=sys.executable, path=path)
    rows = {(row["suite"], row["folder"]): row for row in answer.results["tests"]["suites"]}
    assert {place: row["state"] for place, row in rows.items()} == {
        ("pytest", ""): "passed",
        ("pytest", "services/a b"): "passed",
        ("pytest", "services/c"): "failed",
        ("go", "tools/go"): "not_run",
    }
    assert (answer.results["status"], answer.results["verdict"]) == ("partial", "failed")
    assert "go in tools/go not run (go is not installed)" in answer.results["summary"]
    (finding,) = answer.results["findings"]
    assert (finding["file"], finding["line"]) == ("services/c/tests/test_main.py", 5)
    assert "pytest-services-c.log" in answer.results["artifacts"]
    only = run("test-worker", repository.root, python=sys.executable, paths=["services/a b"])
    assert [row["folder"] for row in only.results["tests"]["suites"]] == ["services/a b"]


def project(folder: str, test: str = "def test_it():\n    pass\n") -> dict[str, str]:
    return {
        f"{folder}/pyproject.toml": '[project]\nname = "part"\nversion = "1"\n',
        f"{folder}/tests/test_it.py": test,
    }


def folders(answer: Answer) -> list[str]:
    return [row["folder"] for row in answer.results["tests"]["suites"]]


def test_parts_of_a_monorepo_whose_names_are_alike_or_long_are_each_tested_and_logged(
    run: Run, repository: Repository
) -> None:
    long = "/".join(["long-" * 12] * 5)
    repository.commit({**project("libs/core"), **project("libs-core"), **project(long)})
    answer = run("test-worker", repository.root, python=sys.executable)
    assert (answer.results["status"], answer.results["verdict"]) == ("completed", "passed")
    assert set(folders(answer)) == {"libs/core", "libs-core", long}
    logs = [name for name in answer.results["artifacts"] if name.endswith(".log")]
    assert len(set(logs)) == 3
    assert all("1 passed" in answer.artifact(name) for name in logs)


def test_paths_of_a_monorepo_choose_its_parts_however_they_are_written(
    run: Run, repository: Repository
) -> None:
    own = {"shop/test_own.py": "def test_own():\n    pass\n", "notes/a.md": "# A\n"}
    repository.commit({**project("one"), **project("two")})
    chosen = {"./one": ["one"], "one/": ["one"], ".": ["one", "two"], "notes": ["one", "two"]}
    for path, parts in chosen.items():
        answer = run("test-worker", repository.root, python=sys.executable, paths=[path])
        assert folders(answer) == parts, path
    repository.commit(own)
    both = run("test-worker", repository.root, python=sys.executable, paths=["one", "shop"])
    assert (folders(both), both.results["tests"]["passed"]) == (["", "one"], 2)


def test_the_tests_of_a_part_are_not_counted_with_those_of_the_root_whoever_runs_them(
    run: Run, repository: Repository
) -> None:
    case = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        pass\n"
    repository.commit({**project("one", case), "test_own.py": "def test_own():\n    pass\n"})
    results = run("test-worker", repository.root, python=sys.executable).results
    assert [row["suite"] for row in results["tests"]["suites"]] == ["pytest", "unittest"]
    assert results["tests"]["passed"] == 2


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_a_workspace_finds_its_modules_above_it_and_one_that_lacks_any_is_not_run(
    run: Run, repository: Repository
) -> None:
    package = '{"scripts": {"test": "node --test"}, "dependencies": {"left": "1"}}'
    test = "const test = require('node:test');\nrequire('left');\ntest('it', () => {});\n"
    repository.commit({"packages/a/package.json": package, "packages/a/a.test.js": test})
    made = "mkdir -p node_modules/left && echo 'module.exports = 1' > node_modules/left/index.js"
    results = run("test-worker", repository.root, setup=made).results
    assert (results["verdict"], results["tests"]["passed"]) == ("passed", 1)
    is_not_run(run("test-worker", repository.root, setup="mkdir -p node_modules/right"), "npm ci")


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_a_makefile_above_the_parts_of_a_monorepo_says_how_all_are_tested(
    run: Run, repository: Repository
) -> None:
    package = '{"scripts": {"test": "exit 3"}}'
    repository.commit({"Makefile": "test:\n\t@echo fine\n", "web/package.json": package})
    results = run("test-worker", repository.root).results
    assert [row["suite"] for row in results["tests"]["suites"]] == ["make"]
    repository.git("rm", "--quiet", "Makefile")
    repository.commit({"README.md": "# Web\n"})
    if shutil.which("npm"):
        results = run("test-worker", repository.root).results
        assert (results["verdict"], results["tests"]["suites"][0]["folder"]) == ("failed", "web")


def test_tests_that_fail_without_a_submodule_are_told_with_it_and_setup_may_fetch_it(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    library = Repository(tmp_path / "library")
    library.commit({"calc.py": "def add(a, b):\n    return a + b\n"})
    allowed = ("-c", "protocol.file.allow=always")
    repository.git(*allowed, "submodule", "--quiet", "add", str(library.root), "lib")
    test = "from lib.calc import add\n\n\ndef test_add():\n    assert add(1, 1) == 2\n"
    repository.commit({"test_lib.py": test})
    results = run("test-worker", repository.root, python=sys.executable).results
    assert results["verdict"] == "failed"
    assert results["summary"].endswith("Perhaps because of this: submodules are not cloned.")
    setup = f"git {' '.join(allowed)} submodule --quiet update --init"
    results = run("test-worker", repository.root, python=sys.executable, setup=setup).results
    assert (results["verdict"], "submodules" in results["summary"]) == ("passed", False)


def test_an_address_with_a_space_says_how_a_space_is_written(run: Run, tmp_path: Path) -> None:
    library = Repository(tmp_path / "my library")
    library.commit({"README.md": "# Hi\n"})
    answer = run("test-worker", f"file://{library.root}")
    assert "write it as %20" in answer.results["error"]
    is_not_run(run("test-worker", f"file://{library.root}".replace(" ", "%20")), "a test suite")


def test_a_path_above_the_parts_chooses_them_and_does_not_ask_the_root_for_tests_that_are_theirs(
    run: Run, repository: Repository
) -> None:
    own = {"test_own.py": "def test_own():\n    pass\n"}
    repository.commit({**project("packages/one"), **project("packages/two"), **own})
    answer = run("test-worker", repository.root, python=sys.executable, paths=["packages"])
    assert (answer.results["status"], answer.results["verdict"]) == ("completed", "passed")
    assert folders(answer) == ["", "packages/one", "packages/two"]


def test_a_pattern_chooses_what_its_folder_does_and_a_part_that_is_named_is_tested_whole(
    run: Run, repository: Repository
) -> None:
    more = {"parts/one/tests/test_more.py": "def test_more():\n    pass\n"}
    own = {"test_own.py": "def test_own():\n    pass\n"}
    repository.commit({**project("parts/one"), **project("parts/two"), **more, **own})
    pattern = run("test-worker", repository.root, python=sys.executable, paths=["parts/*"])
    assert folders(pattern) == ["", "parts/one", "parts/two"]
    paths = ["parts/one", "parts/one/tests/test_it.py"]
    both = run("test-worker", repository.root, python=sys.executable, paths=paths)
    assert (folders(both), both.results["tests"]["passed"]) == (["parts/one"], 2)
