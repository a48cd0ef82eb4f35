"""Tells of task fields that no one knows: they are allowed and kept, but often a slip of the pen.

What is wrong with a task is said by `checks` and by the daemon, not here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from cortex.cli.terminal import note

__all__ = ["unknown_fields", "warn_unknown_fields"]

#: How like a known key one of a scope must be to be taken for a slip of the pen: `report` is a key
#: of one's own, and no misspelt `repository`.
_SCOPE_LIKENESS = 0.75


def warn_unknown_fields(name: str, data: bytes) -> None:
    """One line on stderr for each unknown field of the tasks in this file; none if unreadable."""
    for field, text in unknown_fields(name, data):
        note(f"{name}: {field}: {text}")


def unknown_fields(name: str, data: bytes) -> list[tuple[str, str]]:
    """(field, a sentence about it) for each unknown field of the tasks in this file.

    A scope may have keys of one's own, so only those that are nearly a known one are told of.
    """
    from cortex.model.requests import Scope, TaskRequest
    from cortex.model.strict_json import JsonProblem, parse_file

    try:
        payloads = [payload for _, payload in parse_file(name, data)]
    except JsonProblem:
        return []
    tasks = [one for one in payloads if isinstance(one, dict) and one.get("kind", "task") == "task"]
    found = {}
    for task in tasks:
        for field, near in _strange(task, TaskRequest.model_fields):
            found[field] = f"no such key, kept as it is{_meant(near)}"
        scope = task.get("scope")
        own = scope if isinstance(scope, dict) else {}
        for field, near in _strange(own, Scope.model_fields, _SCOPE_LIKENESS):
            if near is not None:
                found[f"scope.{field}"] = f"no such key, kept as it is{_meant(near)}"
    return list(found.items())


def _strange(
    value: dict[str, object], known: Iterable[str], likeness: float = 0.6
) -> list[tuple[str, str | None]]:
    """The fields that are not known, each with the known one that it resembles most, or None."""
    names = list(known)
    strange = [str(field) for field in value if field not in names]
    return [
        (one, next(iter(difflib.get_close_matches(one, names, 1, likeness)), None))
        for one in strange
    ]


def _meant(near: str | None) -> str:
    return f"; did you mean {near}?" if near else ""
