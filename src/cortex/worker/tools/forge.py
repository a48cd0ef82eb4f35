"""The way to a remote: a push without force, and a pull or merge request by `gh` or `glab`.

A token comes from the variables that the worker type names, goes to git through its askpass
program and to the forge's own client, and is never part of an argument, a log or a result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cortex.model.branches import OWN, is_url, without_credentials
from cortex.worker.tools import processes
from cortex.worker.tools.analyzers import program
from cortex.worker.tools.clone import Clone
from cortex.worker.tools.credentials import host_of
from cortex.worker.tools.git import Git, GitError
from cortex.worker.tools.outcomes import ConflictError, NotRunError

__all__ = ["Remote", "Request", "find_remote", "has_target", "open_request", "push"]

_LIMIT_S = 300.0
_ADDRESS = re.compile(r"https?://[^\s\"'<>]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to push. `slug` is HOST/OWNER/NAME of a forge; None for a path. `upstream` is the
    repository that it is a fork of, if it is one.
    """

    address: str
    slug: str | None
    host: str
    upstream: Remote | None = None

    @property
    def onto(self) -> Remote:
        """Where requests are opened."""
        return self.upstream or self

    @property
    def shown(self) -> str:
        """The address without user or password."""
        return without_credentials(self.address)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the forge."""

    branch: str
    target: str
    title: str
    body_file: Path
    draft: bool


def find_remote(clone: Clone, named: str | None) -> Remote:
    """The remote that the task names, else where the source's own `origin` is pushed to, else the
    source's URL.

    Raises NotRunError where there is none: a repository given as a path is never pushed to.
    """
    address = named
    if address is None and clone.source_path is not None:
        address = _origin(clone.git.at(clone.source_path))
        if address and not is_url(address):
            address = str((clone.source_path / address).resolve())
    elif address is None:
        address = clone.address
    if not address or not (is_url(address) or Path(address).is_absolute()):
        raise NotRunError(
            f"scope.remote {named!r} is no address"
            if named
            else f"{clone.source} has no remote to push to",
            ["a remote: scope.remote (a URL or an absolute path), or the repository's own origin"],
        )
    if clone.source_path is not None and _is_in(address, clone.source_path):
        raise NotRunError("the source itself is never pushed to", ["a remote of its own"])
    remote = _remote(address)
    if named is None and clone.source_path is not None:
        return replace(remote, upstream=_upstream(clone.git.at(clone.source_path), remote))
    return remote


def _upstream(source: Git, fork: Remote) -> Remote | None:
    """Where `origin` is fetched from, if it is pushed to another repository of that host."""
    told = source.run("config", "--get", "remote.origin.url")
    address = told.stdout.decode("utf-8", "replace").strip()
    if not fork.host or not is_url(address) or host_of(address) != fork.host:
        return None
    upstream = _remote(address)
    return upstream if upstream.slug != fork.slug else None


def _origin(source: Git) -> str | None:
    """Where a repository says that it is pushed to, which may be nowhere (git-remote(1))."""
    for key in ("pushurl", "url"):
        told = source.run("config", "--get", f"remote.origin.{key}")
        if told.returncode == 0:
            return told.stdout.decode("utf-8", "replace").strip() or None
    return None


def _is_in(address: str, source: Path) -> bool:
    """Whether an address of this machine, a path or a file URL, is the source or its git folder."""
    path = unquote(urlsplit(address).path) if address.startswith("file://") else address
    return Path(path).resolve() in (source, source / ".git")


def _remote(address: str) -> Remote:
    if not is_url(address) or address.startswith("file://"):
        return Remote(address, None, "")
    host = host_of(address)
    if "://" in address:
        parts = urlsplit(address)
        path = parts.path
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise NotRunError(
                f"{without_credentials(address)} would carry the token in the clear",
                ["an https or ssh remote"],
            )
    else:
        path = address.partition("@")[2].partition(":")[2]
    slug = f"{host}/{path.strip('/').removesuffix('.git')}"
    return Remote(address, slug, host)


def has_target(clone: Clone, remote: Remote, branch: str, token: str | None) -> bool:
    """Whether there is a branch of this name where a request would be opened.

    Raises GitError where that is not said.
    """
    asked = ("ls-remote", "--heads", "--", remote.onto.address, f"refs/heads/{branch}")
    said = clone.git.with_token(token).text(*asked, limit_s=_LIMIT_S)
    return any(line.endswith(f"\trefs/heads/{branch}") for line in said.splitlines())


def push(clone: Clone, remote: Remote, branch: str, commit: str, token: str | None) -> str:
    """Push one commit as a branch, without force; `pushed` or `was there already`.

    A branch that is not Cortex's own is made, and never moved: the worker that named it may have
    named one of the remote's. Raises ConflictError where the remote has another one, GitError for
    the rest.
    """
    # An empty lease is kept only where there is no such branch, so that it forces nothing.
    only_new = [] if branch.startswith(OWN) else [f"--force-with-lease=refs/heads/{branch}:"]
    outcome = clone.git.with_token(token).run(
        "push", "--porcelain", "--no-verify", *only_new, "--", remote.address,
        f"{commit}:refs/heads/{branch}", limit_s=_LIMIT_S,
    )  # fmt: skip
    said = (outcome.stdout + b"\n" + outcome.stderr).decode("utf-8", "replace")
    if outcome.returncode == 0 and not outcome.problem:
        return "was there already" if "\n=\t" in f"\n{said}" else "pushed"
    if "[rejected]" in said:
        raise ConflictError(
            f"{remote.shown} has another {branch}, and nothing is ever forced",
            [branch],
            "does_not_fit",
        )
    telling = [line for line in said.splitlines() if line.startswith(("fatal", "error", "remote"))]
    words = outcome.problem or (telling[0] if telling else f"status {outcome.returncode}")
    raise GitError(without_credentials(f"git push to {remote.shown}: {words}")[:500])


def open_request(
    clone: Clone, remote: Remote, request: Request, forge: str | None, keys: Mapping[str, str]
) -> tuple[str | None, str]:
    """(the request's address or None, what happened). Never raises for what the client says."""
    name = forge or ("glab" if "gitlab" in remote.host else "gh")
    path = program(name)
    if path is None:
        return None, f"{name} is not installed, so nothing was opened"
    clone.git.text("remote", "set-url", "origin", without_credentials(remote.address))
    env = processes.minimal_environment(
        clone.root.parent / "git",
        **keys,
        GH_PROMPT_DISABLED="1",
        GH_NO_UPDATE_NOTIFIER="1",
        NO_PROMPT="1",
        GLAB_CHECK_UPDATE="false",
    )
    argv = [path, *(_glab(remote, request) if name == "glab" else _gh(remote, request))]
    outcome = processes.run(argv, cwd=clone.root, env=env, limit_s=_LIMIT_S)
    said = (outcome.stdout + b"\n" + outcome.stderr).decode("utf-8", "replace")
    for key in keys.values():
        said = said.replace(key, "(token)")
    addresses: Sequence[str] = _ADDRESS.findall(said)
    if outcome.returncode == 0 and not outcome.problem:
        return (addresses[-1] if addresses else None), f"opened with {name}"
    if "already exists" in said and addresses:
        return addresses[-1], "it was open already"
    last = (said.strip().splitlines() or ["no word of why"])[-1][:300]
    return None, f"{name} {outcome.problem or f'ended with status {outcome.returncode}'}: {last}"


def _gh(remote: Remote, request: Request) -> list[str]:
    head = request.branch
    if remote.upstream and remote.slug:
        head = f"{remote.slug.split('/')[1]}:{head}"  # whose fork, gh-pr-create(1)
    argv = ["pr", "create", "--head", head, "--base", request.target]
    argv += ["--title", request.title, "--body-file", str(request.body_file)]
    argv += ["--repo", remote.onto.slug] if remote.onto.slug else []
    return [*argv, "--draft"] if request.draft else argv


def _glab(remote: Remote, request: Request) -> list[str]:
    argv = ["mr", "create", "--source-branch", request.branch, "--target-branch", request.target]
    argv += ["--title", request.title, "--description", request.body_file.read_text("utf-8")]
    argv += ["--repo", f"https://{remote.onto.slug}"] if remote.onto.slug else []
    if remote.upstream and remote.slug:
        argv += ["--head", remote.slug.partition("/")[2]]  # the fork, glab-mr-create(1)
    return [*argv, "--yes", "--draft"] if request.draft else [*argv, "--yes"]
