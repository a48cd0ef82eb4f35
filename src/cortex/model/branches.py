"""Names of what workers commit: branches, and the mirrors in which they are kept.

A branch of a step is `cortex/TASK/STEP`, and no two steps have one together. A mirror is a bare
repository in the home's `mirrors/`, named after the repository that it stands for. Names only:
nothing here runs git.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

__all__ = [
    "KEPT_REFS",
    "OWN",
    "branch_name",
    "holds_a_secret",
    "is_url",
    "kept_ref",
    "mirror_name",
    "result_of_plan",
    "without_credentials",
]

#: Where a mirror keeps the branches of workers: apart from those of the repository itself, and
#: still found by git under the short name `cortex/TASK/STEP` (gitrevisions(7), `refs/NAME`).
KEPT_REFS = "refs/cortex"

#: How the names of branches begin that are Cortex's own.
OWN = "cortex/"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_URL = re.compile(r"(?:file|https?|ssh)://[^\s-]\S*\Z")
_SCP_LIKE = re.compile(r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:[^\s:]\S*\Z")
_URL_USER = re.compile(r"(?<=://)[^/@\s]+@")
#: A password; a token in place of the user, by its beginning or because it is longer than names
#: are and has digits; or a token as a parameter.
_URL_SECRET = re.compile(
    r"://(?:(?:[^/@\s]*:[^/@\s]+|(?:gh[a-z]_|github_pat_|glpat-)[^/@\s]*"
    r"|(?=[^/@\s]*\d)[\w-]{32,})@|[^\s?]*\?\S*token=)"
)
_NAME_LENGTH = 60
_HASH_LENGTH = 8


def is_url(repository: str) -> bool:
    """Whether a repository is named by a URL (file, http, https, ssh, or `user@host:path`)."""
    return bool(_URL.match(repository) or _SCP_LIKE.match(repository))


def tidy_address(repository: str) -> str:
    """The same repository under one spelling, so that `./shop/` is `shop` wherever two are
    compared. A relative path stays one: which folder it begins at is not known here. What is no
    address at all is left as it is, for others to refuse.
    """
    if not repository or "\0" in repository:
        return repository
    if is_url(repository) or "://" in repository:
        return repository.rstrip("/")
    return posixpath.normpath(repository)


def holds_a_secret(repository: str) -> bool:
    """Whether an address has a password or token in it, for every file that names it to keep."""
    return bool(_URL_SECRET.search(repository))


def without_credentials(text: str) -> str:
    """The same text with user and password taken out of each URL."""
    return _URL_USER.sub("", text)


def branch_name(task_id: str, step: str) -> str:
    """`cortex/TASK/STEP`, of characters that git takes in a name.

    A part that git does not take as it is gets a hash of itself, so that `fix.` is not `fix`.
    """
    return f"{OWN}{_part(task_id or 'task')}/{_part(step)}"


def kept_ref(task_id: str, step: str, number: int = 1) -> str:
    """The ref of a mirror that holds the branch which a step handed over as its `number`th:
    `STEP+2` for the second, which no step can be called."""
    more = f"+{number}" if number > 1 else ""
    return f"refs/{branch_name(task_id, step)}{more}"


def mirror_name(repository: str) -> str:
    """The folder's name of a repository's mirror: readable, and with a hash of the whole address.

    `repository` is a URL, or the absolute path of a folder. User, password and a slash at the end
    make no other mirror.
    """
    address = without_credentials(repository).rstrip("/")
    digest = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
    words = _UNSAFE.sub("-", _readable(address)).strip(".-")[-_NAME_LENGTH:].lstrip(".-")
    return f"{words or 'repository'}-{digest[:_HASH_LENGTH]}.git"


def _readable(address: str) -> str:
    if "://" in address:
        parts = urlsplit(address)
        place = f"{parts.hostname or ''}{parts.path}"
    else:
        place = address.rpartition("@")[2].replace(":", "/")
    named = PurePosixPath(place)
    return str(named.with_suffix("") if named.suffix == ".git" else named)


def _part(text: str) -> str:
    """One part of a ref's name: no `..`, no `.lock` or dot at an end (git-check-ref-format)."""
    part = re.sub(r"\.{2,}", ".", _UNSAFE.sub("-", text)).strip(".-") or "work"
    if part == text and not part.endswith(".lock"):
        return part
    return f"{part}-{hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]}"


def result_of_plan(
    needs: Mapping[str, Sequence[str]],
    moving: Collection[str],
    handed_over: Collection[tuple[str, str]],
) -> set[tuple[str, str]]:
    """Which of the branches that steps handed over, as (step, repository), are what a plan comes
    to: those that no later step has taken into its own, or may while it is `moving`.

    `needs` names for each step those that it needs.
    """
    results = set(handed_over)
    for name in needs:
        before = _all_needs(name, needs)
        for step, repository in handed_over:
            if step in before and (name in moving or (name, repository) in handed_over):
                results.discard((step, repository))
    return results


def _all_needs(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    left = list(needs[name])
    while left:
        need = left.pop()
        if need not in found:
            found.add(need)
            left += needs.get(need, ())
    return found
