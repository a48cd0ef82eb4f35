"""What a task, or else its worker type's file, lets and tells a tools worker do.

An option is a key of the scope, of the context, or of the front matter of the type's file, in
this order. Reads nothing else, and knows no option's meaning.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from cortex.model.times import parse_duration
from cortex.worker.contract import Worker

__all__ = ["flag", "names", "option", "text", "time_left_s"]

_DEFAULT_TIMEOUT_S = 900.0
_DEPTH = 8


def option(worker: Worker, name: str) -> Any:
    """The option's value; None where nobody gives it."""
    for place in (worker.scope, worker.context):
        if place.get(name) is not None:
            return place[name]
    return _of_type(str(worker.dir), str(worker.spec.get("prompt_template") or "")).get(name)


def flag(worker: Worker, name: str) -> bool:
    """A yes or no; only a real `true` is a yes. Raises ValueError for anything but a boolean."""
    value = option(worker, name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ValueError(f"scope.{name} is {value!r}; write true or false")


def text(worker: Worker, name: str) -> str | None:
    """A text; None where nobody gives one. Raises ValueError for anything else."""
    value = option(worker, name)
    if value is None or (isinstance(value, str) and value.strip() and "\0" not in value):
        return value
    raise ValueError(f"scope.{name} is {value!r}; write a text")


def names(worker: Worker, name: str) -> list[str]:
    """A list of texts; one text is a list of one. Raises ValueError for anything else."""
    value = option(worker, name)
    if value is None:
        return []
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
        return listed
    raise ValueError(f"scope.{name} is {value!r}; write a list of texts")


def time_left_s(worker: Worker) -> float:
    """Seconds that may still be spent on children, so that a report is written before the
    timeout ends this process; at least 1.
    """
    timeout_s = parse_duration(worker.spec.get("timeout") or _DEFAULT_TIMEOUT_S)
    spent_s = time.monotonic() - worker.started_s
    return max(1.0, timeout_s - max(5.0, timeout_s * 0.05) - spent_s)


@lru_cache(maxsize=4)
def _of_type(worker_dir: str, template: str) -> dict[str, Any]:
    """The front matter of the type's file, in the home that the worker's folder lies in."""
    if not template or template.startswith("/") or ".." in template.split("/"):
        return {}
    for folder in list(Path(worker_dir).parents)[:_DEPTH]:
        path = folder / template
        if path.is_file():
            return _front_matter(path)
    return {}


def _front_matter(path: Path) -> dict[str, Any]:
    from cortex.model.definitions import read_front_matter
    from cortex.model.errors import DefinitionError

    try:
        return read_front_matter(path.read_text("utf-8"), path)[0]
    except (OSError, UnicodeError, DefinitionError):
        return {}
