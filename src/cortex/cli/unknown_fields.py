"""Warns of task fields that no one knows: they are allowed and kept, but often a slip of the pen.

What is wrong with a task is said by `checks` and by the daemon, not here.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from cortex.cli.terminal import note

__all__ = ["warn_unknown_fields"]


def warn_unknown_fields(name: str, data: bytes) -> None:
    """One line on stderr for each unknown field of the tasks in this file; none if unreadable."""
    from cortex.cli.checks import read_payloads
    from cortex.model.requests import TaskRequest
    from cortex.model.strict_json import JsonProblem

    try:
        payloads = [payload for _, payload in read_payloads(Path(name), data)]
    except JsonProblem:
        return
    known = TaskRequest.model_fields
    tasks = [one for one in payloads if isinstance(one, dict) and one.get("kind", "task") == "task"]
    for field in dict.fromkeys(str(key) for task in tasks for key in task if key not in known):
        near = difflib.get_close_matches(field, known, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        note(f"{name}: unknown field {field!r}, kept as it is{meant}")
