"""Pull requests of a repository that is a URL: cloned from its mirror, pushed to the server with
the token that is named, and opened by the forge's client.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from git_server import GitServer, has_http_backend
from tool_worker import Answer, Repository, ToolWorker, git, repository

__all__ = ["repository"]

TOKEN = "shop-" + "q7Jx0vPz3mWc8LdR"
KEYS: dict[str, Any] = {"env": {"SHOP_TOKEN": TOKEN}, "credentials": ["SHOP_TOKEN"]}
UNTIDY = {"ruff.toml": "", "a.py": "a=1\n"}

pytestmark = pytest.mark.skipif(not has_http_backend(), reason="this git has no http-backend")


@pytest.fixture
def server(tmp_path: Path, repository: Repository) -> Iterator[GitServer]:
    repository.commit(UNTIDY)
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "web" / "shop.git"))
    repository.git("remote", "add", "origin", str(tmp_path / "web" / "shop.git"))
    serving = GitServer(tmp_path / "web")
    serving.token = TOKEN
    yield serving
    serving.close()


@pytest.fixture
def start(tmp_path: Path, server: GitServer) -> Callable[..., Answer]:
    """Starts a worker on the server's repository, as a home with mirrors does."""
    run = ToolWorker(tmp_path / "workers")

    def worker(worker_type: str, **rest: Any) -> Answer:
        told = {"mirrors": {"folder": str(tmp_path / "mirrors"), "since": time.time()}}
        context = {**told, **rest.pop("context", {})}
        return run(worker_type, server.url("shop.git"), context=context, **{**KEYS, **rest})

    return worker


def tidied(start: Callable[..., Answer]) -> Answer:
    answer = start("refactor-worker", allow_untested=True, context={"step": "tidy"})
    assert answer.results["status"] == "completed", answer.results
    return answer


def client(folder: Path, name: str, script: str) -> str:
    """A forge's client that notes what it is asked; the PATH with it in front."""
    folder.mkdir(exist_ok=True)
    note = (
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(folder / name)!r} + '.json', 'w'))"
    )
    (folder / name).write_text(f"#!/usr/bin/env python3\nimport json, os, sys\n{note}\n{script}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def asked(folder: Path, name: str) -> tuple[list[str], dict[str, str]]:
    arguments, variables = json.loads((folder / f"{name}.json").read_text())
    return arguments, variables


def head_of(server: GitServer, branch: str) -> str:
    argv = ["git", "-c", "safe.directory=*", "rev-parse", "--verify", "--quiet", branch]
    done = subprocess.run(argv, cwd=server.root / "shop.git", capture_output=True, text=True)
    return done.stdout.strip()


def test_a_branch_goes_to_the_server_with_the_named_token_and_gh_opens_it(
    start: Callable[..., Answer], server: GitServer, tmp_path: Path
) -> None:
    made = tidied(start)
    row = made.results["branches"][0]
    assert row["repository"] == server.url("shop.git")
    path = client(tmp_path / "bin", "gh", "print('https://forge.example/pull/7')")
    answer = start("pr-worker", needs=(made,), allow_push=True, path=path, title="Tidy")
    request = answer.results["pull_request"]
    assert (request["state"], request["url"]) == ("opened", "https://forge.example/pull/7")
    assert head_of(server, f"refs/heads/{row['name']}") == row["head"]
    assert server.passwords == {"", TOKEN}
    arguments, variables = asked(tmp_path / "bin", "gh")
    assert arguments[:2] == ["pr", "create"]
    assert arguments[arguments.index("--repo") + 1] == "127.0.0.1/shop"
    body = Path(arguments[arguments.index("--body-file") + 1])
    assert body.read_text() == answer.artifact("body.md")
    assert TOKEN not in " ".join(arguments)
    assert variables["SHOP_TOKEN"] == TOKEN
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept = [path for path in kept if path.name not in ("spec.json", "gh.json")]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_glab_gets_the_text_itself_and_the_address_of_the_project(
    start: Callable[..., Answer], tmp_path: Path
) -> None:
    path = client(
        tmp_path / "bin", "glab", "print('https://forge.example/shop/-/merge_requests/7')"
    )
    answer = start("pr-worker", needs=(tidied(start),), allow_push=True, path=path, forge="glab")
    assert answer.results["pull_request"]["url"].endswith("merge_requests/7")
    arguments, variables = asked(tmp_path / "bin", "glab")
    assert arguments[:2] == ["mr", "create"]
    assert arguments[arguments.index("--repo") + 1] == "https://127.0.0.1/shop"
    assert arguments[arguments.index("--description") + 1] == answer.artifact("body.md")
    assert variables["NO_PROMPT"] == "1"


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        ("gh", ["--head", "me:cortex/task-010/pr", "--repo", "127.0.0.1/acme/shop"]),
        ("glab", ["--head", "me/shop", "--repo", "https://127.0.0.1/acme/shop"]),
    ],
)
def test_a_fork_is_pushed_to_and_the_request_is_opened_where_it_is_fetched_from(
    server: GitServer, repository: Repository, tmp_path: Path, forge: str, words: list[str]
) -> None:
    for owner in ("acme", "me"):
        repository.git("clone", "--quiet", "--bare", ".", str(server.root / owner / "shop.git"))
    repository.git("remote", "set-url", "origin", server.url("acme/shop.git"))
    repository.git("remote", "set-url", "--push", "origin", server.url("me/shop.git"))
    repository.git("checkout", "--quiet", "-b", "topic")
    commit = repository.commit({"b.py": "b = 1\n"})
    path = client(tmp_path / "bin", forge, "print('https://forge.example/7')")
    run = ToolWorker(tmp_path / "workers")
    keys = {**KEYS, "allow_push": True, "target": "main", "path": path, "forge": forge}
    answer = run("pr-worker", repository.root, ref=commit, **keys)
    assert answer.results["pull_request"]["state"] == "opened", answer.results
    arguments, _ = asked(tmp_path / "bin", forge)
    for name, value in zip(words[::2], words[1::2], strict=True):
        assert arguments[arguments.index(name) + 1] == value
    refs = git(server.root / "me" / "shop.git", "for-each-ref")
    assert f"{commit} commit\trefs/heads/cortex/task-010/pr" in refs
    repository.git("branch", "release", "main")
    nowhere = run("pr-worker", repository.root, ref=commit, **{**keys, "target": "release"})
    assert "acme/shop.git has no branch 'release'" in nowhere.results["summary"]


def test_a_branch_that_moved_on_the_server_is_not_overwritten(
    start: Callable[..., Answer], server: GitServer, repository: Repository
) -> None:
    made = tidied(start)
    name = made.results["branches"][0]["name"]
    other = repository.commit({"other.txt": "x\n"})
    repository.git("push", "--quiet", "origin", f"{other}:refs/heads/{name}")
    results = start("pr-worker", needs=(made,), allow_push=True).results
    assert (results["status"], results["outcome"]) == ("failed", "does_not_fit")
    assert head_of(server, name) == other


@pytest.mark.parametrize(
    ("harm", "words"),
    [("refused", "403"), ("no token", "no credential for 127.0.0.1")],
)
def test_a_push_that_is_refused_leaves_the_patches_and_says_why(
    start: Callable[..., Answer], server: GitServer, harm: str, words: str
) -> None:
    made = tidied(start)
    rest: dict[str, Any] = {"needs": (made,), "allow_push": True}
    if harm == "refused":
        server.refuses_pushes = True
    else:
        server.token = None
        rest |= {"env": {}}
    results = start("pr-worker", **rest).results
    request = results["pull_request"]
    assert (results["status"], request["state"]) == ("partial", "prepared"), results
    assert words in results["summary"]
    assert request["patches"]
    assert head_of(server, f"refs/heads/{made.results['branches'][0]['name']}") == ""
