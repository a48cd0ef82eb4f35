"""The review worker: remarks on changed lines only, and a verdict that is never a guess."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tool_worker import Answer, Repository, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]

OLD = "import subprocess\n\n\ndef old(cmd):\n    return subprocess.call(cmd, shell=True)\n"
NEW = f"{OLD}\n\ndef new(cmd):\n    return subprocess.call(cmd, shell=True)\n"
SAFE = f"{OLD}\n\ndef new(n):\n    return n + 1\n"


def branch(repository: Repository, files: dict[str, str], name: str = "feature") -> str:
    repository.git("checkout", "--quiet", "-b", name)
    return repository.commit(files)


def test_only_changed_lines_are_remarked_upon(run: Run, repository: Repository) -> None:
    repository.commit({"tool.py": OLD})
    head = branch(repository, {"tool.py": NEW})
    before = repository.state()
    answer = run("review-worker", repository.root)
    results = answer.results
    assert (results["status"], results["verdict"]) == ("completed", "request_changes")
    assert {finding["line"] for finding in results["findings"]} == {9}
    assert results["change"]["head"] == head
    assert {comment["path"] for comment in results["comments"]} == {"tool.py"}
    assert answer.artifact("review.md").startswith("# Request changes\n")
    assert str(answer.folder) not in json.dumps(results["findings"]), "the clone is not named"
    assert repository.state() == before


def test_a_change_without_remarks_is_approved(run: Run, repository: Repository) -> None:
    repository.commit({"tool.py": OLD})
    branch(repository, {"tool.py": SAFE})
    results = run("review-worker", repository.root).results
    assert (results["status"], results["verdict"]) == ("completed", "approve")
    assert results["findings"] == []


def test_a_secret_a_syntax_error_and_a_shell_slip_are_each_found(
    run: Run, repository: Repository
) -> None:
    repository.commit({"README.md": "# Shop\n"})
    token = "ghp_" + "R4nd0mLyTyp3dT0k3nF0rTh1sT3stOnly9Zq"
    branch(
        repository,
        {
            "settings.py": f'TOKEN = "{token}"\n',
            "broken.py": "def broken(:\n",
            "clean.sh": '#!/bin/sh\nrm -rf "$1/"*\nrm -rf $1/x\n',
            "merge.txt": "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n",
        },
    )
    answer = run("review-worker", repository.root)
    places = {(finding["file"], finding["severity"]) for finding in answer.results["findings"]}
    assert ("settings.py", "critical") in places
    assert ("broken.py", "high") in places
    assert ("merge.txt", "high") in places
    assert any(file == "clean.sh" for file, _ in places)
    everything = "".join(
        path.read_text() for path in answer.folder.glob("artifacts/*") if path.suffix != ".bundle"
    ) + json.dumps(answer.results)
    assert token not in everything


def test_the_repositorys_own_lint_rules_count(run: Run, repository: Repository) -> None:
    repository.commit({"ruff.toml": 'lint.select = ["UP"]\n', "a.py": "x = 1\n"})
    branch(repository, {"a.py": 'x = 1\ny = "{}".format(x)\nimport os\n'})
    answer = run("review-worker", repository.root, request_changes_at="low")
    assert [finding["rule"] for finding in answer.results["findings"]] == ["UP032"]
    assert answer.results["verdict"] == "request_changes"


def test_an_analyzer_that_cannot_run_leaves_no_verdict(run: Run, repository: Repository) -> None:
    repository.commit({"ruff.toml": 'lint.select = ["NO-SUCH"]\n', "a.py": "x = 1\n"})
    branch(repository, {"a.py": "x = 2\n"})
    results = run("review-worker", repository.root).results
    assert (results["status"], results["verdict"]) == ("partial", None)
    assert "ruff-lint did not run" in results["summary"]


def test_an_empty_change_is_not_run(run: Run, repository: Repository) -> None:
    head = repository.commit({"tool.py": OLD})
    is_not_run(run("review-worker", repository.root), "scope.base")
    is_not_run(run("review-worker", repository.root, base=head, head="main"), "is empty")


def test_base_and_head_may_be_named_and_must_exist(run: Run, repository: Repository) -> None:
    first = repository.commit({"tool.py": OLD})
    second = repository.commit({"tool.py": NEW})
    repository.commit({"tool.py": SAFE})
    results = run("review-worker", repository.root, base=first, head=second).results
    assert results["verdict"] == "request_changes"
    results = run("review-worker", repository.root, base="nowhere").results
    assert results["status"] == "failed"
    assert "'nowhere'" in results["error"]


def handed_over(folder: Path, patch: str) -> Answer:
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "change.patch").write_text(patch)
    (folder / "results.json").write_text(
        json.dumps({"status": "completed", "artifacts": ["change.patch"]})
    )
    return Answer(folder, 0, "")


def test_a_patch_of_a_needed_step_is_reviewed_and_one_that_does_not_fit_is_a_conflict(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"tool.py": OLD})
    branch(repository, {"tool.py": NEW})
    patch = repository.git("diff", "main", "feature") + "\n"
    repository.git("checkout", "--quiet", "main")
    given = handed_over(tmp_path / "given", patch)
    results = run("review-worker", repository.root, needs=(given,)).results
    assert (results["verdict"], results["change"]["what"]) == ("request_changes", "change.patch")
    repository.commit({"tool.py": "import sys\n"})
    results = run("review-worker", repository.root, needs=(given,)).results
    assert (results["status"], results["outcome"]) == ("failed", "does_not_fit")
    assert results["conflicts"] == ["tool.py"]


def test_hooks_filters_and_links_of_the_repository_do_nothing(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    """Everything by which a repository could run a program or reach outside, at once."""
    victim, trace = tmp_path / "victim.py", tmp_path / "trace"
    victim.write_text("x=1\n")
    repository.commit(
        {".gitattributes": "*.py filter=evil diff=evil merge=evil\n", "a.py": "x = 1\n"}
    )
    evil = f"touch {trace}; cat"
    for key in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv"):
        repository.git("config", key, evil)
    (repository.root / ".git" / "info").mkdir(exist_ok=True)
    (repository.root / ".git" / "info" / "attributes").write_text("b.py filter=e=vil\n")
    for key in ("core.fsmonitor", "core.sshCommand", "diff.external", "core.pager"):
        repository.git("config", key, f"touch {trace}")
    trace.unlink(missing_ok=True)
    for name in ("post-checkout", "pre-commit", "reference-transaction", "post-merge"):
        hook = repository.root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
        hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    (repository.root / "link.py").symlink_to(victim)
    (repository.root / "b.py").write_text("y = 2\n")
    repository.git(
        "-c", "core.hooksPath=/dev/null", "-c", "filter.evil.clean=", "-c", "core.fsmonitor=false",
        "add", "link.py", "b.py",
    )  # fmt: skip
    repository.git(
        "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "commit", "-qm", "links"
    )
    config = repository.root / ".git" / "config"
    config.write_text(f'{config.read_text()}[filter "e=vil"]\n\tclean = "{evil}"\n')
    (repository.root / "b.py").write_text("y = 3\n")  # git asks the filter what it would be
    trace.unlink(missing_ok=True)
    results = run("review-worker", repository.root, base="HEAD~1", head="HEAD").results
    assert results["verdict"] == "approve", results
    assert not trace.exists(), "a program of the repository ran"
    assert victim.read_text() == "x=1\n"


@pytest.mark.parametrize("name", ['we"ird.py', "tab\there.py", "back\\slash.py", "Übung 1.py"])
def test_a_change_of_a_file_with_an_odd_name_is_looked_at(
    run: Run, repository: Repository, name: str
) -> None:
    repository.commit({name: "x = 1\n"})
    base = repository.git("rev-parse", "HEAD")
    repository.commit({name: "x = 1\nprint(eval(input()))\n"})
    results = run("review-worker", repository.root, base=base, head="main").results
    assert results["verdict"] == "request_changes", results["summary"]
    assert (name, 2) in {(row["path"], row["line"]) for row in results["comments"]}


def test_attributes_of_the_repository_hide_no_line_of_a_change(
    run: Run, repository: Repository
) -> None:
    attributes = "*.py -diff\nmore.py binary\n"
    repository.commit({".gitattributes": attributes, "app.py": "x = 1\n", "more.py": "x = 1\n"})
    base = repository.git("rev-parse", "HEAD")
    bad = "x = 1\nprint(eval(input()))\n"
    repository.commit({"app.py": bad, "more.py": bad})
    results = run("review-worker", repository.root, base=base, head="main").results
    assert results["verdict"] == "request_changes", results["summary"]
    assert {row["path"] for row in results["comments"]} >= {"app.py", "more.py"}
