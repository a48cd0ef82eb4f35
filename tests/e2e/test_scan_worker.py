"""The zero-token worker program, driven as the daemon drives it: a process with the contract's
environment.

The repository is a copy of a real package (Click, as it is installed here) with one planted
problem of each kind, so that what is found is known and what is not planted shows whether the
scan cries wolf.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tool_worker import Answer, Repository, ToolWorker

ADVISORIES = Path(__file__).parent.parent / "data" / "advisories"
# Put together here, so that this file does not itself look like a leak.
SECRET = "ghp_" + "R4nd0mLyTyp3dT0k3nF0rTh1sT3stOnly9Zq"
PASSWORD = "Tr0ub4dor-" + "hunter-7731"


Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    start = ToolWorker(tmp_path / "workers")

    def scan(repository: Path | str, worker_type: str = "scan-worker", **rest: Any) -> Answer:
        return start(worker_type, repository, **rest)

    return scan


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A repository out of an installed package, with nothing planted yet."""
    spec = find_spec("click")
    assert spec is not None and spec.origin is not None
    repository = tmp_path / "repository"
    shutil.copytree(
        Path(spec.origin).parent,
        repository / "src" / "click",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (repository / "requirements.txt").write_text("# what we need\njinja2==3.1.6\n")
    return repository


def plant(repository: Path) -> None:
    (repository / "src" / "settings.py").write_text(
        f'"""Settings."""\n\nTOKEN = "{SECRET}"\ndb_password = "{PASSWORD}"\n'
    )
    (repository / "src" / "run_it.py").write_text(
        "import subprocess\n\n\ndef go(cmd):\n    return subprocess.call(cmd, shell=True)\n"
    )
    (repository / "requirements.txt").write_text("# what we need\njinja2==2.10\nurllib3>=1.25\n")


def test_each_planted_problem_is_found_at_its_line_and_is_gone_when_it_is_removed(
    run: Run, package: Path
) -> None:
    context = {"advisories_dir": str(ADVISORIES)}
    before = run(package, context=context)
    plant(package)
    planted = run(package, context=context)

    shell = planted.found(file="src/run_it.py", line=5, cwe="CWE-78")
    assert [finding["severity"] for finding in shell] == ["high"]
    assert shell[0]["tools"] == ["bandit", "ruff"]
    assert planted.found(file="src/settings.py", line=3, severity="critical", cwe="CWE-798")
    assert planted.found(file="src/settings.py", line=4, cwe="CWE-798")
    pins = planted.found(file="requirements.txt", line=2, package="jinja2")
    assert [pin["rule"] for pin in pins] == ["GHSA-462w-v97r-4m45"]
    assert pins[0]["fixed_version"] == "2.10.1"
    assert "jinja2 | 2.10 | 2.10.1" in planted.artifact("dependency_report.md")
    assert planted.results["findings"][0]["file"] == "src/settings.py"
    assert "src/run_it.py:5" in planted.artifact("vulnerability_list.md")

    for name in ("src/settings.py", "src/run_it.py"):
        (package / name).unlink()
    (package / "requirements.txt").write_text("# what we need\njinja2==3.1.6\n")
    after = run(package, context=context)
    fingerprints = [finding["fingerprint"] for finding in after.results["findings"]]
    assert fingerprints == [finding["fingerprint"] for finding in before.results["findings"]]
    assert not after.found(severity="critical") and not after.found(severity="high")


def test_no_secret_is_written_anywhere_below_the_worker_folder(run: Run, package: Path) -> None:
    plant(package)
    (package / "src" / "mixed.py").write_text(
        f'import os\nos.system("login --password {PASSWORD} " + input())\n'
    )
    answer = run(package, context={"advisories_dir": str(ADVISORIES)})
    assert answer.found(file="src/settings.py", line=3)
    for path in answer.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert PASSWORD.encode() not in content, path
    assert SECRET not in answer.stderr


def test_every_analyzer_says_how_it_fared(run: Run, package: Path) -> None:
    answer = run(package)
    assert answer.returncode == 0
    assert answer.results["status"] == "completed"
    assert answer.results["tokens_used"] == 0
    ran = [n for n, a in answer.analyzers.items() if a["state"] in ("clean", "findings")]
    assert {"bandit", "ruff", "ast-grep", "kingfisher"} <= set(ran)
    audit = answer.analyzers["osv-audit"]
    assert audit["state"] == "not_audited"
    assert "advisories_dir" in audit["reason"]
    assert "Unknown: nothing was audited" in answer.artifact("dependency_report.md")
    assert "| PyPI | jinja2 | 3.1.6 | requirements.txt:2 |" in answer.artifact(
        "dependency_report.md"
    )
    assert "osv-audit not audited" in answer.results["summary"]
    assert json.loads((answer.folder / "heartbeat.json").read_text())["progress"] == 1.0


def test_an_audit_against_advisories_that_match_nothing_is_clean(run: Run, package: Path) -> None:
    answer = run(package, "audit-worker", context={"advisories_dir": str(ADVISORIES)})
    assert answer.analyzers["osv-audit"]["state"] == "clean"


def test_advisories_that_cannot_be_read_are_an_error_and_never_clean(
    run: Run, package: Path, tmp_path: Path
) -> None:
    missing = run(package, context={"advisories_dir": str(tmp_path / "nowhere")})
    assert missing.analyzers["osv-audit"]["state"] == "error"
    (tmp_path / "empty").mkdir()
    empty = run(package, context={"advisories_dir": str(tmp_path / "empty")})
    assert empty.analyzers["osv-audit"]["state"] == "not_audited"


def test_a_javascript_repository_is_scanned_for_code_secrets_and_locked_packages(
    run: Run, tmp_path: Path
) -> None:
    repository = tmp_path / "web"
    (repository / "src").mkdir(parents=True)
    (repository / "node_modules" / "x").mkdir(parents=True)
    (repository / "node_modules" / "x" / "index.js").write_text("eval(input)\n")
    (repository / "src" / "server.ts").write_text(
        "import { exec } from 'child_process';\n"
        "export function list(dir: string): void {\n"
        "  exec('ls ' + dir);\n"
        "  exec('ls');\n"
        "}\n"
        "export const agent = { rejectUnauthorized: false };\n"
    )
    (repository / "src" / "view.jsx").write_text(
        "export function show(el, html) {\n  el.innerHTML = html;\n  el.innerHTML = '';\n}\n"
    )
    (repository / "package.json").write_text(
        '{"name": "web", "dependencies": {"lodash": "^4.17.0"}}'
    )
    (repository / "package-lock.json").write_text(
        '{"name": "web", "lockfileVersion": 3, "packages": {\n "": {"name": "web"},\n'
        ' "node_modules/lodash": {"version": "4.17.15"}\n}}\n'
    )
    answer = run(repository, context={"advisories_dir": str(ADVISORIES)})
    places = {(f["rule"], f["file"], f["line"]) for f in answer.results["findings"]}
    assert places == {
        ("js-child-process-exec", "src/server.ts", 3),
        ("js-tls-not-checked", "src/server.ts", 6),
        ("js-inner-html", "src/view.jsx", 2),
        ("GHSA-p6mc-m468-83gw", "package-lock.json", 3),
    }
    assert answer.analyzers["bandit"]["applicable"] is False


def test_the_same_finding_keeps_its_fingerprint_when_lines_move(run: Run, package: Path) -> None:
    plant(package)
    first = run(package).found(file="src/run_it.py")
    path = package / "src" / "run_it.py"
    path.write_text("# a new first line\n\n" + path.read_text())
    second = run(package).found(file="src/run_it.py")
    assert [f["fingerprint"] for f in first] == [f["fingerprint"] for f in second]
    assert [f["line"] + 2 for f in first] == [f["line"] for f in second]


def test_findings_in_tests_are_counted_and_not_shown_unless_asked_for(
    run: Run, package: Path
) -> None:
    (package / "tests").mkdir()
    (package / "tests" / "test_it.py").write_text(
        "import os\n\n\ndef test_x(tmp_path):\n    os.system('rm ' + str(tmp_path))\n    assert 1\n"
    )
    quiet = run(package)
    assert not [f for f in quiet.results["findings"] if f["file"].startswith("tests/")]
    assert "test files: 1 high" in quiet.artifact("vulnerability_list.md")
    assert run(package, include_tests=True).found(file="tests/test_it.py", line=5)
    assert run(package, paths=["tests"]).found(file="tests/test_it.py", line=5)


def test_scan_types_and_paths_limit_what_is_looked_at(run: Run, package: Path) -> None:
    plant(package)
    secrets = run(package, scan_types=["secrets"])
    assert set(secrets.analyzers) == {"kingfisher"}
    assert {f["file"] for f in secrets.results["findings"]} == {"src/settings.py"}
    one = run(package, paths=["src/run_it.py"])
    assert {f["file"] for f in one.results["findings"]} == {"src/run_it.py"}


def test_a_symlink_out_of_the_repository_is_not_followed(
    run: Run, package: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "leak.py").write_text(f'TOKEN = "{SECRET}"\neval(input())\n')
    (package / "link").symlink_to(outside)
    (package / "leak.py").symlink_to(outside / "leak.py")
    answer = run(package)
    assert not [f for f in answer.results["findings"] if "leak" in f["file"] or "link" in f["file"]]
    assert "2 left out: symlinks" in answer.artifact("vulnerability_list.md")


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"repository": "/nowhere/at/all"}, "does not exist"),
        ({"repository": "relative/path"}, "not absolute"),
        ({"scan_types": ["moon"]}, "scan_types"),
        ({"paths": ["../.."]}, "outside"),
        ({"depth": "bottomless"}, "depth"),
    ],
)
def test_a_scope_that_cannot_be_scanned_fails_for_good_and_says_why(
    run: Run, package: Path, scope: dict[str, Any], words: str
) -> None:
    answer = run(scope.pop("repository", package), **scope)
    assert answer.results["status"] == "failed"
    assert answer.results["permanent"] is True
    assert words in answer.results["error"]


def test_a_worker_type_without_a_program_fails_with_what_to_do(run: Run, package: Path) -> None:
    answer = run(package, "poetry-worker")
    assert answer.results["status"] == "failed"
    assert "another runtime" in answer.results["error"]


def test_the_sarif_names_rules_places_and_fingerprints(run: Run, package: Path) -> None:
    plant(package)
    answer = run(package)
    log = json.loads(answer.artifact("findings.sarif"))
    assert log["version"] == "2.1.0"
    only = log["runs"][0]
    rules = only["tool"]["driver"]["rules"]
    base = only["originalUriBaseIds"]["%SRCROOT%"]["uri"]
    assert base == f"file://{package}/"
    for result in only["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert len(result["partialFingerprints"]["cortexFinding/v1"]) == 16
    shell = next(r for r in only["results"] if r["ruleId"] == "bandit/B602")
    place = shell["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "src/run_it.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"]["startLine"] == 5
    assert "external/cwe/cwe-78" in rules[shell["ruleIndex"]]["properties"]["tags"]


def test_an_analysis_tells_languages_imports_complexity_and_history(
    run: Run, package: Path
) -> None:
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(package)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "First"], check=True)
    core = package / "src" / "click" / "core.py"
    core.write_text(core.read_text() + "\n# changed\n")
    subprocess.run([*git, "commit", "-qam", "Second"], check=True)
    answer = run(package, "analysis-worker")
    assert answer.results["status"] == "completed"
    analysis = json.loads(answer.artifact("analysis.json"))
    assert analysis["inventory"]["languages"][0]["language"] == "python"
    assert analysis["hot_spots"][0]["file"] == "src/click/core.py"
    assert analysis["hot_spots"][0]["commits"] == 2
    assert "src/click/core.py" in analysis["dependencies"]["edges"]["src/click/decorators.py"]
    assert analysis["complexity"]["top_functions"][0]["complexity"] > 10
    assert "## Hot spots" in answer.artifact("analysis_report.md")


@pytest.mark.parametrize("worker_type", ["scan-worker", "analysis-worker", "documentation-worker"])
def test_a_bare_repository_is_read_at_its_head_and_never_counts_as_clean(
    run: Run, tmp_path: Path, worker_type: str
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit({"run_it.py": "import os\n\n\ndef go(cmd):\n    os.system(cmd + 'x')\n"})
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "ünï bare.git"))
    answer = run(tmp_path / "ünï bare.git", worker_type)
    assert answer.results["status"] == "completed"
    if worker_type == "analysis-worker":
        languages = json.loads(answer.artifact("analysis.json"))["inventory"]["languages"]
        assert languages[0]["language"] == "python"
    else:
        assert answer.found(file="run_it.py"), answer.results


def test_an_analysis_without_a_history_says_so(run: Run, package: Path) -> None:
    answer = run(package, "analysis-worker")
    analysis = json.loads(answer.artifact("analysis.json"))
    assert analysis["churn"]["reason"] == "not a git checkout"
    assert analysis["hot_spots"] == []
