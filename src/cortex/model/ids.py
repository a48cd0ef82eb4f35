"""Names and ids: what people may write, and the one form that files use.

Worker types are `scan` or `scan-worker` on input and `scan-worker` in files; masters `security`
or `security-master` on input and `security-master` in files. Ids are counted, never reused.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = [
    "PRIORITIES",
    "is_user_id",
    "master_key",
    "master_name",
    "priority_of",
    "short_type",
    "usable_name",
    "worker_type_name",
]

#: From the least urgent to the most.
PRIORITIES = ("low", "medium", "high", "critical")

_USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_IN_IDS = re.compile(r"[^a-z0-9]+")
_LONGEST_SLUG = 50
_SHORT = {"implementation": "impl", "documentation": "doc", "command": "cmd"}


def is_user_id(text: str) -> bool:
    """Whether a person may name a task so: a letter or digit, then up to 63 of those and `._-`."""
    return _USER_ID.fullmatch(text) is not None and ".." not in text


def usable_name(name: object, otherwise: str) -> str | None:
    """A name for what a person called `Code Reviewer`: `code-reviewer`; None where none is needed,
    or where it looks like a path.

    Where too little of it would be left, `otherwise` stands in, if that can be a name.
    """
    if not isinstance(name, str) or is_user_id(name) or set(name) & set("/\\\0") or not name:
        return None
    plain = unicodedata.normalize("NFKD", name)
    ascii_only = "".join(sign for sign in plain if not unicodedata.combining(sign))
    lost = sum(1 for sign in ascii_only if sign.isalnum() and not sign.isascii())
    slug = _NOT_IN_IDS.sub("-", ascii_only.lower()).strip("-.")[:_LONGEST_SLUG].strip("-.")
    if (lost or not slug) and is_user_id(otherwise):
        return otherwise
    return slug if is_user_id(slug) else None


def worker_type_name(text: str) -> str:
    """`scan`, `scan-worker` or the short `impl` → the name used in files, `scan-worker`."""
    bare = text.removesuffix("-worker")
    for long, short in _SHORT.items():
        if bare == short:
            bare = long
    return f"{bare}-worker"


def short_type(worker_type: str) -> str:
    """`implementation-worker` → `impl`: the middle of a worker id."""
    bare = worker_type.removesuffix("-worker")
    return _SHORT.get(bare, bare)


def master_name(text: str) -> str:
    """`security` or `security-master` → `security-master`."""
    return f"{master_key(text)}-master"


def master_key(text: str) -> str:
    """`security-master` or `security` → `security`, the key in token-budget.json."""
    return text.removesuffix("-master")


def priority_of(text: str) -> str:
    """The priority in the form that files use; `normal` reads as `medium`."""
    return "medium" if text == "normal" else text
