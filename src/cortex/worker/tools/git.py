"""Runs git with nobody's settings but its own: no hooks, filters, helpers or prompts.

A repository is a stranger's. Its configuration and the machine's may name programs to run, so a
file written here stands in for the global settings, and the system's are left out. It knows git's
command line and nothing of what a worker does with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cortex.model.branches import without_credentials
from cortex.worker.tools import processes
from cortex.worker.tools.analyzers import program
from cortex.worker.tools.outcomes import NotRunError

__all__ = ["Git", "GitError", "make_git"]

_PROTOCOLS = "file:http:https:ssh"
_LIMIT_S = 300.0
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15"
_TELLING = ("fatal:", "error:", "ERROR:")
#: What git says whenever an ssh child has ended; the line before it has the cause.
_BY_ANOTHER = "Could not read from remote repository"
_ASKPASS = """\
#!/bin/sh
case "$1" in
  Username*) echo x-access-token ;;
  *) printf '%s\\n' "$FORGE_TOKEN" ;;
esac
"""
_SETTINGS = """\
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	attributesFile = /dev/null
	fsmonitor = false
	pager = cat
	editor = false
[protocol "ext"]
	allow = never
[submodule]
	recurse = false
[user]
	name = Cortex
	email = cortex@localhost
	useConfigOnly = true
[commit]
	gpgSign = false
[tag]
	gpgSign = false
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
[init]
	defaultBranch = main
[transfer]
	fsckObjects = true
[fetch]
	unpackLimit = 1
[fetch "fsck"]
	badTimezone = ignore
	missingSpaceBeforeDate = ignore
	zeroPaddedFilemode = ignore
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = 60
[diff]
	noprefix = false
	mnemonicPrefix = false
"""


class GitError(Exception):
    """A git command that did not succeed, with the end of what git said, without credentials."""


@dataclass(frozen=True, slots=True)
class Git:
    """The git program in one folder, under the settings of `make_git`. No command runs on past
    `end_s` of the monotonic clock.
    """

    program: str
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    end_s: float | None = None

    def at(self, folder: Path) -> Git:
        """The same git in another folder."""
        return replace(self, cwd=folder)

    def until(self, end_s: float) -> Git:
        """The same git with an end."""
        return replace(self, end_s=end_s)

    def with_environment(self, **extra: str) -> Git:
        """The same git with more variables."""
        return replace(self, env={**self.env, **extra})

    def with_token(self, token: str | None) -> Git:
        """The same git, which answers a server's question for a password with this; None: not."""
        env = {name: value for name, value in self.env.items() if name != "FORGE_TOKEN"}
        if token is None:
            return replace(self, env={**env, "GIT_ASKPASS": "/bin/false"})
        askpass = Path(self.env["HOME"]) / "askpass"
        askpass.write_text(_ASKPASS, encoding="utf-8")
        askpass.chmod(0o700)
        env |= {"GIT_ASKPASS": str(askpass), "FORGE_TOKEN": token}
        return replace(self, env=env)

    def run(self, *arguments: str, limit_s: float = _LIMIT_S) -> processes.Outcome:
        """Run one command to its end or limit; the outcome, whatever it is. Raises GitError where
        `end_s` cut it off, for what it says then means nothing.
        """
        argv = [self.program, "--no-optional-locks", *arguments]
        left_s = limit_s if self.end_s is None else max(0.0, self.end_s - time.monotonic())
        outcome = processes.run(
            argv, cwd=self.cwd, env=self.env, limit_s=min(limit_s, left_s), own_session=False
        )
        if outcome.problem and left_s < limit_s:
            raise GitError(_words(arguments, outcome))
        return outcome

    def bytes(self, *arguments: str, limit_s: float = _LIMIT_S) -> bytes:
        """What a command printed. Raises GitError where it did not succeed."""
        outcome = self.run(*arguments, limit_s=limit_s)
        if outcome.problem or outcome.returncode != 0:
            raise GitError(_words(arguments, outcome))
        return outcome.stdout

    def text(self, *arguments: str, limit_s: float = _LIMIT_S) -> str:
        """What a command printed, as stripped text. Raises GitError where it did not succeed."""
        return self.bytes(*arguments, limit_s=limit_s).decode("utf-8", "replace").strip()

    def paths(self, *arguments: str) -> list[str]:
        """The names that a command prints with `-z`. Raises GitError."""
        printed = self.bytes(*arguments).decode("utf-8", "surrogateescape")
        return [name for name in printed.split("\0") if name]

    def commit_of(self, name: str) -> str | None:
        """The commit that a branch, tag or hash names here; None where it names none."""
        if not name or name.startswith("-"):
            return None
        outcome = self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        found = outcome.stdout.decode("ascii", "replace").strip()
        return found if outcome.returncode == 0 and found else None


def make_git(folder: Path) -> Git:
    """A Git whose settings and home lie in `folder`. Raises NotRunError where git is missing."""
    path = program("git")
    if path is None:
        raise NotRunError("git is not installed", ["the git program on PATH"])
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "gitconfig"
    settings.write_text(_SETTINGS, encoding="utf-8")
    agent = os.environ.get("SSH_AUTH_SOCK")  # there only where the task's env names it
    env = processes.minimal_environment(
        folder,
        **({"SSH_AUTH_SOCK": agent} if agent else {}),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_GLOBAL=str(settings),
        GIT_ALLOW_PROTOCOL=_PROTOCOLS,
        GIT_TERMINAL_PROMPT="0",
        GIT_ASKPASS="/bin/false",
        SSH_ASKPASS="/bin/false",
        # Another one is there only where the task's env or the type's credentials name it.
        GIT_SSH_COMMAND=os.environ.get("GIT_SSH_COMMAND") or _SSH,
        GIT_ATTR_NOSYSTEM="1",
        GIT_LFS_SKIP_SMUDGE="1",
        LC_ALL="C",
    )
    return Git(path, folder, env)


def _words(arguments: tuple[str, ...], outcome: processes.Outcome) -> str:
    verb = next((word for word in arguments if not word.startswith("-")), "git")
    if outcome.problem:
        return f"git {verb} {outcome.problem}"
    said = [line for line in outcome.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    told = next((n for n, line in enumerate(said) if line.startswith(_TELLING)), None)
    if told is not None and told > 0 and _BY_ANOTHER in said[told]:
        told -= 1
    found = said[told or 0] if said else f"ended with status {outcome.returncode}"
    return without_credentials(f"git {verb}: {found.strip().removeprefix('fatal: ')}")[:500]
