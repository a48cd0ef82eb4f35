"""Repositories named by a URL: fetched once into a mirror of the home, brought up to date, told
clearly where that fails, and made anew where it is damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cortex.model.branches import mirror_name
from cortex.store.retention import remove_mirrors
from git_server import GitServer, has_http_backend
from live_home import LiveHome
from tool_worker import Answer, Repository, ToolWorker, git, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]
TOKEN = "shop-" + "q7Jx0vPz3mWc8LdR"
FILES = {"README.md": "# A shop\n\nSee [app](app.py).\n", "app.py": 'import os\nos.system("ls")\n'}

pytestmark = pytest.mark.skipif(not has_http_backend(), reason="this git has no http-backend")


@pytest.fixture
def server(tmp_path: Path, repository: Repository) -> Iterator[GitServer]:
    """A server with shop.git, to which the repository pushes as `origin`."""
    repository.commit(FILES)
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "web" / "shop.git"))
    repository.git("remote", "add", "origin", str(tmp_path / "web" / "shop.git"))
    serving = GitServer(tmp_path / "web")
    yield serving
    serving.close()


@pytest.fixture
def mirrors(tmp_path: Path) -> Path:
    return tmp_path / "mirrors"


@pytest.fixture
def read(run: Run, mirrors: Path) -> Run:
    """Runs a worker that reads, as the daemon of a home with mirrors starts it."""

    def start(address: str, worker_type: str = "documentation-worker", **scope: Any) -> Answer:
        context = {"mirrors": {"folder": str(mirrors), "since": time.time()}}
        return run(worker_type, address, context=context, **scope)

    return start


def mirror_of(mirrors: Path, address: str) -> Path:
    return mirrors / mirror_name(address)


def error_of(answer: Answer, *, permanent: bool) -> str:
    results = answer.results
    assert (results["status"], results["permanent"]) == ("failed", permanent), results
    return str(results["error"])


def test_each_reading_worker_takes_a_url_and_its_report_names_it(
    read: Run, server: GitServer
) -> None:
    address = server.url("shop.git")
    scanned = read(address, "scan-worker", scan_types=["vulnerabilities"])
    assert scanned.results["status"] in ("completed", "partial")
    (finding,) = scanned.found(file="app.py", severity="high") or scanned.found(file="app.py")[:1]
    assert finding["repository"] == address
    assert "Security scan of shop" in scanned.artifact("vulnerability_list.md")
    for worker_type, report in (
        ("analysis-worker", "analysis.json"),
        ("documentation-worker", "api_inventory.json"),
    ):
        assert f'"repository": "{address}"' in read(address, worker_type).artifact(report)
    assert server.fetches == 1, "one mirror serves them all"


def test_new_commits_are_there_for_the_next_worker_and_removed_branches_are_not(
    read: Run, server: GitServer, repository: Repository, mirrors: Path
) -> None:
    address = server.url("shop.git")
    repository.git("push", "--quiet", "origin", "main:old")
    read(address)
    assert server.fetches == 1
    repository.commit({"b.py": "def new():\n    pass\n"})
    repository.git("push", "--quiet", "origin", "main", ":old", "main:trunk")
    git(server.root / "shop.git", "symbolic-ref", "HEAD", "refs/heads/trunk")
    answer = read(address)
    assert "b.py" in answer.artifact("api_inventory.json")
    mirror = mirror_of(mirrors, address)
    assert git(mirror, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main", "refs/heads/trunk",
    ]  # fmt: skip
    assert git(mirror, "symbolic-ref", "HEAD") == "refs/heads/trunk"
    assert server.fetches > 1


def test_ten_workers_that_start_together_fetch_once(
    tmp_path: Path, server: GitServer, mirrors: Path
) -> None:
    address = server.url("shop.git")
    context = {"mirrors": {"folder": str(mirrors), "since": time.time()}}

    def one(number: int) -> Answer:
        start = ToolWorker(tmp_path / f"workers-{number}")
        return start("documentation-worker", address, context=context)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(one, range(10)))
    assert {answer.results["status"] for answer in answers} == {"completed"}
    assert server.fetches == 1


def test_a_token_comes_from_the_named_variable_alone_and_stays_in_no_file(
    read: Run, server: GitServer, mirrors: Path, tmp_path: Path
) -> None:
    server.token = TOKEN
    address = server.url("shop.git")
    assert "asks for a password" in error_of(read(address), permanent=True)
    unnamed = read(address, env={"SHOP_TOKEN": TOKEN})
    assert "asks for a password" in error_of(unnamed, permanent=True)
    wrong = read(address, env={"SHOP_TOKEN": "no"}, credentials=["SHOP_TOKEN"])
    assert "Authentication failed" in error_of(wrong, permanent=True)
    assert TOKEN not in server.passwords
    named = read(address, env={"SHOP_TOKEN": TOKEN}, credentials=["SHOP_TOKEN"])
    assert named.results["status"] == "completed"
    kept = [path for path in (*mirrors.rglob("*"), *named.folder.rglob("*")) if path.is_file()]
    kept = [path for path in kept if path.name != "spec.json"]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_user_and_password_of_an_address_are_in_no_mirror(
    read: Run, server: GitServer, mirrors: Path
) -> None:
    server.token = TOKEN
    address = server.url("shop.git")
    answer = read(address.replace("://", f"://ada:{TOKEN}@"))
    assert answer.results["status"] == "completed"
    assert mirror_of(mirrors, address).is_dir(), "it is the mirror of the bare address"
    files = [path for path in mirrors.rglob("*") if path.is_file()]
    files.append(answer.folder / "results.json")
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("status", "permanent", "words"),
    [(404, True, "not found"), (403, True, "403"), (500, False, "500"), (429, False, "429")],
)
def test_what_a_server_answers_is_told_and_only_what_may_pass_is_tried_again(
    read: Run, server: GitServer, status: int, permanent: bool, words: str
) -> None:
    server.status = status
    told = error_of(read(server.url("shop.git")), permanent=permanent)
    assert words in told
    assert "correct scope.repository" in told


def test_a_server_that_is_gone_is_tried_again_and_the_mirror_stays(
    read: Run, server: GitServer, mirrors: Path, repository: Repository, tmp_path: Path
) -> None:
    address = server.url("shop.git")
    read(address)
    server.close()
    assert "cannot be cloned" in error_of(read(address), permanent=False)
    head = repository.git("rev-parse", "HEAD")
    assert git(mirror_of(mirrors, address), "rev-parse", "main") == head
    assert not list(mirrors.rglob("cortex-writing"))


def test_a_host_that_nobody_knows_is_tried_again_and_a_protocol_that_is_not_taken_is_not(
    read: Run,
) -> None:
    error_of(read("https://forge.invalid/shop.git"), permanent=False)
    told = error_of(read("ftp://forge.invalid/shop.git"), permanent=True)
    assert "file, http, https or ssh" in told


def stand_in_for_ssh(folder: Path, script: str) -> dict[str, str]:
    program = folder / "my-ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{script}\n')
    program.chmod(0o755)
    return {"GIT_SSH_COMMAND": f"{program} -i key"}


def test_ssh_goes_by_the_command_that_the_environment_names(
    read: Run, server: GitServer, tmp_path: Path
) -> None:
    env = stand_in_for_ssh(tmp_path, 'for last; do :; done\nexec sh -c "$last"')
    answer = read(f"git@shop.example:{server.root}/shop.git", env=env)
    assert answer.results["status"] == "completed", answer.results
    assert (tmp_path / "asked").read_text().startswith("-i key ")


@pytest.mark.parametrize(
    ("said", "permanent"),
    [
        ("git@shop.example: Permission denied (publickey).", True),
        ("Host key verification failed.", True),
        ("ssh: Could not resolve hostname shop.example: Name or service not known", False),
        ("ssh: connect to host shop.example port 22: Connection refused", False),
    ],
)
def test_what_ssh_says_is_told_and_only_what_may_pass_is_tried_again(
    read: Run, tmp_path: Path, said: str, permanent: bool
) -> None:
    env = stand_in_for_ssh(tmp_path, f"echo '{said}' >&2; exit 255")
    told = error_of(read("ssh://git@shop.example/shop.git", env=env), permanent=permanent)
    assert said in told


def test_a_file_url_has_a_mirror_too_also_of_an_empty_and_of_a_detached_repository(
    read: Run, repository: Repository, mirrors: Path, tmp_path: Path
) -> None:
    first = repository.commit(FILES)
    repository.commit({"b.py": "x = 1\n"})
    repository.git("checkout", "--quiet", "--detach", first)
    address = f"file://{repository.root}"
    answer = read(address)
    assert answer.results["status"] == "completed"
    assert "b.py" not in answer.artifact("api_inventory.json")
    assert mirror_of(mirrors, address).is_dir()
    empty = Repository(tmp_path / "empty")
    told = read(f"file://{empty.root}").results
    assert told["outcome"] == "not_run"
    assert "has no commit yet" in told["error"]


def objects_of(mirror: Path) -> list[Path]:
    return [path for path in (mirror / "objects").rglob("*") if path.suffix == ".pack"]


@pytest.mark.parametrize("damage", ["no head", "no pack", "torn pack", "no folder of objects"])
def test_a_damaged_mirror_is_made_anew_and_keeps_what_workers_made(
    read: Run, server: GitServer, mirrors: Path, damage: str
) -> None:
    address = server.url("shop.git")
    read(address)
    mirror = mirror_of(mirrors, address)
    if damage == "no head":
        git(mirror, "update-ref", "refs/cortex/task-001/fix", "main")
        (mirror / "HEAD").unlink()
    elif damage == "no pack":
        for path in objects_of(mirror):
            path.unlink()
    elif damage == "torn pack":
        for path in objects_of(mirror):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-30])
    else:
        shutil.rmtree(mirror / "objects")
    answers = [read(address), read(address)]
    assert answers[-1].results["status"] == "completed", answers[-1].results
    assert git(mirror, "fsck", "--connectivity-only") == ""
    if damage == "no head":
        assert git(mirror, "rev-parse", "cortex/task-001/fix") == git(mirror, "rev-parse", "main")


def test_leavings_of_a_fetch_that_was_killed_are_cleared_away(
    read: Run, server: GitServer, repository: Repository, mirrors: Path
) -> None:
    address = server.url("shop.git")
    read(address)
    mirror = mirror_of(mirrors, address)
    for left in (
        "packed-refs.lock",
        "refs/heads/main.lock",
        "objects/pack/tmp_pack_x",
        "HEAD.lock",
    ):
        (mirror / left).write_text("")
    (mirror / "cortex-writing").write_text("")
    repository.commit({"b.py": "x = 1\n"})
    repository.git("push", "--quiet", "origin", "main")
    assert "b.py" in read(address).artifact("api_inventory.json")
    assert not [*mirror.rglob("*.lock"), *mirror.rglob("tmp_*"), *mirror.rglob("cortex-writing")]


def test_a_mirrors_settings_are_those_that_were_written_for_it(
    read: Run, server: GitServer, mirrors: Path, tmp_path: Path
) -> None:
    address = server.url("shop.git")
    read(address)
    config = mirror_of(mirrors, address) / "config"
    honest = config.read_text()
    config.write_text(
        f'{honest}[core]\n\tsshCommand = touch {tmp_path}/run\n[alias]\n\tx = "!id"\n'
    )
    assert read(address).results["status"] == "completed"
    assert config.read_text() == honest


def test_a_worker_that_is_killed_in_the_middle_leaves_a_mirror_that_the_next_one_makes(
    tmp_path: Path, read: Run, server: GitServer, mirrors: Path
) -> None:
    """The source stands still in the middle of the first fetch, and its worker is killed there."""
    env = stand_in_for_ssh(
        tmp_path,
        f'for last; do :; done\ncase "$last" in *upload-pack*)\n'
        f'[ -e {tmp_path}/second ] || {{ touch {tmp_path}/second; exec sh -c "$last"; }}\n'
        f"[ -e {tmp_path}/go ] || {{ touch {tmp_path}/stands; exec sleep 60; }};;\nesac\n"
        'exec sh -c "$last"',
    )
    address = f"ssh://git@shop.example{server.root}/shop.git"
    folder = tmp_path / "killed"
    (folder / "artifacts").mkdir(parents=True)
    spec = {
        "worker_type": "documentation-worker",
        "scope": {"repository": address},
        "context": {"mirrors": {"folder": str(mirrors), "since": time.time()}},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    variables = {
        **env,
        "PATH": os.environ["PATH"],
        "CORTEX_SPEC": str(folder / "spec.json"),
        "CORTEX_RESULTS": str(folder / "results.json"),
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "cortex.worker.tools"], env=variables, start_new_session=True
    )
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "stands").exists():
            assert time.monotonic() < end
            assert worker.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(worker.pid, 9)
        worker.wait()
    (tmp_path / "go").touch()
    answer = read(address, env=env)
    assert answer.results["status"] == "completed", answer.results
    assert [path.name for path in mirrors.iterdir() if path.name.endswith(".new")] == []


def test_a_task_of_ten_steps_of_a_real_daemon_asks_the_server_once_or_twice(
    live: LiveHome, server: GitServer
) -> None:
    """Once for those that start together, and once more for those that only then get a slot."""
    steps = [{"name": f"step-{number}", "worker_type": "documentation"} for number in range(10)]
    scope = {"repository": server.url("shop.git")}
    live.drop({"id": "ten", "title": "Ten", "workers": steps, "scope": scope})
    (row,) = live.until_ended("ten", limit_s=100.0)
    assert row["status"] == "completed", row
    assert server.fetches in (1, 2)
    assert len(list((live.root / "mirrors").glob("*.git"))) == 1


def test_a_worker_that_holds_its_clone_keeps_the_mirror_from_being_removed(
    live: LiveHome, server: GitServer, tmp_path: Path
) -> None:
    address = server.url("shop.git")
    command = f"touch {tmp_path}/there; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; git log"
    scope = {"repository": address, "workspace": "clone"}
    live.drop({"id": "holds", "command": command, "scope": scope})
    live.until((tmp_path / "there").exists, "it has its clone")
    mirrors = live.root / "mirrors"
    for path in mirrors.iterdir():
        os.utime(path, (1000, 1000))
    assert remove_mirrors(mirrors, 2_000 * 10**9, 10).count == 0
    (tmp_path / "go").touch()
    (row,) = live.until_ended("holds")
    assert row["status"] == "completed"
    for path in mirrors.iterdir():
        os.utime(path, (1000, 1000))
    assert live.until(lambda: remove_mirrors(mirrors, 2_000 * 10**9, 10).count, "it is let go")
