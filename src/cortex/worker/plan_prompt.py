"""What a model is asked for a plan: the master's words, the task, what lies there, the schema.

Text in, text out; a look at the task's repositories, but not into their files. How the model is
reached is `planner`'s business.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cortex.model.words import listed

__all__ = ["plan_prompt", "plan_system"]

_ENTRIES_AT_MOST = 80
_REPOSITORIES_AT_MOST = 20
_RULES = """\
Answer with one JSON object that fits the schema below, and nothing else. `workers` are the steps, \
each done by one short-lived worker that sees nothing but its own step: put into \
`scope.instructions` what it is to make, where, how it is proved, and what to leave alone. `needs` \
names the steps whose results a step starts from; all others run side by side. Make the fewest \
steps that can each be checked on their own; one is fine. `reason` says in a sentence why so."""


def plan_system(asked: Mapping[str, Any]) -> str:
    """Who the model is: its master's prompt, as the file has it."""
    return str(asked.get("master_prompt") or "You plan work for short-lived workers.").strip()


def plan_prompt(asked: Mapping[str, Any], scope: Mapping[str, Any], refused: object) -> str:
    """The question: `asked` is the spec's `context.plan`, `refused` what was wrong before."""
    parts = [
        _section("Task", _lines(_task(_mapping(asked.get("task"))))),
        _section("What lies there", _lines(_facts(scope))),
        _section("Worker types", _lines(_types(asked))),
        _section("Limits", _lines(_limits(asked))),
        _section("An earlier plan was refused", _lines(map(str, _list(refused)))),
        _RULES,
        _section("Schema", json.dumps(asked.get("schema"), ensure_ascii=False)),
    ]
    return "\n\n".join(part for part in parts if part)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _task(task: Mapping[str, Any]) -> Iterable[str]:
    for name in ("title", "type", "priority", "deadline"):
        if task.get(name):
            yield f"{name}: {task[name]}"
    if task.get("scope"):
        yield f"scope: {json.dumps(task['scope'], ensure_ascii=False)}"


def _types(asked: Mapping[str, Any]) -> Iterable[str]:
    for kind in _list(asked.get("worker_types")):
        most = f"at most {kind.get('token_budget')} tokens, {kind.get('timeout')}"
        yield f"{kind.get('worker_type')} ({most}): {kind.get('description')}"


def _limits(asked: Mapping[str, Any]) -> Iterable[str]:
    yield f"at most {asked.get('steps_at_most')} steps"
    if not asked.get("commands"):
        yield "no step names a `command`"


def _facts(scope: Mapping[str, Any]) -> Iterable[str]:
    """The top of each repository that lies here: names, folders with a slash."""
    named = [scope.get("repository"), *_list(scope.get("repositories"))]
    for repository in [str(one) for one in named if one][:_REPOSITORIES_AT_MOST]:
        try:
            with os.scandir(Path(repository)) as entries:
                names = sorted(
                    f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                    for entry in entries
                    if entry.name != ".git"
                )
        except OSError as error:
            yield f"{repository}: cannot be looked at ({error.strerror})"
            continue
        yield f"{repository}: {listed(names, _ENTRIES_AT_MOST)}"
