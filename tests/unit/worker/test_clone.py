"""Clones of a worker's own: which addresses are taken, what is never run, and clear words."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cortex.model.branches import is_url, kept_ref, without_credentials
from cortex.model.ids import is_user_id
from cortex.worker.contract import Worker, read_worker
from cortex.worker.tools.branches import branch_name, commit_files, export_branch, incoming
from cortex.worker.tools.clone import Clone, CloneError, clone_repository, resolve
from cortex.worker.tools.outcomes import NotRunError
from tool_worker import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def worker(folder: Path, needs: list[Path] | None = None, **scope: Any) -> Worker:
    folder.mkdir()
    (folder / "spec.json").write_text(
        json.dumps({"worker_type": "fix", "scope": scope, "context": {"step": "main"}})
    )
    env = {
        "CORTEX_SPEC": str(folder / "spec.json"),
        "CORTEX_RESULTS": str(folder / "results.json"),
        "CORTEX_TASK_ID": "task-001",
    }
    if needs:
        env["CORTEX_INPUTS"] = ":".join(map(str, needs))
    return read_worker(env)


def clone(tmp_path: Path, address: object, **scope: Any) -> Clone:
    return clone_repository(worker(tmp_path / "worker", repository=str(address), **scope))


@pytest.mark.parametrize(
    "address",
    ["https://x.org/a.git", "http://x/a", "ssh://git@x/a", "file:///srv/a", "git@x.org:a/b.git"],
)
def test_urls_are_known(address: str) -> None:
    assert is_url(address)


@pytest.mark.parametrize(
    "address",
    ["ext::sh -c id", "git://x/a", "-u./x", "https://-oProxyCommand=id/x", "ftp://x/a", "x:y",
     "git@-oProxyCommand=id:x", "fd::17"],
)  # fmt: skip
def test_addresses_that_could_run_something_are_refused_before_git_sees_them(
    tmp_path: Path, address: str
) -> None:
    assert not is_url(address)
    with pytest.raises(CloneError, match=r"scope\.repository"):
        clone(tmp_path, address)


def test_a_path_is_shared_and_the_source_is_not_written(
    tmp_path: Path, repository: Repository
) -> None:
    head = repository.commit({"a.txt": "1\n"})
    before = repository.state()
    made = clone(tmp_path, repository.root)
    assert (made.base, made.branch, made.default_branch) == (head, "main", "main")
    assert (made.root / ".git/objects/info/alternates").is_file()
    commit_files(made, [], "nothing")
    (made.root / "a.txt").write_text("2\n")
    assert commit_files(made, ["a.txt"], "Two")
    assert repository.state() == before


def test_a_bare_repository_a_worktree_a_shallow_one_and_a_file_url_will_do(
    tmp_path: Path, repository: Repository
) -> None:
    repository.commit({"a.txt": "1\n"})
    head = repository.commit({"a.txt": "2\n"})
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    repository.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "tree"))
    url = f"file://{repository.root}"
    repository.git("clone", "--quiet", "--depth=1", url, str(tmp_path / "shallow"))
    for number, address in enumerate(("bare", "tree", "shallow", url)):
        folder = tmp_path / f"worker-{number}"
        given = address if "://" in address else str(tmp_path / address)
        made = clone_repository(worker(folder, repository=given))
        assert made.base == head, address
        assert (made.root / "a.txt").read_text() == "2\n"
    assert (
        clone_repository(worker(tmp_path / "w", repository=str(tmp_path / "tree"))).branch == "side"
    )


@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_a_bare_repository_whose_head_names_no_branch_is_begun_at_its_default_one(
    tmp_path: Path, repository: Repository, address: str
) -> None:
    """`git init --bare` names a branch that nobody may ever push."""
    commit = repository.commit({"a.txt": "one\n"})
    bare = tmp_path / "bare.git"
    repository.git("init", "--quiet", "--bare", "--initial-branch=master", str(bare))
    repository.git("push", "--quiet", str(bare), "main", "main:trunk")
    made = clone(tmp_path, address.format(bare))
    assert (made.base, made.default_branch) == (commit, "main")
    assert any(note.endswith("leads to no branch: this is its main") for note in made.notes)
    repository.git("push", "--quiet", str(bare), ":main", ":trunk", "main:next")
    with pytest.raises(NotRunError, match="leads to no branch") as caught:
        clone_repository(worker(tmp_path / "other", repository=address.format(bare)))
    assert caught.value.missing == ["scope.ref: the branch to start from"]


def test_a_commit_that_no_branch_leads_to_can_be_named(
    tmp_path: Path, repository: Repository
) -> None:
    repository.commit({"a.txt": "1\n"})
    lost = repository.commit({"a.txt": "2\n"})
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    made = clone(tmp_path, repository.root, ref=lost)
    assert made.head() == lost
    assert resolve(made, "no-such") is None
    assert resolve(made, "--all") is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("missing", "cannot be read: No such file"),
        ("folder", "no git repository"),
        ("inside", "scope.paths to"),
        ("empty", "has no commit yet"),
        ("relative", "is not absolute"),
        ("ref", "no branch, tag or commit 'nowhere'"),
        ("url", "cannot be cloned"),
    ],
)
def test_what_cannot_be_cloned_is_told_with_what_to_do(
    tmp_path: Path, repository: Repository, make: str, words: str
) -> None:
    scope: dict[str, Any] = {}
    address = str(repository.root)
    if make == "missing":
        address = str(tmp_path / "nowhere")
    elif make == "folder":
        address = str(tmp_path / "plain")
        Path(address).mkdir()
    elif make == "inside":
        repository.commit({"sub/a.txt": "1\n"})
        address += "/sub"
    elif make == "relative":
        address = "some/where"
    elif make == "ref":
        repository.commit({"a.txt": "1\n"})
        scope["ref"] = "nowhere"
    elif make == "url":
        address = f"file://{tmp_path}/nowhere.git"
    with pytest.raises((CloneError, NotRunError), match=words):
        clone(tmp_path, address, **scope)


def test_a_password_in_an_address_is_in_no_error_and_no_result(tmp_path: Path) -> None:
    address = "https://ada:hunter2-7731@127.0.0.1:1/shop.git"
    with pytest.raises(CloneError) as caught:
        clone(tmp_path, address)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:1/shop.git" in str(caught.value)
    assert not caught.value.permanent, "a server may be back in a minute"
    assert without_credentials(address) == "https://127.0.0.1:1/shop.git"


def test_settings_of_machine_and_user_count_for_nothing(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"a.txt": "1\n", ".gitattributes": "*.txt filter=evil\n"})
    trace = tmp_path / "trace"
    settings = tmp_path / "home" / ".gitconfig"
    settings.parent.mkdir()
    settings.write_text(f'[filter "evil"]\n\tsmudge = touch {trace}; cat\n\tclean = cat\n')
    monkeypatch.setenv("HOME", str(settings.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    made = clone(tmp_path, repository.root)
    assert not trace.exists()
    assert any("Git LFS" in note for note in made.notes)


@pytest.fixture
def server(tmp_path: Path, repository: Repository) -> Iterator[tuple[str, list[str]]]:
    """A web server with the bare repository; it wants a password, and keeps those it was given."""
    repository.commit({"a.txt": "1\n"})
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "web" / "shop.git"))
    subprocess.run(["git", "update-server-info"], cwd=tmp_path / "web" / "shop.git", check=True)
    given: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "web"))

        def do_GET(self) -> None:
            name = self.headers.get("Authorization", "").removeprefix("Basic ")
            given.append(base64.b64decode(name).decode())
            if given[-1] == "x-access-token:sesame":
                super().do_GET()
                return
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="shop"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}/shop.git", given
        web.shutdown()
        thread.join()


def test_a_url_that_wants_a_password_gets_the_named_one_and_without_it_is_told(
    tmp_path: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, given = server
    with pytest.raises(CloneError, match="it asks for a password") as caught:
        clone_repository(worker(tmp_path / "first", repository=address))
    assert caught.value.permanent
    monkeypatch.setenv("SHOP_TOKEN", "sesame")
    named = worker(tmp_path / "second", repository=address, credentials=["SHOP_TOKEN"])
    made = clone_repository(named)
    assert (made.root / "a.txt").read_text() == "1\n"
    assert set(given) == {"", "x-access-token:sesame"}
    assert "FORGE_TOKEN" not in made.git.env
    files = [path for path in (tmp_path / "second").rglob("*") if path.is_file()]
    assert not [path for path in files if b"sesame" in path.read_bytes()]


def test_ssh_is_asked_without_questions_and_may_be_any_program_on_the_path(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = repository.commit({"a.txt": "1\n"})
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ssh"
    # The last argument is the command for the other side.
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    made = clone(tmp_path, f"ssh://git@shop.example{repository.root}")
    assert made.base == head
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("-oBatchMode=yes ")
    assert "git@shop.example" in asked


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a repository away")
def test_a_repository_of_another_user_is_cloned(tmp_path: Path, repository: Repository) -> None:
    head = repository.commit({"a.txt": "1\n"})
    subprocess.run(["chown", "-R", "nobody", repository.root], check=True)
    assert clone(tmp_path, repository.root).base == head


def test_a_branch_goes_out_as_a_bundle_and_comes_in_where_it_is_needed(
    tmp_path: Path, repository: Repository
) -> None:
    base = repository.commit({"a.txt": "1\n"})
    first = worker(tmp_path / "worker-fix-001", repository=str(repository.root))
    made = clone_repository(first)
    (made.root / "a.txt").write_text("2\n")
    commit_files(made, ["a.txt"], "Two")
    row = export_branch(first, made)
    assert row["name"] == branch_name(first) == "cortex/task-001/main"
    assert (row["base"], row["commits"]) == (base, 1)
    first.write_results("completed", "Done.", branches=[row])
    second = worker(tmp_path / "second", [first.results_path], repository=str(repository.root))
    taken = clone_repository(second)
    (branch,) = incoming(second, taken)
    assert (branch.name, branch.head, branch.worker) == (row["name"], row["head"], "worker-fix-001")


@pytest.mark.parametrize(
    ("task", "step", "name"),
    [
        ("a..b", "x.lock", "cortex/a.b-f62b4241/x.lock-f53b5310"),
        ("-t", "a b/c", "cortex/t-7cd2e817/a-b-c-539138d5"),
        ("t.", "..", "cortex/t-b29edf0c/work-5ec1f7e7"),
    ],
)
def test_names_of_branches_are_such_that_git_takes_them(
    tmp_path: Path, task: str, step: str, name: str
) -> None:
    made = worker(tmp_path / "w")
    env = {
        "CORTEX_SPEC": str(tmp_path / "spec.json"),
        "CORTEX_RESULTS": str(tmp_path / "results.json"),
        "CORTEX_TASK_ID": task,
    }
    (tmp_path / "spec.json").write_text(json.dumps({"context": {"step": step}}))
    made = read_worker(env)
    assert branch_name(made) == name
    subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=True)


def test_no_two_steps_have_a_branch_together() -> None:
    steps = ["fix", "fix-", "fix.", "fix.2", "fix-2", "fix2", "fix.lock", "fix.lock-"]
    assert all(map(is_user_id, steps))
    refs = [kept_ref("task-001", step, number) for step in steps for number in (1, 2, 22)]
    assert len({*refs}) == len(refs)
    assert kept_ref("t", "main") != kept_ref("t.", "main") != kept_ref("t-", "main")
    for ref in refs:
        subprocess.run(["git", "check-ref-format", ref], check=True)
    assert (refs[0], refs[1]) == ("refs/cortex/task-001/fix", "refs/cortex/task-001/fix+2")


def test_a_command_in_a_clone_that_a_signal_ended_has_the_status_that_a_shell_gives_it(
    tmp_path: Path, repository: Repository
) -> None:
    repository.commit({"a": "x"})
    folder = worker(tmp_path / "worker", repository=str(repository.root)).dir
    done = subprocess.run(
        [sys.executable, "-m", "cortex.worker.tools.workspace", "/bin/sh", "-c", "kill -9 $$"],
        env={
            "PATH": os.environ["PATH"],
            "CORTEX_SPEC": str(folder / "spec.json"),
            "CORTEX_RESULTS": str(folder / "results.json"),
        },
        timeout=60,
    )
    assert done.returncode == 137
