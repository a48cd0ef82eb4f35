"""The pr worker, with a bare repository as the remote and stand-ins for the forges' clients that
check what they are asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tool_worker import Answer, Repository, git, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]

TOKEN = "glpat-" + "q7Jx0vPz3mWc8LdR"
UNTIDY = {"ruff.toml": "", "a.py": "a=1\n", "b.py": "b=1\n"}


@pytest.fixture
def remote(tmp_path: Path, repository: Repository) -> Path:
    """A bare repository that is the source's origin, with the first commit."""
    repository.commit(UNTIDY)
    bare = tmp_path / "remote.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository.root), str(bare))
    repository.git("remote", "add", "origin", str(bare))
    return bare


@pytest.fixture
def branch(run: Run, repository: Repository, remote: Path) -> Callable[..., Answer]:
    """Makes a branch as a refactor step does."""

    def make(file: str = "a.py", step: str = "tidy") -> Answer:
        return run(
            "refactor-worker", repository.root, paths=[file], allow_untested=True,
            context={"step": step},
        )  # fmt: skip

    return make


def stand_in(folder: Path, name: str, script: str) -> str:
    """A program of this name that notes its arguments and variables; the PATH with it in front."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    note = (
        f"import json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(folder / 'asked.json')!r}, 'w'))\n"
    )
    path.write_text(f"#!/usr/bin/env python3\n{note}{script}\n")
    path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def asked(folder: Path) -> tuple[list[str], dict[str, str]]:
    arguments, variables = json.loads((folder / "asked.json").read_text())
    return arguments, variables


def test_without_leave_to_push_the_patches_and_texts_are_what_it_delivers(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    before = repository.state()
    refs = git(remote, "for-each-ref")
    context = {"parent_task": "Tidy the shop up " + "very " * 20}
    answer = run("pr-worker", repository.root, needs=(branch(),), context=context)
    results = answer.results
    assert results["status"] == "completed"
    request = results["pull_request"]
    assert (request["state"], request["url"], request["target"]) == ("prepared", None, "main")
    assert len(request["title"]) <= 70
    assert "allow_push" in results["summary"]
    (patch,) = request["patches"]
    assert "NOT TESTED" in answer.artifact("body.md")
    assert request["title"] in answer.artifact("pull_request.md")
    assert git(remote, "for-each-ref") == refs
    assert repository.state() == before
    git(tmp_path, "clone", "--quiet", str(remote), "mine")
    series = str(answer.folder / "artifacts" / patch)
    git(tmp_path / "mine", "-c", "user.name=A", "-c", "user.email=a@b", "am", series)
    assert (tmp_path / "mine" / "a.py").read_text() == "a = 1\n"


def test_branches_that_a_later_one_took_in_are_not_merged_again(
    run: Run, branch: Callable[..., Answer], repository: Repository
) -> None:
    parts = (branch("a.py", "one"), branch("b.py", "two"))
    joined = run(
        "integration-worker", repository.root, needs=parts, allow_untested=True,
        context={"step": "join"},
    )  # fmt: skip
    (row,) = joined.results["branches"]
    assert row["commits"] > 2
    proposed = run("pr-worker", repository.root, needs=(*parts, joined)).results
    (handed_on,) = proposed["branches"]
    assert (handed_on["name"], handed_on["head"]) == (row["name"], row["head"])


def test_names_of_files_are_shown_to_people_as_they_are(
    run: Run, branch: Callable[..., Answer], repository: Repository
) -> None:
    repository.commit({"größe.py": "c=1\n"})
    made = branch("größe.py")
    assert "größe.py | 2 +-" in made.artifact("refactor_notes.md")
    body = run("pr-worker", repository.root, needs=(made,)).artifact("body.md")
    assert "größe.py | 2 +-" in body


def test_tests_that_failed_before_the_change_already_are_not_hidden_from_the_reviewer(
    run: Run, branch: Callable[..., Answer], repository: Repository
) -> None:
    made = branch()
    reason = "before: Tests: 1 failed, 1 passed. After: Tests: 1 failed, 1 passed."
    tested = {**made.results, "tested": True, "tests": {"state": "same", "reason": reason}}
    (made.folder / "results.json").write_text(json.dumps(tested))
    body = run("pr-worker", repository.root, needs=(made,)).artifact("body.md")
    assert f"no test got worse. {reason}" in body


def test_with_leave_it_pushes_and_opens_a_pull_request_with_gh(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    path = stand_in(tmp_path / "bin", "gh", "print('https://forge.example/pull/7')")
    made = branch()
    answer = run(
        "pr-worker", repository.root, needs=(made,), allow_push=True, path=path,
        env={"GH_TOKEN": TOKEN}, title="Tidy up", draft=True,
    )  # fmt: skip
    request = answer.results["pull_request"]
    assert (request["state"], request["url"]) == ("opened", "https://forge.example/pull/7")
    row = made.results["branches"][0]
    assert git(remote, "rev-parse", row["name"]) == row["head"]
    arguments, variables = asked(tmp_path / "bin")
    assert arguments[:6] == ["pr", "create", "--head", row["name"], "--base", "main"]
    assert arguments[6:8] == ["--title", "Tidy up"]
    assert Path(arguments[arguments.index("--body-file") + 1]).name == "body.md"
    assert arguments[-1] == "--draft"
    assert variables["GH_TOKEN"] == TOKEN
    assert "CORTEX_SPEC" not in variables
    again = run(
        "pr-worker", repository.root, needs=(made,), allow_push=True, path=path,
        env={"GH_TOKEN": TOKEN},
    )  # fmt: skip
    assert "was there already" in again.results["summary"], "doing it again does no harm"


def test_glab_is_asked_in_its_own_words_and_a_token_in_its_error_is_not_kept(
    run: Run, repository: Repository, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    script = "print('denied for ' + os.environ['GITLAB_TOKEN']); sys.exit(1)"
    path = stand_in(tmp_path / "bin", "glab", script)
    answer = run(
        "pr-worker", repository.root, needs=(branch(),), push=True, forge="glab", path=path,
        env={"GITLAB_TOKEN": TOKEN},
    )  # fmt: skip
    results = answer.results
    assert (results["status"], results["pull_request"]["state"]) == ("partial", "pushed")
    assert "glab ended with status 1: denied for (token)" in results["summary"]
    arguments, _ = asked(tmp_path / "bin")
    assert arguments[:2] == ["mr", "create"]
    assert arguments[-1] == "--yes"
    left = [path for path in answer.folder.rglob("*") if path.is_file()]
    left = [
        path for path in left if path.name != "spec.json" and TOKEN in path.read_text("latin-1")
    ]
    assert left == []


def test_a_request_that_is_open_already_is_found_and_a_missing_client_is_said(
    run: Run, repository: Repository, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    words = "print('a pull request already exists: https://forge.example/pull/3'); sys.exit(1)"
    path = stand_in(tmp_path / "bin", "gh", words)
    made = branch()
    keys: dict[str, Any] = {"allow_push": True, "env": {"GH_TOKEN": TOKEN}}
    request = run("pr-worker", repository.root, needs=(made,), path=path, **keys).results[
        "pull_request"
    ]
    assert (request["state"], request["url"]) == ("opened", "https://forge.example/pull/3")
    results = run("pr-worker", repository.root, needs=(made,), forge="glab", **keys).results
    assert results["pull_request"]["state"] == "pushed"
    assert "glab is not installed" in results["summary"]


@pytest.mark.parametrize("named", [None, ["SHOP_TOKEN"]])
def test_without_the_named_credential_nothing_leaves_the_machine(
    run: Run, repository: Repository, branch: Callable[..., Answer], named: list[str] | None
) -> None:
    """The remote's name resolves nowhere: had it been asked, the error would be another one."""
    task: dict[str, Any] = {"remote": "https://forge.invalid/shop/shop.git", "allow_push": True}
    if named:
        task |= {"credentials": named, "env": {"GH_TOKEN": TOKEN}}
    results = run("pr-worker", repository.root, needs=(branch(),), **task).results
    assert (results["status"], results["pull_request"]["state"]) == ("partial", "prepared")
    assert "no credential for forge.invalid" in results["summary"]
    assert (named or ["GH_TOKEN"])[0] in results["missing"][0]


def test_a_token_is_not_sent_in_the_clear_and_the_source_is_never_the_remote(
    run: Run, repository: Repository, branch: Callable[..., Answer]
) -> None:
    made = branch()
    keys: dict[str, Any] = {"allow_push": True, "env": {"GH_TOKEN": TOKEN}}
    for remote, word in (
        ("http://forge.invalid/shop.git", "in the clear"),
        (str(repository.root), "never pushed to"),
        (f"file://{repository.root}", "never pushed to"),
        (f"{repository.root}/.git/", "never pushed to"),
    ):
        results = run("pr-worker", repository.root, needs=(made,), remote=remote, **keys).results
        assert results["pull_request"]["state"] == "prepared"
        assert word in results["summary"]


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"target": "mian"}, "has no branch 'mian' to merge into"),
        ({"target": "*"}, "has no branch '*' to merge into"),
        ({"remote": "upstream"}, "scope.remote 'upstream' is no address"),
    ],
)
def test_a_target_or_remote_that_is_not_there_is_told_before_anything_is_pushed(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer],
    scope: dict[str, str], words: str,
) -> None:  # fmt: skip
    answer = run("pr-worker", repository.root, needs=(branch(),), allow_push=True, **scope)
    assert (answer.results["status"], answer.results["pull_request"]["state"]) == (
        "partial",
        "prepared",
    )
    assert words in answer.results["summary"]
    assert git(remote, "branch", "--format=%(refname:short)") == "main"
    release = {"allow_push": True, "target": "release"}
    git(remote, "branch", "release")
    sent = run("pr-worker", repository.root, needs=(branch(),), **release, open=False)
    assert sent.results["pull_request"]["state"] == "pushed", sent.results


def test_a_repository_is_pushed_to_where_its_origin_says_that_it_is(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    fork = tmp_path / "fork.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(remote), str(fork))
    made = branch()
    states = []
    for place in ("no_push", str(fork)):
        repository.git("remote", "set-url", "--push", "origin", place)
        answer = run("pr-worker", repository.root, needs=(made,), allow_push=True, open=False)
        states.append(answer.results["pull_request"]["state"])
        assert git(remote, "branch", "--format=%(refname:short)") == "main"
    assert states == ["prepared", "pushed"]
    assert "a = 1" in git(fork, "show", "cortex/task-010/tidy:a.py")


def test_a_branch_that_went_another_way_on_the_remote_is_a_conflict_and_stays(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer]
) -> None:
    made = branch()
    name = made.results["branches"][0]["name"]
    other = repository.commit({"other.txt": "x\n"})
    repository.git("push", "--quiet", "origin", f"{other}:refs/heads/{name}")
    results = run("pr-worker", repository.root, needs=(made,), allow_push=True).results
    assert (results["status"], results["outcome"]) == ("failed", "does_not_fit")
    assert git(remote, "rev-parse", name) == other


def test_several_branches_become_one_and_those_that_meet_are_a_conflict(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer]
) -> None:
    one, two = branch("a.py", "one"), branch("b.py", "two")
    results = run("pr-worker", repository.root, needs=(one, two), allow_push=True).results
    name = "cortex/task-010/pr"
    assert results["branches"][0]["name"] == name
    assert git(remote, "show", f"{name}:a.py") == "a = 1"
    assert git(remote, "show", f"{name}:b.py") == "b = 1"
    repository.commit({"a.py": "a=1;c=2\n"})
    three = branch("a.py", "three")
    results = run("pr-worker", repository.root, needs=(one, three)).results
    assert (results["status"], results["outcome"]) == ("failed", "conflict")
    assert results["conflicts"] == ["a.py"]


def test_what_did_not_pass_is_not_proposed_unless_the_task_says_so(
    run: Run, repository: Repository, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    made = branch()
    for verdict in ("failed", "request_changes", None, "perhaps"):
        folder = tmp_path / str(verdict)
        folder.mkdir()
        text = json.dumps({"status": "completed", "verdict": verdict, "summary": "2 failed"})
        (folder / "results.json").write_text(text)
        judged = Answer(folder, 0, "")
        is_not_run(run("pr-worker", repository.root, needs=(made, judged)), "did not pass")
        results = run(
            "pr-worker", repository.root, needs=(made, judged), allow_failing=True
        ).results
        assert results["status"] == "completed"


def test_without_a_branch_or_with_one_of_a_liar_it_is_not_run(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer], tmp_path: Path
) -> None:
    is_not_run(run("pr-worker", repository.root), "branches")
    made = branch()
    path = made.folder / "results.json"
    results = made.results
    honest = dict(results["branches"][0])
    for lie in (
        {"bundle": "../../results.json"},
        {"name": "../../../etc"},
        {"name": "--upload-pack=touch /tmp/x"},
        {"head": honest["base"]},
        {"base": "0" * 40},
    ):
        results["branches"] = [{**honest, **lie}]
        path.write_text(json.dumps(results))
        is_not_run(run("pr-worker", repository.root, needs=(made,)), "was left out")


def test_after_a_fix_that_found_everything_gone_there_is_nothing_to_propose_and_that_is_well(
    run: Run, repository: Repository
) -> None:
    repository.commit({"requirements.txt": "jinja2==3.1.6\n"})
    repository.write({"mine.txt": "not committed yet\n"})  # as somebody at work leaves it
    fixed = run("fix-worker", repository.root, package="jinja2", version="2.10.1")
    assert (fixed.results["status"], fixed.results["branches"]) == ("completed", [])
    tested = run("test-worker", repository.root, needs=(fixed,), test_command="echo 1 passed")
    for needs in ((fixed,), (fixed, tested)):
        answer = run("pr-worker", repository.root, needs=needs)
        results = answer.results
        assert (results["status"], results["pull_request"]["state"]) == ("completed", "nothing")
        assert "jinja2 is at 2.10.1 or later already" in answer.artifact("body.md")
    is_not_run(run("pr-worker", repository.root, needs=(tested,)), "no step handed over a branch")
    # One that names what it changed and hands over no branch has forgotten it: that is not none.
    said = {**tested.results, "files_modified": ["requirements.txt"]}
    (tested.folder / "results.json").write_text(json.dumps(said))
    answer = run("pr-worker", repository.root, needs=(fixed, tested))
    is_not_run(answer, "no step handed over a branch")


def renamed(made: Answer, repository: Repository, name: str) -> Answer:
    """The answer of a worker that called its branch otherwise, bundle and all."""
    path = made.folder / "results.json"
    results = json.loads(path.read_text())
    (row,) = results["branches"]
    repository.fetch(made)
    bundle = made.folder / "artifacts" / row["bundle"]
    apart = made.folder / "apart"
    git(made.folder, "clone", "--quiet", str(repository.root), str(apart))
    git(apart, "update-ref", f"refs/heads/{name}", row["head"])
    git(apart, "bundle", "create", "--quiet", str(bundle), f"{row['base']}..refs/heads/{name}")
    row["name"] = name
    path.write_text(json.dumps(results))
    return made


def test_no_branch_of_the_remote_that_is_not_cortexs_own_is_ever_moved(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer]
) -> None:
    git(remote, "branch", "develop", "main")
    git(remote, "branch", "release", "main")
    repository.git("branch", "develop", "main")
    for name in ("main", "release"):  # release is no branch of the source
        before = git(remote, "rev-parse", name)
        made = renamed(branch(step=name), repository, name)
        answer = run(
            "pr-worker", repository.root, needs=(made,), allow_push=True, open=False,
            target="develop",
        )  # fmt: skip
        assert git(remote, "rev-parse", name) == before
        assert answer.results["status"] == "failed", answer.results["summary"]
        assert (answer.results["outcome"], answer.results["conflicts"]) == ("does_not_fit", [name])


def test_a_name_that_a_worker_chose_is_kept_where_the_remote_has_no_such_branch(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer]
) -> None:
    made = renamed(branch(), repository, "tidy-up")
    for how in ("pushed", "was there already"):
        answer = run("pr-worker", repository.root, needs=(made,), allow_push=True, open=False)
        assert f"tidy-up {how}" in answer.results["summary"], answer.results
        assert git(remote, "rev-parse", "tidy-up") == answer.results["branches"][0]["head"]


def test_a_branch_whose_name_is_an_option_is_no_branch(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer]
) -> None:
    made = renamed(branch(), repository, "-D")
    answer = run("pr-worker", repository.root, needs=(made,), allow_push=True)
    is_not_run(answer, "'-D' is no branch")


def test_words_of_a_branch_that_a_person_may_paste_are_no_command(
    run: Run, repository: Repository, remote: Path, branch: Callable[..., Answer]
) -> None:
    name = "x;touch${IFS}evil"
    first = renamed(branch("a.py"), repository, name)
    repository.write({"a.py": "a = 2\n"})
    repository.git("checkout", "--quiet", "-b", "other")
    repository.git("commit", "--quiet", "--all", "-m", "Another")
    second = run("refactor-worker", repository.root, paths=["b.py"], allow_untested=True)
    answer = run("integration-worker", repository.root, needs=(first, second))
    told = "".join(path.read_text() for path in (answer.folder / "artifacts").glob("*.md"))
    assert f"cortex-task-010-tidy.bundle '{name}'\n" in told
